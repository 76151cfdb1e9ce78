"""Masks on walks: their targets, their walks and their structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cases
import pytest
import torch
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

KINDS: dict[str, Make] = {
    "walk": lambda hops, heads=1, coefficients=Free, **options: WalkMask(
        hops, heads, coefficients, **options
    ),
    "symmetrized": lambda hops, heads=1, coefficients=Free, **options: WalkMask(
        hops, heads, coefficients, symmetrize=True, **options
    ),
    "grf": lambda hops, heads=1, coefficients=Free, **options: GRFMask(
        hops, heads, coefficients, **options
    ),
    "stitched": lambda hops, heads=1, coefficients=Free, **options: StitchedMask(
        2, hops, heads, coefficients, **options
    ),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def redrawn(topology: Topology, sampler: WalkSampler, sets: int, seed: int) -> Topology:
    source = generator(seed)
    return topology.with_walks(*(sampler(topology, source) for _ in range(sets)))


def dense_target(mask: TopologicalMask, W: Tensor) -> Tensor:
    """The expectation as a formula."""
    series = reference.power_series(W, cases.coefficients_reference(mask.coefficients))
    if isinstance(mask, WalkMask):
        return (series + series.mT) / 2 if mask.symmetrize else series
    return torch.linalg.matrix_power(series @ series.mT, mask.degree)


def graph() -> Topology:
    return example_topologies()["weighted"]


def adjacency(topology: Topology, normalization: str | None = "sym") -> Tensor:
    return reference.adjacency(
        topology.edge_index, topology.num_nodes, topology.edge_weight, normalization
    )


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@every_kind
def test_the_target_is_its_formula(make: Make, normalization: str | None) -> None:
    topology = example_topologies()["directed"]
    mask = cases.scrambled(make(3, 2, sampler=ResampledWalks(hops=3, normalization=normalization)))
    target = mask.target(topology)
    assert_close(target.to_dense(), dense_target(mask, adjacency(topology, normalization)))
    x = torch.randn(13, 2, generator=generator(0))
    assert_close(target @ x, target.to_dense() @ x)


@every_kind
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


@pytest.mark.parametrize("drawn_with", ["sym", "rw", None])
@every_kind
def test_the_target_is_that_of_the_walks(make: Make, drawn_with: str | None) -> None:
    """Whatever the mask's own sampler would have drawn."""
    topology = example_topologies()["directed"]
    mask = cases.scrambled(make(3, 2, sampler=ResampledWalks(hops=3)))
    walked = redrawn(
        topology, ResampledWalks(64, 3, normalization=drawn_with), mask.num_sets, seed=0
    )
    assert_close(
        mask.target(walked).to_dense(), dense_target(mask, adjacency(topology, drawn_with))
    )
    assert_close(mask(walked).to_dense(), mask.target(walked).to_dense())


@every_kind
def test_the_target_is_that_of_stored_walks(make: Make) -> None:
    mask = make(2)
    topology = example_topologies()["directed"]
    data = Data(edge_index=topology.edge_index, edge_weight=topology.edge_weight, num_nodes=13)
    draw = AddWalks(ResampledWalks(64, 2, normalization="rw"), sets=mask.num_sets)
    batch = Topology.from_data(Batch.from_data_list([draw(data), draw(data)]))
    assert_close(mask.target(batch).to_dense(), mask(batch).to_dense())


@every_kind
def test_walks_of_unknown_origin_leave_the_target_to_the_sampler(make: Make) -> None:
    mask = make(2, sampler=ResampledWalks(hops=2, normalization="rw"))
    walked = redrawn(graph(), ResampledWalks(64, 2, normalization="sym"), mask.num_sets, seed=0)
    unknown = graph().with_walks(
        *(replace(walks, normalization="unknown") for walks in walked.walk_sets)
    )
    assert_close(mask.target(unknown).to_dense(), dense_target(mask, adjacency(graph(), "rw")))
    assert_close(mask.target(walked).to_dense(), dense_target(mask, adjacency(graph(), "sym")))


