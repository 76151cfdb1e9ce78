"""Masks on walks: their targets, their walks and their structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cases
import pytest
import torch
from cases.graphs import generator, normal
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology, attention, reference
from graphmask.features import EluPlusOne
from graphmask.masks import (
    Diffusion,
    Free,
    GRFMask,
    NonNegative,
    StitchedMask,
    TopologicalMask,
    WalkMask,
)
from graphmask.testing import assert_gradients, assert_unbiased, example_topologies
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, Walks, WalkSampler

EXACT = ResampledWalks(budget=64, hops=4)
Make = Callable[..., TopologicalMask]
MAKERS: dict[str, Make] = {
    "walk": WalkMask,
    "symmetrized": partial(WalkMask, symmetrize=True),
    "grf": lambda *args, alpha=Free, **options: GRFMask(*args, f=alpha, **options),
    "stitched": lambda *args, alpha=Free, **options: StitchedMask(2, *args, f=alpha, **options),
}
every_mask = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def graph() -> Topology:
    return example_topologies()["weighted"]


def adjacency(topology: Topology, normalization: str | None = "sym") -> Tensor:
    return cases.adjacency_reference(topology, normalization)


def redrawn(topology: Topology, sampler: WalkSampler, sets: int, seed: int) -> Topology:
    source = generator(seed)
    return topology.with_walks(*(sampler(topology, source) for _ in range(sets)))


def dense_target(mask: TopologicalMask, W: Tensor) -> Tensor:
    """The expectation as a formula."""
    series = reference.power_series(W, cases.coefficients_reference(mask.coefficients))
    if isinstance(mask, WalkMask):
        return (series + series.mT) / 2 if mask.symmetrize else series
    return torch.linalg.matrix_power(series @ series.mT, mask.degree)


@every_mask
def test_masks_on_independent_walks_are_unbiased(make: Make) -> None:
    """On a directed graph of weights of both signs."""
    edges = torch.randint(6, (2, 20), generator=generator(0))
    topology = Topology(edges, 7, torch.linspace(-1, 2, 20))
    mask = cases.scrambled(make(3, sampler=cases.random_walks(3)))
    drawn = [
        mask(redrawn(topology, mask.sampler, mask.num_sets, seed)).to_dense().detach()
        for seed in range(200)
    ]
    assert_unbiased(torch.stack(drawn), mask.target(topology).to_dense().detach(), repr(mask))


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@every_mask
def test_targets_are_their_formula_in_the_normalization_of_the_walks(
    make: Make, normalization: str | None
) -> None:
    """Without walks it is that of the sampler; masks on exact walks are their target."""
    topology, sampler = example_topologies()["directed"], ResampledWalks(64, 3)
    own_sampler = ResampledWalks(64, 3, normalization=normalization)
    masks = [cases.scrambled(make(3, 2, sampler=each)) for each in (sampler, own_sampler)]
    expected = dense_target(masks[0], adjacency(topology, normalization))
    walked = redrawn(topology, own_sampler, masks[0].num_sets, seed=0)
    for target in (masks[1].target(topology), masks[0].target(walked), masks[0](walked)):
        assert_close(target.to_dense(), expected)
    x, target = normal(13, 2), masks[0].target(walked)
    assert_close(target @ x, target.to_dense() @ x)


@every_mask
def test_the_target_is_that_of_stored_walks(make: Make) -> None:
    mask = make(2)
    topology = example_topologies()["directed"]
    data = Data(edge_index=topology.edge_index, edge_weight=topology.edge_weight, num_nodes=13)
    draw = AddWalks(ResampledWalks(64, 2, normalization="rw"), sets=mask.num_sets)
    batch = Topology.from_data(Batch.from_data_list([draw(data), draw(data)]))
    assert_close(mask.target(batch).to_dense(), mask(batch).to_dense())


@every_mask
def test_walks_of_unknown_origin_leave_the_target_to_the_sampler(make: Make) -> None:
    mask = make(2, sampler=ResampledWalks(hops=2, normalization="rw"))
    walked = redrawn(graph(), ResampledWalks(64, 2, normalization="sym"), mask.num_sets, seed=0)
    unknown = graph().with_walks(
        *(replace(walks, normalization="unknown") for walks in walked.walk_sets)
    )
    assert_close(mask.target(unknown).to_dense(), dense_target(mask, adjacency(graph(), "rw")))
    assert_close(mask.target(walked).to_dense(), dense_target(mask, adjacency(graph(), "sym")))


@every_mask
def test_the_seed_draws_the_same_walks_at_every_call(make: Make) -> None:
    first, second, third = (make(3, sampler=cases.random_walks(3), seed=seed) for seed in (0, 0, 1))
    dense = first(first.prepare(graph())).to_dense()
    assert torch.equal(first(first.prepare(graph())).to_dense(), dense)
    assert torch.equal(second(second.prepare(graph())).to_dense(), dense)
    assert not torch.equal(third(third.prepare(graph())).to_dense(), dense)


@every_mask
def test_sets_are_independent(make: Make) -> None:
    mask = make(3, sampler=cases.random_walks(3))
    drawn = [walks.to_dense() for walks in mask.prepare(graph()).walk_sets]
    assert len(drawn) == mask.num_sets
    assert not any(torch.equal(a, b) for number, a in enumerate(drawn) for b in drawn[:number])


@every_mask
def test_stored_walks_are_read_up_to_the_hops_of_the_mask(make: Make) -> None:
    mask = make(3, alpha=Diffusion, sampler=IIDWalks(num_walks=1, hops=3))
    topology = redrawn(graph(), EXACT, mask.num_sets + 1, seed=0)
    assert mask.prepare(topology) is topology
    assert_close(mask(topology).to_dense(), dense_target(mask, adjacency(graph())))


@every_mask
def test_signs_are_known_from_coefficients_and_walks(make: Make) -> None:
    positive, negative = (
        redrawn(example_topologies()[name], EXACT, 4, seed=0) for name in ("weighted", "signed")
    )
    assert make(2, alpha=NonNegative)(positive).nonnegative
    assert make(2, alpha=NonNegative).target(positive).nonnegative
    for mask, topology in ((make(2, alpha=NonNegative), negative), (make(2), positive)):
        assert not mask(topology).nonnegative
        assert not mask.target(topology).nonnegative


@every_mask
def test_weights_of_walks_have_derivatives(make: Make) -> None:
    """Some samplers draw walks that carry a gradient."""
    mask = cases.scrambled(make(2, 2, alpha=NonNegative))
    sets = redrawn(graph(), cases.random_walks(2), mask.num_sets, seed=0).walk_sets
    weights = torch.cat([walks.weight for walks in sets])
    q = torch.rand(13, 2, 2, generator=generator(0))

    def reweighted(weights: Tensor) -> Topology:
        split = weights.split([walks.nnz for walks in sets])
        return graph().with_walks(
            *(
                Walks.from_entries(walks.row, walks.col, walks.hop, weight, 13, 2, "sym")
                for walks, weight in zip(sets, split, strict=True)
            )
        )

    def out(weights: Tensor) -> Tensor:
        return attention(q, q, q, mask(reweighted(weights)), EluPlusOne())

    def expected(weights: Tensor) -> Tensor:
        phi, M = reference.elu_plus_one(q), cases.mask_reference(mask, reweighted(weights))
        return reference.attention(phi, phi, q, M)

    assert_gradients(out, weights)
    leaf, grad_output = weights.clone().requires_grad_(), normal(13, 2, 2)
    assert_close(*(torch.autograd.grad(call(leaf), leaf, grad_output) for call in (out, expected)))


def test_symmetrizing_keeps_the_target_of_a_symmetric_graph_and_reduces_the_variance() -> None:
    one_way, both = (
        WalkMask(3, alpha=Diffusion, sampler=cases.random_walks(3), symmetrize=symmetrize)
        for symmetrize in (False, True)
    )
    target = one_way.target(graph()).to_dense()
    assert_close(both.target(graph()).to_dense(), target)
    drawn = [redrawn(graph(), one_way.sampler, 1, seed) for seed in range(50)]
    error, symmetric_error = (
        sum((mask(topology).to_dense() - target).square().sum() for topology in drawn)
        for mask in (one_way, both)
    )
    assert symmetric_error < 0.75 * error


def test_structure_is_built_once_for_walks_with_and_without_gradients() -> None:
    for symmetrize in (False, True):
        mask = WalkMask(3, 2, sampler=cases.random_walks(3), symmetrize=symmetrize)
        shorter = WalkMask(2, symmetrize=symmetrize)
        topology = mask.prepare(graph())
        table = topology.walks.table.clone().requires_grad_()
        live = graph().with_walks(replace(topology.walks, table=table))
        for walked in (topology, live):
            first = mask(walked).entries().pattern
            for second in (mask(walked), shorter(walked)):
                assert second.entries().pattern is first
                assert second.entries().pattern.mT is first.mT


def test_entries_are_counted_by_the_budget() -> None:
    """The cost is linear: pairs per node do not depend on the number of nodes."""
    mask = WalkMask(4, sampler=ResampledWalks(budget=5, hops=4))
    for size in (100, 1000):
        edges = torch.randint(size, (2, 8 * size), generator=torch.Generator().manual_seed(0))
        operator = mask(mask.prepare(Topology(edges, size)))
        assert 4.5 * size < operator.cost < 5.5 * size
