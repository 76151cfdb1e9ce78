"""Sums, multiples, products and transposes of masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, ProductOperator, ScaledOperator
from graphmask.operators.algebra import check_scale
from graphmask.operators.sparse import merge_patterns
from graphmask.topology import Topology

from ._combined import CombinedMask
from .base import TopologicalMask


class SumMask(CombinedMask):
    """``M_1 + M_2 + ...``.

    Args:
        masks: masks of the same number of heads, or of one.

    Raises:
        ValueError: for no mask, masks of different numbers of heads, or masks on walks of different
            normalisations.

    Cost: the sum of the terms' costs; sparse terms are merged, in O(nnz log nnz).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> mask = 0.5 * gm.masks.GlobalMask() + gm.masks.GlobalMask()
        >>> mask(edge).to_dense()
        tensor([[[1.5000, 1.5000],
                 [1.5000, 1.5000]]])
    """

    def _operator(self, topology: Topology) -> MaskOperator:
        first, *rest = (mask(topology) for mask in self._parts())
        return sum(rest, start=first)

    def _support(self, topology: Topology) -> Pattern | None:
        """That of the sum; where a term has none, those of the others are merged nevertheless, as the operator does."""
        found = [mask._support(topology) for mask in self._terms()]
        known = [each for each in found if each is not None]
        merged = merge_patterns(known) if known else None
        if merged is not None:
            _ = merged.mT, merged.row_order
        return merged if len(known) == len(found) else None

    def _terms(self) -> Iterator[TopologicalMask]:
        """The masks, those of sums among them one by one: sums of operators are flat."""
        for mask in self._parts():
            yield from mask._terms() if isinstance(mask, SumMask) else (mask,)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.masks))


class MatrixProduct(CombinedMask):
    r"""The matrix product :math:`M_1 M_2 \cdots`: what one mask gathers, the next gathers again.

    .. math:: M_{ij} = \sum_l (M_1)_{il} (M_2)_{lj}

    Args:
        masks: masks of the same number of heads, or of one. Signed factors are refused by attention
            unless graphs are small: the product hides the absolute values that the normaliser sums.

    Raises:
        ValueError: for no mask, masks of different numbers of heads, or masks on walks of different
            normalisations.

    Cost: the sum of the factors' costs.

    Source: Reid et al. (ICLR 2025), Lemma 3.1, for two factors.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.GlobalMask() @ gm.masks.GlobalMask()
        >>> mask(path) @ torch.ones(3)
        tensor([[9., 9., 9.]])
    """

    def _operator(self, topology: Topology) -> MaskOperator:
        return ProductOperator(*(mask(topology) for mask in self._parts()))

    def __repr__(self) -> str:
        return " @ ".join(
            f"({mask!r})" if isinstance(mask, SumMask) else repr(mask) for mask in self.masks
        )


class Transposed(CombinedMask):
    """``M^T``: every edge and walk followed backwards.

    Args:
        mask: M.

    Cost: that of M.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> mask = gm.masks.PowerSeriesMask(order=1, normalization=None, alpha=gm.masks.RegularizedLaplacian)
        >>> mask.mT(edge).to_dense().tolist()
        [[[0.5, 0.25], [0.0, 0.5]]]
    """

    def __init__(self, mask: TopologicalMask) -> None:
        super().__init__(mask)

    def _operator(self, topology: Topology) -> MaskOperator:
        (mask,) = self._parts()
        return mask(topology).mT

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return [side for pattern in super()._patterns(topology) for side in (pattern, pattern.mT)]

    def __repr__(self) -> str:
        return (
            f"({self.masks[0]!r}).mT"
            if isinstance(self.masks[0], SumMask)
            else f"{self.masks[0]!r}.mT"
        )


class Symmetrized(Transposed):
    """``(M + M^T) / 2``, what :func:`symmetrize` gives.

    Args:
        mask: M.

    Cost: twice that of M; sparse entries are merged, in O(nnz log nnz).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> mask = gm.masks.PowerSeriesMask(order=1, normalization=None, alpha=gm.masks.RegularizedLaplacian)
        >>> gm.masks.symmetrize(mask)(edge).to_dense().tolist()
        [[[0.5, 0.125], [0.125, 0.5]]]
    """

    def _operator(self, topology: Topology) -> MaskOperator:
        (mask,) = self._parts()
        operator = mask(topology)
        return 0.5 * (operator + operator.mT)

    def __repr__(self) -> str:
        return f"symmetrize({self.masks[0]!r})"


def symmetrize(mask: TopologicalMask) -> Symmetrized:
    """The mask ``(M + M^T) / 2``, in which both directions of every pair count alike.

    Example:
        >>> import graphmask as gm
        >>> gm.masks.symmetrize(gm.masks.WalkMask(hops=2))
        symmetrize(WalkMask(hops=2, heads=1, alpha=Free))
    """
    return Symmetrized(mask)


class ScaledMask(CombinedMask):
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
        super().__init__(mask)
        self.heads = check_scale(scale, mask.heads)
        if isinstance(scale, Tensor) and not isinstance(scale, nn.Parameter):
            self.register_buffer("scale", scale)
        else:
            self.scale = scale
        self._initial = scale.detach().clone() if isinstance(scale, Tensor) else scale

    def _operator(self, topology: Topology) -> MaskOperator:
        return ScaledOperator(
            self.mask(topology), self.scale
        )  # torch.compile does not follow a product with a tensor

    @property
    def mask(self) -> TopologicalMask:
        """M."""
        return next(self._parts())

    def _support(self, topology: Topology) -> Pattern | None:
        return self.mask._support(topology)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if isinstance(self.scale, nn.Parameter) and isinstance(self._initial, Tensor):
            self.scale.data.copy_(self._initial)

    def __repr__(self) -> str:
        scale = (
            self._initial.flatten().tolist() if isinstance(self._initial, Tensor) else self._initial
        )
        return (
            f"{scale} * ({self.mask!r})"
            if isinstance(self.mask, SumMask)
            else f"{scale} * {self.mask!r}"
        )
