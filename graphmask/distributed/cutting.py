"""Cutting graphs into parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

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
from .stored import FORMAT, GRAPH, MANIFEST, GraphShards, part_name, walks_name, write_manifest

# Attributes of edges that a topology reads; they are kept with its edges.
_EDGES = ("edge_index", "adj_t", "edge_weight", "edge_attr")

# Names the files of walks that the whole graph had.
_STORED = "whole"


def shard(
    data: Data,
    folder: str | Path,
    *,
    parts: int | Tensor,
    walks: WalkSampler | None = None,
    sets: int = 1,
    seed: int = 0,
) -> GraphShards:
    r"""Cut one graph into parts on disk, so that several processes can hold it.

    A part holds its nodes with all their attributes, the edges at both their ends, and their walks.
    There may be more parts than processes: each takes several in a row.

    Args:
        data: the graph, or a batch of graphs; walks that :class:`~graphmask.transforms.AddWalks`
            stored are kept.
        folder: where to write, replacing a graph that is there; ``~`` expands.
        parts: number of parts, along Hilbert's curve where there are positions, else by
            :func:`~graphmask.transforms.partition_nodes`; or ``[N]``, the part of each node, as
            METIS or KaHIP give it: parts may be empty or of any sizes.
        walks: draws walks of the whole graph before it is cut. (default: :obj:`None`, none but
            those that are stored)
        sets: number of independent sets of walks. (default: :obj:`1`)
        seed: of walks. (default: :obj:`0`)

    Returns:
        The graph on disk.

    Raises:
        TypeError: for arguments of wrong types.
        ValueError: as :class:`~graphmask.Topology` does, for more parts than nodes, for walks
            beside stored ones, and for attributes that no file holds.

    Cost: that of the partition and of the walks, and O(E log E).

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> folder = tempfile.TemporaryDirectory()
        >>> walks = gm.walks.ResampledWalks(budget=4, hops=2)
        >>> gm.distributed.shard(path, folder.name, parts=2, walks=walks)
        GraphShards(num_nodes=4, num_edges=4, num_parts=2, cut=0.5)
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
    if walks is not None:
        if topology.walk_sets:
            raise value_error("walks", "None for data that holds walks", repr(walks))
        drawn = [walks(topology, generator_from(seed, index)) for index in range(sets)]
        topology = topology.with_walks(*drawn)
    part, order = _assign(data, topology, parts)
    counts = torch.bincount(part, minlength=parts if isinstance(parts, int) else 1)
    return _Writer(data, topology, order, counts, Path(folder).expanduser()).write(part)


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
        self, data: Data, topology: Topology, order: Tensor, counts: Tensor, folder: Path
    ) -> None:
        self.data, self.topology, self.order, self.folder = data, topology, order, folder
        self.starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.position = torch.empty_like(order)
        self.position[order] = torch.arange(len(order))
        self.edges = self.position[topology.edge_index.cpu().long()]
        self.node_values, self.edge_values, self.rest = _split_attributes(data, topology)

    def write(self, part: Tensor) -> GraphShards:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        owner = self._fingerprint()
        plain = {k: v for k, v in self.rest.items() if not isinstance(v, Tensor)}
        files: dict[str, str] = {}
        sets = self.topology.walk_sets
        for index, tensors in enumerate(self._parts()):
            self._save(files, part_name(index), tensors, owner)
            if sets:
                self._save(files, walks_name(_STORED, index), self._walks(tensors["node"]), owner)
        graph = {k: v for k, v in self.rest.items() if isinstance(v, Tensor)}
        save_tensors(self.folder / GRAPH, graph, owner)
        ends = part[self.topology.edge_index.cpu().long()]
        manifest = {
            "format": FORMAT,
            "owner": owner,
            "edges": self.topology.num_edges,
            "graphs": self.topology.num_graphs,
            "cut": float((ends[0] != ends[1]).double().mean()) if ends.numel() else 0.0,
            "starts": self.starts.tolist(),
            "walks": [
                {"normalization": walks.normalization, "nonnegative": walks.nonnegative}
                for walks in sets
            ],
            "walk_files": _STORED if sets else None,
            "values": plain,
            "files": files,
        }
        write_manifest(self.folder, manifest)
        return GraphShards(self.folder)

    def _save(
        self, files: dict[str, str], name: str, tensors: dict[str, Tensor], owner: str
    ) -> None:
        save_tensors(self.folder / name, tensors, owner)
        files[name] = sha256(self.folder / name)

    def _parts(self) -> Iterator[dict[str, Tensor]]:
        """The tensors of each part."""
        count = len(self.starts) - 1
        owner = torch.searchsorted(self.starts, self.edges, right=True) - 1
        number = torch.arange(self.edges.shape[1])
        crossing = owner[0] != owner[1]
        part = torch.cat([owner[1], owner[0][crossing]])
        number = torch.cat([number, number[crossing]])
        # By part, and within it by the number of the edge.
        by_number = torch.argsort(number, stable=True)
        part, number = part[by_number], number[by_number]
        by_part = torch.argsort(part, stable=True)
        sizes = torch.bincount(part, minlength=count).tolist()
        for index, edges in enumerate(number[by_part].split(sizes)):
            nodes = self.order[self.starts[index] : self.starts[index + 1]]
            yield {
                "node": nodes,
                "number": self.topology.local_index.cpu()[nodes],
                "edge": edges,
                "ends": self.edges[:, edges],
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
        tensors = {"order": self.order, "edges": self.edges, **self.node_values, **self.edge_values}
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(bytes_of(tensor))
        return digest.hexdigest()[:32]


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
        if is_tensor and (name == "batch" or data.is_node_attr(name)):
            nodes[name] = value
        elif is_tensor and data.is_edge_attr(name):
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


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None)))
