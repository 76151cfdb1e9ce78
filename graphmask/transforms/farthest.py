"""Farthest point sampling."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask._identity import bits
from graphmask._precision import to_double
from graphmask._random import seed_from, stream
from graphmask.transforms._batches import Transform
from graphmask.transforms._points import (
    check_length,
    check_pos,
    graph_numbers,
    keep_points,
    positions,
)

_STRUCTURE = ("edge_index", "adj", "adj_t", "face")


def farthest_points(
    pos: Tensor,
    num_points: int | None = None,
    ratio: float | None = None,
    batch: Tensor | None = None,
    start: int = 0,
    generator: Generator | None = None,
) -> Tensor:
    r"""Choose points that are spread over each cloud: the next is farthest from those chosen.

    .. math:: s_{t+1} = \arg\max_i \min_{r \le t} \|p_i - p_{s_r}\|

    Equal distances go to the lower index; no point is chosen twice, coinciding ones included.

    Cost: O(N M) time for M chosen points, O(N) memory.

    Args:
        pos: ``[N, D]`` coordinates, float32 or float64.
        num_points: points to choose from each graph, at most as many as it has. (default:
            :obj:`None`, by ``ratio``)
        ratio: share of the points of each graph to choose, in (0, 1], rounded up. (default:
            :obj:`None`, by ``num_points``; give either)
        batch: ``[N]`` graph of each point. (default: :obj:`None`, one graph)
        start: the first point, counted within each graph. (default: :obj:`0`)
        generator: draws the first point of each graph instead, by its coordinates: the same for any
            order of points and other graphs. (default: :obj:`None`)

    Returns:
        Chosen points, graph by graph, in the order of choice.

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if none or both of ``num_points`` and ``ratio`` are given; one of them or
            ``start`` is out of range, also for the smallest graph; ``start`` comes with
            ``generator``; ``pos`` or ``batch`` are invalid as for :func:`knn_graph`.

    Example:
        >>> farthest_points(torch.tensor([[0.0], [1.0], [2.0], [9.0]]), num_points=3)
        tensor([0, 3, 2])
    """
    _check_choice(num_points, ratio, start, generator)
    seed = None if generator is None else seed_from(generator)
    return _farthest_points(pos, num_points, ratio, batch, start, seed)


def _farthest_points(
    pos: Tensor,
    num_points: int | None,
    ratio: float | None,
    batch: Tensor | None,
    start: int,
    seed: int | None,
) -> Tensor:
    check_pos(pos)
    graphs = graph_numbers(pos, batch)
    # Without points there is one empty graph.
    sizes = graphs.bincount(minlength=1).tolist()
    counts = [_count(size, num_points, ratio) for size in sizes]
    nodes = graphs.argsort(stable=True).split(sizes)
    chosen = [
        node[_spread(pos[node], count, _first(pos[node], start, seed))]
        for node, count in zip(nodes, counts, strict=True)
    ]
    return torch.cat(chosen)


class FarthestPoints(Transform):
    r"""Keep points spread evenly over ``data.pos``, with all their attributes.

    See :func:`farthest_points`. Every attribute with a row for each point, a tensor, an array or a
    list of any name, is cut to the chosen points, in the order of choice, which is coarse to fine.
    Sample before building a graph: points far apart have hardly any edge in common, so data with
    edges or faces raises an error. Graphs of ``data.batch`` are sampled one by one, those of a
    ``Batch`` as if batched afterwards.

    Cost: O(N M) time for M chosen points, O(N) memory.

    Args:
        num_points, ratio, start: as in :func:`farthest_points`.
        generator: gives ``seed``, once, at construction, which draws the first point of each graph
            instead: it then depends on the seed and the graph alone, not on the graphs before, the
            batch or the worker process. (default: :obj:`None`)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``data`` has no ``pos``, or edges or faces; otherwise as
            :func:`farthest_points`.

    Example:
        >>> pos = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
        >>> FarthestPoints(num_points=3)(Data(pos=pos, y=torch.tensor([10, 11, 12, 19]))).y
        tensor([10, 19, 12])
    """

    def __init__(
        self,
        num_points: int | None = None,
        ratio: float | None = None,
        start: int = 0,
        generator: Generator | None = None,
    ) -> None:
        _check_choice(num_points, ratio, start, generator)
        self.num_points = num_points
        self.ratio = ratio
        self.start = start
        self.seed = None if generator is None else seed_from(generator)

    def forward(self, data: Data) -> Data:
        """Keep the chosen points."""
        pos = positions(data)
        for key in _STRUCTURE:
            if key in data:
                expected = "points only: sample before building the graph, or delete"
                raise value_error("data", expected, f"`{key}`")
        if isinstance(data, Batch):
            return Batch.from_data_list([self.forward(graph) for graph in data.to_data_list()])
        chosen = _farthest_points(
            pos, self.num_points, self.ratio, data.batch, self.start, self.seed
        )
        return keep_points(data, chosen)

    def __repr__(self) -> str:
        size = f"ratio={self.ratio}" if self.num_points is None else f"num_points={self.num_points}"
        first = f"start={self.start}" if self.seed is None else f"seed={self.seed}"
        return f"{type(self).__name__}({size}, {first})"


def _spread(pos: Tensor, num_points: int, first: int | Tensor) -> Tensor:
    """Sample one cloud without reading anything back from the device."""
    columns = to_double(pos.detach()).T.contiguous()  # [D, N]
    distance = torch.full_like(columns[0], math.inf)
    # The same buffers for all steps: fresh memory at every step would cost more than the
    # arithmetic.
    gap, squared = torch.empty_like(columns), torch.empty_like(distance)
    chosen = torch.zeros(num_points, dtype=torch.long, device=pos.device)
    chosen[:1] = first
    for step in range(1, num_points):
        last = chosen[step - 1 : step]
        torch.sub(columns, columns[:, last], out=gap).square_()
        torch.minimum(distance, torch.sum(gap, dim=0, out=squared), out=distance)
        # Below every distance, so that the point is not chosen again among points that coincide
        # with it.
        distance[last] = -1.0
        chosen[step] = distance.argmax()
    return chosen


def _check_choice(
    num_points: int | None, ratio: float | None, start: int, generator: Generator | None
) -> None:
    if (num_points is None) == (ratio is None):
        got = f"num_points={num_points}, ratio={ratio}"
        raise value_error("num_points", "given, or else `ratio`, not both", got)
    if num_points is not None:
        check_integer("num_points", num_points, 1)
    if ratio is not None and check_length("ratio", ratio) > 1:
        raise value_error("ratio", "in (0, 1]", ratio)
    check_integer("start", start, 0)
    if generator is not None and not isinstance(generator, Generator):
        raise type_error("generator", "a torch.Generator or None", generator)
    if generator is not None and start:
        raise value_error("start", "left out where `generator` draws it", start)


def _count(size: int, num_points: int | None, ratio: float | None) -> int:
    if num_points is not None:
        return _at_most("num_points", num_points, size)
    assert ratio is not None
    # A product such as 0.07 * 100 = 7.000000000000001 must not become 8 points.
    return math.ceil(ratio * size * (1 - 1e-12))


def _first(pos: Tensor, start: int, seed: int | None) -> int | Tensor:
    """The point ``start``, or that whose coordinates have the lowest hash by ``seed``."""
    if not len(pos):
        return 0
    if seed is None:
        return _at_most("start", start, len(pos) - 1)
    return stream(seed, *bits(pos.detach()).unbind(1)).argmin()


def _at_most(name: str, value: int, high: int) -> int:
    if value > high:
        raise value_error(name, f"at most {high} for the smallest graph", value)
    return value
