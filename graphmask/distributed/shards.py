"""The parts of a graph that one rank holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer
from graphmask._walks import Walks
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from ._part import Halo, RankPart
from ._ranks import Processes, Ranks
from ._reader import Reader, contains
from .stored import GraphShards


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


@dataclass(frozen=True, eq=False)
class Shard:
    """The parts of a graph that one process holds, from :func:`open_shard`.

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


class _Opener:
    """Reads the parts of a rank, and of others what its rows look at."""

    def __init__(self, shards: GraphShards, ranks: Ranks, hops: int, verify: bool) -> None:
        self.shards, self.ranks, self.hops = shards, ranks, hops
        cuts = [rank * shards.num_parts // ranks.size for rank in range(ranks.size + 1)]
        self.parts = range(cuts[ranks.rank], cuts[ranks.rank + 1])
        self.starts = shards.starts[cuts]
        for index in self.parts if verify else ():
            shards.verify(index)
        reader = Reader(shards)
        self.first, self.end = self.starts[ranks.rank : ranks.rank + 2].tolist()
        own = torch.arange(self.first, self.end)
        known = reader.rings(own, hops)
        ends, self.edge_values = reader.edges(known)
        columns = [self._walks_of(f"{place}.col") for place in range(len(shards.walks))]
        wanted = torch.cat([known, *columns]).unique()
        self.wanted = wanted[(wanted < self.first) | (wanted >= self.end)]
        before = self.wanted[self.wanted < self.first]
        after = self.wanted[self.wanted >= self.end]
        near = torch.cat([before, own, after])
        others = ends.unique()
        self.position = torch.cat([near, others[~contains(near, others)]])
        self.before, self.num_near = len(before), len(near)
        self.edge_index = self._local(ends)
        names = reader.names("node")
        self.batch, self.pos = (
            reader.values(name, self.position) if name in names else None
            for name in ("node.batch", "node.pos")
        )
        # Other parts are mapped no longer than they are read.
        shards.close([index for index in range(shards.num_parts) if index not in self.parts])

    def finish(self, recompute: bool) -> Shard:
        """The shard, for which ranks tell each other what they read."""
        halo = Halo(self.ranks, self.wanted, self.starts)
        # A rank without any node takes part in all sums with one that nobody owns.
        count = max(1, len(self.position))
        most = int(self.ranks.gather_numbers(torch.tensor([count])).max())
        nodes = self._own("node")
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
        walks = [self._walks(place, count) for place in range(len(self.shards.walks))]
        topology = Topology(
            self.edge_index,
            count,
            self.edge_values.get("weight"),
            self.batch,
            self.pos,
            walks,
            self.shards.num_graphs,
            self.edge_values.get("attr"),
        )
        return topology.in_part(part)

    def _data(self) -> Data:
        values: dict[str, Any] = {**self.shards.values, **self.shards.graph()}
        names = [name for name in self.shards.part(0) if name.startswith("node.")]
        own: dict[str, Any] = {name.removeprefix("node."): self._own(name) for name in names}
        nodes = self._own("node").tolist() if self.shards.lists else []
        own |= {name: [values[name][node] for node in nodes] for name in self.shards.lists}
        return Data.from_dict({**values, **own, "num_nodes": self.end - self.first})

    def _walks(self, place: int, num_nodes: int) -> Walks:
        counts = self._walks_of(f"{place}.counts")
        col = self._local(self._walks_of(f"{place}.col"))
        rest = num_nodes - self.before - len(counts)
        counts = torch.cat([counts.new_zeros(self.before), counts, counts.new_zeros(rest)])
        table = self._walks_of(f"{place}.table")
        pattern = Pattern.from_counts(counts, col, num_nodes)
        settings = self.shards.walks[place]
        return Walks(pattern, table, settings["normalization"], settings["nonnegative"])

    def _own(self, name: str) -> Tensor:
        """A tensor of all own parts."""
        return _join(self.shards.part(0)[name], [self.shards.part(i)[name] for i in self.parts])

    def _walks_of(self, name: str) -> Tensor:
        """A tensor of the walks of all own parts."""
        tensors = [self.shards.walks_of(index)[name] for index in self.parts]
        return _join(self.shards.walks_of(0)[name], tensors)

    def _local(self, positions: Tensor) -> Tensor:
        """Numbers of nodes in the topology."""
        near, rest = self.position[: self.num_near], self.position[self.num_near :]
        if not len(self.position):
            return positions
        at = torch.searchsorted(near, positions).clamp(max=max(len(near) - 1, 0))
        is_near = near[at] == positions if len(near) else torch.zeros_like(at, dtype=torch.bool)
        return torch.where(is_near, at, len(near) + torch.searchsorted(rest, positions))


def _join(like: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of parts below each other, without a copy where there is one; ``like`` is of any."""
    if not tensors:
        return like[:0]
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
