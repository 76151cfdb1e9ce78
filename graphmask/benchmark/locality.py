"""What the order of nodes costs.

Attention by pairs, power series and training steps under several labellings of one graph.

    python -m graphmask.benchmark.locality --nodes 32768

Points of the unit sphere in random order, or those of a file in the order of the file, are renamed
by :class:`~graphmask.transforms.ReorderNodes`. All that is timed is timed in turns, and printed as
the median of some rounds and as a ratio to the order that was given. Attention goes by the 64
nearest neighbours of each node, with mask values by chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask._machine import describe_machine, summarize
from graphmask.kernels import Pattern, pair_attention
from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalTransformer
from graphmask.topology import Topology
from graphmask.transforms import CuthillMcKee, Hilbert, KNNGraph, ReorderNodes
from graphmask.transforms.reorder import NodeOrder
from graphmask.walks import Walks

from .problem import CHANNELS, HEADS, sphere_graph

_DEGREE = 6
_HOPS = 4
_LAYERS = 4
_TILES = (16, 32)


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        nodes: N of the sphere; ignored where there are points.
        points: ``[N, 3]``, in their order. (default: :obj:`None`, the sphere)
        pairs: entries per row of the mask. (default: :obj:`64`)
        repeats: rounds; medians count. (default: :obj:`5`)
        steps: whether to time training steps of a model with four layers. (default: :obj:`True`)
        seed: of all that is drawn. (default: :obj:`0`)

    Raises:
        TypeError: for numbers that are no integers.
        ValueError: for numbers too small, and points of another shape.
    """

    nodes: int = 32_768
    points: Tensor | None = None
    pairs: int = 64
    repeats: int = 5
    steps: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("nodes", 16), ("pairs", 2), ("repeats", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), low)
        if self.points is not None and (
            self.points.dim() != 2 or self.points.shape[1] not in (2, 3)
        ):
            raise value_error("points", "of shape [N, 2] or [N, 3]", self.points)


@dataclass(frozen=True)
class Row:
    """What was found under one labelling.

    Attributes:
        label: how nodes are labelled, and how the rows of the mask are visited.
        seconds: for each task, the median.
        fill: for each size of tiles, the share of filled cells of those tiles that hold an entry.
    """

    label: str
    seconds: dict[str, float]
    fill: dict[int, float]


def measure(settings: Settings) -> list[Row]:
    """All labellings, the given one first, each with rows visited in memory order and by a schedule.

    Points of a file are also labelled at random; those of the sphere are so already.

    Cost: some rounds of attention over ``N pairs`` entries; memory for the patterns of all
    labellings at once.

    Example:
        >>> from graphmask.benchmark.locality import Settings, measure
        >>> [row.label for row in measure(Settings(nodes=64, pairs=8, repeats=1, steps=False))][::2]
        ['given', 'Cuthill-McKee', 'Hilbert']
    """
    given = _neighbourhoods(settings)
    features = _Features(given.num_nodes or 0, len(given.near_index), settings)
    tasks, fills = {}, {}
    for label, order in _orders(settings).items():
        data = given if order is None else ReorderNodes(order)(given)
        pattern = _mask_pattern(data)
        fills[label] = {size: tile_fill(pattern, size) for size in _TILES}
        tasks.update(_tasks(label, pattern, data, features))
    seconds = _time_in_turns(tasks, settings.repeats)
    labels = dict.fromkeys(label for label, _ in tasks)
    return [
        Row(
            label,
            {task: found for (name, task), found in seconds.items() if name == label},
            fills[label.split(",")[0]],
        )
        for label in labels
    ]


