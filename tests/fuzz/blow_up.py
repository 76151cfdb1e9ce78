"""Run every mask and sampler on stars, paths, hubs, isolated nodes and many components.

    python tests/fuzz/blow_up.py --nodes 200000 --nodes 1000000 --csv blow_up.csv

Each pair of a mask and a graph runs in a process of its own, under a limit of memory and one of
time: a product, its gradient and attention, or a draw of walks. It ends as ``ok``; ``refused``,
with a ``ValueError`` that says which limit the graph exceeds; or as a fault: ``memory``, ``time``
or ``crash``. Rows are appended to the table of ``--csv``, and those that it holds are not run
again. Prints the table, and exits with status 1 for a fault. See blow_up.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmask import Topology, attention, masks, walks

FAULTS = ("memory", "time", "crash")
COLUMNS = ("subject", "graph", "nodes", "seed", "outcome", "seconds", "megabytes", "message")
_SIGNALS = {signal.SIGXCPU: "time", signal.SIGKILL: "memory"}
NONE = torch.empty(2, 0, dtype=torch.long)
CHANNELS = 4
HUBS = 8
COMPONENT = 5


def star(n: int) -> Tensor:
    return torch.stack([torch.zeros(n - 1, dtype=torch.long), torch.arange(1, n)])


def path(n: int) -> Tensor:
    return torch.stack([torch.arange(n - 1), torch.arange(1, n)])


def hubs(n: int) -> Tensor:
    """Every other node is a neighbour of each of a few hubs."""
    return torch.cartesian_prod(torch.arange(HUBS), torch.arange(HUBS, n)).mT


def isolated(n: int) -> Tensor:
    return NONE


def components(n: int) -> Tensor:
    """Paths of a few nodes each."""
    edges = path(n)
    return edges[:, edges[1] % COMPONENT != 0]


GRAPHS = {make.__name__: make for make in (star, path, hubs, isolated, components)}


def topology(name: str, n: int, seed: int) -> Topology:
    """A graph with its nodes in random order, random lengths of edges, and positions."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randperm(n, generator=generator)[GRAPHS[name](n)]
    weight = torch.rand(edges.shape[1], generator=generator) + 0.5
    pos = torch.rand(n, 3, generator=generator)
    edges, weight = torch.cat([edges, edges.flip(0)], 1), torch.cat([weight, weight])
    return Topology(edges, n, weight, pos=pos)


def unweighted(graph: Topology) -> Topology:
    return Topology(graph.edge_index, graph.num_nodes)


def featured(graph: Topology) -> Topology:
    """The same graph, with positions for features."""
    return graph.with_features(graph.pos)


def graphs_of_components(graph: Topology) -> Topology:
    """The same nodes, as a batch of many graphs without edges."""
    batch = torch.arange(graph.num_nodes) // COMPONENT
    return Topology(NONE, graph.num_nodes, batch=batch, pos=graph.pos)


def multiply(make: Callable[[Topology], Any], change: Callable | None, graph: Topology) -> None:
    """A product, its gradient, and attention."""
    graph = graph if change is None else change(graph)
    mask = make(graph)
    operator = mask(mask.prepare(graph))
    x = torch.ones(graph.num_nodes, CHANNELS, requires_grad=True)
    (operator @ x).sum().backward()
    q = torch.ones(graph.num_nodes, mask.heads, CHANNELS)
    with torch.no_grad():
        out = attention(q, q, q, operator)
    if not (out.isfinite().all() and x.grad.isfinite().all()):
        raise ArithmeticError("NaN or infinity")


def draw(make: Callable[[], walks.WalkSampler], graph: Topology) -> None:
    make()(graph, torch.Generator().manual_seed(0))


def _mask(make: Callable[..., Any], *args: Any, on: Callable | None = None, **options: Any) -> Any:
    return partial(multiply, lambda graph: make(*args, **options), on)


def _sized(make: Callable[[int], Any], on: Callable | None = None) -> Any:
    return partial(multiply, lambda graph: make(graph.num_nodes), on)


def _largest_cube(graph: Topology) -> Topology:
    """The first nodes, as many as a hypercube has."""
    return Topology(NONE, 1 << (graph.num_nodes.bit_length() - 1))


