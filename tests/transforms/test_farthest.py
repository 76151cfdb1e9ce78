"""Farthest point sampling against a naive loop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphmask.transforms import FarthestPoints, farthest_points


def cloud(n, dim=3, seed=0, dtype=torch.float64):
    return torch.rand(n, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def naive(pos, count, start=0):
    points, chosen = pos.double().tolist(), [start]
    while len(chosen) < count:
        left = [i for i in range(len(points)) if i not in chosen]
        gap = {
            i: min(
                sum((a - b) ** 2 for a, b in zip(points[i], points[s], strict=True)) for s in chosen
            )
            for i in left
        }
        chosen.append(max(left, key=lambda i: (gap[i], -i)))
    return chosen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_equals_naive(dtype, dim):
    pos = cloud(40, dim, dtype=dtype)
    for count, start in ((1, 5), (2, 0), (13, 39), (40, 7)):
        assert farthest_points(pos, count, start=start).tolist() == naive(pos, count, start)


@settings(max_examples=40)
@given(n=st.integers(1, 20), levels=st.integers(1, 5), seed=st.integers(0, 2**31), data=st.data())
def test_equals_naive_with_ties_and_coincident_points(n, levels, seed, data):
    pos = torch.randint(levels, (n, 2), generator=torch.Generator().manual_seed(seed)).double()
    count, start = data.draw(st.integers(1, n)), data.draw(st.integers(0, n - 1))
    chosen = farthest_points(pos, count, start=start).tolist()
    assert chosen == naive(pos, count, start)
    assert len(set(chosen)) == count


@pytest.mark.parametrize(
    ("ratio", "n", "count"), [(0.5, 7, 4), (1.0, 7, 7), (1e-6, 7, 1), (0.07, 100, 7), (0.1, 30, 3)]
)
def test_ratio_rounds_up(ratio, n, count):
    assert len(farthest_points(cloud(n), ratio=ratio)) == count


def test_unsorted_batch_equals_each_graph_alone():
    batch = torch.tensor([4, 0, 2]).repeat(11)[:31]
    pos = cloud(31)
    chosen = farthest_points(pos, ratio=0.4, batch=batch, start=3)
    for graph, part in zip(batch.unique(), chosen.split([4, 4, 5]), strict=True):
        nodes = (batch == graph).nonzero().squeeze(1)
        assert torch.equal(part, nodes[farthest_points(pos[nodes], ratio=0.4, start=3)])


def test_permutation_equivariance():
    pos, order = cloud(50), torch.randperm(50, generator=torch.Generator().manual_seed(1))
    start = int((order == 0).nonzero())
    assert torch.equal(order[farthest_points(pos[order], 9, start=start)], farthest_points(pos, 9))


def test_generator_draws_the_first_point():
    pos = cloud(30)
    firsts = set()
    for seed in range(20):
        chosen = [
            farthest_points(pos, 5, generator=torch.Generator().manual_seed(seed)) for _ in range(2)
        ]
        assert torch.equal(*chosen)
        assert chosen[0].tolist() == naive(pos, 5, int(chosen[0][0]))
        firsts.add(int(chosen[0][0]))
    assert len(firsts) > 5


def test_all_node_attributes_are_cut():
    data = Data(
        pos=cloud(10),
        x=torch.randn(10, 4),
        normal=cloud(10, seed=1),
        y=torch.tensor([3]),
        name="a",
        num_nodes=10,
    )
    data.label = list(range(10))
    before = data.clone()
    out = FarthestPoints(num_points=4)(data)
    chosen = farthest_points(data.pos, 4)
    for key in ("pos", "x", "normal"):
        assert torch.equal(out[key], data[key][chosen])
    assert out.label == chosen.tolist()
    assert out.num_nodes == 4
    assert out.y.tolist() == [3]
    assert out.name == "a"
    assert out.validate()
    assert torch.equal(data.pos, before.pos)
    assert data.num_nodes == 10


def test_batch_vector_without_batch_object():
    out = FarthestPoints(num_points=2)(Data(pos=cloud(9), batch=torch.arange(9) % 3))
    assert out.batch.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(pos=cloud(2)), "`num_points` must be at most 2 for the smallest graph, got 3"),
        (Data(pos=cloud(0)), "`num_points` must be at most 0"),
        (Data(x=cloud(5)), "`pos` must be set"),
        (Data(pos=torch.full((5, 3), math.inf)), "`pos` must be finite"),
        (
            Data(pos=cloud(5), edge_index=torch.zeros(2, 1).long()),
            "`data` must be points only.*`edge_index`",
        ),
        (Data(pos=cloud(3), face=torch.zeros(3, 3).long()), "`data` must be points only.*`face`"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        FarthestPoints(3)(data)
