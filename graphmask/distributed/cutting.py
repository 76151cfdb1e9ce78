"""Cutting graphs into parts."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._atomic import locking
from graphmask._checks import check_integer, is_integral, type_error, value_error
from graphmask._random import generator_from
from graphmask._shards import sha256
from graphmask._walk_storage import walk_attributes
from graphmask.topology import Topology
from graphmask.transforms.orders import Hilbert
from graphmask.transforms.partition import partition_nodes
from graphmask.walks import WalkSampler
from graphmask.walks._rows import ranges

from ._files import bytes_of, can_save, save_tensors
from .drawing import draw_on
from .stored import (
    FORMAT,
    GRAPH,
    MANIFEST,
    GraphShards,
    check_kind,
    part_name,
    walks_name,
    write_manifest,
)

# Attributes of edges that a topology reads; they are kept with its edges.
_EDGES = ("edge_index", "adj_t", "edge_weight", "edge_attr")

# Names the files of walks that the whole graph had.
_STORED = "whole"

# Folders of edges that are being sorted.
_ASIDE = ".edges"

# Edges that are sorted by part at a time.
_CHUNK = 2**20


def shard(
    data: Data,
    folder: str | Path,
    *,
    parts: int | Tensor,
    walks: WalkSampler | None = None,
    sets: int = 1,
    seed: int = 0,
    log: bool = True,
) -> GraphShards:
    r"""Cut one graph into parts on disk, so that several processes can hold it.

    A part holds its nodes with all their attributes, the edges at both their ends, and their walks;
    of the attributes of edges ``edge_weight`` and ``edge_attr``.
    There may be more parts than processes: each takes several in a row.

    Attributes and edges may exceed memory where files hold them, such as
    ``torch.from_numpy(numpy.load("x.npy", mmap_mode="c"))``: they are read in runs, edges are
    sorted by part on disk, and memory holds about 100 bytes per node, and one part with what lies K
    hops around it for walks of K hops. Two things need the whole graph in memory:
    :func:`~graphmask.transforms.partition_nodes`, for graphs without positions, and ``walks``
    beside any other partition than along Hilbert's curve, which :func:`draw_walks` draws instead,
    part by part.

    Args:
        data: the graph, or a batch of graphs; walks that :class:`~graphmask.transforms.AddWalks`
            stored are kept.
        folder: where to write, replacing a graph that is there; ``~`` expands.
        parts: number of parts, along Hilbert's curve where there are positions, else by
            :func:`~graphmask.transforms.partition_nodes`; or ``[N]``, the part of each node, as
            METIS or KaHIP give it: parts may be empty or of any sizes.
        walks: draws the walks, the same for any partition: part by part along Hilbert's curve, else
            on the whole graph before it is cut. (default: :obj:`None`, none but those that are
            stored)
        sets: number of independent sets of walks. (default: :obj:`1`)
        seed: of walks. (default: :obj:`0`)
        log: whether to print what the partition costs, on stderr, before anything is written: the
            share of edges between parts, the copies of nodes that parts need for one hop, and the
            size of the largest part. (default: :obj:`True`)

    Returns:
        The graph on disk.

    Raises:
        TypeError: for arguments of wrong types.
        ValueError: as :class:`~graphmask.Topology` does, for more parts than nodes, for walks
            beside stored ones, for attributes that no file holds, and for a folder that holds
            something else, or that another process writes: one process cuts a graph.

    Cost: that of the partition and of the walks, and O(E log E); 24 bytes on disk per edge
    meanwhile.

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> folder = tempfile.TemporaryDirectory()
        >>> walks = gm.walks.ResampledWalks(budget=4, hops=2)
        >>> gm.distributed.shard(path, folder.name, parts=2, walks=walks)
        GraphShards(num_nodes=4, num_edges=4, num_parts=2, cut=0.5, halo=0.5, imbalance=1)
        >>> shard = gm.distributed.open_shard(folder.name)  # one process holds all parts
        >>> shard.topology.num_rows, shard.x.shape
        (4, torch.Size([4, 4]))
        >>> folder.cleanup()
    """
    if not isinstance(data, Data):
        raise type_error("data", "a torch_geometric.data.Data", data)
    if walks is not None and not isinstance(walks, WalkSampler):
        raise type_error("walks", "a WalkSampler, such as ResampledWalks()", walks)
    check_integer("sets", sets, 1)
    check_integer("seed", seed, 0)
    topology = Topology.from_data(data)
    if walks is not None and topology.walk_sets:
        raise value_error("walks", "None for data that holds walks", repr(walks))
    part, order = _assign(data, topology, parts)
    counts = torch.bincount(part, minlength=parts if isinstance(parts, int) else 1)
    del part
    # Parts of other partitions may border on most of the graph, which each would read again.
    in_parts = topology.pos is not None and isinstance(parts, int)
    if walks is not None and not in_parts:
        drawn = [walks(topology, generator_from(seed, index)) for index in range(sets)]
        topology = topology.with_walks(*drawn)
    folder = Path(folder).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    check_kind(folder)
    with _writing(folder) as is_locked:
        writer = _Writer(data, topology, order, counts, folder, is_locked)
        manifest = writer.write(log)
        if walks is not None and in_parts:
            return draw_on(GraphShards(folder, manifest), walks, sets, seed)
        write_manifest(folder, manifest)
        return GraphShards(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[bool]:
    """Keep other processes from writing the folder; whether they are kept."""
    with ExitStack() as stack:
        try:
            is_locked = stack.enter_context(locking(folder))
        except BlockingIOError:
            expected = "written by one process: cut the graph on one, and let the others wait"
            found = f"{folder}, which another process writes"
            raise value_error("folder", expected, found) from None
        yield is_locked


def _assign(data: Data, topology: Topology, parts: int | Tensor) -> tuple[Tensor, Tensor]:
    """The part ``[N]`` of each node, and the nodes by part."""
    count = topology.num_nodes
    if isinstance(parts, Tensor):
        if not is_integral(parts) or parts.shape != (count,):
            raise value_error("parts", f"a number, or integers [N] with N = {count}", parts)
        if count and int(parts.min()) < 0:
            raise value_error("parts", "numbers of parts from 0", parts)
        return parts.long().cpu(), torch.argsort(parts.cpu(), stable=True)
    if check_integer("parts", parts, 1) > max(count, 1):
        raise value_error("parts", f"at most N = {count} (nodes)", parts)
    if topology.pos is None:
        part = torch.empty(0, dtype=torch.long)
        if count:
            part = partition_nodes(topology.edge_index, count, parts).cpu()
        return part, torch.argsort(part, stable=True)
    order = Hilbert()(data).cpu()
    part = torch.empty_like(order)
    part[order] = torch.arange(count) * parts // max(count, 1)
    return part, order


class _Writer:
    """Writes the parts of a graph."""

    def __init__(
        self,
        data: Data,
        topology: Topology,
        order: Tensor,
        counts: Tensor,
        folder: Path,
        is_locked: bool,
    ) -> None:
        self.topology, self.order, self.folder = topology, order, folder
        self.data, self.is_locked = data, is_locked
        self.starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.position = torch.empty_like(order)
        self.position[order] = torch.arange(len(order))
        self.node_values, self.edge_values, self.rest = _split_attributes(data, topology)

    def write(self, log: bool) -> dict[str, Any]:
        """Write all files but the manifest, which is returned."""
        with _sorted_edges(self) as edges:
            quality = edges.measure()
            if log:
                print(edges.describe(quality), file=sys.stderr)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            owner = self._fingerprint()
            plain = {k: v for k, v in self.rest.items() if not isinstance(v, Tensor)}
            files: dict[str, str] = {}
            sets = self.topology.walk_sets
            for index in range(len(self.starts) - 1):
                tensors = self._part(index, *edges.read(index))
                self._save(files, part_name(index), tensors, owner)
                if sets:
                    walks = self._walks(tensors["node"])
                    self._save(files, walks_name(_STORED, index), walks, owner)
        graph = {k: v for k, v in self.rest.items() if isinstance(v, Tensor)}
        save_tensors(self.folder / GRAPH, graph, owner)
        return {
            "format": FORMAT,
            "owner": owner,
            "edges": self.topology.num_edges,
            "graphs": self.topology.num_graphs,
            "starts": self.starts.tolist(),
            "walks": [
                {"normalization": walks.normalization, "nonnegative": walks.nonnegative}
                for walks in sets
            ],
            "walk_files": _STORED if sets else None,
            "values": plain,
            "lists": [name for name in plain if _is_list_of_nodes(self.data, name)],
            "files": files,
            **quality,
        }

    def _save(
        self, files: dict[str, str], name: str, tensors: dict[str, Tensor], owner: str
    ) -> None:
        save_tensors(self.folder / name, tensors, owner)
        files[name] = sha256(self.folder / name)

    def _part(self, index: int, edges: Tensor, ends: Tensor) -> dict[str, Tensor]:
        """The tensors of a part, whose edges have these numbers and ends."""
        nodes = self.order[self.starts[index] : self.starts[index + 1]]
        return {
            "node": nodes,
            "number": self.topology.local_index.cpu()[nodes],
            "edge": edges,
            "ends": ends,
            **{f"node.{k}": v.cpu()[nodes] for k, v in self.node_values.items()},
            **{f"edge.{k}": v.detach().cpu()[edges] for k, v in self.edge_values.items()},
        }

    def _walks(self, nodes: Tensor) -> dict[str, Tensor]:
        tensors = {}
        for place, walks in enumerate(self.topology.walk_sets):
            pattern, table = walks.pattern, walks.table.detach().cpu()
            ptr = pattern.rowptr.cpu().long()
            counts = ptr.diff()[nodes]
            row, entry = ranges(ptr[:-1][nodes], counts)
            col = self.position[pattern.col.cpu().long()[entry]]
            order = torch.argsort(row * len(self.order) + col)
            tensors[f"{place}.counts"] = counts
            tensors[f"{place}.col"] = col[order]
            tensors[f"{place}.table"] = table[entry[order]]
        return tensors

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((FORMAT, self.starts.tolist())).encode())
        edges = {"order": self.order, "edges": self.topology.edge_index}
        tensors = {**edges, **self.node_values, **self.edge_values}
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(bytes_of(tensor))
        return digest.hexdigest()[:32]


@contextmanager
def _sorted_edges(writer: _Writer) -> Iterator[_SortedEdges]:
    """The edges of a graph by part, in files that are removed at the end."""
    for left in writer.folder.glob(f"{_ASIDE}*") if writer.is_locked else ():
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
    aside = Path(mkdtemp(prefix=_ASIDE, dir=writer.folder))
    try:
        yield _SortedEdges(writer, aside)
    finally:
        shutil.rmtree(aside)


class _SortedEdges:
    """The edges of each part, in files of ``number, source, target`` of each edge."""

    def __init__(self, writer: _Writer, folder: Path) -> None:
        self.starts, self.folder = writer.starts, folder
        self.crossing = self.total = 0
        edge_index = writer.topology.edge_index
        for first in range(0, edge_index.shape[1], _CHUNK):
            chunk = edge_index[:, first : first + _CHUNK].cpu().long()
            self._append(writer.position[chunk], first)

    def _append(self, ends: Tensor, first: int) -> None:
        """Append edges, each to the parts of both its ends."""
        owner = torch.searchsorted(self.starts, ends, right=True) - 1
        crosses = owner[0] != owner[1]
        self.crossing, self.total = self.crossing + int(crosses.sum()), self.total + len(crosses)
        number = torch.arange(len(crosses))
        part = torch.cat([owner[1], owner[0][crosses]])
        number = torch.cat([number, number[crosses]])
        order = torch.argsort(part * len(crosses) + number)  # by part, then by number
        part, number = part[order], number[order]
        rows = torch.stack([number + first, *ends[:, number]], 1)
        parts, sizes = part.unique_consecutive(return_counts=True)
        for index, group in zip(parts.tolist(), rows.split(sizes.tolist()), strict=True):
            with (self.folder / str(index)).open("ab") as file:
                file.write(bytes_of(group))

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Numbers and ends ``[2, e]`` of the edges of a part."""
        path = self.folder / str(index)
        rows = np.fromfile(path, np.int64) if path.exists() else np.empty(0, np.int64)
        number, *ends = torch.from_numpy(rows).view(-1, 3).mT.contiguous()
        return number, torch.stack(ends)

    def measure(self) -> dict[str, float]:
        """Measure what the partition costs, in the numbers of :class:`GraphShards`."""
        copies, sizes = 0, self.starts.diff()
        for index in range(len(sizes)):
            first, end = self.starts[index : index + 2]
            source, target = self.read(index)[1]
            is_own = (target >= first) & (target < end)
            copies += len(source[is_own & ((source < first) | (source >= end))].unique())
        count = max(1, int(self.starts[-1]))
        return {
            "cut": self.crossing / max(1, self.total),
            "halo": copies / count,
            "imbalance": int(sizes.max()) * len(sizes) / count if len(sizes) else 0.0,
        }

    def describe(self, quality: dict[str, float]) -> str:
        """Describe in words what the partition costs."""
        return (
            f"{len(self.starts) - 1} parts of {int(self.starts[-1]):,} nodes: "
            f"{quality['cut']:.2%} of edges are cut, one hop needs copies of {quality['halo']:.2%} "
            f"of the nodes, the largest part is {quality['imbalance']:.2f} times the mean"
        )


