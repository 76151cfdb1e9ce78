"""Neighbour searches against dense float64 loops, and the transforms that write their edges."""

import functools
import inspect
import itertools
import math

import numpy as np
import pytest
import torch
import torch_geometric
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from graphmask.transforms import (
    Gaussian,
    KNNGraph,
    MeshToGraph,
    RadiusGraph,
    _point_search,
    edge_distance,
    knn_graph,
    radius_graph,
)

TRANSFORMS = [KNNGraph(k=3), RadiusGraph(0.5)]
FACE = torch.tensor([[0], [1], [2]])


def cloud(n, dim=3, seed=0, dtype=torch.float64, scale=1.0):
    return scale * torch.rand(n, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def dense_squared(pos, period=None):
    """All squared distances, over all the images of each point in the 5^D boxes around."""
    x = pos.double().numpy()
    if period is None:
        return ((x[:, None] - x[None]) ** 2).sum(-1)
    lengths = np.broadcast_to(np.asarray(period, dtype=float), x.shape[1:])
    x = np.where(np.isinf(lengths), x, np.mod(x, np.where(np.isinf(lengths), 1.0, lengths)))
    steps = [(0,) if math.isinf(length) else (-2, -1, 0, 1, 2) for length in lengths]
    finite = np.where(np.isinf(lengths), 0.0, lengths)
    shifts = [np.array(step) * finite for step in itertools.product(*steps)]
    return np.min([((x[:, None] - x[None] + shift) ** 2).sum(-1) for shift in shifts], axis=0)


def dense_knn(pos, k, batch=None, loop=False, period=None):
    squared, n = dense_squared(pos, period), len(pos)
    batch = [0] * n if batch is None else batch.tolist()
    edges = []
    for i in range(n):
        others = sorted((squared[i, j], j) for j in range(n) if j != i and batch[j] == batch[i])
        chosen = ([i] if loop else []) + [j for _, j in others]
        edges += [(j, i) for j in chosen[:k]]
    return edges


def dense_radius(pos, radius, batch=None, loop=False, period=None):
    squared, n = dense_squared(pos, period), len(pos)
    batch = [0] * n if batch is None else batch.tolist()
    nodes = itertools.product(range(n), repeat=2)
    near = [(i, j) for i, j in nodes if squared[i, j] <= radius**2 and batch[i] == batch[j]]
    return [(j, i) for i, j in near if loop or i != j]


def pairs(edge_index):
    assert edge_index.dtype == torch.long
    assert edge_index.dim() == 2
    return list(map(tuple, edge_index.T.tolist()))


def full_radius_graph(pos, r, batch=None, **options):
    return radius_graph(pos, r, batch, max_num_neighbors=None, **options)


@pytest.mark.parametrize(
    "period", [1.0, (1.0, 0.7, 2.5), (1.0, math.inf, 0.7), torch.tensor([1.0, 0.8, 0.9])]
)
def test_periodic_distances_are_those_of_the_nearest_image(period):
    # Points far outside the box are wrapped.
    pos = cloud(50, seed=3) * 6 - 3
    pos[0] = -1e-20
    lengths = period.tolist() if isinstance(period, torch.Tensor) else period
    for r in (0.05, 0.2, 0.35):
        edges = pairs(full_radius_graph(pos, r, period=period))
        assert edges == dense_radius(pos, r, period=lengths)
    edge_index = knn_graph(pos, 5, period=period)
    assert pairs(edge_index) == dense_knn(pos, 5, period=lengths)
    expected = np.sqrt(dense_squared(pos, lengths)[edge_index[1], edge_index[0]])
    np.testing.assert_allclose(edge_distance(pos, edge_index, period), expected, atol=1e-14)


def test_the_radius_is_inclusive():
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.000001]])
    assert (1, 0) in pairs(radius_graph(pos, 5.0))
    assert (2, 0) not in pairs(radius_graph(pos, 5.0))
    lattice = torch.cartesian_prod(*[torch.arange(6.0)] * 3)
    assert pairs(radius_graph(lattice, 1.0)) == dense_radius(lattice, 1.0)


