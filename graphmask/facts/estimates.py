"""What masks cost on a graph: measured on parts of it, and extrapolated by what their cost grows with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from graphmask.attention import attention
from graphmask.benchmark.contenders import Contender, Workload
from graphmask.benchmark.machine import total_memory
from graphmask.benchmark.measure import Bench, Case, CutOffError
from graphmask.benchmark.problem import Problem
from graphmask.benchmark.worker import Worker
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology
from graphmask.walks.resampled import PILOTS, ResampledWalks

from .candidates import Candidate

# Nodes of the two parts that are measured. Graphs that are hardly larger are measured whole.
SIZES = (2048, 8192)
_WHOLE = 1.5

# Nodes whose walks, or balls, are drawn on the whole graph, to know how many pairs there will be.
_PROBES = 512

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
        measured: whether all this was measured on the whole graph; else it is extrapolated from parts of it.
        reason: why there are no figures; they are then NaN.
    """

    name: str
    seconds: float = math.nan
    peak: float = math.nan
    prepare: float = math.nan
    entries: float | None = None
    measured: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Sample(Contender):
    """A mask on the first nodes of a search through a graph; its arrays travel to the process that measures.

    Args:
        name: of the mask.
        make: the mask.
        order: ``[n]`` nodes as the search meets them.
        edges: ``[2, E']`` between these.
        weights: ``[E']``, or :obj:`None`.
        pos: ``[n, D]`` of these nodes in their order, or :obj:`None`.
    """

    name: str
    make: Callable[[], TopologicalMask]
    order: np.ndarray
    edges: np.ndarray
    weights: np.ndarray | None
    pos: np.ndarray | None
    about: str = ""
    library: str = "graphmask"

    def pose(self, nodes: int, seed: int, device: str, reorder: bool = False) -> Problem:
        """The subgraph of the nodes that were met first, in the order of the whole."""
        kept = np.argsort(self.order[:nodes])
        place = np.full(int(self.order.max(initial=0)) + 1, -1)
        place[self.order[:nodes][kept]] = np.arange(len(kept))
        ends = place[self.edges]
        inside = (ends >= 0).all(0)
        pos = np.zeros((nodes, 0), np.float32) if self.pos is None else self.pos[:nodes][kept]
        problem = Problem(nodes, seed, device, lambda *_: (torch.from_numpy(pos), torch.from_numpy(ends[:, inside])))
        weight = None if self.weights is None else torch.from_numpy(self.weights[inside])
        problem.topology = Topology(problem.edge_index, nodes, weight, pos=None if self.pos is None else problem.pos)  # type: ignore[attr-defined]
        return problem

    def prepare(self, problem: Problem) -> Topology:
        """The topology with all that the mask reads."""
        return self._mask(problem).prepare(problem.topology)  # type: ignore[attr-defined]

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        """From q, k, v to the attended values."""
        mask, qkv = self._mask(problem), problem.qkv
        with torch.no_grad():
            entries = mask(prepared).entries()
        stored = sum(walks.pattern.nnz for walks in prepared.walk_sets) or (None if entries is None else entries.pattern.nnz)
        return Workload(lambda: attention(*qkv, mask(prepared)), (*qkv, *mask.parameters()), stored)

    def _mask(self, problem: Problem) -> TopologicalMask:
        return self.make()


