"""Farthest point sampling against a naive loop."""

import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch_geometric.data import Data

from graphmask.transforms import FarthestPoints, farthest_points

LONG = torch.zeros(2, 1, dtype=torch.long)


def cloud(n, dim=3, seed=0, dtype=torch.float64):
    return torch.rand(n, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def naive(pos, count, start=0):
    distance, selected = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist"), [start]
    while len(selected) < count:
        gap = distance[:, selected].amin(1)
        gap[selected] = -1
        selected.append(int((gap == gap.max()).nonzero()[0]))
    return selected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_points_are_those_of_a_naive_loop(dtype, dim):
    pos = cloud(40, dim, dtype=dtype)
    for count, start in ((1, 5), (2, 0), (13, 39), (40, 7)):
        expected = naive(pos.double(), count, start)
        assert farthest_points(pos, count, start=start).tolist() == expected


@settings(max_examples=25)
@given(n=st.integers(1, 20), levels=st.integers(1, 5), seed=st.integers(0, 2**31), data=st.data())
def test_ties_and_coincident_points_are_broken_as_by_a_naive_loop(n, levels, seed, data):
    pos = torch.randint(levels, (n, 2), generator=torch.Generator().manual_seed(seed)).double()
    count, start = data.draw(st.integers(1, n)), data.draw(st.integers(0, n - 1))
    chosen = farthest_points(pos, count, start=start).tolist()
    assert chosen == naive(pos, count, start)
    assert len(set(chosen)) == count


@pytest.mark.parametrize(
    ("ratio", "n", "count"), [(0.5, 7, 4), (1.0, 7, 7), (1e-6, 7, 1), (0.07, 100, 7), (0.1, 30, 3)]
)
def test_ratios_round_up(ratio, n, count):
    assert len(farthest_points(cloud(n), ratio=ratio)) == count


def test_an_unsorted_batch_equals_its_graphs_alone():
    batch = torch.tensor([4, 0, 2]).repeat(11)[:31]
    pos = cloud(31)
    chosen = farthest_points(pos, ratio=0.4, batch=batch, start=3)
    for graph, points in zip(batch.unique(), chosen.split([4, 4, 5]), strict=True):
        nodes = (batch == graph).nonzero().squeeze(1)
        assert torch.equal(points, nodes[farthest_points(pos[nodes], ratio=0.4, start=3)])
    out = FarthestPoints(num_points=2)(Data(pos=pos, batch=batch))
    assert out.batch.tolist() == [0, 0, 2, 2, 4, 4]


def test_a_generator_draws_the_first_point():
    pos, firsts = cloud(30), set()
    for seed in range(20):
        first, second = (
            farthest_points(pos, 5, generator=torch.Generator().manual_seed(seed)).tolist()
            for _ in range(2)
        )
        assert first == second == naive(pos, 5, first[0])
        firsts.add(first[0])
    assert len(firsts) > 5


def test_the_first_point_depends_on_seed_and_cloud_alone():
    transform = FarthestPoints(1, generator=torch.Generator().manual_seed(5))
    clouds = [Data(pos=cloud(30, seed=seed)) for seed in range(8)]
    first = [transform(data.clone()).pos for data in clouds]
    again = [transform(data.clone()).pos for data in clouds[::-1]][::-1]
    shuffled = [transform(Data(pos=data.pos.flip(0))).pos for data in clouds]
    assert_close([again, shuffled], [first, first], rtol=0, atol=0)
    places = [
        int((data.pos == pos).all(1).nonzero()) for data, pos in zip(clouds, first, strict=True)
    ]
    assert len(set(places)) > 4


def test_all_attributes_of_nodes_are_selected():
    data = Data(pos=cloud(10), normal=cloud(10, seed=1), y=torch.tensor([3]), num_nodes=10)
    data.label, data.name = list(range(10)), "a"
    out = FarthestPoints(num_points=4)(data)
    chosen = farthest_points(data.pos, 4)
    for key in ("pos", "normal"):
        assert torch.equal(out[key], data[key][chosen])
    assert out.label == chosen.tolist()
    assert (out.num_nodes, out.y.tolist(), out.name) == (4, [3], "a")
    assert out.validate()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(pos=cloud(2)), "`num_points` must be at most 2 for the smallest graph, got 3"),
        (Data(pos=cloud(0)), "`num_points` must be at most 0"),
        (Data(pos=cloud(5), edge_index=LONG), "`data` must be points only.*`edge_index`"),
        (Data(pos=cloud(3), face=LONG.new_zeros(3, 3)), "`data` must be points only.*`face`"),
    ],
)
def test_bad_data_are_errors(data, message):
    with pytest.raises(ValueError, match=message):
        FarthestPoints(3)(data)


def test_every_attribute_of_points_is_cut_whatever_its_name():
    rows = torch.arange(9)
    named = {
        "edge_of": rows,
        "walk_speed": rows[:, None],
        "point_index": torch.stack([rows] * 2, 1),
    }
    data = Data(pos=torch.rand(9, 3), array=rows.numpy(), names=list("abcdefghi"), **named)
    data.update({"count": torch.tensor([5]), "name": "cloud", "num_nodes": 9})
    out = FarthestPoints(4)(data)
    chosen = out.edge_of
    assert out.num_nodes == len(chosen) == 4
    assert torch.equal(out.pos, data.pos[chosen])
    assert torch.equal(out.walk_speed, chosen[:, None])
    assert torch.equal(out.point_index, torch.stack([chosen] * 2, 1))
    assert out.array.tolist() == chosen.tolist()
    assert "".join(out.names) == "".join("abcdefghi"[node] for node in chosen)
    assert (out.count.tolist(), out.name) == ([5], "cloud")


def test_generators_travel_to_workers_without_shared_memory():
    transform = FarthestPoints(3, generator=torch.Generator().manual_seed(5))
    data = Data(pos=torch.rand(50, 3))
    transform(data)
    content = bytes(ForkingPickler.dumps(transform))
    assert b"rebuild" not in content
    sent = pickle.loads(content)
    assert repr(sent) == repr(transform)
    assert torch.equal(sent(data).pos, transform(data).pos)
