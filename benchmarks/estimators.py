r"""How accurate the estimators of a mask are, at equal stored entries and at equal drawing time.

Errors are relative Frobenius errors ``|M' - M| / |M|``, not squared; papers on graph random
features print their squares. M is what an estimator estimates: the series cut at K hops, or the
product of series cut there, so that errors are those of the walks alone. Graphs of more than 1,000
nodes are judged by some of their rows. Reproduces the tables of docs/walks.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from time import perf_counter
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import torch
from runner import Row, Study, choose, print_table, progress
from torch import Tensor
from torch_geometric.utils import to_undirected

from graphmask.benchmark import sphere_graph
from graphmask.io import read_graph
from graphmask.masks import (
    Cosine,
    Diffusion,
    GRFMask,
    PageRank,
    RegularizedLaplacian,
    StitchedMask,
    WalkMask,
)
from graphmask.operators import MaskOperator
from graphmask.topology import Topology
from graphmask.transforms import radius_graph
from graphmask.walks import (
    AntitheticWalks,
    IIDWalks,
    RepellingWalks,
    ResampledWalks,
    TruncatedWalks,
    Walks,
    WalkSampler,
)

# Graphs up to this size are judged by all of their rows.
SMALL = 1000

# Relative errors below this are those of float32, in which walks are stored.
ROUNDING = 1e-6

# A ladder ends where a setting stores less than this many times what the one before stored.
SETTLED = 1.02

# Factors of the stitched mask over two; its walks are as many times shorter.
DEGREE = 2


class Graph(NamedTuple):
    """An undirected graph by name, from a seed."""

    name: str
    about: str
    make: Callable[[int], Topology]


def networkx_graph(make: Callable, *arguments: Any, seeded: bool = True) -> Callable:
    """Convert a generator of networkx."""

    def build(seed: int) -> Topology:
        graph = make(*arguments, **({"seed": seed} if seeded else {}))
        edges = torch.tensor(list(graph.edges)).T
        return Topology(to_undirected(edges, num_nodes=len(graph)), len(graph))

    return build


def sphere(num_nodes: int, seed: int) -> Topology:
    """Join nearest neighbours on the unit sphere."""
    return Topology(sphere_graph(num_nodes, seed)[1], num_nodes)


def square(num_nodes: int, degree: float, seed: int) -> Topology:
    """Join points in the unit square up to the distance that gives a mean degree."""
    pos = torch.from_numpy(np.random.default_rng(seed).random((num_nodes, 2)))
    radius = math.sqrt(degree / (math.pi * num_nodes))
    return Topology(radius_graph(pos, radius, max_num_neighbors=None), num_nodes)


def read(path: str) -> Graph:
    """Read a graph from a file; directions and weights are dropped."""
    data = read_graph(path)
    topology = Topology(to_undirected(data.edge_index, num_nodes=data.num_nodes), data.num_nodes)
    about = f"{topology.num_nodes:,} nodes, {topology.num_edges:,} edges in both directions"
    return Graph(Path(path).stem, about, lambda _: topology)


GRAPHS = (
    Graph("er-20", "Erdos-Renyi, 20 nodes, p = 0.2", networkx_graph(nx.gnp_random_graph, 20, 0.2)),
    Graph(
        "er-100", "Erdos-Renyi, 100 nodes, p = 0.05", networkx_graph(nx.gnp_random_graph, 100, 0.05)
    ),
    Graph("tree", "binary tree, 127 nodes", networkx_graph(nx.balanced_tree, 2, 6, seeded=False)),
    Graph(
        "regular", "random 4-regular, 100 nodes", networkx_graph(nx.random_regular_graph, 4, 100)
    ),
    Graph("ladder", "ladder, 100 nodes", networkx_graph(nx.ladder_graph, 50, seeded=False)),
    Graph("karate", "Zachary's karate club", networkx_graph(nx.karate_club_graph, seeded=False)),
    Graph(
        "small-world",
        "Newman-Watts-Strogatz, 100 nodes, k = 4",
        networkx_graph(nx.newman_watts_strogatz_graph, 100, 4, 0.1),
    ),
    Graph(
        "barbell",
        "two cliques of 20 nodes and a path of 20",
        networkx_graph(nx.barbell_graph, 20, 20, seeded=False),
    ),
    Graph("sphere", "nearest neighbours on a sphere, 20,000 nodes", partial(sphere, 20_000)),
    Graph("square", "epsilon graph of degree 40, 32,768 nodes", partial(square, 32_768, 40.0)),
    Graph(
        "power-law",
        "Barabasi-Albert, 20,000 nodes, 4 edges each",
        networkx_graph(nx.barabasi_albert_graph, 20_000, 4),
    ),
)


class Kernel(NamedTuple):
    """A kernel ``M = sum_k alpha_k W^k`` by name, from hops and heads."""

    name: str
    about: str
    alpha: Callable


KERNELS = (
    Kernel("diffusion-1/3", "exp(-(I - W) / 3)", partial(Diffusion, scale=1 / 3)),
    Kernel("diffusion-1", "exp(-(I - W))", partial(Diffusion, scale=1.0)),
    Kernel("diffusion-3", "exp(-3 (I - W))", partial(Diffusion, scale=3.0)),
    Kernel("laplacian-2", "(I + (I - W))^-2", partial(RegularizedLaplacian, scale=1.0, power=2)),
    Kernel("cosine", "sqrt(2) cos(pi / 4 (I - W)), signed", Cosine),
    Kernel("pagerank", "0.15 (I - 0.85 W)^-1", partial(PageRank, teleport=0.15)),
)


@dataclass(frozen=True, eq=False)
class Family:
    """Samplers that differ in one setting, listed in order of cost.

    Estimators of a family read the same walks.
    """

    name: str
    make: Callable[[Any, int], WalkSampler]
    ladder: Sequence[float]


class Estimator(NamedTuple):
    """A mask on the walks of a family; those of one ``form`` estimate the same matrix."""

    name: str
    about: str
    family: Family
    make: Callable
    form: str = "sum"

    def mask(self, kernel: Kernel, sampler: WalkSampler) -> Any:
        """Build the mask of a kernel, in double precision."""
        return self.make(hops=sampler.hops, alpha=kernel.alpha, sampler=sampler).double()


def make_estimators(p_halt: float = 0.1) -> tuple[Estimator, ...]:
    """List all estimators; ``p_halt`` is the halting probability of those that walk."""
    counts = [2**power for power in range(13)]

    def walking(sampler: Callable, shorter: int = 1) -> Callable[[int, int], WalkSampler]:
        return lambda num_walks, hops: sampler(
            num_walks=num_walks, p_halt=p_halt, hops=-(-hops // shorter)
        )

    iid = Family("iid", walking(IIDWalks), counts)
    short = Family("short iid", walking(IIDWalks, DEGREE), counts[:7])
    truncated = Family(
        "truncated",
        lambda tolerance, hops: TruncatedWalks(tolerance=tolerance, hops=hops),
        [1 / count for count in counts],
    )
    resampled = Family(
        "resampled", lambda budget, hops: ResampledWalks(budget=budget, hops=hops), counts[2:10]
    )
    return (
        Estimator("iid", "independent walks (Reid et al. 2025, Appendix D)", iid, WalkMask),
        Estimator("iid-symmetric", "independent walks, Phi Phi'^T", iid, GRFMask, "product"),
        Estimator(
            "antithetic",
            "walks that halt in turns",
            Family("antithetic", walking(AntitheticWalks), counts),
            WalkMask,
        ),
        Estimator(
            "repelling",
            "walks that leave by different ways",
            Family("repelling", walking(RepellingWalks), counts),
            WalkMask,
        ),
        Estimator(
            "stitched",
            "independent walks of K / 2 hops, four factors",
            short,
            partial(StitchedMask, degree=DEGREE),
            "stitched",
        ),
        Estimator("truncated", "powers of W without small entries", truncated, WalkMask),
        Estimator("resampled", "resampled walks", resampled, WalkMask),
        Estimator(
            "resampled-both",
            "resampled walks, averaged with their transpose",
            resampled,
            partial(WalkMask, symmetrize=True),
        ),
        Estimator("resampled-symmetric", "resampled, Phi Phi'^T", resampled, GRFMask, "product"),
    )


class GroundTruth:
    """Exact rows of the masks of a graph.

    Cost: O(rows K E) time and O(rows N) memory per kernel and form, never N x N on large graphs.
    """

    def __init__(self, graph: Graph, hops: int, rows: int, seed: int) -> None:
        self.topology = graph.make(seed)
        self._hops, count = hops, self.topology.num_nodes
        # Built here, so that it is in no draw's time.
        self.topology.adjacency()
        chosen = np.random.default_rng(seed).choice(count, min(rows, count), replace=False)
        self.rows = torch.from_numpy(np.arange(count) if count <= SMALL else np.sort(chosen))
        # Rows of M are columns of its transpose.
        self._unit = torch.zeros(count, len(self.rows), dtype=torch.double)
        self._unit[self.rows, torch.arange(len(self.rows))] = 1
        self._exact: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def rows_of(self, operator: MaskOperator) -> Tensor:
        """Return the rows ``[R, N]`` of a mask of one head."""
        return (operator.mT @ self._unit)[0].mT

    def exact(self, estimator: Estimator, kernel: Kernel) -> Tensor:
        """Return the rows of the matrix that is estimated."""
        key = estimator.form, kernel.name
        if key not in self._exact:
            sampler = estimator.family.make(estimator.family.ladder[0], self._hops)
            target = estimator.mask(kernel, sampler).target(self.topology)
            self._exact[key] = self.rows_of(target)
        return self._exact[key]

    def errors(self, estimate: Tensor, exact: Tensor) -> dict[str, float]:
        """Compute relative Frobenius errors of all entries and of each kind; 0 / 0 := 0."""
        wrong, total = (self._norms(x) for x in (estimate - exact, exact.clone()))
        names = ("error", "off_diagonal", "diagonal")
        return {name: a / b if b else 0.0 for name, a, b in zip(names, wrong, total, strict=True)}

    def _norms(self, rows: Tensor) -> tuple[float, float, float]:
        index = torch.arange(len(self.rows)), self.rows
        diagonal = float(rows[index].norm())
        # Not by subtraction, in which a small kind would be lost beside a large one.
        rows[index] = 0
        off_diagonal = float(rows.norm())
        return math.hypot(diagonal, off_diagonal), off_diagonal, diagonal


class Draws:
    """Independent sets of walks from one seed, drawn when they are first used."""

    def __init__(self, sampler: WalkSampler, topology: Topology, seed: int) -> None:
        self.sampler, self._topology = sampler, topology
        self._generator = torch.Generator().manual_seed(seed)
        self._sets: list[Walks] = []
        self.seconds: list[float] = []

    def take(self, count: int) -> Topology:
        """Return the topology with the first sets."""
        while len(self._sets) < count:
            start = perf_counter()
            self._sets.append(self.sampler(self._topology, self._generator))
            self.seconds.append(perf_counter() - start)
        return self._topology.with_walks(*self._sets[:count])


def measure(truth: GroundTruth, estimator: Estimator, kernel: Kernel, draws: Draws) -> Row:
    """Compute the errors of one draw under one kernel.

    ``entries`` counts what a row stores, in each factor of a product; ``pairs`` what a row of the
    mask connects; ``support`` what a row of the exact series does; ``truncation`` is the distance
    of what is estimated from the series cut at K hops.
    """
    mask = estimator.mask(kernel, draws.sampler)
    sets = mask.num_sets
    topology = draws.take(sets)
    estimate = truth.rows_of(mask(topology))
    exact = truth.exact(estimator, kernel)
    series = truth.exact(estimator._replace(form="sum", make=WalkMask), kernel)
    pairs = int(estimate.count_nonzero()) / len(truth.rows)
    stored = sum(walks.pattern.nnz for walks in topology.walk_sets) / sets / topology.num_nodes
    return {
        "entries": pairs if getattr(mask, "symmetrize", False) else stored,
        "pairs": stored if estimator.form == "sum" else pairs,
        "support": int(series.count_nonzero()) / len(truth.rows),
        "truncation": 0.0 if exact is series else truth.errors(exact, series)["error"],
        "seconds": sum(draws.seconds[:sets]),
        **truth.errors(estimate, exact),
    }


def climb(
    truth: GroundTruth, family: Family, estimators: Sequence[Estimator], options: Any
) -> Iterator:
    """Yield a row per setting, estimator and kernel, until a limit, all exact, or no growth."""
    # A first call may compile.
    family.make(family.ladder[0], options.hops)(truth.topology, torch.Generator().manual_seed(0))
    entries_before = 0.0
    for setting in family.ladder:
        progress(f"{truth.topology.num_nodes:,} nodes: {family.name} {setting:g}")
        sampler = family.make(setting, options.hops)
        samples: dict[tuple[str, str], list[Row]] = {}
        start, drawing = perf_counter(), 0.0
        # A bias is the same at every draw.
        for draw in range(options.repeats if sampler.unbiased else 1):
            draws = Draws(sampler, truth.topology, options.seed + draw)
            for estimator in estimators:
                for kernel in options.kernels:
                    row = measure(truth, estimator, kernel, draws)
                    samples.setdefault((kernel.name, estimator.name), []).append(row)
            drawing = max(drawing, sum(draws.seconds))
            if draw and perf_counter() - start > options.time_limit:
                break
        rows = [average(group) for group in samples.values()]
        for names, row in zip(samples, rows, strict=True):
            yield {"kernel": names[0], "estimator": names[1], "setting": setting, **row}
        entries = min(row["entries"] for row in rows)
        growth = entries / entries_before if entries_before else math.inf
        wanted = max(min(options.entries, row["support"] / 2) for row in rows)
        exact = all(row["error"] < ROUNDING for row in rows)
        full = entries >= options.most_entries or (
            growth < math.inf and (entries * growth > options.most_entries)
        )
        slow = entries >= wanted and drawing > options.time_limit
        if exact or full or slow or (entries >= wanted / 2 and growth < SETTLED):
            return
        entries_before = entries


def average(samples: Sequence[Row]) -> Row:
    """Average draws; ``error_se`` is the standard error of the error, None for one draw."""
    row: Row = {name: fmean(sample[name] for sample in samples) for name in samples[0]}
    errors = [sample["error"] for sample in samples]
    se = stdev(errors) / math.sqrt(len(errors)) if len(errors) > 1 else None
    return row | {"error_se": se, "draws": len(samples)}


def error_at(rows: Sequence[Row], cost: float, by: str = "entries") -> float | None:
    """Interpolate the logarithm of the error at a cost between the settings on both sides.

    0 where exact. Beside an exact setting nothing is interpolated: the cheaper one counts. None
    where no setting is as cheap, or none as dear.

    Example:
        >>> rows = [{"entries": 10, "error": 0.4}, {"entries": 40, "error": 0.1}]
        >>> round(error_at(rows, 20), 9)
        0.2
    """
    points = sorted((row[by], row["error"]) for row in rows)
    cheaper = [point for point in points if point[0] <= cost]
    dearer = [point for point in points if point[0] > cost]
    if not cheaper:
        return None
    low, high_error = cheaper[-1]
    if high_error < ROUNDING:
        return 0.0
    if low == cost or (dearer and dearer[0][1] < ROUNDING):
        return high_error
    if not dearer:
        return None
    high, low_error = dearer[0]
    share = math.log(cost / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(high_error) + share * math.log(low_error))


def compare(rows: Sequence[Row], entries: float) -> Iterator[Row]:
    """Yield errors at equal stored entries, or at half of the exact support if that is less.

    "iid over ours" divides the error of the better form of independent walks by that of resampled
    ones; "by pairs" does so where products are charged the pairs of the product, not the entries of
    one factor; "symmetric over symmetric" compares products.
    """
    for graph, kernel in dict.fromkeys((row["graph"], row["kernel"]) for row in rows):
        group = [row for row in rows if (row["graph"], row["kernel"]) == (graph, kernel)]
        cost = min(entries, group[0]["support"] / 2)
        curves: dict[str, list[Row]] = {}
        for row in group:
            curves.setdefault(row["estimator"], []).append(row)
        errors = {name: error_at(curve, cost) for name, curve in curves.items()}
        by_pairs = {name: error_at(curve, cost, "pairs") for name, curve in curves.items()}
        yield {
            "graph": graph,
            "kernel": kernel,
            "entries": cost,
            **errors,
            "iid over ours": ratio(errors, ["iid", "iid-symmetric"], "resampled"),
            "symmetric over symmetric": ratio(errors, ["iid-symmetric"], "resampled-symmetric"),
            "by pairs": ratio(by_pairs, ["iid", "iid-symmetric"], "resampled"),
        }


def ratio(errors: dict[str, float | None], rivals: Sequence[str], ours: str) -> float | None:
    """Divide the least error of the rivals by ours; None where a side is unknown or exact."""
    theirs = [error for error in map(errors.get, rivals) if error is not None]
    return min(theirs) / error if theirs and (error := errors.get(ours)) else None


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"graphs": GRAPHS[:1], "kernels": KERNELS[1:2], "hops": 3, "repeats": 2}
    study = Study(__doc__, {**smoke, "most_entries": 16.0})
    available = make_estimators()
    study.add_argument("--graphs", type=choose(GRAPHS), help="names (all, or none beside --graph)")
    study.add_argument("--graph", type=read, action="append", default=[], help="a file")
    study.add_argument(
        "--estimators",
        default=[estimator.name for estimator in available],
        type=lambda text: [estimator.name for estimator in choose(available)(text)],
    )
    study.add_argument("--kernels", type=choose(KERNELS), default=KERNELS)
    study.add_argument("--entries", type=float, default=60.0, help="per row, to compare at")
    study.add_argument("--hops", type=int, default=8, help="K, of estimates and targets")
    study.add_argument("--rows", type=int, default=256, help="to judge large graphs by")
    study.add_argument("--repeats", type=int, default=5, help="draws; dear settings get two")
    study.add_argument("--most-entries", type=float, default=512.0, help="at which settings end")
    study.add_argument("--time-limit", type=float, default=1.0, help="seconds of drawing")
    study.add_argument("--p-halt", type=float, default=0.1, help="halting probability")
    options = study.parse(arguments)
    estimators = [
        estimator
        for estimator in make_estimators(options.p_halt)
        if estimator.name in options.estimators
    ]
    graphs = [*(options.graphs or (() if options.graph else GRAPHS)), *options.graph]

    def run() -> Iterator[Row]:
        for graph in graphs:
            truth = GroundTruth(graph, options.hops, options.rows, options.seed)
            for family in dict.fromkeys(estimator.family for estimator in estimators):
                group = [estimator for estimator in estimators if estimator.family is family]
                for row in climb(truth, family, group, options):
                    yield {"graph": graph.name, "nodes": truth.topology.num_nodes, **row}

    rows = study.collect(run(), options)
    print_table(
        "Relative Frobenius error at equal stored entries per row",
        list(compare(rows, options.entries)),
    )
    return rows


if __name__ == "__main__":
    main()
