"""Graphs cut into parts on disk, and the parts of one rank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.data import Data

from graphmask._atomic import write_text
from graphmask._checks import check_integer, is_integral, type_error, value_error
from graphmask._random import generator_from
from graphmask._shards import sha256
from graphmask._walk_storage import walk_attributes
from graphmask._walks import Walks
from graphmask.kernels import Pattern
from graphmask.topology import Topology
from graphmask.transforms.orders import Hilbert
from graphmask.transforms.partition import partition_nodes
from graphmask.walks import WalkSampler
from graphmask.walks._rows import ranges

from ._files import bytes_of, can_save, damaged, map_tensors, save_tensors
from ._part import Halo, RankPart
from ._ranks import Processes, Ranks

FORMAT = 1
MANIFEST = "manifest.json"
_GRAPH = "graph.safetensors"

# Attributes of edges that a topology reads; they are kept with its edges.
_EDGES = ("edge_index", "adj_t", "edge_weight", "edge_attr")


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


def open_shard(
    folder: str | Path,
    hops: int = 1,
    group: dist.ProcessGroup | None = None,
    recompute: bool = False,
    verify: bool = True,
) -> Shard:
    r"""Open the parts of this process: its own nodes, and a topology with copies of others.

    All processes of a group call it together. Each gets a row of parts, and, beside its own nodes,
    copies of those within ``hops`` hops and of those that walks of its nodes lead to. Layers and
    models that are given ``shard.topology`` take and return the rows of own nodes; they ask for
    the features of copies once per block.

    Args:
        folder: that of :func:`shard`, readable by all processes; ``~`` expands.
        hops: how far rows look along edges: 1 for convolutions such as ``GCNConv``, K for a
            ``PowerSeriesMask`` or ``ShortestPathMask`` of K hops. Walks count no hops. (default:
            :obj:`1`)
        group: of ``torch.distributed``. (default: :obj:`None`, all processes; this one alone where
            ``torch.distributed`` is not initialised)
        recompute: whether blocks of a ``TopologicalTransformer`` keep their inputs alone, and are
            computed again in the backward pass. (default: :obj:`False`)
        verify: whether to compare the checksums of own parts, which reads them once. (default:
            :obj:`True`)

    Raises:
        FileNotFoundError: for a folder without graph, and for a missing part.
        ValueError: for a damaged part, one of another graph, and other arguments than other
            processes gave.
        RuntimeError: where another process failed.

    Cost: O(n + e) for n nodes and e edges of own parts and those that they read, at most.
    Attributes of a single part stay on disk until they are read.
    """
    return open_part(folder, hops, Processes(group), recompute, verify)


def open_part(folder: str | Path, hops: int, ranks: Ranks, recompute: bool, verify: bool) -> Shard:
    """The shard of one of those who share a graph; see :func:`open_shard`."""
    check_integer("hops", hops, 0)
    shards = ranks.together(lambda: GraphShards(folder))
    ranks.agree("folder, hops, recompute", (shards.owner, hops, recompute))
    opened = ranks.together(lambda: _Opener(shards, ranks, hops, verify))
    return opened.finish(recompute)


class GraphShards:
    """A graph that :func:`shard` has cut into parts.

    Args:
        folder: where it is; ``~`` expands.

    Attributes:
        num_nodes: N.
        num_edges: E.
        num_graphs: B.
        starts: first node of each part, in the order of parts, and N.
        cut: share of edges between parts.

    Raises:
        FileNotFoundError: for a folder without graph.
        ValueError: for a damaged manifest.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        path = self.folder / MANIFEST
        if not path.exists():
            raise FileNotFoundError(f"{self.folder} holds no {MANIFEST}: `shard` writes it")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            known = manifest["format"] == FORMAT
            self.owner: str = manifest["owner"]
            self.files: dict[str, Any] = manifest["files"]
            self.walks: list[dict[str, Any]] = manifest["walks"]
            self.values: dict[str, Any] = manifest["values"]
            self.num_edges, self.num_graphs = manifest["edges"], manifest["graphs"]
            self.cut: float = manifest["cut"]
            self.starts = torch.tensor(manifest["starts"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, str(error)) from error
        if not known:
            raise damaged(path, f"it is no manifest of format {FORMAT}")
        self._open: dict[str, dict[str, Tensor]] = {}

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return len(self.starts) - 1

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.starts[-1])

    def part(self, index: int) -> dict[str, Tensor]:
        """All tensors of a part, mapped into memory."""
        return self._map(part_name(index))

    def graph(self) -> dict[str, Tensor]:
        """Tensors that belong neither to nodes nor to edges."""
        return self._map(_GRAPH)

    def verify(self, index: int) -> None:
        """Compare the checksum of a part.

        Raises:
            ValueError: for a part whose content is another.
        """
        path = self.folder / part_name(index)
        _ = self.part(index)
        if sha256(path) != self.files[path.name]:
            raise damaged(path, "its checksum differs")

    def _map(self, name: str) -> dict[str, Tensor]:
        if name not in self._open:
            self._open[name] = map_tensors(self.folder / name, self.owner)
        return self._open[name]

    def __repr__(self) -> str:
        sizes = f"num_nodes={self.num_nodes}, num_edges={self.num_edges}"
        return f"GraphShards({sizes}, num_parts={self.num_parts}, cut={self.cut:.2g})"


