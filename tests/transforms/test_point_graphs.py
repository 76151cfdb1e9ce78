"""KNNGraph and RadiusGraph: edges, attributes and errors."""

import copy
import inspect
import math

import pytest
import torch
import torch_geometric
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import BaseTransform, Compose
from torch_geometric.utils import coalesce

from graphmask.transforms import Gaussian, KNNGraph, RadiusGraph, knn_graph, radius_graph

TRANSFORMS = [KNNGraph(k=3), RadiusGraph(0.5)]


def cloud(n, seed=0):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_writes_edges_and_leaves_the_input(transform):
    data = Data(pos=cloud(20), y=torch.arange(20))
    out = transform(data)
    assert isinstance(transform, BaseTransform)
    assert out.validate()
    assert "edge_index" not in data
    assert set(out.keys()) == {"pos", "y", "edge_index"}
    assert out.pos is data.pos
    assert torch.equal(Compose([transform])(data).edge_index, out.edge_index)


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


def test_defaults():
    out = KNNGraph()(Data(pos=cloud(20)))
    assert torch.equal(out.edge_index[1], torch.arange(20).repeat_interleave(6))
    assert (out.edge_index[0] != out.edge_index[1]).all()


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


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_batched_equals_alone(transform):
    graphs = [Data(pos=cloud(n, seed=n)) for n in (1, 7, 2, 13)]
    after = transform(Batch.from_data_list(graphs))
    before = next(iter(DataLoader([transform(graph) for graph in graphs], batch_size=4)))
    assert torch.equal(after.edge_index, before.edge_index)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_tiny_clouds(transform, n):
    transform = copy.copy(transform)
    transform.weight, transform.r = Gaussian(1.0), 10.0
    out = transform(Data(pos=cloud(n)))
    assert out.edge_index.shape == (2, n * (n - 1))
    assert out.edge_weight.shape == (n * (n - 1),)
    assert out.validate()


def test_repr():
    assert repr(KNNGraph()) == "KNNGraph(k=6)"
    assert repr(RadiusGraph(r=1)) == "RadiusGraph(r=1)"
    expected = "RadiusGraph(r=0.5, max_num_neighbors=None, period=2.0, weight=Gaussian(scale=1.0))"
    transform = RadiusGraph(0.5, max_num_neighbors=None, period=2.0, weight=Gaussian(1.0))
    assert repr(transform) == expected


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


def test_arguments_of_pyg():
    data = Data(pos=cloud(30))
    for transform in (KNNGraph, RadiusGraph):
        value = 4 if transform is KNNGraph else 0.5
        reverse = transform(value, flow="target_to_source", num_workers=2)(data).edge_index
        assert torch.equal(reverse, transform(value)(data).edge_index.flip(0))
    cosine = KNNGraph(4, cosine=True)(data).edge_index
    assert torch.equal(cosine, knn_graph(data.pos, 4, cosine=True))


def test_former_argument_names():
    with pytest.warns(DeprecationWarning, match="is now called"):
        transform = RadiusGraph(radius=0.5, max_neighbours=3)
    assert repr(transform) == "RadiusGraph(r=0.5, max_num_neighbors=3)"


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            Data(x=torch.zeros(3, 2)),
            ValueError,
            r"`pos` must be set.*data\.pos.*Data\(x=\[3, 2\]\)",
        ),
        (Data(pos=torch.zeros(3)), ValueError, r"`pos` must be a tensor \[N, D\]"),
        (Data(pos=torch.zeros(3, 2).long()), ValueError, "`pos` must be float32 or float64"),
        (Data(pos=torch.full((3, 2), math.nan)), ValueError, "`pos` must be finite"),
        (
            Data(pos=torch.zeros(3, 2), batch=torch.zeros(2).long()),
            ValueError,
            "`batch` must be integers of shape",
        ),
        (HeteroData(), TypeError, "`data` must be a torch_geometric.data.Data, got HeteroData"),
    ],
)
def test_bad_data(transform, data, error, message):
    with pytest.raises(error, match=message):
        transform(data)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (
            lambda d: d.unsqueeze(1),
            ValueError,
            r"`weight` must be a callable that returns shape \[E\] with E = ",
        ),
        (
            lambda d: 1 / (d - d),
            ValueError,
            "`weight` must be finite on every edge, got .* first on edge",
        ),
        (lambda _: 1.0, TypeError, "`weight` must be a callable that returns a tensor"),
    ],
)
def test_bad_weights(weight, error, message):
    with pytest.raises(error, match=message):
        RadiusGraph(1.0, weight=weight)(Data(pos=cloud(5)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: KNNGraph(0), ValueError, "`k` must be at least 1, got 0"),
        (lambda: KNNGraph(2.5), TypeError, "`k` must be an integer"),
        (lambda: KNNGraph(weight=3.0), TypeError, "`weight` must be a callable or None, got float"),
        (lambda: KNNGraph(3, flow="up"), ValueError, "`flow` must be"),
        (lambda: RadiusGraph(0), ValueError, "`r` must be positive and finite, got 0"),
        (lambda: RadiusGraph(1.0, max_num_neighbors=0), ValueError, "`max_num_neighbors` must be"),
        (lambda: RadiusGraph(1.0, weight="gaussian"), TypeError, "`weight` must be a callable"),
        (lambda: Gaussian(0.0), ValueError, "`scale` must be positive and finite"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
