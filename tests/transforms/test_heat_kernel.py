"""Heat kernel signatures against the dense definition, and what they must not depend on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from builders import seeded
from scipy.spatial import ConvexHull
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_undirected

from graphmask import reference
from graphmask.datasets import SHREC16
from graphmask.transforms import HeatKernelSignature, KNNGraph, heat_kernel


def hull(size: int, seed: int = 0) -> Data:
    """A closed surface without symmetry, stretched."""
    pos = torch.randn(size, 3, generator=seeded(seed), dtype=torch.float64)
    pos = pos / pos.norm(dim=1, keepdim=True) * torch.tensor([1.0, 0.7, 0.4])
    face = torch.from_numpy(ConvexHull(pos.numpy()).simplices).long().T
    return Data(pos=pos, face=face)


def dense(data: Data, num_times: int, k: int) -> Tensor:
    L, m = reference.cotangent_laplacian(data.pos, data.face)
    return reference.heat_kernel_signature(L, m, num_times, k)


def joined(first: Data, second: Data) -> Data:
    face = torch.cat([first.face, second.face + len(first.pos)], 1)
    return Data(pos=torch.cat([first.pos, second.pos]), face=face)


@pytest.mark.parametrize("small", [0, 512])  # by Lanczos, and as dense matrices
@pytest.mark.parametrize("k", [5, 20, 1000])
def test_meshes_have_their_definition(small: int, k: int, monkeypatch) -> None:
    monkeypatch.setattr(heat_kernel, "_SMALL", small)
    flat = hull(40)
    flat.face = torch.cat([flat.face, torch.tensor([[3, 40], [3, 40], [4, 41]])], 1)  # without area
    flat.pos = torch.cat([flat.pos, torch.ones(2, 3, dtype=torch.float64)])  # of no triangle
    bent = Data(pos=torch.eye(3).double(), face=torch.tensor([[0], [1], [2]]))
    grid = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    corner = torch.tensor([0, 1, 3, 4])
    square = (
        torch.stack([corner, corner + 3, corner + 4]),
        torch.stack([corner, corner + 4, corner + 1]),
    )
    sheet = Data(pos=torch.nn.functional.pad(grid, (0, 1)), face=torch.cat(square, 1))
    for data in (hull(60), flat, bent, sheet, joined(hull(50), hull(30, 1))):
        expected = dense(data, 6, k)
        out = HeatKernelSignature(6, k, scale_invariant=False)(data).hks
        assert_close(out, expected, rtol=1e-6, atol=1e-9)
        area = reference.cotangent_laplacian(data.pos, data.face)[1].sum()
        assert_close(HeatKernelSignature(6, k)(data).hks, area * expected, rtol=1e-6, atol=1e-9)
    assert HeatKernelSignature(6, k)(flat).hks[40:].eq(0).all()


@pytest.mark.parametrize("small", [0, 512])
def test_graphs_have_their_definition(small: int, monkeypatch) -> None:
    monkeypatch.setattr(heat_kernel, "_SMALL", small)
    graph = KNNGraph(4)(Data(pos=torch.rand(60, 3, generator=seeded())))
    edges = to_undirected(graph.edge_index)
    weight = torch.rand(edges.shape[1], generator=seeded())
    for weights in (None, weight):
        A = reference.adjacency(edges, 62, weights, None)
        A = (A + A.mT) / 2
        L = A.sum(1).diag() - A
        expected = reference.heat_kernel_signature(L, torch.ones(62), 5, 12)
        data = Data(edge_index=edges, edge_weight=weights, num_nodes=62)  # two nodes without edges
        out = HeatKernelSignature(5, 12, scale_invariant=False)(data).hks
        assert_close(out, expected.float(), rtol=1e-4, atol=1e-6)
        assert out[60:].eq(1).all()


def turned(pos: Tensor) -> Tensor:
    return pos @ torch.linalg.qr(torch.randn(3, 3, generator=seeded()).double())[0] + 5


@pytest.mark.parametrize("size", [200, 700])
def test_poses_orders_and_sizes_do_not_matter(size: int) -> None:
    data, transform = hull(size), HeatKernelSignature()
    expected = transform(data).hks
    order = torch.randperm(size, generator=seeded())
    place = order.argsort()
    moved = Data(pos=30 * turned(data.pos)[order], face=place[data.face][[1, 2, 0]].flip(1))
    assert_close(transform(moved).hks, expected[order], rtol=1e-6, atol=1e-8)
    unscaled = HeatKernelSignature(scale_invariant=False)
    assert_close(unscaled(moved).hks * 900, unscaled(data).hks[order], rtol=1e-6, atol=1e-8)


def test_a_sheet_that_bends_without_stretching_keeps_its_signature() -> None:
    side = torch.arange(12.0).double() / 4
    flat = torch.cartesian_prod(side, side)
    node = torch.arange(144).view(12, 12)
    a, b, c, d = (x.flatten() for x in (node[:-1, :-1], node[1:, :-1], node[1:, 1:], node[:-1, 1:]))
    face = torch.cat([torch.stack([a, b, c]), torch.stack([a, c, d])], 1)
    sheet = Data(pos=torch.nn.functional.pad(flat, (0, 1)), face=face)
    # Folded along lines of the grid, so that no triangle changes.
    angle = 0.3 * torch.arange(11.0).double()
    steps = torch.stack([angle.cos(), angle.sin()], 1) / 4
    curve = torch.cat([torch.zeros(1, 2), steps.cumsum(0)])
    bent = torch.cat([curve.repeat_interleave(12, 0), flat[:, 1:]], 1)
    rolled = Data(pos=bent[:, [0, 2, 1]], face=face)
    assert_close(HeatKernelSignature()(rolled).hks, HeatKernelSignature()(sheet).hks)


def test_shapes_with_multiple_eigenvalues(monkeypatch) -> None:
    """A cube, by Lanczos: no mode of a multiple eigenvalue is missed."""
    monkeypatch.setattr(heat_kernel, "_SMALL", 0)
    side = torch.linspace(-1, 1, 7).double()
    inside = torch.cartesian_prod(side, side, side)
    pos = inside[(inside.abs() == 1).any(1)]
    pos = pos / pos.norm(dim=1, keepdim=True)
    face = torch.from_numpy(ConvexHull(pos.numpy()).simplices).long().T
    data = Data(pos=pos, face=face)
    assert_close(
        HeatKernelSignature(4, 24, False)(data).hks, dense(data, 4, 24), rtol=1e-3, atol=1e-6
    )


def test_batches_are_solved_graph_by_graph_in_any_order() -> None:
    meshes = [hull(30), hull(45, 1), Data(pos=torch.rand(3, 3).double(), face=LONE)]
    transform = HeatKernelSignature(4, 8)
    alone = torch.cat([transform(mesh).hks for mesh in meshes])
    batch = Batch.from_data_list(meshes)
    assert_close(transform(batch).hks, alone)
    order = torch.randperm(78, generator=seeded())
    mixed = Data(pos=batch.pos[order], face=order.argsort()[batch.face], batch=batch.batch[order])
    assert_close(transform(mixed).hks, alone[order])
    mixed.face[0, 0] = int((mixed.batch == 2).nonzero()[0])
    with pytest.raises(ValueError, match="`face` must be triangles within graphs of the batch"):
        transform(mixed)


LONE = torch.tensor([[0], [1], [2]])


def test_nothing_to_solve() -> None:
    none = torch.empty(3, 0, dtype=torch.long)
    assert HeatKernelSignature(4)(Data(pos=torch.rand(5, 3), face=none)).hks.eq(0).all()
    assert HeatKernelSignature(4)(Data(pos=torch.rand(0, 3), face=none)).hks.shape == (0, 4)
    graph = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3, x=torch.ones(3, 1))
    out = HeatKernelSignature(2, attr_name=None)(graph).x
    assert out.tolist() == [[1.0, 3.0, 3.0]] * 3
    barely = Data(
        edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        edge_weight=torch.tensor([1.0, 1.0, 1e-30, 1e-30]),
        num_nodes=3,
    )
    assert HeatKernelSignature(3)(barely).hks.isfinite().all()


def test_wrong_uses_are_errors() -> None:
    mesh, hks = hull(20), HeatKernelSignature()
    for wrong, message in (
        (Data(pos=mesh.pos, face=torch.zeros(4, 1).long()), r"`face` must be triangles \[3, F\]"),
        (Data(pos=torch.rand(4, 5), face=LONE), r"`pos` must be of shape \[N, 2\] or \[N, 3\]"),
        (Data(face=LONE, num_nodes=3), "`pos` must be set"),
        (Data(pos=torch.tensor([[torch.nan] * 3] * 3), face=LONE), "`pos` must be finite"),
        (Data(pos=torch.rand(2, 3), face=LONE), "a vertex 2"),
        (Data(pos=mesh.pos), "`data` must be a graph"),
        (
            Data(edge_index=LONE[:2], edge_weight=-torch.ones(1), num_nodes=2),
            "`edge_weight` must be non-negative",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            hks(wrong)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        HeatKernelSignature(k=0)
    with pytest.raises(TypeError, match="`scale_invariant` must be a bool"):
        HeatKernelSignature(scale_invariant=1)


@pytest.mark.slow
@pytest.mark.skipif("GRAPHMASK_DATA" not in os.environ, reason="needs the files of SHREC16")
def test_signatures_tell_the_classes_of_shrec16_apart(tmp_path: Path) -> None:
    root, features = Path(os.environ["GRAPHMASK_DATA"], "shrec16"), {}
    for train in (True, False):
        options = {"pre_transform": HeatKernelSignature(), "processed_root": tmp_path}
        meshes = SHREC16(root, train=train, **options)
        rows = [torch.cat([mesh.hks.mean(0), mesh.hks.std(0)]) for mesh in meshes]
        features[train] = torch.stack(rows), meshes.y
    nearest = torch.cdist(features[False][0], features[True][0]).argmin(1)
    right = features[True][1][nearest] == features[False][1]
    assert float(right.float().mean()) > 0.9
