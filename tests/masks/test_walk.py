from __future__ import annotations

from dataclasses import replace

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import Diffusion, Free, WalkMask
from graphmask.testing import example_topologies
from graphmask.walks import IIDWalks, ResampledWalks

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def graph() -> Topology:
    return example_topologies()["weighted"]


def symmetrized(hops: int = 3, **options: object) -> WalkMask:
    return cases.scrambled(
        WalkMask(hops, 2, sampler=cases.random_walks(hops), symmetrize=True, **options)
    )


@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "ragged"])
def test_symmetrizing_averages_both_directions(name: str) -> None:
    mask = symmetrized()
    topology = mask.prepare(example_topologies()[name])
    mask.symmetrize = False
    one_way = mask(topology).to_dense()
    mask.symmetrize = True
    assert_close(mask(topology).to_dense(), (one_way + one_way.mT) / 2)


def test_symmetrizing_keeps_the_target_of_a_symmetric_graph_and_lessens_the_variance() -> None:
    one_way, both = (
        WalkMask(3, alpha=Diffusion, sampler=cases.random_walks(3), symmetrize=each)
        for each in (False, True)
    )
    target = one_way.target(graph()).to_dense()
    assert_close(both.target(graph()).to_dense(), target)
    errors = []
    for seed in range(50):
        walks = one_way.sampler(graph(), torch.Generator().manual_seed(seed))
        drawn = graph().with_walks(walks)
        errors.append(
            torch.stack(
                [(mask(drawn).to_dense() - target).square().sum() for mask in (one_way, both)]
            )
        )
    one_way_error, both_error = torch.stack(errors).detach().mean(0)
    assert both_error < 0.75 * one_way_error


def test_structure_is_made_once_for_walks_without_gradient_and_with() -> None:
    mask = symmetrized()
    topology = mask.prepare(graph())
    first, second = mask(topology).entries().pattern, mask(topology).entries().pattern
    assert first is second
    table = topology.walks.table.clone().requires_grad_()
    topology = graph().with_walks(replace(topology.walks, table=table))
    first, second = mask(topology).entries().pattern, mask(topology).entries().pattern
    assert first is second
    assert first.mT is second.mT


def test_entries_are_counted_by_the_budget() -> None:
    """The cost is linear: pairs per node do not depend on the number of nodes."""
    mask = WalkMask(4, sampler=ResampledWalks(budget=5, hops=4))
    for size in (100, 1000):
        edges = torch.randint(size, (2, 8 * size), generator=torch.Generator().manual_seed(0))
        operator = mask(mask.prepare(Topology(edges, size)))
        assert 4.5 * size < operator.cost < 5.5 * size


def test_masks_of_different_hops_share_the_structure_of_their_walks() -> None:
    topology = graph().with_walks(ResampledWalks(hops=4)(graph()))
    assert WalkMask(4)(topology).entries().pattern is WalkMask(2)(topology).entries().pattern
    assert isinstance(WalkMask(2).alpha, Free)


def test_repr() -> None:
    assert repr(WalkMask(2)) == "WalkMask(hops=2, heads=1, alpha=Free)"
    assert (
        repr(WalkMask(2, symmetrize=True))
        == "WalkMask(hops=2, heads=1, alpha=Free, symmetrize=True)"
    )


def test_a_gradient_that_stored_walks_would_swallow_is_refused() -> None:
    live = Topology(PATH, 3, edge_weight=torch.ones(4, requires_grad=True))
    stored = live.with_walks(ResampledWalks(hops=2)(Topology(PATH, 3)))
    with pytest.raises(ValueError, match="`edge_weight` must be without gradient beside walks"):
        WalkMask(2)(stored)
    with torch.no_grad():
        WalkMask(2)(stored)
    drawn = live.with_walks(IIDWalks(hops=2)(live))
    assert WalkMask(2)(drawn).entries().value.requires_grad
