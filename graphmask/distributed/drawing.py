"""Walks of graphs on disk, drawn part by part."""

from __future__ import annotations

import hashlib
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import Tensor
from tqdm.auto import tqdm

from graphmask._checks import check_integer, type_error, value_error
from graphmask._parallel import run_jobs
from graphmask._part import Part
from graphmask._random import generator_from, seed_from
from graphmask._settings import describe_setting
from graphmask._shards import sha256
from graphmask.topology import Topology
from graphmask.walks import WalkSampler
from graphmask.walks._rows import PairRows

from ._files import map_tensors, save_tensors
from ._reader import Reader
from .stored import GraphShards, walks_name, write_manifest


def draw_walks(
    folder: str | Path,
    sampler: WalkSampler,
    *,
    sets: int = 1,
    seed: int = 0,
    workers: int = 1,
    backend: str | None = None,
    progress: bool = True,
) -> GraphShards:
    """Draw the walks of a graph on disk, one part at a time.

    The walks are, bit by bit, those that :func:`shard` draws on the whole graph by the same seed,
    and take the place of those that the graph has. Each part reads what lies up to K hops around
    its nodes, so that memory holds one part, and a few numbers per node. Files appear whole; a run
    that was stopped goes on with the parts that are missing.

    Args:
        folder: that of :func:`shard`; ``~`` expands.
        sampler: draws the walks.
        sets: number of independent sets. (default: :obj:`1`)
        seed: of the draws. (default: :obj:`0`)
        workers: number of processes, or -1 for one per core. (default: :obj:`1`, this process)
        backend: of joblib, as in :func:`graphmask.prepare`. (default: :obj:`None`)
        progress: whether to show a progress bar. (default: :obj:`True`)

    Returns:
        The graph on disk.

    Raises:
        FileNotFoundError: for a folder without graph, and for a missing part.
        TypeError: where the sampler is none.
        ValueError: for damaged parts.

    Cost: that of the sampler, and of the edges around each part.

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> folder = tempfile.TemporaryDirectory()
        >>> _ = gm.distributed.shard(path, folder.name, parts=2)
        >>> walks = gm.walks.ResampledWalks(budget=4, hops=2)
        >>> _ = gm.distributed.draw_walks(folder.name, walks, progress=False)
        >>> gm.distributed.open_shard(folder.name).topology.walks.num_hops
        2
        >>> folder.cleanup()
    """
    if not isinstance(sampler, WalkSampler):
        raise type_error("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
    check_integer("sets", sets, 1)
    check_integer("seed", seed, 0)
    if check_integer("workers", workers, -1) == 0:
        raise value_error("workers", "positive, or -1 for one per core", workers)
    shards = GraphShards(folder)
    return draw_on(shards, sampler, sets, seed, workers, backend, progress)


def draw_on(
    shards: GraphShards,
    sampler: WalkSampler,
    sets: int,
    seed: int,
    workers: int = 1,
    backend: str | None = None,
    progress: bool = False,
) -> GraphShards:
    """Draw walks, and make the graph visible with them; see :func:`draw_walks`."""
    seeds = [seed_from(generator_from(seed, place)) for place in range(sets)]
    plan = repr((shards.owner, describe_setting(sampler), seeds, torch.get_default_dtype()))
    tag = hashlib.sha256(plan.encode()).hexdigest()[:12]
    todo = [index for index in range(shards.num_parts) if not _is_done(shards, tag, index)]
    shared = _find_shared(shards, sampler, seeds) if todo else []
    jobs = (joblib.delayed(_draw_part)(shards, sampler, seeds, shared, tag, i) for i in todo)
    with tqdm(total=shards.num_parts, unit=" parts", disable=not progress) as bar:
        bar.update(shards.num_parts - len(todo))
        for _ in run_jobs(jobs, workers, backend):
            bar.update(1)
    return _publish(shards, sampler, sets, tag)


class _Numbered(Part):
    """Some nodes of a graph, which keep their numbers."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers


class _Surroundings:
    """The surroundings of some nodes, in the order that the nodes have in the graph."""

    def __init__(self, shards: GraphShards, nodes: Tensor, hops: int) -> None:
        reader = Reader(shards)
        near = reader.rings(nodes, hops)
        ends, values = reader.edges(near)
        rising = torch.cat([near, ends.flatten()]).unique()
        order = reader.values("node", rising)[: len(rising)].argsort()
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        self.position = rising[order]
        self.nodes = place[torch.searchsorted(rising, nodes)]
        has_batch = "node.batch" in reader.names("node")
        batch = reader.values("node.batch", self.position) if has_batch else None
        edge_index = place[torch.searchsorted(rising, ends)]
        topology = Topology(
            edge_index,
            len(order),
            values.get("weight"),
            None if batch is None else batch[: len(order)],
            num_graphs=shards.num_graphs,
        )
        numbers = reader.values("number", self.position)[: len(order)]
        self.topology = topology.in_part(_Numbered(numbers))


def _find_shared(
    shards: GraphShards, sampler: WalkSampler, seeds: list[int]
) -> list[Tensor | None]:
    """Find the state that the draws of all parts share, for each set of walks."""
    counts, graph, position = (torch.zeros(shards.num_nodes, dtype=torch.long) for _ in range(3))
    for index, (first, end) in enumerate(pairwise(shards.starts.tolist())):
        tensors = shards.part(index)
        source, target = tensors["ends"]
        own = (target >= first) & (target < end)
        entry = (target[own] * shards.num_nodes + source[own]).unique()
        rows = torch.div(entry, shards.num_nodes, rounding_mode="floor") - first
        node = tensors["node"]
        counts[node] = torch.bincount(rows, minlength=end - first)
        graph[node] = tensors.get("node.batch", torch.zeros_like(node))
        position[node] = torch.arange(first, end)
    sizes = torch.bincount(graph, minlength=shards.num_graphs)
    pilots = sampler._pilots(counts, graph, sizes)
    if pilots is None:
        return [None] * len(seeds)
    return [
        sampler._share(
            _pilot_rows(shards, sampler, position[pilots], seed),
            graph[pilots],
            shards.num_graphs,
        )
        for seed in seeds
    ]


def _pilot_rows(
    shards: GraphShards, sampler: WalkSampler, positions: Tensor, seed: int
) -> PairRows:
    """The rows of pilots, in their order."""
    rising, order = positions.sort()
    rows: list[Any] = [None] * len(positions)
    cuts = torch.searchsorted(rising, shards.starts).tolist()
    for first, end in pairwise(cuts):
        if end == first:
            continue
        around = _Surroundings(shards, rising[first:end], sampler.hops)
        drawn = sampler._pilot_rows(around.topology, around.nodes, seed)
        sizes = drawn.counts.tolist()
        groups = zip(sizes, drawn.col.split(sizes), drawn.table.split(sizes), strict=True)
        for place, (size, col, table) in zip(order[first:end].tolist(), groups, strict=True):
            rows[place] = PairRows(torch.tensor([size]), col, table)
    if not rows:
        none = torch.empty(0, dtype=torch.long)
        return PairRows(none, none, torch.empty(0, sampler.hops + 1, dtype=torch.float64))
    return PairRows.concatenate(rows)


@torch.no_grad()
def _draw_part(
    shards: GraphShards,
    sampler: WalkSampler,
    seeds: list[int],
    shared: list[Tensor | None],
    tag: str,
    index: int,
) -> None:
    """Draw and write the walks of a part."""
    shards = copy(shards)  # maps files of its own, which are closed at the end
    own = torch.arange(int(shards.starts[index]), int(shards.starts[index + 1]))
    around = _Surroundings(shards, own, sampler.hops)
    tensors = {}
    for place, (seed, known) in enumerate(zip(seeds, shared, strict=True)):
        counts, col, table = sampler._rows(around.topology, around.nodes, seed, known)
        row = torch.arange(len(counts)).repeat_interleave(counts)
        position = around.position[col]
        order = torch.argsort(row * shards.num_nodes + position)
        tensors[f"{place}.counts"] = counts
        tensors[f"{place}.col"] = position[order]
        tensors[f"{place}.table"] = table[order]
    save_tensors(shards.folder / walks_name(tag, index), tensors, shards.owner)


def _is_done(shards: GraphShards, tag: str, index: int) -> bool:
    """Return True if a file of walks exists and is whole."""
    try:
        map_tensors(shards.folder / walks_name(tag, index), shards.owner)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _publish(shards: GraphShards, sampler: WalkSampler, sets: int, tag: str) -> GraphShards:
    """Name the new walks in the manifest, and remove those of before."""
    folder = shards.folder
    names = [walks_name(tag, index) for index in range(shards.num_parts)]
    tensors = [map_tensors(folder / name, shards.owner) for name in names]
    nonnegative = [
        all(bool((part[f"{place}.table"] >= 0).all()) for part in tensors) for place in range(sets)
    ]
    files = {name: sha for name, sha in shards.files.items() if not name.startswith("walks-")}
    manifest = {
        **shards.manifest,
        "files": files | {name: sha256(folder / name) for name in names},
        "walk_files": tag,
        "walks": [
            {"normalization": sampler.normalization, "nonnegative": each} for each in nonnegative
        ],
    }
    write_manifest(folder, manifest)
    return GraphShards(folder)
