"""Sums and multiples of masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, ScaledOperator
from graphmask.operators.algebra import check_scale
from graphmask.operators.sparse import merge_patterns
from graphmask.topology import Topology

from ._combined import CombinedMask
from .base import TopologicalMask, WalkDemand


class SumMask(CombinedMask):
    """``M_1 + M_2 + ...``.

    Args:
        masks: masks of the same number of heads, or of one.

    Raises:
        ValueError: for no mask, masks of different numbers of heads, or masks on walks of different normalisations.

    Cost: the sum of the terms' costs; sparse terms are merged, in O(nnz log nnz).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> mask = 0.5 * gm.masks.GlobalMask() + gm.masks.GlobalMask()
        >>> mask(edge).to_dense()
        tensor([[[1.5000, 1.5000],
                 [1.5000, 1.5000]]])
    """

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The sum of the terms' costs."""
        return " + ".join(dict.fromkeys(mask.cost for mask in self._terms()))

    def _operator(self, topology: Topology) -> MaskOperator:
        first, *rest = (mask(topology) for mask in self.masks)
        return sum(rest, start=first)

    def _support(self, topology: Topology) -> Pattern | None:
        """That of the sum; where a term has none, those of the others are merged nevertheless, as the operator does."""
        found = [mask._support(topology) for mask in self._terms()]
        known = [each for each in found if each is not None]
        merged = merge_patterns(known) if known else None
        if merged is not None:
            _ = merged.mT, merged.schedule
        return merged if len(known) == len(found) else None

    def _terms(self) -> Iterator[TopologicalMask]:
        """The masks, those of sums among them one by one: sums of operators are flat."""
        for mask in self.masks:
            if isinstance(mask, SumMask):
                yield from mask._terms()
            elif isinstance(mask, TopologicalMask):
                yield mask

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.masks))


class ScaledMask(TopologicalMask):
    """``c M``.

    Args:
        mask: M.
        scale: c; a number, or a tensor of one number or of ``[H]``. An ``nn.Parameter`` is learned.

    Raises:
        ValueError: for a tensor of neither one number nor one per head.

    Cost: that of M.

    Example:
        >>> import torch, graphmask as gm
        >>> learned = torch.nn.Parameter(torch.tensor([0.1, 0.2])) * gm.masks.GlobalMask()
        >>> learned.heads, len(list(learned.parameters()))
        (2, 1)
    """

    def __init__(self, mask: TopologicalMask, scale: float | Tensor) -> None:
        super().__init__(check_scale(scale, mask.heads))
        self.mask = mask
        if isinstance(scale, Tensor) and not isinstance(scale, nn.Parameter):
            self.register_buffer("scale", scale)
        else:
            self.scale = scale
        self._initial = scale.detach().clone() if isinstance(scale, Tensor) else scale

    @property
    def cost(self) -> str:  # type: ignore[override]
        """That of M."""
        return self.mask.cost

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether M is."""
        return self.mask.ordered

    def _operator(self, topology: Topology) -> MaskOperator:
        return ScaledOperator(self.mask(topology), self.scale)  # torch.compile does not follow a product with a tensor

    @property
    def walk_demand(self) -> WalkDemand | None:
        return self.mask.walk_demand

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return self.mask._patterns(topology)

    def _support(self, topology: Topology) -> Pattern | None:
        return self.mask._support(topology)

    def reset_parameters(self) -> None:
        self.mask.reset_parameters()
        if isinstance(self.scale, nn.Parameter) and isinstance(self._initial, Tensor):
            self.scale.data.copy_(self._initial)

    def __repr__(self) -> str:
        scale = self._initial.flatten().tolist() if isinstance(self._initial, Tensor) else self._initial
        return f"{scale} * ({self.mask!r})" if isinstance(self.mask, SumMask) else f"{scale} * {self.mask!r}"
