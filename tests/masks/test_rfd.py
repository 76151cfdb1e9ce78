from __future__ import annotations

import math

import cases
import pytest
import torch
from cases.points import clouds
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Data

from graphmask import Topology, reference
from graphmask.masks import BoxEdges, EdgeFunction, GaussianEdges, RFDMask
from graphmask.masks.rfd import phi_1
from graphmask.testing import assert_gradients, assert_unbiased
from graphmask.testing.graphs import astype, replace
from graphmask.transforms import RadiusGraph

NONE = torch.empty(2, 0, dtype=torch.long)
EDGES = [
    GaussianEdges(0.4),
    BoxEdges(0.3),
    BoxEdges(0.3, softness=0.1),
    BoxEdges(0.3, softness=1.0),
]


def cloud(n: int, dim: int = 3, **options: object) -> Topology:
    pos = torch.rand(n, dim, generator=torch.Generator().manual_seed(0))
    return Topology(NONE, pos=pos, **options)  # type: ignore[arg-type]


def estimates(edges: EdgeFunction, pos: Tensor, count: int, draws: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack(
        [
            reference.wave_adjacency(pos, *edges.draw(count, pos.shape[1], generator)).unsqueeze(0)
            for _ in range(draws)
        ]
    )


@pytest.mark.parametrize("edges", EDGES, ids=repr)
@pytest.mark.parametrize("dim", [1, 3])
def test_estimated_edges_are_unbiased(edges: EdgeFunction, dim: int) -> None:
    pos = torch.rand(5, dim, generator=torch.Generator().manual_seed(0))
    exact = edges(pos[:, None] - pos).unsqueeze(0)
    assert_unbiased(estimates(edges, pos, 8, 2000), exact)


def test_edge_functions_known_by_hand() -> None:
    offset = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [-1.25, 1.0], [1.6, 0.0]])
    assert_close(BoxEdges(1.0)(offset), torch.tensor([1.0, 1.0, 0.5, 0.125, 0.0]))
    assert_close(GaussianEdges(0.5)(offset), torch.exp(-2 * offset.square().sum(1)))


def test_weights_of_the_box_are_bounded() -> None:
    frequency, weight = BoxEdges(0.1, softness=0.25).draw(
        100_000, 1, torch.Generator().manual_seed(0)
    )
    assert weight.abs().max() < 2 * (2 + math.log(4)) / math.pi
    assert frequency.isfinite().all()


def test_the_estimate_is_the_exponential_of_estimated_edges() -> None:
    mask, topology = RFDMask(num_features=4, heads=2, scale=30.0, epsilon=0.2), cloud(11)
    W = reference.wave_adjacency(topology.pos, mask.frequency, mask.weight)
    assert_close(mask(topology).to_dense(), reference.cloud_diffusion(W, torch.full((2,), 30.0)))


def test_the_target_is_the_exponential_of_edges() -> None:
    topology = clouds()["ragged"]
    mask = cases.scrambled(RFDMask(epsilon=0.3, heads=2, edges=BoxEdges))
    W = mask.edges(topology.pos[:, None] - topology.pos)
    expected = reference.cloud_diffusion(W, mask.log_scale.exp(), topology.batch)
    assert_close(mask.target(topology).to_dense(), expected)
    assert mask.target(topology).nonnegative
    assert mask(topology).estimate


def test_the_estimate_comes_to_the_target() -> None:
    topology, errors = cloud(40), []
    for m in (8, 128):
        mask = RFDMask(num_features=m, epsilon=0.3, scale=3.0)
        target, generator, total = (
            mask.target(topology).to_dense(),
            torch.Generator().manual_seed(2),
            0.0,
        )
        for _ in range(20):
            mask.redraw(generator)
            total += float((mask(topology).to_dense() - target).detach().square().sum())
        errors.append(total)
    assert errors[1] < errors[0] / 10


def test_the_box_is_the_radius_graph_beyond_its_faces() -> None:
    """In one dimension the cube is the ball."""
    pos = torch.tensor([[0.0], [0.5], [2.0], [2.4], [9.0]])
    graph = Topology.from_data(RadiusGraph(1.0)(Data(pos=pos)))
    W = BoxEdges(1.0, softness=0.25)(pos[:, None] - pos)
    assert_close(W, graph.pattern.to_dense(torch.ones(graph.pattern.nnz)) + torch.eye(5))


@pytest.mark.parametrize("norm", [0.0, 0.3, 1.0, 7.0, 200.0])
def test_phi_1_is_its_integral(norm: float) -> None:
    """Also where the matrix is singular, as the published inverse cannot be."""
    factor = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    X = factor @ factor.mT
    X = -norm * X / torch.linalg.matrix_norm(X, 2)
    zero, one = torch.zeros(6, 6), torch.eye(6)
    block = torch.cat([torch.cat([X, one], 1), torch.cat([zero, zero], 1)])
    assert_close(phi_1(X, norm), torch.matrix_exp(block)[:6, 6:])


def test_positions_have_gradients() -> None:
    mask, graph = RFDMask(num_features=3, epsilon=0.5, heads=2), clouds()["ragged"]
    x = torch.rand(graph.num_nodes, 2, generator=torch.Generator().manual_seed(0))
    assert_gradients(lambda pos: mask(replace(graph, pos=pos)) @ x, graph.pos, module=mask)


def test_far_from_the_origin() -> None:
    mask = RFDMask(num_features=8).float()
    near = cloud(9)
    far = replace(near, pos=near.pos + 4096.0)
    x = torch.eye(9, dtype=torch.float32)
    assert_close(mask(far) @ x, mask(near) @ x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_positions_of_any_type(dtype: torch.dtype) -> None:
    mask, graph = RFDMask(num_features=8).float(), astype(cloud(9), dtype)
    found = mask(graph) @ torch.ones(9, dtype=torch.float32)
    assert found.dtype == torch.float32
    assert found.isfinite().all()


def test_a_dense_cloud_does_not_overflow() -> None:
    graph = Topology(NONE, pos=torch.zeros(20_000, 3))
    mask = RFDMask(heads=2).float()
    out = mask(graph) @ torch.ones(20_000, 1, dtype=torch.float32)
    assert_close(out, torch.full_like(out, math.exp(10.0)), rtol=1e-3, atol=0)


def test_redrawing() -> None:
    first, second = RFDMask(seed=1), RFDMask(seed=2)
    assert not torch.equal(first.frequency, second.frequency)
    second.redraw(torch.Generator().manual_seed(1))
    assert_close(first.frequency, second.frequency, rtol=0, atol=0)
