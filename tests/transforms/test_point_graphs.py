"""KNNGraph and RadiusGraph: edges, attributes and errors."""

import inspect
import math

import pytest
import torch
import torch_geometric
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from graphmask.transforms import Gaussian, KNNGraph, RadiusGraph, knn_graph, radius_graph

TRANSFORMS = [KNNGraph(k=3), RadiusGraph(0.5)]


def cloud(n, seed=0):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))


def test_functional_cores():
    data, batch = Data(pos=cloud(20)), torch.arange(20) % 2
    assert torch.equal(KNNGraph(4, loop=True)(data).edge_index, knn_graph(data.pos, 4, loop=True))
    out = RadiusGraph(0.4, max_num_neighbors=2, period=1.0)(data)
    expected = radius_graph(data.pos, 0.4, max_num_neighbors=2, period=1.0)
    assert torch.equal(out.edge_index, expected)
    data.batch = batch
    assert torch.equal(
        KNNGraph(4, period=1.0)(data).edge_index, knn_graph(data.pos, 4, batch, period=1.0)
    )
    assert torch.equal(RadiusGraph(0.4)(data).edge_index, radius_graph(data.pos, 0.4, batch))
    options = {"flow": "target_to_source", "cosine": True, "num_workers": 2}
    out = KNNGraph(4, **options)(data)
    assert torch.equal(out.edge_index, knn_graph(data.pos, 4, batch, **options))
    out = RadiusGraph(0.4, flow="target_to_source", num_workers=2)(data)
    assert torch.equal(out.edge_index, radius_graph(data.pos, 0.4, batch).flip(0))


def test_force_undirected():
    data = Data(pos=cloud(30))
    directed = set(map(tuple, KNNGraph(3)(data).edge_index.T.tolist()))
    out = KNNGraph(3, force_undirected=True, weight=Gaussian(0.5))(data)
    edges = list(map(tuple, out.edge_index.T.tolist()))
    assert edges == sorted(directed | {(i, j) for j, i in directed})
    assert out.is_undirected()
    weight = dict(zip(edges, out.edge_weight.tolist(), strict=True))
    assert all(weight[i, j] == weight[j, i] for i, j in edges)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_distances(dtype):
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [9.5, 0.0]], dtype=dtype).requires_grad_()
    out = RadiusGraph(5.0, period=10.0, weight=Gaussian(2.0))(Data(pos=pos))
    # 5 between the points 0 and 1; 0.5 between 0 and 2, across the border; 5.3 between 1 and 2.
    assert out.edge_index.tolist() == [[1, 2, 0, 0], [0, 0, 1, 2]]
    far, near = math.exp(-25 / 8), math.exp(-0.25 / 8)
    torch.testing.assert_close(out.edge_weight, torch.tensor([far, near, far, near], dtype=dtype))
    assert out.edge_weight.dtype == dtype
    out.edge_weight.sum().backward()
    assert pos.grad.abs().sum() > 0
    loops = KNNGraph(1, loop=True, weight=Gaussian(1.0))(Data(pos=pos.detach()))
    assert loops.edge_weight.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_what_belongs_to_earlier_edges_is_dropped(transform):
    stale = {
        "edge_attr": torch.zeros(1, 2),
        "edge_weight": torch.zeros(1),
        "walk_index": torch.zeros(2, 5).long(),
    }
    data = Data(
        pos=cloud(9),
        edge_index=torch.zeros(2, 1).long(),
        adj_t=torch.zeros(9, 9),
        adjusted=1,
        **stale,
    )
    out = transform(data)
    assert set(out.keys()) == {"pos", "edge_index", "adjusted"}
    assert set(data.keys()) == {"pos", "edge_index", "adjusted", "adj_t", *stale}


SIX = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -2.0]])


def test_knn_graph_on_the_points_of_pyg_s_test():
    data = KNNGraph(k=2, force_undirected=True)(Data(pos=SIX))
    assert set(data.keys()) == {"edge_index", "pos"}
    neighbours = {
        0: [1, 2, 3, 4, 5],
        1: [0, 2, 3, 5],
        2: [0, 1],
        3: [0, 1, 4],
        4: [0, 3],
        5: [0, 1],
    }
    expected = [[i, j] for i, row in neighbours.items() for j in row]
    assert data.edge_index.T.tolist() == expected


def test_radius_graph_on_the_points_of_pyg_s_test():
    data = RadiusGraph(r=1.5)(Data(pos=SIX))
    assert set(data.keys()) == {"edge_index", "pos"}
    neighbours = {0: [1, 3], 1: [0, 2, 3], 2: [1], 3: [0, 1]}
    expected = [[i, j] for i, row in neighbours.items() for j in row]
    assert coalesce(data.edge_index).T.tolist() == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(KNNGraph, torch_geometric.transforms.KNNGraph),
     (RadiusGraph, torch_geometric.transforms.RadiusGraph)],
)  # fmt: skip
def test_arguments_begin_with_those_of_pyg(ours, theirs):
    own, expected = (list(inspect.signature(cls).parameters.values()) for cls in (ours, theirs))
    for parameter, other in zip(own, expected, strict=False):
        assert (parameter.name, parameter.default) == (other.name, other.default)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in own[len(expected) :])


def test_former_argument_names():
    with pytest.warns(DeprecationWarning, match="RadiusGraph") as warned:
        transform = RadiusGraph(radius=0.5, max_neighbours=3)
    assert len(warned) == 2
    assert repr(transform) == "RadiusGraph(r=0.5, max_num_neighbors=3)"
