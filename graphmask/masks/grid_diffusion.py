"""Diffusion on grids and hypercubes, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphmask._checks import check_open
from graphmask._deprecation import deprecated_arguments
from graphmask.operators import GridDiffusionOperator, HypercubeOperator, MaskOperator
from graphmask.operators._grids import check_shape
from graphmask.operators.grid_diffusion import MATRIX_AXIS
from graphmask.topology import Topology

from .base import TopologicalMask


@deprecated_arguments(t="scale")
class GridDiffusionMask(TopologicalMask):
    r"""The heat kernel :math:`M = \exp(-t_h L)` of a grid graph, :math:`L = D - A`.

    The time t > 0 is learned per head. Every graph is a grid of this shape, its nodes listed in
    row-major order. Its edges join neighbours on each axis with weight 1; those of the topology are
    not read.

    Args:
        shape: lengths of the axes.
        heads: H. (default: :obj:`1`)
        scale: initial t; its logarithm is learned. (default: :obj:`1.0`)
        per_axis: whether each axis has a time of its own. (default: :obj:`False`)

    Raises:
        ValueError: for a scale that is not positive, and graphs of another number of nodes.

    Cost: per product column ``N n`` along an axis of n nodes up to 1,024, O(N log n) along longer
    ones.

    Rounding: entries are exact relative to the largest ones. Where the kernel is below the rounding
    of its peak, entries may be small numbers of any sign.

    Source: Kondor and Lafferty, "Diffusion Kernels on Graphs" (ICML 2002); Choromanski et al.,
    "From block-Toeplitz matrices to differential equations on graphs" (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> three = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> gm.masks.GridDiffusionMask(3, scale=0.5)(three) @ torch.tensor([1.0, 0.0, 0.0])
        tensor([[0.6738, 0.2590, 0.0673]], grad_fn=<SqueezeBackward1>)
    """

    ordered = True

    def __init__(
        self, shape: int | Sequence[int], heads: int = 1, scale: float = 1.0, per_axis: bool = False
    ) -> None:
        super().__init__(heads)
        self.shape = check_shape(shape)
        self.per_axis, self._start = per_axis, check_open("scale", scale)
        self.log_t = nn.Parameter(torch.empty(heads, len(self.shape) if per_axis else 1))
        self.reset_parameters()

    @property
    def scale(self) -> Tensor:
        """``[H, 1]``, or ``[H, D]`` per axis, t."""
        return self.log_t.exp()

    @property
    def cost(self) -> str:  # type: ignore[override]
        """N times the length of each axis, or times the logarithm of a long one."""
        return f"N ({' + '.join(str(n) if n <= MATRIX_AXIS else f'log {n}' for n in self.shape)})"

    def reset_parameters(self) -> None:
        self.log_t.data.fill_(self._start).log_()

    def _operator(self, topology: Topology) -> MaskOperator:
        return GridDiffusionOperator(topology, self.shape, self.scale)

    def __repr__(self) -> str:
        per_axis = ", per_axis=True" if self.per_axis else ""
        return f"GridDiffusionMask({self.shape}, heads={self.heads}{per_axis})"


@deprecated_arguments(t="scale")
class HypercubeMask(TopologicalMask):
    r"""The heat kernel :math:`M = \exp(-t_h L)` of the hypercube, :math:`L = D - A`.

    The time t > 0 is learned per head. Every graph has a power of two nodes, :math:`2^n`, listed in
    binary order; nodes are neighbours if their ranks differ in one bit. Edges of the topology are
    not read.

    .. math:: M_{ij} = p^{n - \delta} r^\delta, \quad p = (1 + e^{-2t}) / 2, \quad r = (1 - e^{-2t})
        / 2

    for ranks that differ in :math:`\delta` bits.

    Args:
        heads: H. (default: :obj:`1`)
        scale: initial t; its logarithm is learned. (default: :obj:`1.0`)

    Raises:
        ValueError: for a scale that is not positive, and graphs whose size is no power of two.

    Cost: O(N log N) per product column.

    Rounding: no number is subtracted, so that products with non-negative columns are exact entry by
    entry, up to relative rounding.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> four = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
        >>> gm.masks.HypercubeMask(scale=0.5)(four) @ torch.tensor([1.0, 0.0, 0.0, 0.0])
        tensor([[0.4678, 0.2162, 0.2162, 0.0999]], grad_fn=<SqueezeBackward1>)
    """

    cost = "N log N"
    ordered = True

    def __init__(self, heads: int = 1, scale: float = 1.0) -> None:
        super().__init__(heads)
        self._start = check_open("scale", scale)
        self.log_t = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    def scale(self) -> Tensor:
        """``[H]``, t."""
        return self.log_t.exp()

    def reset_parameters(self) -> None:
        self.log_t.data.fill_(self._start).log_()

    def _operator(self, topology: Topology) -> MaskOperator:
        return HypercubeOperator(topology, self.scale)

    def __repr__(self) -> str:
        return f"HypercubeMask(heads={self.heads})"
