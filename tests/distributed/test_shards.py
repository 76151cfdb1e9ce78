"""Graphs on disk, and the parts of one process."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rank_cases import WALKS, cloud, clouds
from torch.testing import assert_close
from torch_geometric import nn as pyg
from torch_geometric.data import Data

import graphmask as gm
from graphmask._atomic import locking
from graphmask._random import generator_from
from graphmask.distributed import GraphShards, collect, open_shard, shard
from graphmask.distributed._files import map_tensors, save_tensors
from graphmask.distributed.stored import part_name, walks_name

pytestmark = pytest.mark.global_rng


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "graph"


def test_files_give_back_what_they_hold(tmp_path: Path) -> None:
    tensors = {
        "flags": torch.tensor([True, False, True]),
        "halves": torch.tensor([[1.5], [2.5]], dtype=torch.bfloat16),
        "none": torch.empty(0, 3),
        "one": torch.tensor(7, dtype=torch.int8),
        "wide": torch.rand(3, 2).mT,
    }
    save_tensors(tmp_path / "a", tensors, "me")
    found = map_tensors(tmp_path / "a", "me")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_graph_takes_the_place_of_a_former_one(folder: Path) -> None:
    shard(clouds(), folder, parts=4, walks=WALKS, log=False)
    shard(clouds(), folder, parts=2, log=False)
    named = {"manifest.json", "graph.safetensors", part_name(0), part_name(1)}
    assert {path.name for path in folder.iterdir()} == named


def test_files_are_those_of_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    x = torch.rand(5, 3)
    save_tensors(tmp_path / "a", {"x": x, "y": torch.arange(3)}, "me")
    found = safetensors.load_file(tmp_path / "a")
    assert torch.equal(found["x"], x)
    assert found["y"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("parts", [1, 4, torch.arange(42) % 3 * 2], ids=["1", "4", "vector"])
def test_nothing_is_lost(folder: Path, parts: Any) -> None:
    data = clouds()
    data.color = torch.arange(42, dtype=torch.int16)
    data.title, data.setting = "three clouds", torch.rand(2, 2)
    shards = shard(data, folder, parts=parts, walks=WALKS, sets=2)
    assert (shards.num_nodes, shards.num_edges, shards.num_graphs) == (42, data.num_edges, 3)
    opened = open_shard(folder)
    topology = opened.topology
    for name in ("x", "y", "pos", "color", "batch"):
        values = collect(getattr(opened, name), topology)
        assert values.dtype == data[name].dtype
        assert torch.equal(values, data[name])
    assert (opened.title, opened.setting.tolist()) == (data.title, data.setting.tolist())
    ids = opened.nodes
    assert torch.equal(ids[topology.edge_index], data.edge_index)
    assert torch.equal(topology.edge_weight, data.edge_weight)
    assert torch.equal(topology.edge_attr, data.edge_attr)
    # Walks are those of the whole graph, bit by bit.
    whole = gm.Topology.from_data(data)
    for place, walks in enumerate(topology.walk_sets):
        drawn = WALKS(whole, generator_from(0, place))
        assert torch.equal(walks.to_dense(), drawn.to_dense()[:, ids][:, :, ids])


def mapped_ranges(path: Path) -> list[tuple[int, int]]:
    """Addresses at which a file is mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    ranges = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return [(int(first, 16), int(end, 16)) for first, end in ranges]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="without /proc")
def test_attributes_of_one_part_stay_on_disk(folder: Path) -> None:
    files = shard(cloud(30, 0), folder, parts=1, walks=WALKS).walk_files
    opened = open_shard(folder, verify=False)
    walks = opened.topology.walks
    assert walks is not None
    for name, tensor in ((part_name(0), opened.x), (walks_name(str(files), 0), walks.table)):
        ranges = mapped_ranges(folder / name)
        assert any(first <= tensor.data_ptr() < end for first, end in ranges)


def test_drawn_walks_are_those_of_the_transform(folder: Path) -> None:
    data = cloud(30, 0)
    generator = torch.Generator().manual_seed(3)
    stored = gm.transforms.AddWalks(WALKS, generator)(data.clone())
    shard(stored, folder, parts=3)
    opened = open_shard(folder)
    walks, known = opened.topology.walks, gm.Topology.from_data(stored).walks
    assert walks is not None
    assert known is not None
    assert torch.equal(walks.to_dense(), known.to_dense()[:, opened.nodes][:, :, opened.nodes])
    with pytest.raises(ValueError, match="`walks` must be None for data that holds walks"):
        shard(stored, folder, parts=3, walks=WALKS)


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shard(cloud(30, 0), tmp_path / name, parts=3, walks=WALKS)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("parts", [4, torch.arange(42) % 3 * 2], ids=["4", "vector"])
def test_graphs_in_files_are_cut_in_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Any
) -> None:
    data = clouds()
    shard(data, tmp_path / "whole", parts=parts)
    for name in ("x", "y", "pos", "edge_index", "edge_weight"):
        np.save(tmp_path / f"{name}.npy", data[name].numpy())
        data[name] = torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c"))
    monkeypatch.setattr("graphmask.distributed.cutting._CHUNK", 7)
    monkeypatch.setattr("graphmask.transforms.orders._CHUNK", 5)
    shard(data, tmp_path / "runs", parts=parts)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "runs" / path.name).read_bytes()
    assert len(list((tmp_path / "runs").iterdir())) == len(list((tmp_path / "whole").iterdir()))


