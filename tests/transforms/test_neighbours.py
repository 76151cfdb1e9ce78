"""Neighbour searches against dense float64 loops, on both engines."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmask.transforms import _cells, _kdtree, edge_distance, knn_graph, neighbours, radius_graph

ENGINES = [pytest.param(_kdtree, id="kdtree"), pytest.param(_cells, id="cells")]


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    monkeypatch.setattr(neighbours, "_engine", lambda _: request.param)


on_both_engines = pytest.mark.usefixtures("engine")


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
    shifts = [np.where(np.isinf(lengths), 0.0, np.array(s) * np.where(np.isinf(lengths), 1.0, lengths))
              for s in itertools.product(*steps)]  # fmt: skip
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
    near = [
        (i, j)
        for i in range(n)
        for j in range(n)
        if squared[i, j] <= radius**2 and batch[i] == batch[j]
    ]
    return [(j, i) for i, j in near if loop or i != j]


def pairs(edge_index):
    assert edge_index.dtype == torch.long
    assert edge_index.dim() == 2
    return list(map(tuple, edge_index.T.tolist()))


@on_both_engines
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 3, 5])
@pytest.mark.parametrize("loop", [False, True])
def test_knn_equals_dense(dim, dtype, loop):
    pos = cloud(40, dim, dtype=dtype)
    for k in (1, 7, 39, 60):
        assert pairs(knn_graph(pos, k, loop=loop)) == dense_knn(pos, k, loop=loop)


@on_both_engines
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 3, 5])
@pytest.mark.parametrize("loop", [False, True])
def test_radius_equals_dense(dim, dtype, loop):
    pos = cloud(40, dim, dtype=dtype)
    for radius in (1e-3, 0.1, 0.4, 10.0):
        assert pairs(radius_graph(pos, radius, loop=loop)) == dense_radius(pos, radius, loop=loop)


@on_both_engines
@pytest.mark.parametrize(
    "period", [1.0, (1.0, 0.7, 2.5), (1.0, math.inf, 0.7), torch.tensor([1.0, 0.8, 0.9])]
)
def test_periodic_equals_brute_minimal_image(period):
    # Points far outside the box, too: they are wrapped.
    pos = cloud(50, seed=3) * 6 - 3
    pos[0] = -1e-20
    lengths = period.tolist() if isinstance(period, torch.Tensor) else period
    for radius in (0.05, 0.2, 0.35):
        assert pairs(radius_graph(pos, radius, period=period)) == dense_radius(
            pos, radius, period=lengths
        )
    assert pairs(knn_graph(pos, 5, period=period)) == dense_knn(pos, 5, period=lengths)
    edge_index = knn_graph(pos, 5, period=period)
    expected = np.sqrt(dense_squared(pos, lengths)[edge_index[1], edge_index[0]])
    np.testing.assert_allclose(edge_distance(pos, edge_index, period), expected, atol=1e-14)


@on_both_engines
def test_radius_of_half_the_period_links_each_pair_once():
    pos = torch.tensor([[0.0], [0.5]])
    assert pairs(radius_graph(pos, 0.5, period=1.0)) == [(1, 0), (0, 1)]


@on_both_engines
def test_boundary_is_inclusive():
    pos = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.000001]])
    assert (1, 0) in pairs(radius_graph(pos, 5.0))
    assert (2, 0) not in pairs(radius_graph(pos, 5.0))
    lattice = torch.cartesian_prod(*[torch.arange(6.0)] * 3)
    assert pairs(radius_graph(lattice, 1.0)) == dense_radius(lattice, 1.0)


@on_both_engines
@pytest.mark.parametrize("k", [1, 4, 5, 8, 11, 30])
def test_ties_go_to_the_lower_index(k):
    lattice = torch.cartesian_prod(torch.arange(7.0), torch.arange(6.0))
    lattice = lattice[torch.randperm(42, generator=torch.Generator().manual_seed(1))]
    assert pairs(knn_graph(lattice, k)) == dense_knn(lattice, k)
    assert pairs(knn_graph(lattice, k, period=(7.0, 6.0))) == dense_knn(
        lattice, k, period=(7.0, 6.0)
    )


@on_both_engines
@pytest.mark.parametrize("copies", [2, 5, 40])
@pytest.mark.parametrize("loop", [False, True])
def test_coincident_points(copies, loop):
    pos = cloud(9, 2).repeat(copies, 1)
    for k in (1, 3, 6):
        assert pairs(knn_graph(pos, k, loop=loop)) == dense_knn(pos, k, loop=loop)
    assert pairs(radius_graph(pos, 0.2, loop=loop)) == dense_radius(pos, 0.2, loop=loop)


@on_both_engines
def test_all_points_in_one_place():
    pos = torch.full((30, 3), 0.1)
    edge_index = knn_graph(pos, 4)
    assert edge_index.shape == (2, 120)
    assert (edge_index[0] != edge_index[1]).all()
    assert radius_graph(pos, 1e-9).size(1) == 30 * 29


@on_both_engines
@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("loop", [False, True])
def test_tiny_clouds(n, loop):
    pos = cloud(n)
    for k in (1, 3):
        assert pairs(knn_graph(pos, k, loop=loop)) == dense_knn(pos, k, loop=loop)
        assert pairs(radius_graph(pos, 9.0, loop=loop)) == dense_radius(pos, 9.0, loop=loop)
        truncated = radius_graph(pos, 9.0, loop=loop, max_neighbours=k)
        assert sorted(pairs(truncated)) == sorted(dense_knn(pos, k, loop=loop))


def ragged_batch(seed=0):
    """Graphs of 1, 2, 5, 13 and 31 points, shuffled together, with gaps in their numbers."""
    numbers = torch.tensor([0, 3, 4, 7, 100]).repeat_interleave(torch.tensor([13, 1, 31, 2, 5]))
    return numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))]


@on_both_engines
@pytest.mark.parametrize("period", [None, 1.5])
def test_unsorted_batch_equals_each_graph_alone(period):
    batch = ragged_batch()
    # On a lattice, so that ties too must be broken as they are alone.
    pos = torch.cartesian_prod(torch.arange(4.0), torch.arange(13.0))[: len(batch)] / 8
    for build in (
        lambda p, b: knn_graph(p, 4, b, period=period),
        lambda p, b: radius_graph(p, 0.3, b, period=period),
        lambda p, b: radius_graph(p, 0.5, b, max_neighbours=3, loop=True, period=period),
    ):
        together = set(pairs(build(pos, batch)))
        alone = set()
        for graph in batch.unique():
            nodes = (batch == graph).nonzero().squeeze(1)
            alone |= set(pairs(nodes[build(pos[nodes], None)]))
        assert together == alone


@on_both_engines
def test_graphs_in_one_place_are_not_linked():
    pos = torch.zeros(20, 3)
    batch = torch.arange(20) % 4
    for edge_index in (knn_graph(pos, 10, batch), radius_graph(pos, 1.0, batch)):
        assert (batch[edge_index[0]] == batch[edge_index[1]]).all()
        assert edge_index.size(1) == 4 * 5 * 4


@on_both_engines
def test_max_neighbours_keeps_the_nearest():
    pos, batch = cloud(120, 2), torch.arange(120) % 3
    full = radius_graph(pos, 0.3, batch)
    for most in (1, 4, 200):
        kept = radius_graph(pos, 0.3, batch, max_neighbours=most)
        allowed = set(pairs(full)) & set(dense_knn(pos, most, batch))
        assert pairs(kept) == sorted(allowed, key=lambda edge: (edge[1], edge[0]))
    own = radius_graph(pos, 0.3, batch, max_neighbours=1, loop=True)
    assert pairs(own) == [(i, i) for i in range(120)]


@pytest.mark.parametrize(
    "name", ["outlier", "clusters", "line", "padded", "tiny", "offset", "flat"]
)
def test_engines_agree_on_uneven_clouds(name):
    pos = {
        "outlier": torch.cat([cloud(300), torch.full((1, 3), 1e9, dtype=torch.float64)]),
        "clusters": torch.cat(
            [cloud(200, scale=1e-6), cloud(200, seed=1) + 5, cloud(5, seed=2, scale=100.0)]
        ),
        "line": torch.linspace(0, 1, 300).unsqueeze(1) * torch.tensor([[1.0, 2.0, 0.0, 5.0]]),
        "padded": torch.cat([cloud(200), torch.zeros(150, 3, dtype=torch.float64)]),
        "tiny": cloud(200, scale=1e-30),
        "offset": cloud(200) + 1e6,
        "flat": torch.cat([cloud(200, 2), torch.zeros(200, 1, dtype=torch.float64)], dim=1),
    }[name]
    points = neighbours.collect(pos, None, None)
    for one, other in zip(_kdtree.nearest(points, 6), _cells.nearest(points, 6), strict=True):
        assert torch.equal(one, other)
    for radius in (1e-7, 0.1):
        assert set(
            zip(*map(torch.Tensor.tolist, _kdtree.within(points, radius)), strict=True)
        ) == set(zip(*map(torch.Tensor.tolist, _cells.within(points, radius)), strict=True))


def test_chunks_leave_no_trace(monkeypatch):
    pos, batch = cloud(400), torch.arange(400) % 3
    points = neighbours.collect(pos, batch, None)
    whole = [_kdtree.nearest(points, 9), _cells.nearest(points, 9), _cells.within(points, 0.2)]
    monkeypatch.setattr(_kdtree, "TABLE", 1000)
    monkeypatch.setattr(_cells, "CANDIDATES", 4000)
    monkeypatch.setattr(_cells, "ROWS", 97)
    pieces = [_kdtree.nearest(points, 9), _cells.nearest(points, 9), _cells.within(points, 0.2)]
    for one, other in zip(whole, pieces, strict=True):
        assert torch.equal(torch.stack(one), torch.stack(other))


def test_candidates_grow_linearly(monkeypatch):
    """The grid looks at a bounded number of candidates per point, however many the points."""
    seen = []
    expand = _cells.expand
    monkeypatch.setattr(_cells, "expand", lambda *a: seen.append(expand(*a)) or seen[-1])
    per_point = []
    for n in (1000, 8000):
        seen.clear()
        _cells.within(neighbours.collect(cloud(n), None, None), (4 / n) ** (1 / 3))
        per_point.append(sum(len(i) for i, _ in seen) / n)
    assert per_point[0] < per_point[1] < 27 * 4 * 1.3


@pytest.mark.parametrize(("name", "rounds"), [("general", 1), ("padded", 2)])
def test_tree_is_asked_for_few_candidates(monkeypatch, name, rounds):
    """Points in general position take one question, k + 2 candidates each.

    A place full of points is no worse.
    """
    asked = []
    table = _kdtree.Tree.table
    monkeypatch.setattr(
        _kdtree.Tree, "table", lambda *a: asked.append(len(a[1]) * a[2]) or table(*a)
    )
    pos = torch.cat([cloud(1000), torch.zeros(2000 if name == "padded" else 0, 3)])
    _kdtree.nearest(neighbours.collect(pos, None, None), 8)
    assert len(asked) == rounds
    assert sum(asked) <= 3 * 10 * len(pos)


def test_many_cells_do_not_overflow():
    pos = torch.cat([cloud(50, scale=1e-9), torch.full((1, 3), 1e18, dtype=torch.float64)])
    batch = torch.arange(51) % 2
    points = neighbours.collect(pos, batch, None)
    assert set(zip(*map(torch.Tensor.tolist, _cells.within(points, 1e-9)), strict=True)) == set(
        zip(*map(torch.Tensor.tolist, _kdtree.within(points, 1e-9)), strict=True)
    )


@settings(max_examples=40)
@given(
    n=st.integers(0, 25),
    dim=st.integers(1, 4),
    k=st.integers(1, 8),
    levels=st.integers(1, 12),
    graphs=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    boxed=st.booleans(),
)
def test_engines_equal_dense_with_many_ties(n, dim, k, levels, graphs, seed, boxed):
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randint(levels, (n, dim), generator=generator).double() / 4
    batch = torch.randint(graphs, (n,), generator=generator)
    period = levels / 4 if boxed else None
    expected = dense_knn(pos, k, batch, period=period)
    radius = min(0.5, levels / 8)
    linked = dense_radius(pos, radius, batch, period=period)
    for module in (_kdtree, _cells):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(neighbours, "_engine", lambda _, module=module: module)
            assert pairs(knn_graph(pos, k, batch, period=period)) == expected
            assert pairs(radius_graph(pos, radius, batch, period=period)) == linked


@on_both_engines
def test_permutation_equivariance():
    pos, order = cloud(80), torch.randperm(80, generator=torch.Generator().manual_seed(2))
    for build in (lambda p: knn_graph(p, 5), lambda p: radius_graph(p, 0.3)):
        assert set(pairs(order[build(pos[order])])) == set(pairs(build(pos)))


@on_both_engines
def test_radius_graph_is_symmetric():
    edges = pairs(radius_graph(cloud(200), 0.2))
    assert {(i, j) for j, i in edges} == set(edges)


@on_both_engines
def test_inputs_are_left_alone():
    pos = (cloud(20) * 3).requires_grad_()
    before = pos.detach().clone()
    edge_index = radius_graph(pos, 0.2, period=1.0)
    assert torch.equal(pos, before)
    assert not edge_index.requires_grad


def test_edge_distance_is_differentiable():
    pos = cloud(8).requires_grad_()
    edge_index = knn_graph(pos, 2, period=1.0)
    assert torch.autograd.gradcheck(lambda p: edge_distance(p, edge_index, 1.0), (pos,))
    still = torch.zeros(2, 3, requires_grad=True)
    edge_distance(still, torch.tensor([[0], [1]])).sum().backward()
    assert torch.equal(still.grad, torch.zeros(2, 3))


GOOD = torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("pos", "message"),
    [
        (torch.zeros(4), r"`pos` must be a tensor \[N, D\]"),
        (torch.zeros(4, 0), r"`pos` must be a tensor \[N, D\] with D >= 1"),
        (torch.zeros(2, 4, 3), r"`pos` must be a tensor \[N, D\]"),
        (torch.zeros(4, 3, dtype=torch.long), r"`pos` must be float32 or float64 .*int64"),
        (torch.zeros(4, 3, dtype=torch.float16), "`pos` must be float32 or float64"),
        (torch.tensor([[0.0, math.nan]]), "`pos` must be finite, got 1 NaN"),
        (torch.tensor([[math.inf, math.nan]]), "`pos` must be finite, got 2 NaN"),
    ],
)
def test_bad_positions(pos, message):
    with pytest.raises(ValueError, match=message):
        knn_graph(pos, 2)
    with pytest.raises(ValueError, match=message):
        radius_graph(pos, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: knn_graph([[0.0]], 1), TypeError, "`pos` must be a tensor"),
        (lambda: knn_graph(GOOD, 0), ValueError, "`k` must be at least 1, got 0"),
        (lambda: knn_graph(GOOD, 2.0), TypeError, "`k` must be an integer, got float"),
        (
            lambda: radius_graph(GOOD, 0.0),
            ValueError,
            "`radius` must be positive and finite, got 0.0",
        ),
        (lambda: radius_graph(GOOD, -1), ValueError, "`radius` must be positive"),
        (
            lambda: radius_graph(GOOD, math.nan),
            ValueError,
            "`radius` must be positive and finite, got nan",
        ),
        (lambda: radius_graph(GOOD, math.inf), ValueError, "`radius` must be positive and finite"),
        (lambda: radius_graph(GOOD, "1"), TypeError, "`radius` must be a number, got str"),
        (lambda: radius_graph(GOOD, True), TypeError, "`radius` must be a number, got bool"),
        (
            lambda: radius_graph(GOOD, 1.0, max_neighbours=0),
            ValueError,
            "`max_neighbours` must be at least 1",
        ),
        (
            lambda: radius_graph(GOOD, 0.6, period=1.0),
            ValueError,
            "`radius` must be at most half of `period`",
        ),
        (
            lambda: radius_graph(GOOD, 0.6, period=(9, 9, 1)),
            ValueError,
            "`radius` must be at most half of `period`",
        ),
        (lambda: knn_graph(GOOD, 1, period=0.0), ValueError, "`period` must be positive"),
        (lambda: knn_graph(GOOD, 1, period=math.nan), ValueError, "`period` must be positive"),
        (
            lambda: knn_graph(GOOD, 1, period=(1.0, 1.0)),
            ValueError,
            "`period` must be one length or D = 3",
        ),
        (
            lambda: knn_graph(GOOD, 1, torch.zeros(3).long()),
            ValueError,
            r"`batch` must be integers of shape \[4\]",
        ),
        (lambda: knn_graph(GOOD, 1, torch.zeros(4)), ValueError, "`batch` must be integers"),
        (
            lambda: knn_graph(GOOD, 1, torch.tensor([0, 0, -1, 0])),
            ValueError,
            "`batch` must be non-negative.*-1",
        ),
        (lambda: knn_graph(GOOD, 1, [0, 0, 0, 0]), TypeError, "`batch` must be a tensor"),
        (
            lambda: knn_graph(GOOD, 1, torch.zeros(4, device="meta").long()),
            ValueError,
            "`batch` must be on the device",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_equals_cpu():
    pos, batch = cloud(3000), torch.arange(3000) % 7
    assert torch.equal(knn_graph(pos.cuda(), 9, batch.cuda()).cpu(), knn_graph(pos, 9, batch))
    assert torch.equal(
        radius_graph(pos.cuda(), 0.1, batch.cuda()).cpu(), radius_graph(pos, 0.1, batch)
    )
