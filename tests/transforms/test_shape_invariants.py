"""ShapeInvariants against a dense formula, in any pose, alone and in a batch."""

import pytest
import torch
from torch_geometric.data import Data

from graphmask.transforms import KNNGraph, ShapeInvariants


def cloud(n=30, seed=0):
    pos = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return KNNGraph(4, force_undirected=True)(Data(pos=pos))


def reference(data, scales):
    pos = data.pos - data.pos.mean(0)
    adjacency = torch.zeros(len(pos), len(pos), dtype=pos.dtype)
    adjacency[data.edge_index[1], data.edge_index[0]] = (
        1 if data.edge_weight is None else data.edge_weight
    )
    walk = adjacency / adjacency.sum(1, keepdim=True)
    columns = [pos.norm(dim=1).add(1e-3).log()]
    for scale in range(scales):
        smooth = torch.linalg.matrix_power(walk, 2**scale) @ pos
        moved = pos - smooth
        cosine = (pos * moved).sum(1) / (pos.norm(dim=1) * moved.norm(dim=1))
        columns += [smooth.norm(dim=1).add(1e-3).log(), moved.norm(dim=1).add(1e-3).log(), cosine]
    return torch.stack(columns, 1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scales", [1, 3])
def test_columns_are_those_of_the_formula(scales, weighted):
    data = cloud()
    if weighted:
        data.edge_weight = 0.1 + torch.linspace(0, 50, data.num_edges, dtype=torch.float64) % 1
    out = ShapeInvariants(scales)(data)
    assert out.x.shape == (30, 1 + 3 * scales)
    torch.testing.assert_close(out.x, reference(data, scales), rtol=1e-5, atol=1e-5)
    assert out.edge_index is data.edge_index


def test_every_pose_looks_the_same():
    data = cloud()
    generator = torch.Generator().manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
    posed = data.clone().update({"pos": data.pos @ rotation + 5})
    torch.testing.assert_close(ShapeInvariants()(posed).x, ShapeInvariants()(data).x)
    grown = data.clone().update({"pos": 2 * data.pos})
    assert not torch.allclose(ShapeInvariants()(grown).x, ShapeInvariants()(data).x)


def test_a_point_without_edges_is_smoothed_to_nothing():
    data = Data(
        pos=torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]),
        edge_index=torch.empty(2, 0, dtype=torch.long),
    )
    log = torch.tensor(1.001).log()
    expected = torch.stack([log, torch.tensor(1e-3).log(), log, torch.tensor(1.0)])
    torch.testing.assert_close(ShapeInvariants(1)(data).x, expected.expand(2, 4))