def test_the_cost_of_a_partition_is_printed_before_it_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = torch.arange(5)
    data = Data(x=torch.eye(6), edge_index=torch.stack([step, step + 1]))
    parts = torch.tensor([0, 0, 0, 0, 1, 1])
    shards = shard(data, folder, parts=parts)
    text = capsys.readouterr().err
    assert "2 parts of 6 nodes: 20.00% of edges are cut" in text
    assert "copies of 16.67% of the nodes, the largest part is 1.33 times the mean" in text
    found = shards.cut, shards.halo, shards.imbalance
    assert_close(torch.tensor(found), torch.tensor([1 / 5, 1 / 6, 4 / 3]))

    def stop(*_: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.distributed.cutting.print", stop, raising=False)
    with pytest.raises(KeyboardInterrupt):
        shard(data, folder, parts=2)
    assert repr(GraphShards(folder)) == repr(shards)
    shard(data, folder, parts=2, log=False)
    assert not capsys.readouterr().err


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def scribble(path: Path) -> None:
    path.write_bytes(b"\x10" + bytes(7) + b"x" * 40)


def replace(path: Path) -> None:
    shard(cloud(31, 1), path.parent / "other", parts=3)
    (path.parent / "other" / path.name).replace(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "its checksum differs"),
        (cut, "it has"),
        (cut_header, "its header is cut off"),
        (scribble, "is damaged"),
        (replace, "belongs to another graph"),
    ],
)
def test_a_damaged_part_is_named(folder: Path, damage: Any, message: str) -> None:
    shard(cloud(30, 0), folder, parts=3)
    damage(folder / part_name(1))
    with pytest.raises(ValueError, match=rf"part-000001\.safetensors.*{message}"):
        open_shard(folder)


