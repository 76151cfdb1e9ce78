"""What masks cost on a graph.

Measured on parts of it, and extrapolated by what their cost grows with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from graphmask._machine import total_memory
from graphmask.benchmark.measure import Bench, Case, CutOffError
from graphmask.benchmark.worker import Worker
from graphmask.topology import Topology

from .candidates import Candidate
from .probes import probe_balls, probe_walks
from .samples import Sample, search

# Nodes of the two parts that are measured. Graphs that are hardly larger are measured whole.
SIZES = (2048, 8192)
_WHOLE = 1.5

_ROUNDS = 3
_SECONDS = 60.0


@dataclass(frozen=True)
class Estimate:
    """The cost of attention under a mask, 4 heads of 16 channels, forward and backward.

    Args:
        name: of the mask.
        seconds: of a call.
        peak: MiB above the graph and its features.
        prepare: seconds to make what is made once per graph, such as walks.
        entries: that the mask stores per node, or :obj:`None`.
        measured: whether all this was measured on the whole graph; else it is extrapolated from
            parts of it.
        reason: why there are no figures; they are then NaN.
    """

    name: str
    seconds: float = math.nan
    peak: float = math.nan
    prepare: float = math.nan
    entries: float | None = None
    measured: bool = False
    reason: str = ""


def estimate(
    candidates: Sequence[Candidate],
    topology: Topology,
    whole: bool = False,
    threads: int | None = None,
    cpu_time: bool = False,
    progress: Callable[[str], object] = lambda _: None,
) -> Iterator[Estimate]:
    """What each mask costs on a graph, on this machine.

    Two parts of the graph of 2,048 and 8,192 nodes, the first that a breadth-first search meets,
    are measured: a forward and backward call in a fresh process, its peak of memory, and the
    shortest time of three more. A straight line through both, in the quantity that the mask's cost
    grows with, is read at the whole graph. Pairs of walks per node are drawn on the whole graph,
    for 1,280 of its nodes.

    Args:
        candidates: see :func:`graphmask.facts.candidates.find_candidates`.
        topology: the graph.
        whole: whether the whole graph is measured, whatever that costs. (default: :obj:`False`)
        threads: of torch. (default: :obj:`None`, torch's own choice)
        cpu_time: whether time is that which processors work, not that which passes: for a busy
            machine, with one thread. (default: :obj:`False`)
        progress: is told what is going on.

    Cost: some seconds per mask.
    """
    parts = _Parts(topology, whole, threads, cpu_time)
    for candidate in candidates:
        if candidate.refusal is not None:
            yield Estimate(candidate.name, reason=candidate.refusal)
            continue
        progress(f"measuring {candidate.name}")
        try:
            yield parts.weigh(candidate)
        except CutOffError as cut:
            yield Estimate(candidate.name, reason=f"{cut.status.value} on a part: {cut.note}")


@dataclass(frozen=True)
class _Measured:
    nodes: int
    edges: int
    entries: int | None
    seconds: float
    peak: float
    prepare: float


class _Parts:
    """Parts of a graph, and what masks cost on them."""

    def __init__(
        self, topology: Topology, whole: bool, threads: int | None, cpu_time: bool
    ) -> None:
        self.topology, self.threads, self.cpu_time = topology, threads, cpu_time
        count = topology.num_nodes
        small = whole or count <= _WHOLE * SIZES[-1]
        self.sizes = [count] if small else list(SIZES)
        self.measures_whole = small
        order = search(topology)[: self.sizes[-1]]
        place = np.full(count, -1)
        place[order] = order
        ends = place[topology.edge_index.numpy()]
        inside = (ends >= 0).all(0)
        weight, pos = topology.edge_weight, topology.pos
        self.arrays = (
            order,
            ends[:, inside],
            None if weight is None else weight.detach().float().numpy()[inside],
            None if pos is None else pos.detach().float().numpy()[order],
        )

    def weigh(self, candidate: Candidate) -> Estimate:
        """The estimate of one mask."""
        found = [self._measure(candidate, size) for size in self.sizes]
        last = found[-1]
        per_node = None if last.entries is None else last.entries / last.nodes
        if self.measures_whole:
            return Estimate(
                candidate.name, last.seconds, last.peak, last.prepare, per_node, measured=True
            )
        prepare = last.prepare * self.topology.num_nodes / last.nodes
        if candidate.grows == "N p":
            per_node, prepare = probe_walks(candidate.make(), self.topology, self.cpu_time)
        if candidate.grows == "balls":
            per_node = probe_balls(self.topology, getattr(candidate.make(), "hops", 3))
            prepare = last.prepare * per_node * self.topology.num_nodes / max(1, last.entries or 1)
        amounts = [amount(candidate.grows, each.nodes, each.edges, each.entries) for each in found]
        total = None if per_node is None else per_node * self.topology.num_nodes
        here = amount(candidate.grows, self.topology.num_nodes, self.topology.num_edges, total)
        seconds, peak = (
            read_line(amounts, [getattr(each, name) for each in found], here)
            for name in ("seconds", "peak")
        )
        return Estimate(candidate.name, seconds, peak, prepare, per_node)

    def _measure(self, candidate: Candidate, nodes: int) -> _Measured:
        case = Case(
            Sample(candidate.name, candidate.make, *self.arrays),
            nodes,
            0,
            "cpu",
            self.threads,
            total_memory() // 2,
            cpu_time=self.cpu_time,
        )
        worker = Worker(case)
        try:
            prepared = worker.prepared(10 * _SECONDS)
            first = worker.ask(Bench.first_call, 10 * _SECONDS)
            request = partial(Bench.mean_seconds, backward=True, number=1, warm=False)
            times = [
                worker.ask(request, _SECONDS * 10)
                for _ in range(_ROUNDS if first.seconds < _SECONDS / 6 else 1)
            ]
        finally:
            worker.close()
        return _Measured(
            nodes, prepared.edges, prepared.entries, min(times), first.peak, prepared.seconds or 0.0
        )


def amount(grows: str, nodes: int, edges: int, entries: float | None) -> float:
    """The quantity that a cost grows with.

    Example:
        >>> from graphmask.facts.estimates import amount
        >>> amount("N + E", 10, 20, None), amount("N p", 10, 20, 640), amount("N log N", 8, 0, None)
        (30, 640, 24.0)
    """
    if grows in ("N p", "balls"):
        return nodes if entries is None else entries
    return {"N": nodes, "N + E": nodes + edges, "N log N": nodes * math.log2(max(nodes, 2))}[grows]


def read_line(amounts: Sequence[float], values: Sequence[float], here: float) -> float:
    """The straight line through two points, where it rises.

    Through the origin and the last where it does not.

    Example:
        >>> from graphmask.facts.estimates import read_line
        >>> read_line([1.0, 3.0], [2.0, 4.0], 10.0), read_line([1.0, 2.0], [5.0, 4.0], 10.0)
        (11.0, 20.0)
    """
    (low, high), (first, last) = amounts, values
    slope = (last - first) / (high - low) if high > low else 0.0
    # A fixed cost cannot be negative: what looks like one is noise, or a cost that grows faster.
    if slope <= 0 or first - slope * low < 0:
        return last * here / high
    return last + slope * (here - high)
