"""Preparation by workers: the same bytes whoever writes them, and nothing trusted half."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset
from torch_geometric.data import Data, Dataset, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

import graphmask as gm

pytest.importorskip("safetensors")

# Loaders and splits of PyG draw from the global random state.
pytestmark = pytest.mark.global_rng


class Rings(Dataset):
    """Rings of growing size, read one by one."""

    def __init__(self, count: int = 10) -> None:
        super().__init__()
        self.count = count

    def __repr__(self) -> str:
        return f"Rings({self.count})"

    def len(self) -> int:
        return self.count

    def get(self, idx: int) -> Data:
        step = torch.arange(idx + 3)
        edges = torch.stack([step, (step + 1) % len(step)])
        pos = torch.arange(3.0 * len(step)).view(-1, 3)
        return Data(edge_index=edges, pos=pos, y=torch.tensor([idx]), name=f"ring {idx}")


class Jitter:
    """Random numbers of three kinds."""

    def __call__(self, data: Data) -> Data:
        shift = np.random.rand() + random.random()  # noqa: NPY002
        data.pos = data.pos + torch.randn_like(data.pos) + shift
        return data

    def __repr__(self) -> str:
        return "Jitter()"


def steps(seed: int = 0) -> Compose:
    generator = torch.Generator().manual_seed(seed)
    walks = gm.transforms.AddWalks(gm.walks.IIDWalks(num_walks=4), generator)
    return Compose([Jitter(), walks])


def run(folder: Path, dataset: object = None, transform: object = None, **options: object):
    settings = {"shard_size": 3, "progress": False, **options}
    dataset = Rings() if dataset is None else dataset
    return gm.prepare(dataset, transform or steps(), folder, **settings)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_graphs_come_back_as_the_transform_made_them(tmp_path: Path) -> None:
    dataset = run(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    for index in (0, 2, 3, 9):
        data = dataset[index]
        assert (data.name, data.y.tolist()) == (f"ring {index}", [index])
        expected = gm.transforms.AddWalks(
            gm.walks.IIDWalks(num_walks=4), torch.Generator().manual_seed(0)
        )(Rings()[index])
        assert torch.equal(data.walk_table, expected.walk_table)
        assert data.validate()
        gm.masks.WalkMask(hops=2)(gm.Topology.from_data(data))
    assert dataset[[1, 4]][1].name == "ring 4"
    batch = next(iter(DataLoader(dataset, batch_size=10)))
    assert gm.Topology.from_data(batch).num_graphs == 10


def test_graphs_without_features_keep_their_number_of_nodes(tmp_path: Path) -> None:
    edges = torch.tensor([[0], [1]])
    graphs = [Data(edge_index=edges, num_nodes=n) for n in (2, 5)]
    dataset = run(tmp_path, graphs, lambda data: data)
    assert [data.num_nodes for data in dataset] == [2, 5]


def test_variants_and_lists_of_tensors_come_back(tmp_path: Path) -> None:
    def jagged(data: Data) -> Data:
        data.parts, data.tags = [data.pos[:2], data.pos[2:]], ["a", 1.5, None]
        return data

    graphs = list(Rings(5))
    dataset = run(tmp_path, graphs, Compose([jagged, gm.transforms.Variants(Jitter(), copies=2)]))
    data = dataset[4]
    assert [part.shape[0] for part in data.parts] == [2, 5]
    assert data.tags == ["a", 1.5, None]
    first, second = gm.transforms.all_variants(data)
    assert first.pos.shape == second.pos.shape == (7, 3)
    assert not torch.equal(first.pos, second.pos)


def test_bytes_do_not_depend_on_workers_backend_or_source(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state().tolist(), random.getstate()
    run(tmp_path / "one")
    assert (torch.get_rng_state().tolist(), random.getstate()) == before
    run(tmp_path / "threads", workers=3, backend="threading")
    assert digests(tmp_path / "threads") == digests(tmp_path / "one")
    run(tmp_path / "list", list(Rings()))
    for ours, theirs in zip(*map(gm.Prepared, (tmp_path / "one", tmp_path / "list")), strict=True):
        assert torch.equal(ours.pos, theirs.pos)
        assert torch.equal(ours.walk_table, theirs.walk_table)


@pytest.mark.slow
def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "one")
    run(tmp_path / "two", workers=2, backend="loky")
    assert digests(tmp_path / "two") == digests(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # dask's
def test_a_cluster_writes_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("dask.distributed")
    run(tmp_path / "one")
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        run(tmp_path / "dask", workers=2, backend="dask")
    assert digests(tmp_path / "dask") == digests(tmp_path / "one")


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run(tmp_path / "whole")

    class Stops(Jitter):
        def __call__(self, data: Data) -> Data:
            if data.num_nodes > 8:
                raise OSError("no space")
            return super().__call__(data)

    stops = Compose([Stops(), steps().transforms[1]])
    with pytest.raises(RuntimeError, match=r"fails on graph 6: OSError: no space"):
        run(tmp_path / "stopped", transform=stops)
    with pytest.raises(ValueError, match=r"6 of 10 graphs: run `prepare` again"):
        gm.Prepared(tmp_path / "stopped")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "stopped").glob("shard*")}
    assert len(written) == 2
    run(tmp_path / "stopped")
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"shard_size": 4}, "shard_size"),
        ({"transform": steps(1)}, "transform"),
        ({"dataset": Rings(9)}, "graphs"),
        ({"dataset": [Rings()[i] for i in (*range(9), 5)]}, "source"),
    ],
)
def test_a_folder_of_another_preparation_is_refused(tmp_path, options, name) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match=f"prepared from the same {name}"):
        run(tmp_path, **options)


def test_graphs_that_were_changed_since_are_noticed(tmp_path: Path) -> None:
    class InMemory(InMemoryDataset):
        def __init__(self, graphs: list[Data]) -> None:
            super().__init__()
            self.data, self.slices = self.collate(graphs)

    for name, source in (("list", list), ("memory", InMemory)):
        graphs = list(Rings())
        dataset = source(graphs)
        run(tmp_path / name, dataset)
        run(tmp_path / name, dataset)
        graphs[5].pos = graphs[5].pos.clone()
        graphs[5].pos[0, 0] += 1
        with pytest.raises(ValueError, match="prepared from the same content"):
            run(tmp_path / name, source(graphs))


def change_array(data: Data) -> None:
    data.held[2500] = -1.0


def change_list(data: Data) -> None:
    data.held[0][2500] = -1.0


def change_dictionary(data: Data) -> None:
    data.held["a"][2500] = -1.0


def change_matrix(data: Data) -> None:
    data.held = data.held * 2


NUMBERS = torch.arange(5000.0)
HELD = {
    "array": (lambda: np.arange(5000.0), change_array),
    "list": (lambda: [NUMBERS.clone(), "name"], change_list),
    "dictionary": (lambda: {"a": NUMBERS.clone()}, change_dictionary),
    "coo": (lambda: torch.eye(3).to_sparse(), change_matrix),
    "csr": (lambda: torch.eye(3).to_sparse_csr(), change_matrix),
    "conjugate": (lambda: torch.ones(3, dtype=torch.cfloat).conj(), change_matrix),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize(("make", "change"), HELD.values(), ids=HELD)
def test_numbers_within_other_attributes_are_noticed(make, change, tmp_path: Path) -> None:
    graphs = [Data(held=make()) for _ in range(2)]

    def transform(data: Data) -> Data:
        return Data(x=torch.zeros(1, 1))

    prepared = gm.prepare(graphs, transform, tmp_path, progress=False)
    assert len(gm.prepare(graphs, transform, tmp_path, progress=False)) == len(prepared) == 2
    change(graphs[1])
    with pytest.raises(ValueError, match="prepared from the same content"):
        gm.prepare(graphs, transform, tmp_path, progress=False)


def test_graphs_of_another_choice_or_transform_are_another_source(tmp_path: Path) -> None:
    def grow(data: Data) -> Data:
        data.y = data.y + len(data.y) * (data.y > 0) * (data.y < 9)
        return data

    base = run(tmp_path / "base")
    chosen = base[[0, 1, 2, 9]]
    run(tmp_path / "chosen", chosen, lambda data: data)
    for other in (base[[0, 3, 4, 9]], gm.Prepared(tmp_path / "base", grow)[[0, 1, 2, 9]]):
        for source in (other, Subset(other, range(4))):
            with pytest.raises(ValueError, match="prepared from the same source"):
                run(tmp_path / "chosen", source, lambda data: data)


def test_the_source_keeps_its_graphs(tmp_path: Path) -> None:
    def change(data: Data) -> Data:
        data.pos += 1
        data.extra = data.y
        return data

    graphs = list(Rings(4))
    first = run(tmp_path / "first", graphs, change)
    assert "extra" not in graphs[1]
    second = run(tmp_path / "second", graphs, change)
    assert torch.equal(first[1].pos, Rings()[1].pos + 1)
    assert torch.equal(second[1].pos, first[1].pos)


def test_folders_are_those_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def leave(jobs: Any, *options: Any) -> Iterator[Any]:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")  # as workers of clusters do
        for function, arguments, keywords in jobs:
            seen.append(function(*arguments, **keywords))
            yield seen[-1]

    monkeypatch.setattr("graphmask.prepared.run_jobs", leave)
    monkeypatch.chdir(tmp_path)
    dataset = run(Path("relative"))
    assert dataset[9].name == "ring 9"
    assert len(list((tmp_path / "relative").glob("shard*"))) == len(seen) == 4


def test_damaged_missing_and_foreign_shards_are_named_and_written_again(tmp_path: Path) -> None:
    dataset = run(tmp_path / "a")
    run(tmp_path / "b", seed=1)
    expected, shard = digests(tmp_path / "a"), tmp_path / "a" / "shard-000001.safetensors"
    whole = shard.read_bytes()

    shard.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match=r"shard-000001.safetensors is damaged .*bytes"):
        gm.Prepared(tmp_path / "a")
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-000001\.safetensors is missing"):
        gm.Prepared(tmp_path / "a")
    shard.write_bytes(bytes([*whole[:-1], whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"shard-000001.safetensors is damaged \(its checksum"):
        gm.Prepared(tmp_path / "a").verify()
    shard.write_bytes((tmp_path / "b" / shard.name).read_bytes())
    with pytest.raises(ValueError, match="belongs to another preparation"):
        gm.Prepared(tmp_path / "a")[4]
    shard.write_bytes(b"\0" * len(whole))
    with pytest.raises(ValueError, match="is damaged"):
        gm.Prepared(tmp_path / "a")[4]
    run(tmp_path / "a").verify()
    assert digests(tmp_path / "a") == expected
    (tmp_path / "a" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        run(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        gm.Prepared(tmp_path)
    assert len(dataset) == 10


def test_other_attributes_types_and_objects_are_refused(tmp_path: Path) -> None:
    def odd(change):
        def transform(data: Data) -> Data:
            return change(data) if data.y == 7 else data

        return transform

    def drop(data: Data) -> Data:
        del data.name
        return data

    def widen(data: Data) -> Data:
        data.pos = data.pos.half()
        return data

    def put(data: Data) -> Data:
        data.name = {1, 2}
        return data

    for number, (change, error, match) in enumerate(
        [
            (drop, ValueError, "graph 7, which differs in .*name"),
            (widen, ValueError, "graph 7, which differs in .*pos"),
            (put, TypeError, r"graph 7\), got"),
            (lambda data: None, TypeError, "graph 7, got"),
        ]
    ):
        for size in (2, 10):  # within a shard, and between shards
            if number == 1 and size == 2:
                match = "differs in .*pos"
            with pytest.raises(error, match=match):
                run(tmp_path / f"{number}-{size}", transform=odd(change), shard_size=size)

    def sparse(data: Data) -> Data:
        data.pos = data.pos.to_sparse()
        return data

    for source, transform in ((list(Rings(2)), sparse), ([sparse(Rings()[0])], lambda data: data)):
        with pytest.raises(ValueError, match="dense tensors"):
            run(tmp_path / f"sparse {len(source)}", source, transform)
    gm.distributed.shard(Rings()[9], tmp_path / "cut", parts=2, log=False)
    with pytest.raises(ValueError, match="graph in parts"):
        run(tmp_path / "cut")
    with pytest.raises(ValueError, match="one graph at least"):
        run(tmp_path, [])
    with pytest.raises(TypeError, match=r"of torch_geometric\.data\.Data"):
        run(tmp_path, [1, 2])
    with pytest.raises(ValueError, match="positive, or -1"):
        run(tmp_path, workers=0)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_loaders_map_the_same_files(tmp_path: Path, context: str) -> None:
    dataset = run(tmp_path)
    dataset[0]  # an open shard does not travel
    loader = DataLoader(dataset, 4, num_workers=1, multiprocessing_context=context)
    names = [name for batch in loader for name in batch.name]
    assert names == [f"ring {i}" for i in range(10)]


SCRIPT = """
import sys, time
import torch
from tests.test_prepared import Rings, steps, Jitter
import graphmask as gm

class Slow(Jitter):
    def __call__(self, data):
        time.sleep(0.05)
        return super().__call__(data)

transform = steps()
transform.transforms[0] = Slow()
options = {"shard_size": 2, "workers": int(sys.argv[2]), "progress": False}
gm.prepare(Rings(40), transform, sys.argv[1], **options)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_is_repeated_or_complete(tmp_path: Path, workers: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), workers]
    for pause in (0.1, 0.4):
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and not (tmp_path / "killed" / "manifest.json").exists():
            time.sleep(0.02)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        manifest = json.loads((tmp_path / "killed" / "manifest.json").read_text())
        for name, shard in manifest["shards"].items():
            content = (tmp_path / "killed" / name).read_bytes()
            assert sha256(content).hexdigest() == shard["sha256"]
    subprocess.run(command, check=True)
    command[3:] = [str(tmp_path / "whole"), "1"]
    subprocess.run(command, check=True)
    ours, theirs = (gm.Prepared(tmp_path / name) for name in ("killed", "whole"))
    assert ours.shards == theirs.shards
    assert all(torch.equal(a.walk_table, b.walk_table) for a, b in zip(ours, theirs, strict=True))