def test_a_missing_part_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        open_shard(folder)
    shard(cloud(30, 0), folder, parts=3)
    (folder / part_name(2)).unlink()
    with pytest.raises(FileNotFoundError, match="part-000002"):
        open_shard(folder)
    (folder / "manifest.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        open_shard(folder)


def test_one_process_writes_a_graph(folder: Path) -> None:
    data = cloud(30, 0)
    shard(data, folder, parts=3, log=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with locking(folder), pytest.raises(ValueError, match="which another process writes"):
        shard(data, folder, parts=2, log=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / ".edges-killed").mkdir()
    shard(data, folder, parts=3, log=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_folders_are_left_alone(folder: Path) -> None:
    pytest.importorskip("safetensors")
    gm.prepare([cloud(9, 0)], lambda data: data, folder, progress=False)
    with pytest.raises(ValueError, match=r"`folder` must be empty, or one of `shard`"):
        shard(cloud(30, 0), folder, parts=3)
    assert len(gm.Prepared(folder)) == 1


def test_attributes_of_nodes_are_cut_and_others_are_not(folder: Path) -> None:
    data = cloud(30, 0)
    data.names, data.tags = [f"node {i}" for i in range(30)], ["a", "b"]
    data.face = torch.randint(30, (3, 30))  # as many as nodes by chance
    data.edge_label_index = data.edge_index
    shard(data, folder, parts=torch.arange(30) % 3, log=False)
    opened = open_shard(folder)
    assert opened.names == [f"node {i}" for i in opened.nodes.tolist()]
    assert opened.tags == ["a", "b"]
    assert torch.equal(opened.face, data.face)
    assert torch.equal(opened.edge_label_index, data.edge_index)


def test_means_and_collections_of_any_type(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(cloud(30, 0), folder, parts=3, log=False)
    monkeypatch.chdir(folder.parent)
    shards = GraphShards(folder.name)
    monkeypatch.chdir("/")
    assert len(shards.part(0)["node"]) == 10
    topology = open_shard(folder).topology
    many = gm.distributed.mean(torch.tensor(7000.0).half(), 70_000, topology)
    assert (many.dtype, round(float(many), 3)) == (torch.float16, 0.1)
    assert float(gm.distributed.mean(torch.tensor(7), 10, topology)) == pytest.approx(0.7)
    with pytest.raises(ValueError, match="`count` must be a number"):
        gm.distributed.mean(torch.tensor(7.0), torch.ones(5), topology)
    with pytest.raises(TypeError, match="`topology` must be the Topology"):
        gm.distributed.mean(torch.tensor(7.0), 1, None)  # type: ignore[arg-type]

    def all_of(part: Any) -> list[torch.Tensor]:
        return [collect(x[part.nodes], part.topology) for x in kinds]

    kinds = [torch.arange(30, dtype=torch.int16), torch.rand(30, 2, 3), torch.rand(30) > 0.5]
    kinds += [torch.rand(30, 0), torch.rand(30, 2, dtype=torch.complex64)]
    for outputs in gm.distributed.in_turn(folder, all_of):
        assert all(map(torch.equal, outputs, kinds))


def test_a_stopped_writer_leaves_no_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(cloud(30, 0), folder, parts=3)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.distributed.cutting.save_tensors", stop)
    with pytest.raises(KeyboardInterrupt):
        shard(cloud(30, 1), folder, parts=3)
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        open_shard(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": 31}, "`parts` must be at most N = 30"),
        ({"parts": 0}, "parts"),
        ({"parts": torch.zeros(3, dtype=torch.long)}, r"integers \[N\] with N = 30"),
        ({"parts": torch.full((30,), -1)}, "numbers of parts from 0"),
        ({"parts": 2, "sets": 0}, "sets"),
        ({"parts": 2, "seed": -1}, "seed"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shard(cloud(30, 0), folder, **arguments)
    with pytest.raises(TypeError, match="data"):
        shard({}, folder, parts=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="walks"):
        shard(cloud(30, 0), folder, parts=1, walks=3)  # type: ignore[arg-type]
    data = cloud(30, 0)
    data.net = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="also in `net`"):
        shard(data, folder, parts=1)


REFUSED = {
    "tree": lambda: gm.masks.TreeDistanceMask(heads=2),
    "diffusion": lambda: gm.masks.DiffusionMask(heads=2),
    "two walks": lambda: gm.masks.GRFMask(3, heads=2),
    "product": lambda: gm.masks.GlobalMask() @ gm.masks.GlobalMask(),
    "transpose": lambda: gm.masks.WalkMask(3, heads=2).mT,
    "both directions": lambda: gm.masks.WalkMask(3, heads=2, symmetrize=True),
    "within a sum": lambda: gm.masks.GlobalMask() + gm.masks.CausalMask(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_masks_that_need_a_whole_graph_are_refused_by_name(folder: Path, name: str) -> None:
    data = cloud(12, 0)
    shard(data, folder, parts=2, walks=WALKS, sets=2)
    opened, mask = open_shard(folder), REFUSED[name]()
    layer = gm.nn.TopologicalAttention(4, 2, mask)
    with pytest.raises(ValueError, match=r"`mask` must be what a graph over ranks can run"):
        layer(opened.x, opened.topology)


def test_what_a_part_cannot_compute_is_refused(folder: Path) -> None:
    shard(cloud(12, 0), folder, parts=2)
    opened = open_shard(folder)
    x, topology = opened.x, opened.topology
    walks, ones = gm.masks.WalkMask(3, heads=2), gm.masks.GlobalMask()
    attention = gm.nn.TopologicalAttention
    transformer = gm.nn.TopologicalTransformer
    layer = gm.nn.TopologicalTransformerLayer
    refused: list[tuple[Any, str]] = [
        (attention(4, 2, walks), r"with walks.*shard\(data, folder, walks=sampler\)"),
        (attention(4, 2, gm.masks.PowerSeriesMask(2, 2)), r"open_shard\(folder, hops=2\)"),
        (layer(4, 2, ones, conv=pyg.SGConv(4, 4, K=3), norm=None), r"open_shard\(folder, hops=3\)"),
        (layer(4, 2, ones, conv=pyg.DirGNNConv(pyg.GCNConv(4, 4)), norm=None), "`conv` must be"),
        (layer(4, 2, ones, conv=pyg.GPSConv(4, pyg.GCNConv(4, 4)), norm=None), "`conv` must be"),
        (layer(4, 2, ones, conv=pyg.GraphUNet(4, 4, 4, 1), norm=None), "`conv` must be"),
        (
            gm.distributed.sync_batch_norm(
                layer(4, 2, ones, conv=pyg.EdgeConv(pyg.MLP([8, 4, 4])), norm=None)
            ),
            "`batch normalisation` must be of nodes in a convolution",
        ),
        (gm.nn.TopologicalGPS(4, None, 2, norm="pair_norm", mask=ones), "`normalisation` must be"),
        (transformer(4, 8, 3, 1, 2, ones, pool=pyg.SortAggregation(2)), "`pool` must be sum"),
        (lambda x, topology: attention(4, 2, ones)(x[:5], topology), r"with N = 12"),
    ]
    for module, message in refused:
        with pytest.raises(ValueError, match=message):
            module(x, topology)
    whole = "`topology` must be what a graph over ranks can run"
    with pytest.raises(ValueError, match=f"{whole}.*ResampledWalks"):
        WALKS(topology)
    with pytest.raises(ValueError, match=f"{whole}.*permute"):
        topology.permute(torch.arange(topology.num_nodes))
    with pytest.raises(ValueError, match="attention_rows"):
        attention(4, 2, ones).attention_rows(torch.tensor([0]), x, topology)
    with pytest.raises(ValueError, match="`total` must be a tensor of one number"):
        gm.distributed.mean(x, 1, topology)
    with pytest.raises(ValueError, match="own nodes"):
        collect(x[:2], topology)
    with pytest.raises(AttributeError, match="no attribute 'z'"):
        _ = opened.z


def test_one_process_may_hold_all_parts(folder: Path) -> None:
    data = cloud(30, 0)
    shards = shard(data, folder, parts=4, walks=WALKS)
    assert repr(GraphShards(folder)) == repr(shards)
    opened = open_shard(folder)
    model = gm.nn.TopologicalTransformer(4, 8, 3, 2, 2, gm.masks.WalkMask(3, 2))
    whole = gm.Topology.from_data(data)
    whole = whole.with_walks(WALKS(whole, generator_from(0, 0)))
    out = model(opened.x, opened.topology)
    assert_close(collect(out, opened.topology), model(data.x, whole).detach())
    with gm.distributed.count_traffic() as traffic:
        model(opened.x, opened.topology)
    assert traffic == gm.distributed.Traffic(0, 0)


def test_batches_of_one_process_need_no_other(folder: Path) -> None:
    data = cloud(30, 0)
    shard(data, folder, parts=4)
    opened = open_shard(folder)
    plain = gm.nn.TopologicalTransformer(4, 8, 3, 2, 2, gm.masks.GlobalMask(), norm="batch_norm")
    synced = gm.distributed.sync_batch_norm(deepcopy(plain))
    out = plain(opened.x, opened.topology)
    assert_close(synced(opened.x, opened.topology), out)
    synced.save_pretrained(folder / "model")
    loaded = gm.nn.TopologicalTransformer.from_pretrained(folder / "model").eval()
    assert_close(loaded(data.x, data.edge_index), plain.eval()(data.x, data.edge_index))


@pytest.mark.parametrize(
    "options",
    [
        {"conv": pyg.GINConv(pyg.MLP([8, 8, 8]))},
        {"encoder": torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))},
        {"head": gm.nn.Readout(8, 3, hidden=(8, 8), norm="batch_norm", pooled_norm="batch_norm")},
        {"skip": pyg.BatchNorm(8, allow_single_element=True)},
    ],
)
def test_models_over_processes_are_saved_as_they_were_made(tmp_path: Path, options: Any) -> None:
    pytest.importorskip("safetensors")
    model = gm.nn.TopologicalTransformer(4, 8, 3, 1, 2, gm.masks.GlobalMask(), **options)
    made = [(type(x), getattr(x, "allow_single_element", None)) for x in model.modules()]
    synced = deepcopy(gm.distributed.sync_batch_norm(model))
    synced.save_pretrained(tmp_path)
    assert any(isinstance(x, gm.distributed.RanksBatchNorm) for x in synced.modules())
    loaded = gm.nn.TopologicalTransformer.from_pretrained(tmp_path)
    assert [(type(x), getattr(x, "allow_single_element", None)) for x in loaded.modules()] == made
    for ours, theirs in zip(loaded.buffers(), synced.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_graphs_without_nodes_or_edges(folder: Path) -> None:
    empty = Data(x=torch.empty(0, 4), edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=0)
    shard(empty, folder, parts=1)
    opened = open_shard(folder)
    model = gm.nn.TopologicalTransformer(4, 8, 3, 1, 2, gm.masks.GlobalMask(), norm=None)
    assert model(opened.x, opened.topology).shape == (0, 3)
    lone = Data(x=torch.rand(3, 4), edge_index=torch.empty(2, 0, dtype=torch.long))
    shard(lone, folder, parts=3)
    opened = open_shard(folder)
    assert model(opened.x, opened.topology).shape == (3, 3)