@every_kind
def test_the_seed_draws_the_same_walks_at_every_call(make: Make) -> None:
    first, second, third = (make(3, sampler=cases.random_walks(3), seed=seed) for seed in (0, 0, 1))
    dense = first(first.prepare(graph())).to_dense()
    assert torch.equal(first(first.prepare(graph())).to_dense(), dense)
    assert torch.equal(second(second.prepare(graph())).to_dense(), dense)
    assert not torch.equal(third(third.prepare(graph())).to_dense(), dense)


@every_kind
def test_sets_are_independent(make: Make) -> None:
    mask = make(3, sampler=cases.random_walks(3))
    drawn = [walks.to_dense() for walks in mask.prepare(graph()).walk_sets]
    assert len(drawn) == mask.num_sets
    assert not any(torch.equal(a, b) for number, a in enumerate(drawn) for b in drawn[:number])


@every_kind
def test_walks_that_are_there_are_read(make: Make) -> None:
    mask = make(3, sampler=IIDWalks(num_walks=1, hops=3))
    topology = redrawn(graph(), EXACT, mask.num_sets + 1, seed=0)
    assert mask.prepare(topology) is topology
    assert_close(mask(topology).to_dense(), mask.target(topology).to_dense())


@every_kind
def test_longer_walks_serve_shorter_masks(make: Make) -> None:
    short = make(2, coefficients=Diffusion)
    topology = redrawn(graph(), EXACT, short.num_sets, seed=0)
    expected = dense_target(short, adjacency(graph()))
    assert_close(short(topology).to_dense(), expected, rtol=1e-6, atol=1e-6)


@every_kind
def test_signs_are_known_from_coefficients_and_walks(make: Make) -> None:
    positive, negative = (
        redrawn(example_topologies()[name], EXACT, 4, seed=0) for name in ("weighted", "signed")
    )
    assert make(2, coefficients=NonNegative)(positive).nonnegative
    assert make(2, coefficients=NonNegative).target(positive).nonnegative
    for mask, topology in ((make(2, coefficients=NonNegative), negative), (make(2), positive)):
        assert not mask(topology).nonnegative
        assert not mask.target(topology).nonnegative


@every_kind
def test_derivatives_by_the_weights_of_walks(make: Make) -> None:
    """Of samplers whose walks carry a gradient."""
    mask = cases.scrambled(make(2, 2, coefficients=NonNegative))
    sets = redrawn(graph(), cases.random_walks(2), mask.num_sets, seed=0).walk_sets
    weights = torch.cat([walks.weight for walks in sets])
    q = torch.rand(13, 2, 2, generator=generator(0))

    def reweighted(weights: Tensor) -> Topology:
        parts = weights.split([walks.nnz for walks in sets])
        return graph().with_walks(
            *(
                Walks.from_entries(walks.row, walks.col, walks.hop, part, 13, 2, "sym")
                for walks, part in zip(sets, parts, strict=True)
            )
        )

    def out(weights: Tensor) -> Tensor:
        return attention(q, q, q, mask(reweighted(weights)), EluPlusOne())

    def expected(weights: Tensor) -> Tensor:
        phi, M = reference.elu_plus_one(q), cases.mask_reference(mask, reweighted(weights))
        return reference.attention(phi, phi, q, M)

    assert_gradients(out, weights)
    leaf = weights.clone().requires_grad_()
    grad_output = torch.randn(13, 2, 2, generator=generator(1))
    grads = [torch.autograd.grad(call(leaf), leaf, grad_output) for call in (out, expected)]
    assert_close(*grads)


def with_gradient() -> Topology:
    return Topology(graph().edge_index, 13, graph().edge_weight.clone().requires_grad_())


def mixed() -> Topology:
    return graph().with_walks(
        *(ResampledWalks(hops=2, normalization=each)(graph()) for each in ("rw", None))
    )


def test_weights_without_gradient_recording_are_served() -> None:
    mask = WalkMask(2)
    with torch.no_grad():
        assert mask(mask.prepare(with_gradient())).heads == 1


def symmetrized(hops: int = 3, **options: object) -> WalkMask:
    return cases.scrambled(
        WalkMask(hops, 2, sampler=cases.random_walks(hops), symmetrize=True, **options)
    )


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
