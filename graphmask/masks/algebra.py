"""Sums and multiples of masks."""

from __future__ import annotations

from torch import Tensor, nn

from graphmask._checks import refuse
from graphmask.operators import MaskOperator
from graphmask.topology import Topology

from .base import TopologicalMask


class SumMask(TopologicalMask):
    """``M_1 + M_2 + ...``.

    Args:
        masks: masks of the same number of heads, or of one.

    Raises:
        ValueError: for masks of different numbers of heads.

    Cost: the sum of the terms' costs; sparse terms are merged, in O(nnz log nnz).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> mask = 0.5 * gm.masks.GlobalMask() + gm.masks.GlobalMask()
        >>> mask(edge).to_dense()
        tensor([[[1.5000, 1.5000],
                 [1.5000, 1.5000]]])
    """

    def __init__(self, *masks: TopologicalMask) -> None:
        heads = {mask.heads for mask in masks}
        if len(heads - {1}) > 1:
            raise refuse("masks", "of the same number of heads, or one", f"heads {sorted(heads)}")
        super().__init__(max(heads))
        self.masks = nn.ModuleList(masks)

    def _operator(self, topology: Topology) -> MaskOperator:
        first, *rest = (mask(topology) for mask in self.masks)
        return sum(rest, start=first)

    def prepare(self, topology: Topology) -> Topology:
        for mask in sorted(self.masks, key=lambda mask: -mask.walk_sets):  # type: ignore[operator, arg-type, return-value]
            topology = mask.prepare(topology)  # type: ignore[operator]
        return topology

    @property
    def walk_sets(self) -> int:
        return max(mask.walk_sets for mask in self.masks)  # type: ignore[type-var, return-value]

    def reset_parameters(self) -> None:
        for mask in self.masks:
            mask.reset_parameters()  # type: ignore[operator]

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.masks))


class ScaledMask(TopologicalMask):
    """``c M``.

    Args:
        mask: M.
        scale: c; a number, or a tensor of one number or of ``[H]``. An ``nn.Parameter`` is learned.

    Cost: that of M.

    Example:
        >>> import torch, graphmask as gm
        >>> learned = torch.nn.Parameter(torch.tensor([0.1, 0.2])) * gm.masks.GlobalMask()
        >>> learned.heads, len(list(learned.parameters()))
        (2, 1)
    """

    def __init__(self, mask: TopologicalMask, scale: float | Tensor) -> None:
        super().__init__(max(mask.heads, scale.numel() if isinstance(scale, Tensor) else 1))
        self.mask = mask
        if isinstance(scale, Tensor) and not isinstance(scale, nn.Parameter):
            self.register_buffer("scale", scale)
        else:
            self.scale = scale
        self._initial = scale.detach().clone() if isinstance(scale, Tensor) else scale

    def _operator(self, topology: Topology) -> MaskOperator:
        return self.scale * self.mask(topology)

    def prepare(self, topology: Topology) -> Topology:
        return self.mask.prepare(topology)

    @property
    def walk_sets(self) -> int:
        return self.mask.walk_sets

    def reset_parameters(self) -> None:
        self.mask.reset_parameters()
        if isinstance(self.scale, nn.Parameter):
            self.scale.data.copy_(self._initial)

    def __repr__(self) -> str:
        scale = self._initial.flatten().tolist() if isinstance(self._initial, Tensor) else self._initial
        return f"{scale} * {self.mask!r}"