# Masks that read edges run on every graph; the others read the number of nodes, or positions.
READERS = {
    "AdaptiveWalkMask": _mask(masks.AdaptiveWalkMask, 3, on=featured),
    "DegreeMask": _mask(masks.DegreeMask),
    "DiffusionMask": _mask(masks.DiffusionMask),
    "DiffusionMask, long": _mask(masks.DiffusionMask, scale=30.0),
    "DiffusionMask, resolvent": _mask(masks.DiffusionMask, kernel="resolvent"),
    "GRFMask": _mask(masks.GRFMask),
    "HadamardMask": _mask(lambda: masks.WalkMask() * masks.WalkMask(hops=2)),
    "HadamardMask, low rank": _mask(lambda: masks.RFDMask(8) * masks.WalkMask()),
    "HeadwiseMask": _mask(lambda: masks.HeadwiseMask([masks.WalkMask(), masks.GlobalMask()])),
    "PowerSeriesMask": _mask(masks.PowerSeriesMask),
    "ProductMask": _mask(lambda: masks.PowerSeriesMask(1) @ masks.PowerSeriesMask(2)),
    "RandomWalkKernelMask": _mask(masks.RandomWalkKernelMask),
    "RippleMask": _mask(masks.RippleMask, 2),
    "ScaledMask": _mask(lambda: 0.5 * masks.PowerSeriesMask(2)),
    "SeparatorMask": _mask(masks.SeparatorMask),
    "SeparatorMask, unweighted": _mask(masks.SeparatorMask, on=unweighted),
    "ShortestPathMask": _mask(masks.ShortestPathMask),
    "StitchedMask": _mask(masks.StitchedMask),
    "SumMask": _mask(lambda: masks.GlobalMask() + masks.WalkMask()),
    "SymmetrizedMask": _mask(lambda: masks.symmetrize(masks.PowerSeriesMask(2))),
    "TransposedMask": _mask(lambda: masks.PowerSeriesMask(2).mT),
    "TreeDistanceMask": _mask(masks.TreeDistanceMask),
    "TreeDistanceMask, polynomial": _mask(
        masks.TreeDistanceMask, masks.PolynomialExponentialDistance
    ),
    "TreeDistanceMask, table": _mask(
        masks.TreeDistanceMask, partial(masks.TableDistance, 8), on=unweighted
    ),
    "WalkMask": _mask(masks.WalkMask),
    "WalkMask, symmetrized": _mask(masks.WalkMask, symmetrize=True),
    "AntitheticWalks": partial(draw, walks.AntitheticWalks),
    "Shells": partial(draw, walks.Shells),
    "IIDWalks": partial(draw, walks.IIDWalks),
    "RepellingWalks": partial(draw, walks.RepellingWalks),
    "ResampledWalks": partial(draw, walks.ResampledWalks),
    "TruncatedWalks": partial(draw, walks.TruncatedWalks),
}
OTHERS = {
    "CausalMask": _mask(masks.CausalMask),
    "CausalMask, decay": _mask(masks.CausalMask, 0.9),
    "ChunkMask": _mask(masks.ChunkMask, 64),
    "ChunkMask, many graphs": _mask(masks.ChunkMask, 64, on=graphs_of_components),
    "CausalMask, many graphs": _mask(masks.CausalMask, 0.9, on=graphs_of_components),
    "FourierMask": _mask(masks.FourierMask),
    "FourierMask, many graphs": _mask(masks.FourierMask, on=graphs_of_components),
    "GlobalMask": _mask(masks.GlobalMask),
    "GlobalMask, many graphs": _mask(masks.GlobalMask, on=graphs_of_components),
    "GridDiffusionMask": _sized(masks.GridDiffusionMask),
    "GridDiffusionMask, many graphs": _mask(
        masks.GridDiffusionMask, COMPONENT, on=graphs_of_components
    ),
    "RippleMask, grid": _sized(lambda n: masks.RippleMask(3, shape=n)),
    "HypercubeMask": _mask(masks.HypercubeMask, on=_largest_cube),
    "KroneckerMask": _sized(
        lambda n: masks.KroneckerMask(
            masks.CausalMask(0.9, length=10), masks.GridDiffusionMask(n // 10)
        )
    ),
    "RFDMask": _mask(masks.RFDMask),
    "RFDMask, many graphs": _mask(masks.RFDMask, on=graphs_of_components),
    "ToeplitzMask": _sized(masks.ToeplitzMask),
    "ToeplitzMask, many graphs": _mask(masks.ToeplitzMask, COMPONENT, on=graphs_of_components),
}
SUBJECTS = {**READERS, **OTHERS}


def cases(
    nodes: list[int], count: int | None, seed: int, graphs: Sequence[str] = tuple(GRAPHS)
) -> list[tuple[str, str, int]]:
    """Subjects with graphs and sizes, in random order; the first ``count`` of them."""
    pairs = [*itertools.product(READERS, graphs), *((name, "isolated") for name in OTHERS)]
    rows = [(*pair, n) for n in nodes for pair in pairs]
    random.Random(seed).shuffle(rows)
    return rows[:count]


def work(
    subject: str, graph: str, nodes: int, seed: int, seconds: int, memory: int
) -> dict[str, Any]:
    """Run one case in this process, which ends when its time is over."""
    torch.set_num_threads(1)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 20, memory << 20))
    start = time.process_time()
    end = int(start) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end + 10))  # the first is SIGXCPU
    outcome, message = "ok", ""
    try:
        SUBJECTS[subject](topology(graph, nodes, seed))
    except ValueError as error:
        outcome, message = "refused", str(error)
    except (MemoryError, RuntimeError) as error:
        is_memory = isinstance(error, MemoryError) or "alloc" in str(error).lower()
        outcome, message = "memory" if is_memory else "crash", f"{type(error).__name__}: {error}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
    took = round(time.process_time() - start, 2)
    return {"outcome": outcome, "seconds": took, "megabytes": peak >> 10, "message": message}


