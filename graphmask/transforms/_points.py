"""Checked coordinates: the one thing both neighbour searches look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_finite, describe, type_error, value_error

Period: TypeAlias = float | Sequence[float] | Tensor | None


@dataclass(frozen=True)
class Points:
    """Coordinates of all the graphs of a batch, in double precision.

    Attributes:
        pos: [N, D] float64, wrapped into [0, L) along periodic axes.
        batch: [N] the graph of each point, numbered 0 to B - 1 in any order.
        period: [D] the box lengths L, infinite along open axes.
    """

    pos: Tensor
    batch: Tensor
    period: Tensor

    @property
    def num_points(self) -> int:
        """Number of points N."""
        return self.pos.size(0)

    @property
    def num_graphs(self) -> int:
        """Number of graphs B."""
        return int(self.batch.max()) + 1 if self.num_points else 0

    def squared_distance(self, i: Tensor, j: Tensor) -> Tensor:
        """Squared distances between the points ``i`` and ``j``, by minimal image, for any index shapes that broadcast.

        Summed axis by axis: a reduction may reorder the sum and so break ties differently on
        another device.
        """
        total = torch.zeros((), dtype=self.pos.dtype, device=self.pos.device)
        for x, period in zip(self.pos.unbind(1), self.period.tolist(), strict=True):
            gap = minimal_image(x[i] - x[j], period)
            total = total + gap * gap
        return total


def minimal_image(gap: Tensor, period: float) -> Tensor:
    """The shortest of the displacements ``gap + n * period`` over the integers n."""
    return gap if math.isinf(period) else gap - period * (gap.detach() / period).round()


def by_centre(i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs ordered by i, those of one i kept in the order they have."""
    if (i[1:] >= i[:-1]).all():
        return i, j
    order = i.argsort(stable=True)
    return i[order], j[order]


def collect(pos: Tensor, batch: Tensor | None, period: Period) -> Points:
    """The points of a search, checked.

    Kept on the GPU under CUDA, brought to the host from anywhere else.
    """
    check_pos(pos)
    lengths = box_lengths(period, pos.size(1))
    graphs = graph_numbers(pos, batch)
    host = pos.device if pos.is_cuda else torch.device("cpu")
    wide = pos.detach().to(host).double()
    return Points(wrap(wide, lengths.to(host)), graphs.to(host), lengths.to(host))


def wrap(pos: Tensor, period: Tensor) -> Tensor:
    """Coordinates moved into [0, L) along the periodic axes."""
    inside = pos.remainder(period)
    # The remainder of a tiny negative number rounds to L itself.
    inside = torch.where(inside < period, inside, torch.zeros_like(inside))
    return torch.where(period.isfinite(), inside, pos)


def check_pos(pos: Tensor) -> None:
    """Coordinates [N, D], D >= 1, of float32 or float64, all finite."""
    if not isinstance(pos, Tensor):
        raise type_error("pos", "a tensor [N, D]", pos)
    if pos.dtype not in (torch.float32, torch.float64):
        raise value_error("pos", "float32 or float64 (convert with pos.float())", pos)
    if pos.dim() != 2 or pos.size(1) == 0:
        raise value_error("pos", "a tensor [N, D] with D >= 1", pos)
    check_finite("pos", pos)


def positions(data: Data) -> Tensor:
    """The checked ``data.pos``."""
    if not isinstance(data, Data):
        raise type_error("data", "a torch_geometric.data.Data", data)
    if data.pos is None:
        raise value_error(
            "pos",
            "set: give the data its point coordinates, data.pos of shape [N, D]",
            f"{data} without it",
        )
    check_pos(data.pos)
    return data.pos


def graph_numbers(pos: Tensor, batch: Tensor | None) -> Tensor:
    """The graph of each point, renumbered to 0 ... B - 1 without gaps."""
    if batch is None:
        return torch.zeros(pos.size(0), dtype=torch.long, device=pos.device)
    if not isinstance(batch, Tensor):
        raise type_error("batch", "a tensor [N] of graph numbers", batch)
    if batch.shape != pos.shape[:1] or batch.is_floating_point() or batch.dtype == torch.bool:
        raise value_error("batch", f"integers of shape [{pos.size(0)}]", batch)
    if batch.device != pos.device:
        raise value_error("batch", f"on the device of pos, {pos.device}", str(batch.device))
    if (batch < 0).any():
        raise value_error("batch", "non-negative", f"a graph number {int(batch.min())}")
    return batch.unique(return_inverse=True)[1]


def box_lengths(period: Period, dim: int) -> Tensor:
    """Lengths [D] of the periodic box; infinity leaves an axis open."""
    lengths = torch.as_tensor(
        math.inf if period is None else period, dtype=torch.float64, device="cpu"
    )
    if lengths.shape not in ((), (dim,)):
        raise value_error("period", f"one length or D = {dim} lengths", period)
    if not (lengths > 0).all():
        raise value_error("period", "positive", period)
    return lengths.expand(dim)


def check_length(name: str, value: float) -> float:
    """A positive finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise type_error(name, "a number", value)
    if not 0 < value < math.inf:
        raise value_error(name, "positive and finite", describe(value))
    return float(value)
