"""Graph random features, and stitched ones."""

from __future__ import annotations

from functools import partial

import cases
import pytest
import torch
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
    return reference.adjacency(graph().edge_index, 13, graph().edge_weight)


def test_the_target_of_a_symmetric_graph_is_the_convolution() -> None:
    mask = GRFMask(3, 1, partial(Diffusion, scale=0.5))
    alpha = reference.convolution(mask.f())
    assert_close(mask.target(graph()).to_dense(), reference.power_series(adjacency(), alpha))
    assert_close(alpha[0, :4], reference.diffusion(1.0, 3), rtol=1e-6, atol=1e-6)


def test_a_kernel_is_given_by_alpha() -> None:
    mask = GRFMask(12, alpha=partial(Diffusion, scale=2.0))
    kernel = torch.linalg.matrix_exp(2.0 * (adjacency() - torch.eye(13)))
    assert_close(mask(mask.prepare(graph())).to_dense()[0], kernel, rtol=1e-5, atol=1e-5)
    assert isinstance(mask.f, Deconvolution)
    assert [name for name, _ in mask.named_parameters()] == ["coefficients.alpha.log_scale"]


def test_an_even_walk_is_exact_from_half_its_steps() -> None:
    mask = GRFMask(2, alpha=partial(PStepWalk, steps=4, scale=0.3)).double()
    kernel = torch.linalg.matrix_power(0.7 * torch.eye(13) + 0.3 * adjacency(), 4)
    assert_close(mask.target(graph()).to_dense()[0], kernel, rtol=1e-6, atol=1e-6)


def test_shared_walks_are_definite_and_biased_on_the_diagonal() -> None:
    mask = GRFMask(3, shared_walks=True, sampler=cases.random_walks(3))
    seeds = (torch.Generator().manual_seed(seed) for seed in range(100))
    drawn = [
        mask(graph().with_walks(mask.sampler(graph(), seed))).to_dense().detach()[0]
        for seed in seeds
    ]
    assert all(torch.linalg.eigvalsh(each).min() > -1e-10 for each in drawn)
    target = mask.target(graph()).to_dense()[0].detach()
    excess = (torch.stack(drawn).mean(0) - target).diagonal()
    assert excess.min() > -1e-2
    assert excess.max() > 1e-1
    assert len(mask.prepare(graph()).walk_sets) == 1


def test_degree_one_is_graph_random_features() -> None:
    for coefficients in ({"f": Diffusion}, {"alpha": RegularizedLaplacian}):
        stitched = StitchedMask(1, 3, 2, sampler=cases.random_walks(3), **coefficients)
        grf = GRFMask(3, 2, sampler=cases.random_walks(3), **coefficients)
        topology = grf.prepare(graph())
        assert_close(stitched(topology).to_dense(), grf(topology).to_dense(), rtol=0, atol=0)
        assert_close(
            stitched(stitched.prepare(graph())).to_dense(), grf(topology).to_dense(), rtol=0, atol=0
        )
        assert_close(
            stitched.target(graph()).to_dense(), grf.target(graph()).to_dense(), rtol=0, atol=0
        )


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_kernel_is_the_product_of_its_roots(degree: int) -> None:
    mask = StitchedMask(degree, 10, alpha=partial(Diffusion, scale=2.0))
    assert_close(mask.f()[0].double(), reference.diffusion(1 / degree, 10))
    kernel = torch.linalg.matrix_exp(2.0 * (adjacency() - torch.eye(13)))
    assert_close(mask(mask.prepare(graph())).to_dense()[0], kernel, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_target_of_stitched_walks_is_the_convolution(degree: int) -> None:
    mask = cases.scrambled(StitchedMask(degree, 3, 2))
    alpha = reference.convolution(mask.f(), 2 * degree)
    assert_close(mask.target(graph()).to_dense(), reference.power_series(adjacency(), alpha))


@pytest.mark.parametrize(("degree", "hops"), [(1, 3), (2, 2), (3, 1)])
def test_short_walks_reach_far(degree: int, hops: int) -> None:
    step = torch.arange(19)
    path = Topology(torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])]), 20)
    mask = StitchedMask(degree, hops)
    reached = mask(mask.prepare(path)).to_dense()[0, 0].nonzero().flatten()
    assert reached.tolist() == list(range(2 * degree * hops + 1))


def test_it_costs_the_sum_of_its_factors() -> None:
    mask = StitchedMask(3, 2, sampler=cases.random_walks(2))
    topology = mask.prepare(graph())
    assert mask(topology).cost == sum(walks.pattern.nnz for walks in topology.walk_sets)
    assert len(topology.walk_sets) == mask.walk_demand.sets == 6


def test_the_kernel_knows_its_degree() -> None:
    assert isinstance(StitchedMask(3, alpha=Diffusion).f, Deconvolution)
    assert StitchedMask(3, alpha=Diffusion).f.factors == 6
    assert StitchedMask(alpha=Diffusion)(StitchedMask(alpha=Diffusion).prepare(graph())).nonnegative
