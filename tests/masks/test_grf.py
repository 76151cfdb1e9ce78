"""Graph random features, and stitched ones."""

from __future__ import annotations

from functools import partial

import cases
import pytest
import torch
from cases.graphs import generator, path
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.masks import (
    Deconvolution,
    Diffusion,
    GRFMask,
    PStepWalk,
    RegularizedLaplacian,
    StitchedMask,
)
from graphmask.testing import example_topologies


def graph() -> Topology:
    return example_topologies()["weighted"]


def adjacency() -> torch.Tensor:
    return cases.adjacency_reference(graph(), "sym")


def test_an_even_walk_is_exact_from_half_its_steps() -> None:
    mask = GRFMask(2, alpha=partial(PStepWalk, steps=4, scale=0.3)).double()
    kernel = torch.linalg.matrix_power(0.7 * torch.eye(13) + 0.3 * adjacency(), 4)
    assert_close(mask.target(graph()).to_dense()[0], kernel, rtol=1e-6, atol=1e-6)


def test_shared_walks_are_positive_definite_and_biased_on_the_diagonal() -> None:
    mask = GRFMask(3, shared_walks=True, sampler=cases.random_walks(3))
    assert len(mask.prepare(graph()).walk_sets) == 1
    walks = [mask.sampler(graph(), generator(seed)) for seed in range(100)]
    drawn = torch.stack([mask(graph().with_walks(each)).to_dense().detach()[0] for each in walks])
    assert torch.linalg.eigvalsh(drawn).min() > -1e-10
    excess = (drawn.mean(0) - mask.target(graph()).to_dense()[0].detach()).diagonal()
    assert excess.min() > -1e-2
    assert excess.max() > 1e-1


def test_degree_one_is_graph_random_features() -> None:
    for coefficients in ({"f": Diffusion}, {"alpha": RegularizedLaplacian}):
        stitched = StitchedMask(1, 3, 2, sampler=cases.random_walks(3), **coefficients)
        grf = GRFMask(3, 2, sampler=cases.random_walks(3), **coefficients)
        topology = grf.prepare(graph())
        expected = grf(topology).to_dense()
        for walked in (topology, stitched.prepare(graph())):
            assert_close(stitched(walked).to_dense(), expected, rtol=0, atol=0)
        targets = [mask.target(graph()).to_dense() for mask in (stitched, grf)]
        assert_close(*targets, rtol=0, atol=0)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_kernels_are_products_of_their_roots(degree: int) -> None:
    """Degree 0 stands for graph random features."""
    alpha = partial(Diffusion, scale=2.0)
    mask = StitchedMask(degree, 12, alpha=alpha) if degree else GRFMask(12, alpha=alpha)
    assert isinstance(mask.f, Deconvolution)
    assert mask.f.factors == 2 * max(degree, 1)
    assert [name for name, _ in mask.named_parameters()] == ["coefficients.alpha.log_scale"]
    assert_close(mask.f()[0].double(), reference.diffusion(2.0 / mask.f.factors, 12))
    kernel = torch.linalg.matrix_exp(2.0 * (adjacency() - torch.eye(13)))
    operator = mask(mask.prepare(graph()))
    assert operator.nonnegative
    assert_close(operator.to_dense()[0], kernel, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_target_of_stitched_walks_is_the_convolution(degree: int) -> None:
    mask = cases.scrambled(StitchedMask(degree, 3, 2))
    alpha = reference.convolution(mask.f(), 2 * degree)
    assert_close(mask.target(graph()).to_dense(), reference.power_series(adjacency(), alpha))


@pytest.mark.parametrize(("degree", "hops"), [(1, 3), (2, 2), (3, 1)])
def test_stitched_walks_reach_twice_degree_times_hops(degree: int, hops: int) -> None:
    mask = StitchedMask(degree, hops)
    reached = mask(mask.prepare(path(20))).to_dense()[0, 0].nonzero().flatten()
    assert reached.tolist() == list(range(2 * degree * hops + 1))


def test_stitched_walks_cost_the_sum_of_their_factors() -> None:
    mask = StitchedMask(3, 2, sampler=cases.random_walks(2))
    topology = mask.prepare(graph())
    assert mask(topology).cost == sum(walks.pattern.nnz for walks in topology.walk_sets)
    assert len(topology.walk_sets) == mask.walk_demand.sets == 6