@pytest.mark.parametrize("period", [None, 1.5])
def test_an_unsorted_batch_equals_its_graphs_alone(period):
    # Graphs of 1, 2, 5, 13 and 31 points, shuffled together, with gaps in their numbers.
    batch = torch.tensor([0, 3, 4, 7, 100]).repeat_interleave(torch.tensor([13, 1, 31, 2, 5]))
    batch = batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))]
    # On a lattice, so that ties too must be broken as they are alone.
    pos = torch.cartesian_prod(torch.arange(4.0), torch.arange(13.0))[: len(batch)] / 8
    for build in (
        lambda p, b: knn_graph(p, 4, b, period=period),
        lambda p, b: radius_graph(p, 0.3, b, period=period),
        lambda p, b: radius_graph(p, 0.5, b, loop=True, max_num_neighbors=3, period=period),
    ):
        together = set(pairs(build(pos, batch)))
        alone = set()
        for graph in batch.unique():
            nodes = (batch == graph).nonzero().squeeze(1)
            alone |= set(pairs(nodes[build(pos[nodes], None)]))
        assert together == alone


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_edges_on_cuda_are_those_on_the_cpu():
    pos, batch = cloud(3000), torch.arange(3000) % 7
    assert torch.equal(knn_graph(pos.cuda(), 9, batch.cuda()).cpu(), knn_graph(pos, 9, batch))
    edge_index = radius_graph(pos.cuda(), 0.1, batch.cuda())
    assert torch.equal(edge_index.cpu(), radius_graph(pos, 0.1, batch))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 3, 5])
@pytest.mark.parametrize("loop", [False, True])
def test_edges_equal_those_of_dense_loops(dim, dtype, loop):
    pos = cloud(40, dim, dtype=dtype)
    for k in (1, 7, 39, 60):
        assert pairs(knn_graph(pos, k, loop=loop)) == dense_knn(pos, k, loop=loop)
    for r in (1e-3, 0.1, 0.4, 10.0):
        assert pairs(full_radius_graph(pos, r, loop=loop)) == dense_radius(pos, r, loop=loop)


@settings(max_examples=30)
@given(
    n=st.integers(0, 25),
    dim=st.integers(1, 4),
    k=st.integers(1, 8),
    levels=st.integers(1, 12),
    graphs=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    boxed=st.booleans(),
)
def test_ties_go_to_the_lower_index(n, dim, k, levels, graphs, seed, boxed):
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randint(levels, (n, dim), generator=generator).double() / 4
    batch = torch.randint(graphs, (n,), generator=generator)
    period, r = levels / 4 if boxed else None, min(0.5, levels / 8)
    edges = pairs(knn_graph(pos, k, batch, period=period))
    assert edges == dense_knn(pos, k, batch, period=period)
    edges = pairs(full_radius_graph(pos, r, batch, period=period))
    assert edges == dense_radius(pos, r, batch, period=period)


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