def estimate(
    candidates: Sequence[Candidate],
    topology: Topology,
    whole: bool = False,
    threads: int | None = None,
    cpu_time: bool = False,
    progress: Callable[[str], object] = lambda _: None,
) -> Iterator[Estimate]:
    """What each mask costs on a graph, on this machine.

    Two parts of the graph of 2,048 and 8,192 nodes, the first that a breadth-first search meets, are measured: a forward and
    backward call in a fresh process, its peak of memory, and the shortest time of three more. A straight line through both, in
    the quantity that the mask's cost grows with, is read at the whole graph. Pairs of walks per node are drawn on the whole
    graph, for 512 of its nodes.

    Args:
        candidates: see :func:`graphmask.facts.candidates.find_candidates`.
        topology: the graph.
        whole: whether the whole graph is measured, whatever that costs. (default: :obj:`False`)
        threads: of torch. (default: :obj:`None`, torch's own choice)
        cpu_time: whether time is that which processors work, not that which passes: for a busy machine, with one thread.
            (default: :obj:`False`)
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

    def __init__(self, topology: Topology, whole: bool, threads: int | None, cpu_time: bool) -> None:
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
            return Estimate(candidate.name, last.seconds, last.peak, last.prepare, per_node, measured=True)
        prepare = last.prepare * self.topology.num_nodes / last.nodes
        if candidate.grows == "N p":
            per_node, prepare = probe_walks(candidate.make(), self.topology, self.cpu_time)
        if candidate.grows == "balls":
            per_node = probe_balls(self.topology, getattr(candidate.make(), "max_hops", 3))
            prepare = last.prepare * per_node * self.topology.num_nodes / max(1, last.entries or 1)
        amounts = [amount(candidate.grows, each.nodes, each.edges, each.entries) for each in found]
        total = None if per_node is None else per_node * self.topology.num_nodes
        here = amount(candidate.grows, self.topology.num_nodes, self.topology.num_edges, total)
        seconds, peak = (read_line(amounts, [getattr(each, name) for each in found], here) for name in ("seconds", "peak"))
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
            times = [worker.ask(request, _SECONDS * 10) for _ in range(_ROUNDS if first.seconds < _SECONDS / 6 else 1)]
        finally:
            worker.close()
        return _Measured(nodes, prepared.edges, prepared.entries, min(times), first.peak, prepared.seconds or 0.0)


def search(topology: Topology) -> np.ndarray:
    """``[N]`` nodes as breadth-first searches meet them, from the component of the first node on."""
    count = topology.num_nodes
    ends = topology.edge_index.numpy()
    links = csr_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(count, count))
    links = links + links.T
    met = np.zeros(count, bool)
    found: list[np.ndarray] = []
    for node in range(count):
        if not met[node]:
            found.append(breadth_first_order(links, node, directed=False, return_predecessors=False))
            met[found[-1]] = True
        if sum(map(len, found[-1:])) and sum(len(each) for each in found) >= min(count, SIZES[-1] * 2):
            break
    rest = np.flatnonzero(~met)
    return np.concatenate([*found, rest])


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
    """The straight line through two points, where it rises; through the origin and the last where it does not.

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


def probe_walks(mask: TopologicalMask, topology: Topology, cpu_time: bool = False) -> tuple[float, float]:
    """Pairs of walks per node and set, all sets together, and the seconds that drawing all would take."""
    demand = mask.walk_demand
    assert demand is not None
    sampler = demand.sampler
    assert isinstance(sampler, ResampledWalks)
    sampler(topology_of_ends(topology))
    nodes = torch.from_numpy(
        np.random.default_rng(0).choice(topology.num_nodes, min(_PROBES, topology.num_nodes), replace=False)
    )
    clock = time.process_time if cpu_time else time.perf_counter
    start = clock()
    counts = sampler.count_pairs(topology, nodes)
    seconds = clock() - start
    # A count draws for pilots, too, from which a draw finds its threshold.
    drawn = len(nodes) + min(PILOTS, topology.num_nodes)
    return demand.sets * float(counts.double().mean()), demand.sets * seconds * topology.num_nodes / drawn


def topology_of_ends(topology: Topology) -> Topology:
    """A graph of two nodes: to load what is compiled before it is timed."""
    return Topology(torch.tensor([[0, 1], [1, 0]]), 2)


def probe_balls(topology: Topology, hops: int) -> float:
    """Nodes within so many hops of a node, on average over some nodes."""
    pattern = topology.pattern
    ones = np.ones(pattern.nnz, np.float32)
    links = csr_array((ones, pattern.col.numpy(), pattern.rowptr.numpy()), shape=pattern.shape)
    nodes = np.random.default_rng(0).choice(topology.num_nodes, min(_PROBES // 4, topology.num_nodes), replace=False)
    reached = csr_array(
        (np.ones(len(nodes), np.float32), (np.arange(len(nodes)), nodes)), shape=(len(nodes), topology.num_nodes)
    )
    for _ in range(hops):
        reached = reached + reached @ links
        reached.data[:] = 1
    return reached.nnz / len(nodes)
