"""The model in PyG's Sequential, with its loaders and encodings, and edges in every format."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import cases
import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import Sequential, global_mean_pool

from graphmask import Topology
from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalTransformer
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


def graph(num_nodes: int = 8, **attributes: object) -> Data:
    """A ring with a chord, whose nodes have three features."""
    step, half = torch.arange(num_nodes), num_nodes // 2
    source, target = torch.cat([step, step[:1]]), torch.cat([step.roll(-1), step[half : half + 1]])
    edges = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    return Data(x=torch.randn(num_nodes, 3), edge_index=edges, **attributes)


def test_sequential_passes_edges_and_batch() -> None:
    x, batch, transformer = torch.randn(16, 3), torch.arange(16) % 2, model()
    edges = graph(8).edge_index * 2
    edges = torch.cat([edges, edges + 1], 1)
    arguments = "x, edge_index, edge_weight, batch"
    layers = [(transformer, f"{arguments} -> x"), (global_mean_pool, "x, batch -> x")]
    expected = global_mean_pool(transformer(x, edges, batch=batch), batch)
    assert_close(Sequential(arguments, layers)(x, edges, None, batch), expected)


def test_sequential_passes_a_topology() -> None:
    data, first, second = graph(), model(mask=WalkMask(2, 2)), model(5)
    net = Sequential("x, topology", [(first, "x, topology -> x"), (second, "x, topology -> x")])
    topology = Topology.from_data(data)
    assert_close(net(data.x, topology), second(first(data.x, topology), topology))


def test_a_model_is_pickled_by_torch_save(tmp_path: Path) -> None:
    original, data = model(mask=WalkMask(2, 2), jk="lstm", pool=global_mean_pool), graph()
    torch.save(original, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    arguments = data.x, data.edge_index
    assert_close(loaded(*arguments), original(*arguments), rtol=0, atol=0)
    torch.save(original.state_dict(), tmp_path / "weights.pt")
    original.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))


@pytest.mark.parametrize("library", ["torch_geometric", "torch_sparse"])
def test_edges_of_other_libraries_are_read(library: str) -> None:
    data, transformer, sparse = graph(), model(), pytest.importorskip(library)
    if library == "torch_geometric":
        edges = sparse.EdgeIndex(data.edge_index, sparse_size=(8, 8)).sort_by("col").values
    else:
        edges = sparse.SparseTensor.from_edge_index(data.edge_index, sparse_sizes=(8, 8)).t()
    assert_close(transformer(data.x, edges), transformer(data.x, data.edge_index))


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo], ids=str)
def test_an_adj_t_of_torch_is_read(layout: torch.layout) -> None:
    data = graph(edge_attr=torch.randn(18, 2))
    transformer = cases.scrambled(model(mask=PowerSeriesMask(2, 2, edge_dim=2)))
    expected = transformer(data.x, data.edge_index, edge_attr=data.edge_attr)
    data = T.ToSparseTensor(layout=layout)(data)
    assert_close(transformer(data.x, Topology.from_data(data)), expected)
    assert_close(transformer(data.x, data.adj_t, edge_attr=data.edge_attr), expected)


class TransformedDataset(torch.utils.data.Dataset):
    """Graphs that are transformed whenever they are read."""

    def __init__(self, graphs: list[Data], transform: T.BaseTransform) -> None:
        self.graphs, self.transform = graphs, transform

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, index: int) -> Data:
        return self.transform(copy.copy(self.graphs[index]))


def seed_walks(worker: int) -> None:
    """Another seed for each worker and epoch, from the generator of the loader."""
    info = torch.utils.data.get_worker_info()
    info.dataset.transform.seed = info.seed


def loader_of(draws: torch.Generator | None, **options: object) -> DataLoader:
    """Two batches, whose graphs are transformed by a worker process each."""
    graphs = [graph(30, edge_attr=torch.randn(62, 2)) for _ in range(4)]
    dataset = TransformedDataset(graphs, AddWalks(ResampledWalks(budget=2, hops=3), draws))
    return DataLoader(dataset, batch_size=2, num_workers=2, **options)


def epoch(loader: DataLoader) -> list[Tensor]:
    """The weights of the walks, which differ for different draws."""
    return [batch.walk_table.clone() for batch in loader]


def equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_model_trains_on_walks_that_do_not_depend_on_workers(context: str) -> None:
    mask = WalkMask(3, 2) + PowerSeriesMask(1, 2, edge_dim=2)
    transformer = model(mask=mask, pool=global_mean_pool)
    generator = torch.Generator().manual_seed(0)
    loader = loader_of(generator, multiprocessing_context=context)
    first, second = epoch(loader)
    assert torch.equal(first, second)
    for batch in loader:
        assert torch.equal(batch.walk_table, first)
        transformer(batch.x, Topology.from_data(batch)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in transformer.parameters())


def test_workers_that_get_seeds_draw_other_numbers_and_repeat_with_the_loader() -> None:
    def run() -> list[Tensor]:
        seeds = torch.Generator().manual_seed(1)
        loader = loader_of(torch.Generator(), worker_init_fn=seed_walks, generator=seeds)
        return epoch(loader) + epoch(loader)

    tables = run()
    assert not any(equal(*pair) for pair in combinations(tables, 2))
    assert all(map(torch.equal, tables, run()))


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_without_a_seed_draw_anew(persistent: bool) -> None:
    loader = loader_of(None, persistent_workers=persistent)
    assert not any(map(equal, epoch(loader), epoch(loader)))
