"""KNNGraph and RadiusGraph: edges, attributes and errors."""

import inspect
import math

import pytest
import torch
import torch_geometric
from torch_geometric.data import Data

from graphmask.transforms import Gaussian, KNNGraph, RadiusGraph, knn_graph, radius_graph

TRANSFORMS = [KNNGraph(k=3), RadiusGraph(0.5)]


def cloud(n, seed=0):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))


def test_edges_are_those_of_the_functions():
    pos, batch = cloud(20), torch.arange(20) % 2
    data = Data(pos=pos, batch=batch)
    for options in ({"loop": True}, {"flow": "target_to_source", "cosine": True}, {"period": 1.0}):
        edge_index = knn_graph(pos, 4, batch, **options)
        assert torch.equal(KNNGraph(4, **options)(data).edge_index, edge_index)
    for options in (
        {"max_num_neighbors": 2, "period": 1.0},
        {"flow": "target_to_source", "num_workers": 2},
        {},
    ):
        edge_index = radius_graph(pos, 0.4, batch, **options)
        assert torch.equal(RadiusGraph(0.4, **options)(data).edge_index, edge_index)


def test_edges_are_joined_with_their_reverses():
    data = Data(pos=cloud(30))
    directed = set(map(tuple, KNNGraph(3)(data).edge_index.T.tolist()))
    out = KNNGraph(3, force_undirected=True, weight=Gaussian(0.5))(data)
    edges = list(map(tuple, out.edge_index.T.tolist()))
    assert edges == sorted(directed | {(i, j) for j, i in directed})
    assert out.is_undirected()
    weight = dict(zip(edges, out.edge_weight.tolist(), strict=True))
    assert all(weight[i, j] == weight[j, i] for i, j in edges)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_functions_of_periodic_distances(dtype):
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
def test_attributes_of_earlier_edges_are_dropped(transform):
    stale = {"edge_attr": torch.zeros(1, 2), "edge_weight": torch.zeros(1)}
    stale |= {"walk_index": torch.zeros(2, 5).long(), "adj_t": torch.zeros(9, 9)}
    data = Data(pos=cloud(9), edge_index=torch.zeros(2, 1).long(), adjusted=1, **stale)
    out = transform(data)
    assert set(out.keys()) == {"pos", "edge_index", "adjusted"}
    assert set(data.keys()) == {"pos", "edge_index", "adjusted", *stale}


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


def test_former_argument_names_warn():
    with pytest.warns(DeprecationWarning, match="RadiusGraph") as warned:
        transform = RadiusGraph(radius=0.5, max_neighbours=3)
    assert len(warned) == 2
    assert repr(transform) == "RadiusGraph(r=0.5, max_num_neighbors=3)"
