from __future__ import annotations

import pytest
import torch
from builders import seeded, star
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.walks import Antithetic, FixedLength, Geometric, IIDWalks, RepellingWalks
from graphmask.walks.paths import WalkState


@pytest.mark.parametrize(
    ("num_walks", "leaves"),
    [(1, 5), (3, 5), (4, 5), (5, 5), (7, 13), (13, 13), (10, 5), (12, 5), (29, 3), (7, 1)],
)
def test_walks_that_meet_leave_as_evenly_as_they_can(num_walks: int, leaves: int) -> None:
    sampler = RepellingWalks(num_walks, hops=1, normalization=None, length_law=FixedLength(1))
    for seed in range(20):
        weight = sampler(star(leaves), seeded(seed)).to_dense()[1, 0, 1:]
        counts = (weight * num_walks / leaves).round().long()
        assert_close(weight, counts * leaves / num_walks)
        assert counts.sum() == num_walks
        assert counts.min() >= num_walks // leaves
        assert counts.max() <= -(-num_walks // leaves)


@pytest.mark.parametrize("degree", [2, 3, 5, 7, 9, 11, 13, 49, 1000])
def test_rounding_makes_no_two_choices_equal(degree: int) -> None:
    """At draws beside every multiple of 1 / degree, 0 and 1 among them."""
    near = torch.arange(degree + 1) / degree
    draws = torch.cat([near, near.nextafter(torch.tensor(0.0)), near.nextafter(torch.tensor(1.0))])
    draws = draws[draws < 1].clamp(min=0)
    for num_walks in {degree, degree - 1, degree // 2 + 1}:
        start = torch.arange(len(draws)).repeat_interleave(num_walks)
        state = WalkState(start, *[torch.zeros_like(start)] * 4)
        sampler = RepellingWalks(num_walks, hops=1, length_law=FixedLength(1))
        offset = sampler._choose_entries(
            state, torch.full_like(start, degree), draws.repeat_interleave(num_walks)
        )
        rows = offset.reshape(-1, num_walks).sort(1).values
        assert (rows.diff(dim=1) > 0).all()
        assert (rows[:, 0] >= 0).all()
        assert (rows[:, -1] < degree).all()


def three_regular(num_nodes: int = 12) -> Topology:
    """Every row of W has three entries, of any sign, with a loop here and there."""
    generator = seeded(5)
    target = torch.stack(
        [torch.randperm(num_nodes, generator=generator)[:3] for _ in range(num_nodes)]
    )
    edges = torch.stack([target.flatten(), torch.arange(num_nodes).repeat_interleave(3)])
    return Topology(edges, num_nodes, torch.randn(3 * num_nodes, generator=generator))


@pytest.mark.parametrize("num_walks", [27, 54])
@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_27_walks_of_3_hops_are_exact_on_a_3_regular_graph(
    normalization: str, num_walks: int
) -> None:
    """They take all paths, though paths of different weights meet."""
    topology = three_regular()
    W = reference.adjacency(topology.edge_index, 12, topology.edge_weight, normalization)
    repelling, independent = (
        sampler(num_walks, hops=3, normalization=normalization, length_law=FixedLength(3))
        for sampler in (RepellingWalks, IIDWalks)
    )
    powers = reference.walk_powers(W, 3)
    assert_close(repelling(topology, seeded()).to_dense(), powers)
    assert (independent(topology, seeded()).to_dense() - powers).abs().max() > 0.1


def test_halted_walks_repel_none() -> None:
    """Of 6 walks in pairs 3 go on, to one leaf each."""
    sampler = RepellingWalks(6, hops=1, normalization=None, length_law=Antithetic(Geometric(0.5)))
    assert_close(sampler(star(3), seeded()).to_dense()[1, 0, 1:], torch.ones(3))
