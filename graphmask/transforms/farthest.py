"""Farthest point sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import check_integer, type_error, value_error
from graphmask.transforms._points import check_length, check_pos, graph_numbers, positions

STRUCTURE = ("edge_index", "adj", "adj_t", "face")


def farthest_points(
    pos: Tensor,
    num_points: int | None = None,
    ratio: float | None = None,
    batch: Tensor | None = None,
    start: int = 0,
    generator: Generator | None = None,
) -> Tensor:
    r"""Points spread over each cloud.

    Each next one is the point farthest from those already chosen.

    .. math:: s_{t+1} = \arg\max_i \min_{r \le t} \|p_i - p_{s_r}\|

    Equal distances go to the lower index; no point is chosen twice, coinciding ones included.

    Cost: O(N M) time for M chosen points, O(N) memory.

    Args:
        pos: Coordinates [N, D], float32 or float64.
        num_points: Points to choose from each graph, at most as many as it has.
        ratio: Or a fraction in (0, 1] of them, rounded up. Give one of the two.
        batch: Graph of each point [N]; one graph if left out.
        start: The first point, counted within each graph.
        generator: Draws the first point of each graph instead.

    Returns:
        Chosen points, graph by graph, in the order of choice.

    Raises:
        ValueError: None or both of ``num_points`` and ``ratio``, one of them or ``start`` out of
            range (also for the smallest graph), ``start`` together with ``generator``; ``pos`` or
            ``batch`` as for :func:`knn_graph`.
        TypeError: An argument of a wrong type.

    Example:
        >>> farthest_points(torch.tensor([[0.0], [1.0], [2.0], [9.0]]), num_points=3)
        tensor([0, 3, 2])
    """
    count = _counter(num_points, ratio)
    first = _first_point(start, generator)
    check_pos(pos)
    groups = _groups(graph_numbers(pos, batch))
    sizes = [count(len(group)) for group in groups]
    return torch.cat(
        [group[_spread(pos[group], size, first)] for group, size in zip(groups, sizes, strict=True)]
    )


def _groups(graphs: Tensor) -> tuple[Tensor, ...]:
    """The points of each graph, in the order they have; no points are one empty graph."""
    return graphs.argsort(stable=True).split(graphs.bincount(minlength=1).tolist())


def _spread(pos: Tensor, num_points: int, first: Callable[[int], int]) -> Tensor:
    """Farthest point sampling of one cloud; nothing is read back from the device on the way."""
    columns = pos.detach().double().T.contiguous()  # [D, N]
    distance = torch.full_like(columns[0], math.inf)
    # The same buffers for all steps: fresh memory at every step would cost more than the
    # arithmetic.
    gap, squared = torch.empty_like(columns), torch.empty_like(distance)
    chosen = torch.zeros(num_points, dtype=torch.long, device=pos.device)
    chosen[:1] = first(len(pos)) if num_points else 0
    for step in range(1, num_points):
        last = chosen[step - 1 : step]
        torch.sub(columns, columns[:, last], out=gap).square_()
        torch.minimum(distance, torch.sum(gap, dim=0, out=squared), out=distance)
        # Below every distance: the point is not chosen again, even where all that is left coincides
        # with it.
        distance[last] = -1.0
        chosen[step] = distance.argmax()
    return chosen


def _counter(num_points: int | None, ratio: float | None) -> Callable[[int], int]:
    """How many points to choose from a graph of N."""
    if num_points is not None and ratio is None:
        fixed = check_integer("num_points", num_points, 1)
        return lambda size: _at_most("num_points", fixed, size)
    if num_points is not None or ratio is None:
        raise value_error(
            "num_points",
            "given, or else `ratio`, not both",
            f"num_points={num_points}, ratio={ratio}",
        )
    part = check_length("ratio", ratio)
    if part > 1:
        raise value_error("ratio", "in (0, 1]", ratio)
    # A product such as 0.07 * 100 = 7.000000000000001 must not become 8 points.
    return lambda size: math.ceil(part * size * (1 - 1e-12))


def _first_point(start: int, generator: Generator | None) -> Callable[[int], int]:
    """The first point of a graph of N."""
    check_integer("start", start, 0)
    if generator is None:
        return lambda size: _at_most("start", start, size - 1)
    if not isinstance(generator, Generator):
        raise type_error("generator", "a torch.Generator or None", generator)
    if start:
        raise value_error("start", "left out where `generator` draws it", start)
    return lambda size: int(torch.randint(size, (), generator=generator, device=generator.device))


def _at_most(name: str, value: int, high: int) -> int:
    """A value that fits a graph."""
    if value > high:
        raise value_error(name, f"at most {high} for the smallest graph", value)
    return value


class FarthestPoints(BaseTransform):
    r"""Keeps points spread evenly over ``data.pos``, with all their attributes.

    See :func:`farthest_points`.

    Every node-level attribute (as ``data.is_node_attr`` tells) is cut to the chosen points, in the
    order of choice, which is coarse to fine. Sample before building a graph: points far apart have
    hardly any edge in common, so data with edges or faces is refused. The graphs of ``data.batch``
    are sampled one by one, those of a ``Batch`` as if batched afterwards.

    Cost: O(N M) time for M chosen points, O(N) memory.

    Args:
        num_points: Points to keep of each graph, at most as many as it has.
        ratio: Or a fraction in (0, 1] of them, rounded up. Give one of the two.
        start: The first point.
        generator: Draws the first point instead.

    Raises:
        ValueError: An argument out of range, or for some graph; ``data`` with edges or faces;
            ``pos`` missing, not float32 or float64, not [N, D], not finite.

    Example:
        >>> data = Data(pos=torch.tensor([[0.0], [1.0], [2.0], [9.0]]), y=torch.tensor([10, 11, 12, 19]))
        >>> FarthestPoints(num_points=3)(data).y
        tensor([10, 19, 12])
    """

    def __init__(
        self,
        num_points: int | None = None,
        ratio: float | None = None,
        start: int = 0,
        generator: Generator | None = None,
    ) -> None:
        _counter(num_points, ratio)
        _first_point(start, generator)
        self.num_points = num_points
        self.ratio = ratio
        self.start = start
        self.generator = generator

    def forward(self, data: Data) -> Data:
        """Keep the chosen points."""
        pos = positions(data)
        held = [key for key in STRUCTURE if key in data]
        if held:
            raise value_error(
                "data", "points only: sample before building the graph, or delete", f"`{held[0]}`"
            )
        if isinstance(data, Batch):
            return Batch.from_data_list([self.forward(graph) for graph in data.to_data_list()])
        chosen = farthest_points(
            pos, self.num_points, self.ratio, data.batch, self.start, self.generator
        )
        return data.subgraph(chosen)

    def __repr__(self) -> str:
        size = f"ratio={self.ratio}" if self.num_points is None else f"num_points={self.num_points}"
        first = f"start={self.start}" if self.generator is None else "generator=..."
        return f"{type(self).__name__}({size}, {first})"
