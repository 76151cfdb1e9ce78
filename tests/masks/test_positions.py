"""Masks on positions: diffusion on random features of edges, and Fourier features of a bias."""

from __future__ import annotations

import math
from typing import Any

import cases
import pytest
import torch
from cases.graphs import NONE, cloud, generator
from cases.points import clouds, fourier, rfd
from torch.testing import assert_close
from torch_geometric.data import Data

from graphmask import Topology, reference
from graphmask.masks import BoxEdges, EdgeFunction, FourierMask, GaussianEdges, RFDMask
from graphmask.masks.rfd import phi_1
from graphmask.testing import assert_gradients, assert_unbiased
from graphmask.testing.graphs import astype, replace
from graphmask.transforms import RadiusGraph

EDGES = [
    GaussianEdges(0.4),
    BoxEdges(0.3),
    BoxEdges(0.3, softness=0.1),
    BoxEdges(0.3, softness=1.0),
]


@pytest.mark.parametrize("make", [rfd, fourier])
def test_positions_have_gradients(make: Any) -> None:
    mask, graph = make(num_features=3), clouds()["ragged"]
    x = torch.rand(graph.num_nodes, 2, generator=generator())
    assert_gradients(lambda pos: mask(replace(graph, pos=pos)) @ x, graph.pos, module=mask)


@pytest.mark.parametrize("make", [RFDMask, FourierMask])
def test_moving_a_cloud_changes_nothing_in_single_precision(make: Any) -> None:
    mask, near = make(num_features=8).float(), cloud(9)
    far, x = replace(near, pos=near.pos + 4096.0), torch.eye(9, dtype=torch.float32)
    assert_close(mask(far) @ x, mask(near) @ x)


@pytest.mark.parametrize("edges", EDGES, ids=repr)
@pytest.mark.parametrize("dim", [1, 3])
def test_estimated_edges_are_unbiased(edges: EdgeFunction, dim: int) -> None:
    pos, source = cloud(5, dim).pos, generator(1)
    drawn = [
        reference.wave_adjacency(pos, *edges.draw(8, dim, source)).unsqueeze(0) for _ in range(2000)
    ]
    assert_unbiased(torch.stack(drawn), edges(pos[:, None] - pos).unsqueeze(0))


def test_values_of_edge_functions() -> None:
    offset = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [-1.25, 1.0], [1.6, 0.0]])
    assert_close(BoxEdges(1.0)(offset), torch.tensor([1.0, 1.0, 0.5, 0.125, 0.0]))
    assert_close(GaussianEdges(0.5)(offset), torch.exp(-2 * offset.square().sum(1)))


def test_weights_of_the_box_are_bounded() -> None:
    frequency, weight = BoxEdges(0.1, softness=0.25).draw(100_000, 1, generator())
    assert weight.abs().max() < 2 * (2 + math.log(4)) / math.pi
    assert frequency.isfinite().all()


def test_the_box_is_the_radius_graph_beyond_its_faces() -> None:
    """In one dimension the cube is the ball."""
    pos = torch.tensor([[0.0], [0.5], [2.0], [2.4], [9.0]])
    graph = Topology.from_data(RadiusGraph(1.0)(Data(pos=pos)))
    W = BoxEdges(1.0, softness=0.25)(pos[:, None] - pos)
    assert_close(W, graph.pattern.to_dense(torch.ones(graph.pattern.nnz)) + torch.eye(5))


def test_diffusion_on_a_larger_scale_is_the_exponential_of_estimated_edges() -> None:
    mask, topology = RFDMask(num_features=4, heads=2, scale=30.0, epsilon=0.2), cloud(11)
    W = reference.wave_adjacency(topology.pos, mask.frequency, mask.weight)
    assert_close(mask(topology).to_dense(), reference.cloud_diffusion(W, torch.full((2,), 30.0)))


def test_the_target_of_diffusion_is_the_exponential_of_edges() -> None:
    topology = clouds()["ragged"]
    mask = cases.scrambled(RFDMask(epsilon=0.3, heads=2, edges=BoxEdges))
    W = mask.edges(topology.pos[:, None] - topology.pos)
    expected = reference.cloud_diffusion(W, mask.log_scale.exp(), topology.batch)
    assert_close(mask.target(topology).to_dense(), expected)
    assert mask.target(topology).nonnegative
    assert mask(topology).estimate