CLOUDS = {
    "outlier": torch.cat([cloud(100), zeros(1, 3) + 1e9]),
    "clusters": torch.cat([cloud(60, scale=1e-6), cloud(60, seed=1) + 5, cloud(5, scale=100)]),
    "line": torch.linspace(0, 1, 100).unsqueeze(1) * torch.tensor([[1.0, 2.0, 0.0, 5.0]]),
    "padded": torch.cat([cloud(80), zeros(50, 3)]),
    "tiny": cloud(100, scale=1e-30),
    "offset": cloud(100) + 1e6,
    "flat": torch.cat([cloud(100, 2), zeros(100, 1)], dim=1),
    "lattice": torch.cartesian_prod(torch.arange(7.0), torch.arange(6.0)),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_uneven_clouds_have_the_edges_of_dense_loops(name):
    pos = CLOUDS[name]
    for k in (4, 6, 11):
        assert pairs(knn_graph(pos, k)) == dense_knn(pos, k)
    for r in (1e-7, 0.1):
        assert pairs(full_radius_graph(pos, r)) == dense_radius(pos, r)


def test_cosine_compares_angles():
    pos = cloud(40) - 0.5
    pos[1] = 100 * pos[0]
    unit = pos / pos.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    source, target = knn_graph(pos, 3, cosine=True)
    nearest = cosine[target, source].view(40, 3)
    torch.testing.assert_close(nearest, cosine.topk(3, dim=1).values)
    assert source[0] == 1
    assert knn_graph(torch.ones(3, 2), 1, cosine=True, loop=True).tolist() == [[0, 1, 2]] * 2


def test_arguments_of_pyg_reverse_edges_or_have_no_effect():
    pos, batch = cloud(20), torch.arange(20) % 2
    for build in (functools.partial(knn_graph, pos, 3), functools.partial(radius_graph, pos, 0.4)):
        expected = build(batch)
        assert torch.equal(build(batch, num_workers=2, batch_size=2), expected)
        assert torch.equal(build(batch, flow="target_to_source"), expected.flip(0))


def test_former_argument_names_warn():
    pos = cloud(20)
    message = r"`knn_graph\(pos=...\)` is deprecated: use `knn_graph\(x=...\)`"
    with pytest.warns(DeprecationWarning, match=message):
        assert torch.equal(knn_graph(pos=pos, k=3), knn_graph(pos, 3))
    with pytest.warns(DeprecationWarning, match="is deprecated") as warned:
        edge_index = radius_graph(pos, radius=0.5, max_neighbours=2)
    assert len(warned) == 2
    assert torch.equal(edge_index, radius_graph(pos, 0.5, max_num_neighbors=2))


def test_the_limit_keeps_the_nearest_and_warns_by_default():
    pos, batch = cloud(120, 2), torch.arange(120) % 3
    full = full_radius_graph(pos, 0.3, batch)
    for limit in (1, 4, 200):
        kept = radius_graph(pos, 0.3, batch, max_num_neighbors=limit)
        allowed = set(pairs(full)) & set(dense_knn(pos, limit, batch))
        assert pairs(kept) == sorted(allowed, key=lambda edge: (edge[1], edge[0]))
    loops = radius_graph(pos, 0.3, batch, max_num_neighbors=1, loop=True)
    assert pairs(loops) == [(i, i) for i in range(120)]
    assert radius_graph(pos[:33], 10.0).size(1) == 33 * 32
    with pytest.warns(UserWarning, match="max_num_neighbors=None for all"):
        cut = radius_graph(pos[:34], 10.0)
    assert set(pairs(cut)) == set(dense_knn(pos[:34], 32))


@pytest.mark.parametrize(("padding", "num_queries"), [(0, 1), (2000, 2)])
def test_few_candidates_are_queried_and_chunks_change_nothing(monkeypatch, padding, num_queries):
    """Points in general position take one query of k + 2 candidates; coinciding ones two."""
    sizes, query = [], _point_search._Tree.query
    count = lambda *a: sizes.append(len(a[1]) * a[2]) or query(*a)  # noqa: E731
    monkeypatch.setattr(_point_search._Tree, "query", count)
    pos = torch.cat([cloud(1000), torch.zeros(padding, 3)])
    expected = knn_graph(pos, 8)
    assert len(sizes) == num_queries
    assert sum(sizes) <= 3 * 10 * len(pos)
    monkeypatch.setattr(_point_search, "_TABLE", 1000)
    assert torch.equal(knn_graph(pos, 8), expected)


def test_derivatives_of_distances_are_finite_differences():
    pos = cloud(8).requires_grad_()
    edge_index = knn_graph(pos, 2, period=1.0)
    assert torch.autograd.gradcheck(lambda p: edge_distance(p, edge_index, 1.0), (pos,))
    still = torch.zeros(2, 3, requires_grad=True)
    edge_distance(still, torch.tensor([[0], [1]])).sum().backward()
    assert torch.equal(still.grad, torch.zeros(2, 3))


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


def test_what_loaders_wrote_for_former_edges_is_dropped():
    graphs = [Data(pos=cloud(n), edge_index=torch.zeros(2, n).long()) for n in (5, 9)]
    batch = Batch.from_data_list(graphs, follow_batch=["edge_index", "pos"])
    kept = set(KNNGraph(2)(batch).keys())
    assert kept == {"pos", "pos_batch", "pos_ptr", "batch", "ptr", "edge_index"}


@pytest.mark.parametrize("transform", [*TRANSFORMS, MeshToGraph()], ids=repr)
@pytest.mark.parametrize("times", [1, 2])
def test_attributes_that_sound_like_those_of_edges_stay(transform, times):
    named = dict.fromkeys(["edge_of_flight_line", "walk_speed", "walks", "adjacent"], torch.ones(9))
    named |= {"edge_count": torch.tensor([5]), "walk_name": "a", "edges_of": list("abcdefghi")}
    data = Data(pos=cloud(9), face=FACE, **named)
    for _ in range(times):
        data = transform(data if data.face is not None else data.update({"face": FACE}))
    assert {key for key in named if key in data} == set(named)
    assert torch.equal(data.edge_of_flight_line, torch.ones(9))


@pytest.mark.parametrize("options", [{"max_num_neighbors": None}, {"max_num_neighbors": 40}])
def test_a_radius_of_too_many_edges_is_an_error(options):
    pos = torch.zeros(60, 3)
    message = r"the radius 2\.0 would make .*\d edges, and `max_edges` is 1,000: choose a smaller"
    with pytest.raises(ValueError, match=message):
        RadiusGraph(2.0, max_edges=1000, **options)(Data(pos=pos))
    edges = len(pos) * (options["max_num_neighbors"] or 59)
    assert RadiusGraph(2.0, max_edges=edges, **options)(Data(pos=pos)).num_edges == edges
    if options["max_num_neighbors"] is None:
        # Before any edge is stored: all of them would take 170 GB.
        with pytest.raises(ValueError, match="3,599,940,000 edges, and `max_edges` is 134,217,728"):
            RadiusGraph(2.0, **options)(Data(pos=torch.zeros(60_000, 3)))


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


def test_former_argument_names_of_transforms_warn():
    with pytest.warns(DeprecationWarning, match="RadiusGraph") as warned:
        transform = RadiusGraph(radius=0.5, max_neighbours=3)
    assert len(warned) == 2
    assert repr(transform) == "RadiusGraph(r=0.5, max_num_neighbors=3)"
