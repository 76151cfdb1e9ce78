"""Walks that are drawn part by part are those of the whole graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cases
import pytest
import torch
from rank_cases import cloud, clouds
from torch_geometric.data import Batch, Data

import graphmask as gm
from graphmask import walks
from graphmask.distributed import draw_walks, open_shard, shard

pytestmark = pytest.mark.global_rng

SAMPLERS: list[Any] = [
    walks.ResampledWalks(6, hops=3),
    walks.ResampledWalks(6, hops=2, normalization="rw"),
    walks.ResampledWalks(2, hops=4, width=4),
    walks.IIDWalks(4, hops=3),
    walks.AntitheticWalks(4, hops=3),
    walks.RepellingWalks(4, hops=3),
    walks.TruncatedWalks(hops=3),
    walks.Shells(6, hops=3),
]
SAMPLERS += [pytest.param(case.make(), marks=pytest.mark.slow) for case in cases.SAMPLERS]


def hubs() -> Data:
    """Two clouds with hubs, and edges that come twice."""
    data = Batch.from_data_list([cloud(60, 4), cloud(45, 5)])
    hub = torch.stack([torch.arange(1, 50), torch.zeros(49, dtype=torch.long)])
    edges = torch.cat([hub, hub.flip(0), hub[:, :9]], 1)
    data.edge_index = torch.cat([data.edge_index, edges], 1)
    data.edge_weight = torch.cat([data.edge_weight, torch.rand(edges.shape[1]) + 0.1])
    data.edge_attr = None
    return data


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_parts_have_the_walks_of_the_whole(tmp_path: Path, sampler: Any) -> None:
    data = hubs()
    parts = torch.arange(105) * 7 % 5
    shard(data, tmp_path / "whole", parts=parts, walks=sampler, sets=2, seed=3)
    shard(data, tmp_path / "parts", parts=parts)
    draw_walks(tmp_path / "parts", sampler, sets=2, seed=3, progress=False)
    whole, drawn = (open_shard(tmp_path / name).topology for name in ("whole", "parts"))
    assert len(drawn.walk_sets) == 2
    for ours, theirs in zip(drawn.walk_sets, whole.walk_sets, strict=True):
        assert torch.equal(ours.pattern.rowptr, theirs.pattern.rowptr)
        assert torch.equal(ours.pattern.col, theirs.pattern.col)
        assert torch.equal(ours.table, theirs.table)
        assert (ours.normalization, ours.nonnegative) == (theirs.normalization, theirs.nonnegative)


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(clouds(), tmp_path / "a", parts=4, walks=walks.IIDWalks(3, hops=1))
    before = open_shard(tmp_path / "a").topology.walks
    assert before is not None
    sampler, made = walks.ResampledWalks(8, hops=2), []
    draw_part, limit = gm.distributed.drawing._draw_part, [2]

    def stop_at_the_limit(*arguments: Any) -> None:
        if len(made) == limit[0]:
            raise KeyboardInterrupt
        made.append(arguments[-1])
        draw_part(*arguments)

    monkeypatch.setattr(gm.distributed.drawing, "_draw_part", stop_at_the_limit)
    with pytest.raises(KeyboardInterrupt):
        draw_walks(tmp_path / "a", sampler, progress=False)
    kept = open_shard(tmp_path / "a").topology.walks
    assert kept is not None
    assert torch.equal(kept.table, before.table)
    made.clear()
    limit[0] = 9
    draw_walks(tmp_path / "a", sampler, progress=False)
    assert made == [2, 3]
    now = open_shard(tmp_path / "a").topology.walks
    assert now is not None
    assert now.num_hops == 2
    assert len(list((tmp_path / "a").glob("walks-*"))) == 4


def test_graphs_without_nodes_have_walks(tmp_path: Path) -> None:
    empty = Data(x=torch.empty(0, 4), edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=0)
    shard(empty, tmp_path, parts=1)
    draw_walks(tmp_path, walks.ResampledWalks(8, hops=2), progress=False)
    assert open_shard(tmp_path).topology.walk_sets[0].nnz == 0


def test_a_graph_appears_with_its_walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gm.distributed.drawing, "_draw_part", stop)
    with pytest.raises(KeyboardInterrupt):
        shard(clouds(), tmp_path, parts=4, walks=walks.IIDWalks(3, hops=1))
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        open_shard(tmp_path)


@pytest.mark.slow
def test_workers_write_the_same_bytes(tmp_path: Path) -> None:
    data, contents = hubs(), []
    for name, workers in (("a", 1), ("b", 2)):
        shard(data, tmp_path / name, parts=5)
        draw_walks(
            tmp_path / name, walks.ResampledWalks(6, hops=3), workers=workers, progress=False
        )
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
