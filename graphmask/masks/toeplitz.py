"""Learnable functions of the offset, or of the distance, on grids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphmask._checks import value_error
from graphmask.operators import MaskOperator, ToeplitzOperator
from graphmask.operators._grids import check_shape
from graphmask.topology import Topology

from .base import TopologicalMask


class ToeplitzMask(TopologicalMask):
    r"""A learnable function of the offset on a grid, :math:`M_{ij} = g_h(x_i - x_j)`.

    Every graph is a grid of this shape, its nodes listed in row-major order (nodes of other graphs
    may stand between them). Edges are not read. All values start at one.

    Args:
        shape: lengths of the 1, 2 or 3 axes.
        heads: H. (default: :obj:`1`)
        shared: ``"distance"`` for one value per distance :math:`|x_i - x_j|_1`, the length of a
            shortest path on the grid. (default: :obj:`None`, one value per offset)
        class_token: whether each graph has one node more, its first, outside of the grid. Its row
            and its column are ones. (default: :obj:`False`)
        signed: whether values are free numbers, instead of exponentials of free numbers. Attention
            under a signed mask builds the blocks of small graphs; large ones raise an error: its
            normaliser sums absolute values, which the fast product does not know. (default:
            :obj:`False`)

    Raises:
        ValueError: for a shape of other than 1 to 3 axes, an unknown way to share, and graphs of
            another number of nodes.

    Cost: O(N log N) per product column, by fast Fourier transforms of length ``2^D N``.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022), figure 1; Luo et al., "Stable, Fast and Accurate: Kernelized Attention with
    Relative Positional Encoding" (NeurIPS 2021), for sequences.

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.ToeplitzMask((1, 3), shared="distance")
        >>> mask.raw.data = torch.tensor([[1.0, 0.5, 0.25]]).log()
        >>> three = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> mask(three) @ torch.tensor([4.0, 0.0, 0.0])
        tensor([[4., 2., 1.]], grad_fn=<SqueezeBackward1>)
    """

    cost = "N log N"
    ordered = True

    def __init__(
        self,
        shape: int | Sequence[int],
        heads: int = 1,
        shared: str | None = None,
        class_token: bool = False,
        signed: bool = False,
    ) -> None:
        super().__init__(heads)
        if shared not in (None, "distance"):
            raise value_error("shared", "'distance' or None", shared)
        self.shape = check_shape(shape, (1, 2, 3))
        self.shared, self.class_token, self.signed = shared, class_token, signed
        distances = [sum(self.shape) - len(self.shape) + 1]
        offsets = [2 * n - 1 for n in self.shape]
        self.raw = nn.Parameter(torch.empty(heads, *(distances if shared else offsets)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.raw.data.fill_(1.0 if self.signed else 0.0)

    def _operator(self, topology: Topology) -> MaskOperator:
        value, nonnegative = self._value(), not self.signed
        return ToeplitzOperator(topology, self.shape, value, nonnegative, self.class_token)

    def _value(self) -> Tensor:
        """``[H, 2 n_1 - 1, ..., 2 n_D - 1]``, the value of each offset."""
        value = self.raw if self.signed else self.raw.exp()
        if self.shared is None:
            return value
        distance = torch.zeros(1, dtype=torch.long, device=value.device)
        for n in self.shape:
            distance = distance.unsqueeze(-1) + torch.arange(1 - n, n, device=value.device).abs()
        return value[:, distance.squeeze(0)]

    def __repr__(self) -> str:
        options = {"shared": self.shared, "class_token": self.class_token, "signed": self.signed}
        changed = "".join(f", {name}={value!r}" for name, value in options.items() if value)
        return f"ToeplitzMask({self.shape}, heads={self.heads}{changed})"
