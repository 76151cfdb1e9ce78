"""Transforms of positions and features of nodes: UnitSphere, ShapeInvariants, OneHotMolecule."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Data
from torch_geometric.utils.smiles import e_map, x_map

from graphmask.transforms import KNNGraph, OneHotMolecule, ShapeInvariants, UnitSphere


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def normalised(pos: Tensor) -> Tensor:
    pos = pos.double() - pos.double().mean(dim=0)
    return pos / pos.norm(dim=1).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_clouds_are_centred_and_scaled_into_the_unit_sphere(dtype: torch.dtype, dim: int) -> None:
    pos = random(50, dim, dtype=dtype) * 7 + 30
    out, tolerance = UnitSphere()(Data(pos=pos)).pos, 8 * torch.finfo(dtype).eps
    assert out.dtype == dtype
    assert_close(out.double(), normalised(pos), rtol=0, atol=tolerance)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_clouds_of_any_scale_are_normalised(scale: float, offset: float) -> None:
    pos = random(20, 3) + offset
    assert_close(UnitSphere()(Data(pos=pos * scale)).pos, normalised(pos))


def test_clouds_far_from_the_origin_are_normalised() -> None:
    pos = random(20, 3).round(decimals=3) + 2.0**30
    assert_close(UnitSphere()(Data(pos=pos)).pos, normalised(pos - 2.0**30))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coincident_points_go_to_the_origin(n: int, dtype: torch.dtype) -> None:
    pos = torch.tensor([[0.1, -0.7, 1e5]], dtype=dtype).repeat(n, 1)
    assert torch.equal(UnitSphere()(Data(pos=pos)).pos, torch.zeros_like(pos))


def test_derivatives_of_normalised_points_are_finite_differences() -> None:
    pos = random(6, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: UnitSphere()(Data(pos=p)).pos, (pos,))


def cloud() -> Data:
    return KNNGraph(4, force_undirected=True)(Data(pos=random(30, 3)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scales", [1, 3])
def test_invariants_are_those_of_the_formula(scales: int, weighted: bool) -> None:
    data = cloud()
    weight = torch.ones(data.num_edges, dtype=torch.float64)
    if weighted:
        data.edge_weight = weight = 0.1 + random(data.num_edges).abs()
    pos = data.pos - data.pos.mean(0)
    adjacency = torch.zeros(30, 30, dtype=torch.float64)
    adjacency[data.edge_index[1], data.edge_index[0]] = weight
    walk = adjacency / adjacency.sum(1, keepdim=True)
    columns = [pos.norm(dim=1).add(1e-3).log()]
    for scale in range(scales):
        smooth = torch.linalg.matrix_power(walk, 2**scale) @ pos
        moved = pos - smooth
        cosine = (pos * moved).sum(1) / (pos.norm(dim=1) * moved.norm(dim=1))
        columns += [smooth.norm(dim=1).add(1e-3).log(), moved.norm(dim=1).add(1e-3).log(), cosine]
    assert_close(ShapeInvariants(scales)(data).x, torch.stack(columns, 1), rtol=1e-5, atol=1e-5)


def test_invariants_depend_on_size_and_not_on_pose() -> None:
    data = cloud()
    rotation = torch.linalg.qr(random(3, 3, seed=2))[0]
    posed = data.clone().update({"pos": data.pos @ rotation + 5})
    assert_close(ShapeInvariants()(posed).x, ShapeInvariants()(data).x)
    grown = data.clone().update({"pos": 2 * data.pos})
    assert not torch.allclose(ShapeInvariants()(grown).x, ShapeInvariants()(data).x)


def test_invariants_far_from_the_origin_are_those_near_it() -> None:
    far = (random(2_000, 3) * 100 + torch.tensor([4e6, -3e5, 0.0])).float()
    near = KNNGraph(4)(Data(pos=far.double() - torch.tensor([4e6, -3e5, 0.0])))
    found = ShapeInvariants(2)(Data(pos=far, edge_index=near.edge_index)).x
    assert_close(found.double(), ShapeInvariants(2)(near).x, rtol=0, atol=1e-3)


def test_a_point_without_edges_is_smoothed_to_the_centre() -> None:
    pos, none = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]), torch.empty(2, 0, dtype=torch.long)
    log = torch.tensor(1.001).log()
    expected = torch.stack([log, torch.tensor(1e-3).log(), log, torch.tensor(1.0)])
    out = ShapeInvariants(1)(Data(pos=pos, edge_index=none))
    assert_close(out.x, expected.expand(2, 4))


def test_every_category_of_atoms_and_bonds_has_its_column() -> None:
    atoms = torch.tensor([[6, 0, 3, 5, 2, 0, 3, 0, 0], [118, 8, 10, 11, 8, 4, 7, 1, 1]])
    bonds, edge_index = torch.tensor([[2, 3, 1], [2, 3, 1]]), torch.tensor([[0, 1], [1, 0]])
    data = OneHotMolecule()(Data(x=atoms, edge_index=edge_index, edge_attr=bonds))
    assert data.x.dtype == data.edge_attr.dtype == torch.get_default_dtype()
    for columns, categories, maps in ((data.x, atoms, x_map), (data.edge_attr, bonds, e_map)):
        blocks = columns.split([len(names) for names in maps.values()], 1)
        assert torch.equal(torch.stack([block.argmax(1) for block in blocks], 1), categories)
        assert all((block.sum(1) == 1).all() for block in blocks)
    empty = OneHotMolecule()(Data(x=torch.zeros(0, 9, dtype=torch.long)))
    assert empty.x.shape == (0, 177)
    assert empty.edge_attr is None
