from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import (
    Compose,
    LargestConnectedComponents,
    RandomJitter,
    RemoveIsolatedNodes,
)

import graphmask as gm
from graphmask.datasets import CachedDataset
from graphmask.transforms import (
    AddWalks,
    KNNGraph,
    PickVariant,
    RandomAnisotropicScale,
    RandomPointDropout,
    RandomShift,
    ReorderNodes,
    Variants,
    all_variants,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def number(data: Data) -> Data:
    """Stamp each draw with a number that goes on."""
    number.count += 1
    data.x = torch.tensor([[float(number.count)]])
    return data


number.count = 0


def draw(seed: int = 0) -> Compose:
    drop, walks = RandomPointDropout(0.3, generator(seed)), gm.walks.ResampledWalks(8, hops=2)
    return Compose([drop, KNNGraph(3), AddWalks(walks, generator(seed))])


def clouds(count: int) -> Iterator[Data]:
    for index in range(count):
        pos = torch.rand(10 + index, 3, generator=generator(index))
        yield Data(pos=pos, y=torch.tensor([index]), name=f"cloud {index}")


class Clouds(CachedDataset):
    def build(self) -> Iterator[Data]:
        return clouds(3)


class PyGClouds(InMemoryDataset):
    processed_file_names = "data.pt"

    def __init__(self, root: Path, transform=None, pre_transform=None) -> None:
        super().__init__(str(root), transform, pre_transform)
        self.load(self.processed_paths[0])

    def process(self) -> None:
        self.save([self.pre_transform(data) for data in clouds(3)], self.processed_paths[0])


def equal(left: Data, right: Data) -> bool:
    pairs = [(left[key], right[key]) for key in left.keys()]  # noqa: SIM118
    same = [torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs]
    return set(left.keys()) == set(right.keys()) and all(same)


@pytest.mark.parametrize("dataset", [Clouds, PyGClouds])
def test_datasets_cache_variants_and_read_them_back(dataset, tmp_path: Path) -> None:
    made = all_variants(Variants(draw(), copies=4)(next(clouds(1))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = dataset(tmp_path, pre_transform=Variants(draw(), copies=4))
        again = dataset(tmp_path, pre_transform=Variants(draw(), copies=4), transform=PickVariant())
    assert torch.equal(first.y, torch.arange(3))
    read = all_variants(first[0])
    assert [each.num_nodes for each in read] == [each.num_nodes for each in made]
    for one, other in zip(read, made, strict=True):
        other.walk_normalization = torch.tensor([other.walk_normalization])  # as PyG collates it
        assert equal(one, other)
        gm.Topology.from_data(one)
    assert len({each.num_nodes for each in read}) > 1
    assert again[0].name == "cloud 0"
    batch = next(iter(DataLoader(again, batch_size=3, generator=generator())))
    mask = gm.masks.WalkMask(hops=2)
    assert (mask(gm.Topology.from_data(batch)) @ batch.pos).shape == (1, batch.num_nodes, 3)


def noisy_graph(weighted: bool) -> Data:
    edges = torch.randint(7, (2, 20), generator=generator())
    data = Data(edge_index=edges, x=torch.rand(9, 2), y=torch.tensor([1]), num_nodes=9)
    names = ["x", "edge_weight"] if weighted else ["x"]
    data.edge_weight = torch.rand(20, generator=generator())
    return Variants(lambda data: data.update({n: torch.rand_like(data[n]) for n in names}))(data)


MOVES: dict[str, Callable[[Data], Data]] = {
    "reordered": ReorderNodes(),
    "component": LargestConnectedComponents(),
    "no isolated": RemoveIsolatedNodes(),
    "first nodes": lambda data: data.subgraph(torch.arange(5)),
    "last nodes": lambda data: data.subgraph(torch.arange(4, 9)),
    "first edges": lambda data: data.edge_subgraph(torch.arange(10)),
    "sorted edges": lambda data: data.sort(),
}


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("weighted", [False, True])
def test_other_nodes_or_edges_than_those_of_variants_are_an_error(change, weighted: bool) -> None:
    data = noisy_graph(weighted)
    unchanged = PickVariant()(data.clone())
    assert {"variants", "variant_nodes", "variant_edges"}.isdisjoint(unchanged.keys())
    with pytest.raises(ValueError, match="`data` must be with the nodes and edges"):
        all_variants(change(data))


def test_a_cache_of_other_variants_is_noticed(tmp_path: Path) -> None:
    Clouds(tmp_path, pre_transform=Variants(draw(), copies=2))
    for other in (Variants(draw(), copies=3), Variants(draw(1), copies=2)):
        with pytest.warns(UserWarning, match="pre_transform"):
            Clouds(tmp_path, pre_transform=other)


def test_picks_are_uniform_and_follow_the_generator() -> None:
    data = Variants(number, copies=4)(Data(y=torch.tensor([0])))
    first, second = PickVariant(generator()), PickVariant(generator())
    picks = torch.tensor([float(first(data).x) for _ in range(400)])
    assert picks.tolist() == [float(second(data).x) for _ in range(400)]
    counts = picks.unique(return_counts=True)[1]
    assert len(counts) == 4
    assert bool(((counts - 100).abs() < 40).all())
    other = [float(PickVariant()(data).x) for _ in range(40)]
    assert len(set(other)) > 1


def picked(dataset: list[Data], workers: int, seed: int, epochs: int = 2) -> list[list[float]]:
    loader = DataLoader(dataset, 1, num_workers=workers, generator=generator(seed))
    return [[float(batch.x) for batch in loader] for _ in range(epochs)]


class Picked(torch.utils.data.Dataset):
    def __init__(self, pick: Compose) -> None:
        self.pick = pick
        self.data = [Data(variants={str(i): {"x": torch.tensor([[float(i)]])} for i in range(64)})]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Data:
        return self.pick(self.data[0])


def test_workers_and_epochs_pick_differently_and_seeds_repeat() -> None:
    dataset = Picked(PickVariant(generator(3)))
    first, second = picked(dataset, workers=2, seed=0)
    assert first != second
    assert first[::2] != first[1::2]  # of the two workers
    assert picked(dataset, workers=2, seed=0) == [first, second]
    assert picked(dataset, workers=2, seed=1) != [first, second]
    assert picked(Picked(PickVariant(generator(4))), workers=2, seed=0) != [first, second]


def test_votes_come_as_one_batch_per_variant() -> None:
    dataset = [Variants(draw(index), copies=3)(data) for index, data in enumerate(clouds(4))]
    (batches,) = DataLoader(list(map(all_variants, dataset)), 4, generator=generator())
    assert [batch.num_graphs for batch in batches] == [4, 4, 4]
    for number, batch in enumerate(batches):
        alone = Batch.from_data_list([all_variants(data)[number] for data in dataset])
        assert equal(batch, alone)


def test_shared_attributes_are_stored_once_and_others_do_not_stay() -> None:
    data = Data(pos=torch.rand(5, 3), y=torch.tensor([1]), face=torch.zeros(3, 1).long())
    kept = Variants(RandomShift(0.1, generator()), copies=2)(data)
    assert set(kept.keys()) == {"y", "face", "variants"}
    assert all_variants(kept)[1].face is data.face
    assert not torch.equal(all_variants(kept)[0].pos, all_variants(kept)[1].pos)
    assert "variants" not in data
    dropped = Variants(lambda each: Data(x=each.pos), copies=2)(data)
    assert set(dropped.keys()) == {"variants"}
    sized = Variants(lambda each: Data(num_nodes=7), copies=1)(data)
    assert all_variants(sized)[0].num_nodes == 7


def test_wrong_uses_of_variants_are_errors() -> None:
    keep, cloud = Variants(RandomJitter(0.1), copies=2), Data(pos=torch.rand(4, 3))
    with pytest.raises(TypeError, match="`transform` must be a callable"):
        Variants("jitter")
    with pytest.raises(ValueError, match="`copies` must be at least 1, got 0"):
        Variants(RandomJitter(0.1), copies=0)
    for data in (Batch.from_data_list([cloud, cloud]), HeteroData()):
        with pytest.raises(TypeError, match=r"`data` must be (one|a) torch_geometric\.data\.Data"):
            keep(data)
    with pytest.raises(ValueError, match="`data` must be without variants, got 2 of them"):
        keep(keep(cloud))
    with pytest.raises(TypeError, match="`transform` must be a function to torch_geometric"):
        Variants(lambda data: [data])(cloud)
    grown = iter((Data(x=torch.ones(1)), Data(pos=torch.ones(1, 3))))
    with pytest.raises(ValueError, match="the same attributes"):
        Variants(lambda _: next(grown), copies=2)(cloud)
    with pytest.raises(TypeError, match="one example, not a batch: pick before batching"):
        all_variants(Batch.from_data_list([keep(cloud), keep(cloud)]))
    for pick in (PickVariant(), all_variants):
        with pytest.raises(ValueError, match=r"`data` must be with variants: give the dataset"):
            pick(cloud)
    with pytest.raises(TypeError, match=r"`generator` must be a torch\.Generator or None, got int"):
        PickVariant(3)


RANDOM = [RandomAnisotropicScale, RandomShift, RandomPointDropout]


def batched() -> Batch:
    return Batch.from_data_list([Data(pos=torch.ones(3, 2), x=torch.eye(3)) for _ in range(200)])


def test_graphs_of_a_batch_are_scaled_and_moved_by_themselves() -> None:
    batch, state = batched(), torch.get_rng_state()
    scaled = RandomAnisotropicScale((0.5, 2.0), generator())(batch).pos.view(200, 3, 2)
    moved = RandomShift(0.5, generator())(batch).pos.view(200, 3, 2) - 1
    assert torch.equal(torch.get_rng_state(), state)
    for values, low, high in ((scaled, 0.5, 2.0), (moved, -0.5, 0.5)):
        assert bool((values == values[:, :1]).all())
        assert len(values[:, 0].unique(dim=0)) == 200
        assert low <= float(values.min()) < low + 0.02 < high - 0.02 < float(values.max()) <= high
        assert abs(float(values.mean()) - (low + high) / 2) < 0.1


def test_points_are_dropped_with_their_attributes_and_one_stays() -> None:
    out = RandomPointDropout(0.25, generator())(batched())
    assert 420 < out.num_nodes < 480
    assert out.batch.unique().tolist() == list(range(200))
    assert out.x.shape == (out.num_nodes, 3)
    few = RandomPointDropout(0.99, generator())(batched())
    assert few.batch.unique().tolist() == list(range(200))
    loose = Data(pos=torch.rand(6, 2), batch=torch.tensor([1, 0, 1, 0, 1, 1]))
    kept = RandomPointDropout(0.99, generator())(loose)
    assert sorted(kept.batch.tolist()) == [0, 1]
    assert RandomPointDropout(0.0)(loose).pos.equal(loose.pos)


@pytest.mark.parametrize("kind", RANDOM)
def test_draws_follow_the_generator_or_the_system(kind) -> None:
    cloud = Data(pos=torch.rand(40, 3))
    outs = [kind(generator=source)(cloud).pos for source in (generator(), generator(), None)]
    assert outs[0].equal(outs[1])
    assert not outs[0].equal(outs[2])
    assert kind()(Data(pos=torch.rand(0, 3))).pos.shape == (0, 3)
    assert kind()(Data(pos=torch.rand(4, 3).double())).pos.dtype == torch.float64


def test_wrong_settings_of_augmentations_are_errors() -> None:
    for scales in ((2.0, 1.0), (0.0, 1.0), (1.0, torch.inf)):
        with pytest.raises(ValueError, match="`scales` must be"):
            RandomAnisotropicScale(scales)
    for wrong in (2.0, (1.0,), (1.0, 1.0, 1.0)):
        with pytest.raises((TypeError, ValueError), match="`scales` must be"):
            RandomAnisotropicScale(wrong)
    with pytest.raises(ValueError, match="`shift` must be"):
        RandomShift(-0.1)
    with pytest.raises(ValueError, match="`p` must be"):
        RandomPointDropout(1.0)
    with pytest.raises(ValueError, match=r"`data` must be points only.*`edge_index`"):
        RandomPointDropout(0.1)(KNNGraph(2)(Data(pos=torch.rand(4, 3))))