@dataclass(frozen=True, eq=False)
class Shard:
    """What :func:`open_shard` gives a process.

    Attributes of nodes and of the graph are attributes of the shard, too: ``shard.x``.

    Attributes:
        data: attributes of own nodes, and of the whole graph.
        topology: own nodes and copies of others; layers take and return rows of own nodes.
        nodes: ``[n]``, ids of own nodes in the graph that was cut.
    """

    data: Data
    topology: Topology
    nodes: Tensor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.data:
            raise AttributeError(f"the shard has no attribute {name!r}")
        return self.data[name]

    def to(self, device: torch.device | str) -> Shard:
        """The same shard on another device."""
        data = self.data.clone().to(device)
        return Shard(data, self.topology.to(device), self.nodes.to(device))

    def __repr__(self) -> str:
        return f"Shard({len(self.nodes)} own nodes, {self.topology!r})"


def part_name(index: int) -> str:
    """The file of a part."""
    return f"part-{index:06d}.safetensors"


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
        files = {}
        for index, tensors in enumerate(self._parts()):
            path = self.folder / part_name(index)
            save_tensors(path, tensors, owner)
            files[path.name] = sha256(path)
        graph = {k: v for k, v in self.rest.items() if isinstance(v, Tensor)}
        save_tensors(self.folder / _GRAPH, graph, owner)
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
                for walks in self.topology.walk_sets
            ],
            "values": plain,
            "files": files,
        }
        write_text(self.folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        return GraphShards(self.folder)

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
                **self._walks(nodes),
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
            tensors[f"walks.{place}.counts"] = counts
            tensors[f"walks.{place}.col"] = col[order]
            tensors[f"walks.{place}.table"] = table[entry[order]]
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


class _Opener:
    """Reads the parts of a rank, and of others what its rows look at."""

    def __init__(self, shards: GraphShards, ranks: Ranks, hops: int, verify: bool) -> None:
        self.shards, self.ranks, self.hops = shards, ranks, hops
        cuts = [rank * shards.num_parts // ranks.size for rank in range(ranks.size + 1)]
        self.parts = range(cuts[ranks.rank], cuts[ranks.rank + 1])
        self.starts = shards.starts[cuts]
        for index in self.parts if verify else ():
            shards.verify(index)
        self.first, self.end = self.starts[ranks.rank : ranks.rank + 2].tolist()
        own = torch.arange(self.first, self.end)
        known = self._rings(own)
        self.number, ends, self.edge_values = self._edges(known)
        ends_of_walks = [self._concatenate(f"walks.{i}.col") for i in range(len(shards.walks))]
        wanted = torch.cat([known, *ends_of_walks]).unique()
        self.wanted = wanted[(wanted < self.first) | (wanted >= self.end)]
        before = self.wanted[self.wanted < self.first]
        after = self.wanted[self.wanted >= self.end]
        near = torch.cat([before, own, after])
        others = ends.unique()
        self.position = torch.cat([near, others[~_contains(near, others)]])
        self.before = len(before)
        self.num_near = len(near)
        self.edge_index = self._local(ends)

    def finish(self, recompute: bool) -> Shard:
        """The shard, for which ranks tell each other what they read."""
        halo = Halo(self.ranks, self.wanted, self.starts)
        # A rank without any node takes part in all sums with one that nobody owns.
        count = max(1, len(self.position))
        most = int(self.ranks.gather_numbers(torch.tensor([count])).max())
        nodes = self._concatenate("node")
        part = RankPart(
            self.ranks,
            halo,
            self.before,
            len(nodes),
            count,
            self.hops,
            nodes,
            self.shards.num_nodes,
            most,
            recompute,
        )
        return Shard(self._data(), self._topology(count, part), nodes)

    def _topology(self, count: int, part: RankPart) -> Topology:
        batch, pos = self._read_nodes("node.batch"), self._read_nodes("node.pos")
        walks = [self._walks(place, count) for place in range(len(self.shards.walks))]
        topology = Topology(
            self.edge_index,
            count,
            self.edge_values.get("weight"),
            batch,
            pos,
            walks,
            self.shards.num_graphs,
            self.edge_values.get("attr"),
        )
        return topology.in_part(part)

    def _data(self) -> Data:
        values: dict[str, Any] = {**self.shards.values, **self.shards.graph()}
        names = [name for name in self._names() if name.startswith("node.")]
        own = {name.removeprefix("node."): self._concatenate(name) for name in names}
        return Data.from_dict({**values, **own, "num_nodes": self.end - self.first})

    def _names(self) -> list[str]:
        return list(self.shards.part(0))

    def _walks(self, place: int, num_nodes: int) -> Walks:
        counts = self._concatenate(f"walks.{place}.counts")
        col = self._local(self._concatenate(f"walks.{place}.col"))
        rest = num_nodes - self.before - len(counts)
        counts = torch.cat([counts.new_zeros(self.before), counts, counts.new_zeros(rest)])
        table = self._concatenate(f"walks.{place}.table")
        pattern = Pattern.from_counts(counts, col, num_nodes)
        settings = self.shards.walks[place]
        return Walks(pattern, table, settings["normalization"], settings["nonnegative"])

    def _concatenate(self, name: str) -> Tensor:
        """A tensor of all own parts."""
        if not len(self.parts):
            like = self.shards.part(0)[name]
            return like[..., :0] if name == "ends" else like[:0]
        tensors = [self.shards.part(index)[name] for index in self.parts]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)

    def _rings(self, own: Tensor) -> Tensor:
        """Own nodes and those up to ``hops`` hops away, by rising position."""
        known = front = own
        for _ in range(self.hops):
            reached = [
                ends[0][_contains(nodes, ends[1])] for nodes, ends in self._by_part(front, "ends")
            ]
            reached = torch.cat([known[:0], *reached]).unique()
            front = reached[~_contains(known, reached)]
            known = torch.cat([known, front]).sort().values
        return known

    def _edges(self, nodes: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Number, ends and values of all edges at some nodes, in the order of the graph."""
        names = [name for name in self._names() if name.startswith("edge.")]
        chosen: list[dict[str, Tensor]] = []
        for group, ends in self._by_part(nodes, "ends"):
            tensors = self.shards.part(self._part_of(group[:1]))
            at = _contains(group, ends[0]) | _contains(group, ends[1])
            found = {name: tensors[name][at] for name in ("edge", *names)}
            chosen.append({**found, "ends": ends[:, at].mT})
        if not chosen:
            empty = self.shards.part(0)
            chosen = [{n: empty[n][:0] for n in ("edge", *names)} | {"ends": empty["ends"].mT[:0]}]
        joined = {name: torch.cat([each[name] for each in chosen]) for name in chosen[0]}
        number, order = joined["edge"].sort(stable=True)
        is_first = torch.ones_like(number, dtype=torch.bool)
        is_first[1:] = number[1:] != number[:-1]
        order = order[is_first]
        values = {name.removeprefix("edge."): joined[name][order] for name in names}
        return number[is_first], joined["ends"][order].mT.contiguous(), values

    def _read_nodes(self, name: str) -> Tensor | None:
        """Values of all nodes of the topology, from the parts that own them."""
        if name not in self._names():
            return None
        like = self.shards.part(0)[name]
        out = like.new_zeros(max(1, len(self.position)), *like.shape[1:])
        position, order = self.position.sort()
        done = 0
        for nodes, values in self._by_part(position, name):
            first = int(self.shards.starts[self._part_of(nodes[:1])])
            out[order[done : done + len(nodes)]] = values[nodes - first]
            done += len(nodes)
        return out

    def _by_part(self, positions: Tensor, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Rising positions in groups of one part each, and a tensor of this part."""
        cuts = torch.searchsorted(positions, self.shards.starts).tolist()
        for index, (first, end) in enumerate(pairwise(cuts)):
            if end > first:
                yield positions[first:end], self.shards.part(index)[name]

    def _part_of(self, position: Tensor) -> int:
        return int(torch.searchsorted(self.shards.starts, position, right=True)) - 1

    def _local(self, positions: Tensor) -> Tensor:
        """Numbers of nodes in the topology."""
        near, rest = self.position[: self.num_near], self.position[self.num_near :]
        if not len(self.position):
            return positions
        at = torch.searchsorted(near, positions).clamp(max=max(len(near) - 1, 0))
        is_near = near[at] == positions if len(near) else torch.zeros_like(at, dtype=torch.bool)
        return torch.where(is_near, at, len(near) + torch.searchsorted(rest, positions))


def _contains(rising: Tensor, values: Tensor) -> Tensor:
    """Which values are among rising ones."""
    if not len(rising):
        return torch.zeros_like(values, dtype=torch.bool)
    return rising[torch.searchsorted(rising, values).clamp(max=len(rising) - 1)] == values
