"""Diffusion on grids, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from graphmask._checks import check_number, value_error
from graphmask.operators import GridDiffusionOperator, MaskOperator
from graphmask.operators._grids import check_shape, grids_of
from graphmask.operators.grid_diffusion import MATRIX_AXIS
from graphmask.topology import Topology

from .base import TopologicalMask


class GridDiffusionMask(TopologicalMask):
    r"""The heat kernel :math:`M = \exp(-t_h L)` of a grid graph, :math:`L = D - A`, with a learnable time t > 0 per head.

    Every graph is a grid of this shape, its nodes listed in row-major order. Its edges, which join
    neighbours on each axis and
    weigh one, are those of the shape: those of the topology are not read.

    Args:
        shape: lengths of the axes.
        heads: H. (default: :obj:`1`)
        t: the time to start from; its logarithm is learned. (default: :obj:`1.0`)
        per_axis: whether each axis has a time of its own. (default: :obj:`False`)

    Raises:
        ValueError: for a time that is not positive, and graphs of another number of nodes.

    Cost: per product column ``N n`` along an axis of n nodes up to 1,024, O(N log n) along longer
    ones.

    Rounding: entries are exact relative to the largest ones. Far apart, where the kernel is below
        the rounding of its peak,
    entries may come out as small numbers of any sign.

    Source: Kondor and Lafferty, "Diffusion Kernels on Graphs" (ICML 2002); Choromanski et al.,
    "From block-Toeplitz matrices to differential equations on graphs" (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> three = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> gm.masks.GridDiffusionMask(3, t=0.5)(three) @ torch.tensor([1.0, 0.0, 0.0])
        tensor([[0.6738, 0.2590, 0.0673]], grad_fn=<SqueezeBackward1>)
    """

    ordered = True

    def __init__(
        self, shape: int | Sequence[int], heads: int = 1, t: float = 1.0, per_axis: bool = False
    ) -> None:
        super().__init__(heads)
        self.shape = check_shape(shape)
        self.per_axis, self._start = per_axis, check_time(t)
        self.log_t = nn.Parameter(torch.empty(heads, len(self.shape) if per_axis else 1))
        self.reset_parameters()

    @property
    def cost(self) -> str:  # type: ignore[override]
        """N times the length of each axis, or times the logarithm of a long one."""
        return f"N ({' + '.join(str(n) if n <= MATRIX_AXIS else f'log {n}' for n in self.shape)})"

    def reset_parameters(self) -> None:
        self.log_t.data.fill_(self._start).log_()

    def prepare(self, topology: Topology) -> Topology:
        grids_of(topology, self.shape)
        return super().prepare(topology)

    def _operator(self, topology: Topology) -> MaskOperator:
        return GridDiffusionOperator(topology, self.shape, self.log_t.exp())

    def __repr__(self) -> str:
        return f"GridDiffusionMask({self.shape}, heads={self.heads}{', per_axis=True' if self.per_axis else ''})"


def check_time(t: float) -> float:
    """A positive time of diffusion."""
    if not check_number("t", t, -float("inf")) > 0:
        raise value_error("t", "positive", t)
    return float(t)