def _split_attributes(
    data: Data, topology: Topology
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Attributes of nodes, of edges as the topology has them, and all others."""
    skipped = {*_EDGES, *walk_attributes(data)}
    nodes, rest = {}, {}
    for name, value in data.to_dict().items():
        if name in skipped or name in ("num_nodes", "ptr"):
            continue
        is_tensor = isinstance(value, Tensor)
        # Ids of nodes, such as faces, lie in the last dimension: there may be N of them by chance.
        in_rows = (
            is_tensor and value.dim() > 0 and data.__cat_dim__(name, value) in (0, -value.dim())
        )
        if in_rows and (name == "batch" or data.is_node_attr(name)):
            nodes[name] = value
        elif in_rows and data.is_edge_attr(name):
            continue
        else:
            rest[name] = value
    if topology.batch is not None:
        nodes["batch"] = topology.batch
    edges = {"weight": topology.edge_weight, "attr": topology.edge_attr}
    edge_values = {name: value for name, value in edges.items() if value is not None}
    for name, value in {**nodes, **edge_values, **rest}.items():
        fits = can_save(value) if isinstance(value, Tensor) else _is_plain(value)
        if not fits:
            expected = f"of tensors, numbers and texts, also in `{name}`"
            raise value_error("data", expected, value)
    return nodes, edge_values, rest


def _is_list_of_nodes(data: Data, name: str) -> bool:
    """Return True for a list with an item per node."""
    # Batches have entries of their own beside those of their graphs.
    is_list = name in data and isinstance(data[name], (list, tuple))
    return is_list and data.is_node_attr(name)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None)))