def run(case: tuple[str, str, int], seed: int, seconds: int, memory: int) -> dict[str, Any]:
    """Run one case in a process of its own."""
    arguments = map(str, (*case, seed, seconds, memory))
    command = [sys.executable, __file__, "--work", *arguments]
    row = dict(zip(COLUMNS, (*case, seed), strict=False))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        outcome = _SIGNALS.get(
            -done.returncode, "memory" if "MemoryError" in done.stderr else "crash"
        )
        message = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return {**row, "outcome": outcome, "seconds": seconds, "megabytes": 0, "message": message}
    return {**row, **json.loads(lines[-1])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=None, help="as many of all cases")
    parser.add_argument("--seed", type=int, default=0, help="of graphs and of the order of cases")
    parser.add_argument("--nodes", type=int, action="append", help="may be repeated (200,000)")
    parser.add_argument("--graph", action="append", choices=GRAPHS, help="may be repeated (all)")
    parser.add_argument("--time-limit", type=int, default=300, help="CPU seconds of a case")
    parser.add_argument("--memory-limit", type=int, default=6144, help="megabytes of a case")
    parser.add_argument("--csv", type=Path, default=Path("blow_up.csv"), help="table of results")
    parser.add_argument("--only", default="", help="subjects whose names contain this")
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        subject, graph, *numbers = options.work
        print(json.dumps(work(subject, graph, *map(int, numbers))))
        return 0
    chosen = cases(
        options.nodes or [200_000], options.cases, options.seed, options.graph or [*GRAPHS]
    )
    chosen = [case for case in chosen if options.only in case[0]]
    table = _read(options.csv, options.seed)
    is_new = not options.csv.exists()
    with options.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        for case in (case for case in chosen if case not in table):
            table[case] = run(case, options.seed, options.time_limit, options.memory_limit)
            writer.writerow(table[case])
            file.flush()
            print(_line(table[case]), table[case]["message"][:200], flush=True)
    rows = [table[case] for case in sorted(chosen)]
    print("", *map(_line, rows), Counter(row["outcome"] for row in rows), sep="\n")
    return int(any(row["outcome"] in FAULTS for row in rows))


def _read(path: Path, seed: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["seed"]) == seed]
    return {(row["subject"], row["graph"], int(row["nodes"])): row for row in rows}


def _line(row: dict[str, Any]) -> str:
    subject, graph, nodes, _, outcome, seconds, megabytes, _ = (row[name] for name in COLUMNS)
    return (
        f"{subject:32} {graph:10} {nodes:>9} {outcome:8} "
        f"{float(seconds):8.1f} s {float(megabytes):7.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
