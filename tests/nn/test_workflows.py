"""The model where PyG users put it.

In Sequential, behind loaders and encodings, and with edges written in every way.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import cases
import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch.testing import assert_close
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import Sequential, global_mean_pool

import graphmask as gm
from graphmask import Topology
from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalTransformer
from graphmask.testing import example_topologies
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks

pytestmark = pytest.mark.global_rng  # loaders draw the seeds of their workers from it


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def model(in_channels: int = 3, **options: object) -> TopologicalTransformer:
    options = {"mask": PowerSeriesMask(2, 2), **options}
    return TopologicalTransformer(in_channels, 4, 5, num_layers=2, heads=2, **options)


def graph(num_nodes: int = 8, **more: object) -> Data:
    """A ring with a chord, whose nodes have three features."""
    step = torch.arange(num_nodes)
    edges = torch.stack(
        [
            torch.cat([step, step[:1]]),
            torch.cat([(step + 1) % num_nodes, step[num_nodes // 2 :][:1]]),
        ]
    )
    return Data(
        x=torch.randn(num_nodes, 3), edge_index=torch.cat([edges, edges.flip(0)], 1), **more
    )


class TestSequential:
    def test_edges_and_batch_by_position(self) -> None:
        x, batch, made = torch.randn(16, 3), torch.arange(16) % 2, model()
        edges = graph(8).edge_index * 2
        edges = torch.cat([edges, edges + 1], 1)
        layers = [
            (made, "x, edge_index, edge_weight, batch -> x"),
            (global_mean_pool, "x, batch -> x"),
            torch.nn.Linear(5, 2),
        ]
        net = Sequential("x, edge_index, edge_weight, batch", layers)
        expected = net[2](global_mean_pool(made(x, edges, batch=batch), batch))
        assert_close(net(x, edges, None, batch), expected)

    def test_a_topology_goes_through(self) -> None:
        data, first, second = graph(), model(mask=WalkMask(2, 2)), model(5)
        net = Sequential("x, topology", [(first, "x, topology -> x"), (second, "x, topology -> x")])
        topology = Topology.from_data(data)
        assert_close(net(data.x, topology), second(first(data.x, topology), topology))

    def test_copies_and_state_dicts(self) -> None:
        data = graph()
        net, other = (
            Sequential("x, edge_index", [(model(-1), "x, edge_index -> x"), torch.nn.ReLU()])
            for _ in range(2)
        )
        expected = net(data.x, data.edge_index)
        assert_close(copy.deepcopy(net)(data.x, data.edge_index), expected, rtol=0, atol=0)
        other.load_state_dict(net.state_dict())
        assert_close(other(data.x, data.edge_index), expected, rtol=0, atol=0)


def test_a_model_is_pickled_by_torch_save(tmp_path: Path) -> None:
    made, data = model(mask=WalkMask(2, 2), jk="lstm", pool=global_mean_pool), graph()
    torch.save(made, tmp_path / "model.pt")
    found = torch.load(tmp_path / "model.pt", weights_only=False)
    assert_close(found(data.x, data.edge_index), made(data.x, data.edge_index), rtol=0, atol=0)
    torch.save(made.state_dict(), tmp_path / "weights.pt")
    made.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))


ENCODINGS = {
    "laplacian": T.AddLaplacianEigenvectorPE(k=2, attr_name=None, is_undirected=True),
    "walks": T.AddRandomWalkPE(walk_length=4, attr_name=None),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_encodings_of_pyg_are_channels_of_the_input(encoding: T.BaseTransform) -> None:
    draw = AddWalks(ResampledWalks(budget=4, hops=2), torch.Generator().manual_seed(0))
    graphs = [T.Compose([encoding, draw])(graph(size)) for size in (6, 8, 9)]
    (batch,) = DataLoader(graphs, batch_size=3)
    made = model(-1, mask=WalkMask(2, 2), pool=global_mean_pool)
    out = made(batch.x, Topology.from_data(batch))
    assert made.in_channels == batch.x.shape[1] > 3
    assert_close(torch.cat([made(each.x, Topology.from_data(each)) for each in graphs]), out)


class TestWays:
    """Every way to write edges gives the same output."""

    def test_edge_index(self) -> None:
        data, made = graph(), model()
        index = EdgeIndex(data.edge_index, sparse_size=(8, 8)).sort_by("col").values
        assert_close(made(data.x, index), made(data.x, data.edge_index))

    @pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
    @pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo], ids=str)
    def test_adj_t_of_torch(self, layout: torch.layout) -> None:
        data, made = (
            graph(edge_attr=torch.randn(18, 2)),
            model(mask=PowerSeriesMask(2, 2, edge_dim=2)),
        )
        cases.scrambled(made)
        expected = made(data.x, data.edge_index, edge_attr=data.edge_attr)
        data = T.ToSparseTensor(layout=layout)(data)
        assert_close(made(data.x, Topology.from_data(data)), expected)
        assert_close(made(data.x, data.adj_t, edge_attr=data.edge_attr), expected)

    def test_adj_t_of_torch_sparse(self) -> None:
        library = pytest.importorskip("torch_sparse")
        data, made = graph(), model()
        adj_t = library.SparseTensor.from_edge_index(data.edge_index, sparse_sizes=(8, 8)).t()
        assert_close(made(data.x, adj_t), made(data.x, data.edge_index))


class TestWorkers:
    """Graphs transformed in two worker processes.

    Draws are told apart by the weights of their walks.
    """

    def loader(
        self,
        generator: torch.Generator | None,
        seeds: torch.Generator | None = None,
        **options: object,
    ) -> DataLoader:
        graphs = [graph(30, edge_attr=torch.randn(62, 2)) for _ in range(4)]
        dataset = Drawn(graphs, AddWalks(ResampledWalks(budget=2, hops=3), generator))
        return DataLoader(dataset, batch_size=2, num_workers=2, generator=seeds, **options)

    def epoch(self, loader: DataLoader) -> list[Tensor]:
        return [batch.walk_table.clone() for batch in loader]

    def test_a_model_trains_on_what_they_send(self) -> None:
        made = model(mask=WalkMask(3, 2) + PowerSeriesMask(1, 2, edge_dim=2), pool=global_mean_pool)
        for batch in self.loader(torch.Generator().manual_seed(0)):
            made(batch.x, Topology.from_data(batch)).square().sum().backward()
        assert all(each.grad.isfinite().all() for each in made.parameters())

    def test_each_epoch_starts_from_the_generator_as_it_is_here(self) -> None:
        """Processes have copies of it.

        Two workers draw the same numbers, and so do all epochs of new workers.
        """
        loader = self.loader(torch.Generator().manual_seed(0))
        first, second = self.epoch(loader), self.epoch(loader)
        assert all(map(torch.equal, first, second))
        assert torch.equal(*first)  # of graphs with equal edges, by either worker

    def test_workers_that_seed_their_generators_draw_other_numbers_and_repeat_with_the_loader(
        self,
    ) -> None:
        def run() -> list[Tensor]:
            loader = self.loader(
                torch.Generator(), worker_init_fn=seed_walks, seeds=torch.Generator().manual_seed(1)
            )
            return self.epoch(loader) + self.epoch(loader)

        tables = run()
        assert not any(same(*pair) for pair in combinations(tables, 2))
        assert all(map(torch.equal, tables, run()))

    def test_workers_that_persist_go_on(self) -> None:
        loader = self.loader(torch.Generator().manual_seed(0), persistent_workers=True)
        first, second = self.epoch(loader), self.epoch(loader)
        assert not any(map(same, first, second))
        again = self.loader(torch.Generator().manual_seed(0), persistent_workers=True)
        assert [each.shape for each in self.epoch(again)] == [each.shape for each in first]

    def test_without_a_generator_every_draw_is_another(self) -> None:
        loader = self.loader(None)
        assert not any(map(same, self.epoch(loader), self.epoch(loader)))

    def test_transforms_are_pickled_with_their_generator(self) -> None:
        made = AddWalks(ResampledWalks(budget=2, hops=3), torch.Generator().manual_seed(3))
        data, again = graph(30), pickle.loads(pickle.dumps(made))
        assert_close(again(data.clone()).walk_table, made(data.clone()).walk_table, rtol=0, atol=0)


def seed_walks(worker: int) -> None:
    """Another seed for each worker and epoch, from the generator of the loader."""
    info = torch.utils.data.get_worker_info()
    info.dataset.transform.generator.manual_seed(info.seed)


class Drawn(torch.utils.data.Dataset):
    """Graphs that are transformed whenever they are read."""

    def __init__(self, graphs: list[Data], transform: T.BaseTransform) -> None:
        self.graphs, self.transform = graphs, transform

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, number: int) -> Data:
        return self.transform(copy.copy(self.graphs[number]))


def same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


def test_the_examples_of_this_file_are_not_exact() -> None:
    """A budget so small that walks are random."""
    topology = example_topologies()["ring"]
    draws = [
        gm.walks.ResampledWalks(2, 3)(topology, torch.Generator().manual_seed(seed)).to_dense()
        for seed in (0, 1)
    ]
    assert not torch.equal(*draws)
