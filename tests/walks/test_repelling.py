from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.walks import Antithetic, FixedLength, Geometric, IIDWalks, RepellingWalks
from graphmask.walks.paths import WalkState


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def star(leaves: int) -> Topology:
    """Node 0 with an entry for each leaf; a walk that leaves it ends there."""
    leaf = torch.arange(1, leaves + 1)
    return Topology(torch.stack([leaf, torch.zeros_like(leaf)]), leaves + 1)


def taken(num_walks: int, leaves: int, seed: int = 0) -> Tensor:
    """``[leaves]``, how many walks take each entry of a star."""
    sampler = RepellingWalks(num_walks, hops=1, normalization=None, length_law=FixedLength(1))
    share = sampler(star(leaves), seeded(seed)).to_dense()[1, 0, 1:] * num_walks / leaves
    assert_close(share, share.round())
    return share.round().long()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("num_walks", "leaves"), [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (7, 13), (12, 13), (13, 13)]
)
def test_walks_that_meet_leave_to_distinct_neighbours(
    num_walks: int, leaves: int, seed: int
) -> None:
    counts = taken(num_walks, leaves, seed)
    assert counts.sum() == num_walks
    assert counts.max() == 1


@pytest.mark.parametrize(("num_walks", "leaves"), [(10, 5), (12, 5), (14, 5), (29, 3), (7, 1)])
def test_more_walks_than_neighbours_leave_in_blocks(num_walks: int, leaves: int) -> None:
    for seed in range(20):
        counts = taken(num_walks, leaves, seed)
        assert counts.sum() == num_walks
        assert counts.min() >= num_walks // leaves
        assert counts.max() <= -(-num_walks // leaves)


class Meeting:
    """Many groups, each of the same number of walks on one node, which leave at once."""

    def __init__(self, walks: int, degree: int, groups: int = 4000) -> None:
        start = torch.arange(groups).repeat_interleave(walks)
        nothing = torch.zeros_like(start)
        walking = WalkState(start, nothing, nothing, nothing, nothing)
        draw = torch.rand(len(start), generator=seeded(walks))
        sampler = RepellingWalks(walks, hops=1, length_law=FixedLength(1))
        self.offset = sampler._choose_entries(
            walking, torch.full_like(start, degree), draw
        ).reshape(groups, walks)


@pytest.mark.parametrize(("walks", "degree"), [(1, 6), (3, 6), (4, 6), (6, 6), (8, 6), (9, 4)])
def test_every_walk_by_itself_leaves_evenly(walks: int, degree: int) -> None:
    for offset in Meeting(walks, degree).offset.mT:
        assert stats.chisquare(torch.bincount(offset, minlength=degree).numpy()).pvalue > 1e-4


@pytest.mark.parametrize(("walks", "degree"), [(3, 6), (4, 6), (6, 6), (5, 7), (7, 100)])
def test_offsets_are_those_of_the_formula(walks: int, degree: int) -> None:
    draw = torch.rand(4000 * walks, generator=seeded(walks)).reshape(4000, walks)[:, :1]
    expected = (degree * ((torch.arange(walks) / walks + draw) % 1)).floor().long()
    assert torch.equal(Meeting(walks, degree).offset, expected)


@pytest.mark.parametrize("degree", [2, 3, 5, 7, 9, 11, 13, 49, 1000])
def test_rounding_makes_no_two_equal(degree: int) -> None:
    """At draws beside every multiple of 1 / degree, 0 and 1 among them."""
    near = torch.arange(degree + 1) / degree
    draws = torch.cat([near, near.nextafter(torch.tensor(0.0)), near.nextafter(torch.tensor(1.0))])
    draws = draws[draws < 1].clamp(min=0)
    for walks in {degree, degree - 1, degree // 2 + 1}:
        start = torch.arange(len(draws)).repeat_interleave(walks)
        walking = WalkState(start, *[torch.zeros_like(start)] * 4)
        sampler = RepellingWalks(walks, hops=1, length_law=FixedLength(1))
        offset = sampler._choose_entries(
            walking, torch.full_like(start, degree), draws.repeat_interleave(walks)
        )
        rows = offset.reshape(-1, walks).sort(1).values
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
    """They walk the whole tree, though ways of different weights meet.

    Those of one path stay side by side.
    """
    topology = three_regular()
    sampler = RepellingWalks(
        num_walks, hops=3, normalization=normalization, length_law=FixedLength(3)
    )
    W = reference.adjacency(topology.edge_index, 12, topology.edge_weight, normalization)
    assert_close(sampler(topology, seeded()).to_dense(), reference.walk_powers(W, 3))
    independent = IIDWalks(
        num_walks, hops=3, normalization=normalization, length_law=FixedLength(3)
    )
    assert (
        independent(topology, seeded()).to_dense() - reference.walk_powers(W, 3)
    ).abs().max() > 0.1


def test_walks_that_halt_take_no_part() -> None:
    """Of 6 walks in pairs 3 go on, each a third of the others: they take the 3 ways once each."""
    sampler = RepellingWalks(6, hops=1, normalization=None, length_law=Antithetic(Geometric(0.5)))
    assert_close(sampler(star(3), seeded()).to_dense()[1, 0, 1:], torch.ones(3))


def test_walks_of_different_starts_do_not_see_each_other() -> None:
    """Two nodes in front of one crossing: each has the walks that it has alone."""
    edges = torch.tensor([[2, 2, 3, 4, 5], [0, 1, 2, 2, 2]])
    sampler = RepellingWalks(2, hops=2, normalization=None, length_law=FixedLength(2))
    firsts = torch.stack(
        [sampler(Topology(edges, 6), seeded(seed)).to_dense()[2, :2] for seed in range(300)]
    )
    same = (firsts[:, 0] == firsts[:, 1]).all(1).double().mean()
    # Three pairs of ways, all as probable: two nodes agree on one a third of the time.
    assert abs(float(same) - 1 / 3) < 4 * (2 / 9 / 300) ** 0.5