def test_estimates_of_diffusion_converge_to_the_target() -> None:
    topology, errors = cloud(40), []
    for m in (8, 128):
        mask, source = RFDMask(num_features=m, epsilon=0.3, scale=3.0), generator(2)
        target, total = mask.target(topology).to_dense(), 0.0
        for _ in range(20):
            mask.redraw(source)
            total += float((mask(topology).to_dense() - target).detach().square().sum())
        errors.append(total)
    assert errors[1] < errors[0] / 10


@pytest.mark.parametrize("norm", [0.0, 0.3, 1.0, 7.0, 200.0])
def test_phi_1_is_its_integral(norm: float) -> None:
    """Also where the matrix is singular, where the published inverse does not exist."""
    factor = cases.graphs.normal(6, 3)
    X = factor @ factor.mT
    X = -norm * X / torch.linalg.matrix_norm(X, 2)
    zero, one = torch.zeros(6, 6), torch.eye(6)
    block = torch.cat([torch.cat([X, one], 1), torch.cat([zero, zero], 1)])
    assert_close(phi_1(X, norm), torch.matrix_exp(block)[:6, 6:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_positions_may_have_any_dtype(dtype: torch.dtype) -> None:
    mask, graph = RFDMask(num_features=8).float(), astype(cloud(9), dtype)
    out = mask(graph) @ torch.ones(9, dtype=torch.float32)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


def test_dense_clouds_do_not_overflow() -> None:
    graph, mask = Topology(NONE, pos=torch.zeros(20_000, 3)), RFDMask(heads=2).float()
    out = mask(graph) @ torch.ones(20_000, 1, dtype=torch.float32)
    assert_close(out, torch.full_like(out, math.exp(10.0)), rtol=1e-3, atol=0)


def test_redrawing_depends_on_the_seed_alone() -> None:
    first, second = RFDMask(seed=1), RFDMask(seed=2)
    assert not torch.equal(first.frequency, second.frequency)
    second.redraw(generator(1))
    assert_close(first.frequency, second.frequency, rtol=0, atol=0)


def test_the_target_of_fourier_masks_is_the_exponential_of_the_bias() -> None:
    topology, mask = clouds()["ragged"], fourier(length=2)
    width = mask.log_width.exp()
    tau = reference.gaussian_mixture(mask.frequency, mask.amplitude, mask.centre, width)
    bias = reference.fourier_bias((topology.pos[:, None] - topology.pos) / 2, mask.frequency, tau)
    same_graph = reference.global_mask(23, topology.batch)
    assert_close(mask.target(topology).to_dense(), bias.exp() * same_graph)


def test_fourier_features_are_unbiased() -> None:
    topology, mask, source = clouds()["seven"], fourier(num_features=8), generator(1)
    drawn = []
    for _ in range(2000):
        mask.redraw(source)
        drawn.append(mask(topology).to_dense().detach())
    assert_unbiased(torch.stack(drawn), mask.target(topology).to_dense().detach())


def test_initial_fourier_masks_decay_with_the_distance_and_are_close_to_their_target() -> None:
    line = Topology(NONE, pos=torch.linspace(0, 1, 30)[:, None] * torch.eye(3)[:1])
    mask = FourierMask()
    target, M = mask.target(line).to_dense()[0], mask(line).to_dense()
    assert 1.3 < target[0, 0] < 2.1
    assert target[0, 0] > target[0, 3] > target[0, 6]
    assert (M[0] / target - 1).square().mean().sqrt() < 0.5
    assert (M > 0).all()


def test_no_bias_is_a_mask_of_ones_with_gradients() -> None:
    """The split into factors is smooth at zero."""
    mask = FourierMask(num_features=8)
    mask.amplitude.data.zero_()
    M = mask(cloud(5)).to_dense()
    assert_close(M, torch.ones(1, 5, 5), rtol=0.2, atol=0)
    M.square().sum().backward()
    assert mask.amplitude.grad.isfinite().all()
    assert mask.amplitude.grad.abs().sum() > 0


def test_large_biases_stay_finite_in_single_precision() -> None:
    mask = FourierMask().float()
    mask.amplitude.data *= 30
    assert mask(cloud(50)).to_dense().isfinite().all()