def tile_fill(pattern: Pattern, size: int) -> float:
    """The share of cells that hold an entry, among the ``size x size`` tiles with at least one.

    1 if dense blocks hold all.

    Example:
        >>> import torch
        >>> from graphmask.benchmark.locality import tile_fill
        >>> from graphmask.kernels import Pattern
        >>> tile_fill(Pattern.from_coo(torch.arange(4), torch.arange(4), (4, 4)), 2)
        0.5
    """
    width = -(-pattern.num_cols // size)
    tile = torch.div(pattern.row, size, rounding_mode="floor").long() * width
    tiles = torch.unique(tile + torch.div(pattern.col, size, rounding_mode="floor"))
    return pattern.nnz / (len(tiles) * size**2)


def _neighbourhoods(settings: Settings) -> Data:
    """Points, a sparse graph on them, and ``near_index [pairs, N]``, the nearest points of each.

    Renamed as PyG names ids.
    """
    if settings.points is None:
        pos, edge_index = sphere_graph(settings.nodes, settings.seed, _DEGREE)
        data = Data(pos=pos, edge_index=edge_index)
    else:
        data = KNNGraph(k=_DEGREE)(Data(pos=settings.points.float()))
    points = data.pos.double().numpy()
    near = cKDTree(points).query(points, min(settings.pairs, len(points)))[1]
    data.near_index = torch.from_numpy(near).T.contiguous()
    return data


def _orders(settings: Settings) -> dict[str, NodeOrder | None]:
    def shuffle(data: Data) -> Tensor:
        return torch.randperm(
            data.num_nodes or 0, generator=torch.Generator().manual_seed(settings.seed)
        )

    orders: dict[str, NodeOrder | None] = {
        "given": None,
        "Cuthill-McKee": CuthillMcKee(),
        "Hilbert": Hilbert(),
    }
    return orders if settings.points is None else orders | {"random": shuffle}


def _mask_pattern(data: Data) -> Pattern:
    pairs, nodes = data.near_index.shape
    col = data.near_index.T.contiguous().sort(1).values
    return Pattern.from_counts(torch.full((nodes,), pairs), col.flatten(), nodes)


class _Features:
    """Numbers that all labellings see, if not at equal nodes."""

    def __init__(self, nodes: int, pairs: int, settings: Settings) -> None:
        generator = torch.Generator().manual_seed(settings.seed)
        shape = nodes, HEADS, CHANNELS // HEADS
        self.q, self.k, self.v = (
            torch.rand(shape, generator=generator).transpose(0, 1).requires_grad_()
            for _ in range(3)
        )
        self.value = torch.rand(nodes * pairs, HEADS, generator=generator).mT.requires_grad_()
        self.x = torch.rand(nodes, CHANNELS, generator=generator)
        self.table = (
            torch.rand(nodes * pairs, _HOPS + 1, generator=generator) if settings.steps else None
        )

    def attend(self, pattern: Pattern) -> None:
        with torch.no_grad():
            pair_attention(pattern, self.q, self.k, self.v, self.value)

    def attend_both_ways(self, pattern: Pattern) -> None:
        outputs = pair_attention(pattern, self.q, self.k, self.v, self.value)
        torch.autograd.grad(
            outputs, (self.q, self.k, self.v, self.value), [torch.ones_like(x) for x in outputs]
        )


def _tasks(
    label: str, pattern: Pattern, data: Data, features: _Features
) -> dict[tuple[str, str], Callable[[], object]]:
    """What is timed, by label and name."""
    tasks: dict[tuple[str, str], Callable[[], object]] = {}
    for name, visits in (
        (label, pattern.col.new_empty(0)),
        (f"{label}, scheduled", pattern.subsample().cuthill_mckee()),
    ):
        visited = pattern.with_row_order(visits)
        tasks[name, "attention"] = partial(features.attend, visited)
        tasks[name, "attention, both ways"] = partial(features.attend_both_ways, visited)
    topology = Topology.from_data(data)
    tasks[label, "power series"] = partial(
        PowerSeriesMask(order=_HOPS)(topology).matmul, features.x
    )
    if features.table is not None:
        topology = topology.with_walks(Walks.of_pairs(pattern, features.table))
        tasks[label, "training step"] = _training_step(topology, features.x)
    return tasks


def _training_step(topology: Topology, x: Tensor) -> Callable[[], None]:
    """Forward, backward and update of a model with four layers.

    The rows of its mask are visited as the library chooses.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mask = WalkMask(hops=_HOPS, heads=HEADS)
        model = TopologicalTransformer(CHANNELS, CHANNELS, 1, _LAYERS, HEADS, mask)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        model(x, topology).square().mean().backward()
        optimizer.step()

    return step


def _time_in_turns(
    tasks: dict[tuple[str, str], Callable[[], object]], repeats: int
) -> dict[tuple[str, str], float]:
    """Medians over rounds in which each task has one turn, after a round that is not timed."""
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in tasks}
    for number in range(repeats + 1):
        for key, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[key] += [time.perf_counter() - start] if number else []
    return {key: median(found) for key, found in seconds.items()}


def report(rows: Sequence[Row]) -> str:
    """A table: milliseconds, and in brackets the ratio to the first row; then the fill of tiles."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.seconds))
    lines = [["order of nodes", *tasks, *(f"fill of {size} x {size}" for size in rows[0].fill)]]
    for row in rows:
        cells = [row.label]
        for task in tasks:
            found, base = row.seconds.get(task), rows[0].seconds[task]
            cells.append("" if found is None else f"{found * 1e3:,.1f} ({found / base:.2f})")
        lines.append(cells + [f"{share:.3f}" for share in row.fill.values()])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m graphmask.benchmark.locality", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--nodes", type=int, default=Settings.nodes)
    parser.add_argument(
        "--points", type=Path, help="a .npy file of points [N, 3], in the order that is compared"
    )
    parser.add_argument("--pairs", type=int, default=Settings.pairs)
    parser.add_argument("--repeats", type=int, default=Settings.repeats)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument(
        "--no-steps",
        action="store_true",
        help="leave out training steps, which take the most memory",
    )
    parser.add_argument("--threads", type=int, help="of torch")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    points = None if options.points is None else torch.from_numpy(np.load(options.points))
    settings = Settings(
        options.nodes, points, options.pairs, options.repeats, not options.no_steps, options.seed
    )
    print(summarize(describe_machine(options.threads)))
    print(
        f"{settings.nodes if points is None else len(points):,} nodes, {settings.pairs} pairs per row; milliseconds (ratio)"
    )
    print(report(measure(settings)))


if __name__ == "__main__":
    main()
