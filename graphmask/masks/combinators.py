"""The algebra of masks: sums, multiples, products, entrywise products and transposes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from graphmask._checks import type_error, value_error
from graphmask.operators import (
    HeadwiseOperator,
    MaskOperator,
    ProductOperator,
    ScaledOperator,
)
from graphmask.operators.algebra import check_scale
from graphmask.operators.hadamard import multiply
from graphmask.operators.sparse import merge_patterns
from graphmask.topology import Topology

from ._drawing import WalkDemand, join_demands
from .base import Structure, TopologicalMask


class CombinedMask(TopologicalMask):
    """A mask that combines masks of the same number of heads, or of one, on the same walks."""

    def __init__(self, *masks: TopologicalMask) -> None:
        if not masks:
            raise value_error("masks", "at least one", "none")
        for mask in masks:
            if not isinstance(mask, TopologicalMask):
                raise type_error("masks", "TopologicalMasks; factors of numbers come by `*`", mask)
        super().__init__(self._count_heads([mask.heads for mask in masks]))
        self.masks = nn.ModuleList(masks)
        _ = self.walk_demand  # raises where masks cannot share walks

    @staticmethod
    def _count_heads(heads: list[int]) -> int:
        """The heads of the combination of masks of so many heads."""
        if len({*heads} - {1}) > 1:
            expected = "of the same number of heads, or one"
            raise value_error("masks", expected, f"heads {sorted({*heads})}")
        return max(heads)

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The sum of the masks' costs, equal ones once."""
        terms = (term for mask in self._masks() if mask.cost for term in mask.cost.split(" + "))
        return " + ".join(dict.fromkeys(terms))

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """True if any of the masks is."""
        return any(mask.ordered for mask in self._masks())

    @property
    def walk_demand(self) -> WalkDemand | None:
        """The most sets that any of the masks reads, drawn by the sampler of most hops."""
        return join_demands("masks", (mask.walk_demand for mask in self._masks()))

    @property
    def reach(self) -> int | None:
        """The most of the masks' reaches; :obj:`None` if any is."""
        reaches = [mask.reach for mask in self._masks()]
        return None if None in reaches else max([0, *filter(None, reaches)])

    def reset_parameters(self) -> None:
        for mask in self._masks():
            mask.reset_parameters()

    def _check_part(self, topology: Topology) -> None:
        # One of the masks is a better name than their combination, unless each alone could run.
        for mask in self._masks():
            if (mask.reach is None) == (self.reach is None):
                mask._check_part(topology)
        super()._check_part(topology)

    def _structure(self, topology: Topology) -> Structure:
        """Patterns and supports of all masks, as patterns of an operator without entries."""
        structures = [mask._structure(topology) for mask in self._masks()]
        patterns = [pattern for structure in structures for pattern in structure.patterns]
        return Structure([*patterns, *(s.support for s in structures if s.support is not None)])

    def _masks(self) -> Iterator[TopologicalMask]:
        for mask in self.masks:
            assert isinstance(mask, TopologicalMask)
            yield mask


class SumMask(CombinedMask):
    """``M_1 + M_2 + ...``, written ``a + b``.

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
        first, *others = (mask(topology) for mask in self._masks())
        return sum(others, start=first)

    def _structure(self, topology: Topology) -> Structure:
        structures = [mask._structure(topology) for mask in self._terms()]
        patterns = [pattern for structure in structures for pattern in structure.patterns]
        supports = [s.support for s in structures if s.support is not None]
        if not supports:
            return Structure(patterns)
        merged = merge_patterns(supports)
        if len(supports) == len(structures):
            return Structure([*patterns, *supports], merged)
        # The operator attends over the merged entries by pairs, and over other terms apart.
        _ = merged.row_order
        return Structure([*patterns, *supports, merged])

    def _terms(self) -> Iterator[TopologicalMask]:
        """The terms of nested sums, as sums of operators are flat."""
        for mask in self._masks():
            yield from mask._terms() if isinstance(mask, SumMask) else (mask,)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.masks))


class ScaledMask(CombinedMask):
    """``c M``, written ``c * mask``.

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

    @property
    def mask(self) -> TopologicalMask:
        """M."""
        return next(self._masks())

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if isinstance(self.scale, nn.Parameter) and isinstance(self._initial, Tensor):
            self.scale.data.copy_(self._initial)

    def _operator(self, topology: Topology) -> MaskOperator:
        # torch.compile does not follow the product of a tensor and an operator.
        return ScaledOperator(self.mask(topology), self.scale)

    def _structure(self, topology: Topology) -> Structure:
        return self.mask._structure(topology)

    def __repr__(self) -> str:
        initial = self._initial
        scale = initial.flatten().tolist() if isinstance(initial, Tensor) else initial
        return f"{scale} * {_factor(self.mask)}"


class ProductMask(CombinedMask):
    r"""The matrix product :math:`M_1 M_2 \cdots`, written ``a @ b``.

    .. math:: M_{ij} = \sum_l (M_1)_{il} (M_2)_{lj}

    Args:
        masks: masks of the same number of heads, or of one. Signed factors raise an error in
            attention unless graphs are small: its normaliser sums absolute values, which the
            product hides.

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

    @property
    def reach(self) -> int | None:
        return None

    def _operator(self, topology: Topology) -> MaskOperator:
        return ProductOperator(*(mask(topology) for mask in self._masks()))

    def __repr__(self) -> str:
        return " @ ".join(map(_factor, self._masks()))


class HadamardMask(CombinedMask):
    r"""The entrywise product :math:`M_{ij} = A_{ij} B_{ij}`, exact, written ``a * b``.

    One of the masks must be of low rank r within each graph, so that
    :math:`M = \sum_r \text{diag}(u_r)\, A\, \text{diag}(v_r)`; or one must be sparse and the other
    able to compute single entries, so that M is sparse. All ones leave the other mask unchanged,
    and sums are multiplied term by term. The mask is non-negative where both are.

    Args:
        a: a mask.
        b: a mask of as many heads, or of one.

    Raises:
        ValueError: for different numbers of heads, and masks on walks of different normalisations;
            on a topology, for masks that are neither.

    Cost: r products with A per column, or one number per entry of the sparse mask; at most the
    attribute ``cost``.

    Source: Choromanski et al. (ICML 2022): sums, products and entrywise products with low rank keep
    masks fast.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> kernel = gm.masks.RegularizedLaplacian
        >>> series = gm.masks.PowerSeriesMask(hops=1, alpha=kernel, normalization="rw")
        >>> (gm.masks.GlobalMask() * series).cost, (series * series).cost
        ('K E', 'K E * K E / N')
        >>> (series * series)(path).to_dense()
        tensor([[[0.2500, 0.0625, 0.0000],
                 [0.0156, 0.2500, 0.0156],
                 [0.0000, 0.0625, 0.2500]]], grad_fn=<ViewBackward0>)
    """

    def __init__(self, a: TopologicalMask, b: TopologicalMask) -> None:
        super().__init__(a, b)

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The product of both costs, by N: r times the other's for a mask of rank r."""
        costs = [mask.cost for mask in self._masks()]
        if not all(costs):
            return ""
        if "N" in costs:
            costs.remove("N")
            return costs[0]
        return " * ".join(f"({cost})" if " + " in cost else cost for cost in costs) + " / N"

    def _operator(self, topology: Topology) -> MaskOperator:
        a, b = (mask(topology) for mask in self._masks())
        return multiply(a, b)

    def _structure(self, topology: Topology) -> Structure:
        a, b = (mask._structure(topology) for mask in self._masks())
        supports = [support for support in (a.support, b.support) if support is not None]
        sparsest = min(supports, key=lambda support: support.nnz, default=None)
        return Structure([*a.patterns, *b.patterns, *supports], sparsest)

    def __repr__(self) -> str:
        return " * ".join(map(_factor, self._masks()))


class TransposedMask(CombinedMask):
    """``M^T``, written ``mask.mT``: every edge and walk is followed backwards.

    Args:
        mask: M.

    Cost: that of M.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> kernel = gm.masks.RegularizedLaplacian
        >>> mask = gm.masks.PowerSeriesMask(hops=1, normalization=None, alpha=kernel)
        >>> mask.mT(edge).to_dense().tolist()
        [[[0.5, 0.25], [0.0, 0.5]]]
    """

    def __init__(self, mask: TopologicalMask) -> None:
        super().__init__(mask)

    @property
    def reach(self) -> int | None:
        return None

    def _operator(self, topology: Topology) -> MaskOperator:
        return self.masks[0](topology).mT

    def _structure(self, topology: Topology) -> Structure:
        patterns = super()._structure(topology).patterns
        return Structure([*patterns, *(pattern.mT for pattern in patterns)])

    def __repr__(self) -> str:
        return f"{_factor(next(self._masks()))}.mT"


class SymmetrizedMask(TransposedMask):
    """``(M + M^T) / 2``, written ``symmetrize(mask)``.

    Args:
        mask: M.

    Cost: twice that of M; sparse entries are merged, in O(nnz log nnz).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> kernel = gm.masks.RegularizedLaplacian
        >>> mask = gm.masks.PowerSeriesMask(hops=1, normalization=None, alpha=kernel)
        >>> gm.masks.symmetrize(mask)(edge).to_dense().tolist()
        [[[0.5, 0.125], [0.125, 0.5]]]
    """

    def _operator(self, topology: Topology) -> MaskOperator:
        operator = self.masks[0](topology)
        return 0.5 * (operator + operator.mT)

    def __repr__(self) -> str:
        return f"symmetrize({self.masks[0]!r})"


def symmetrize(mask: TopologicalMask) -> SymmetrizedMask:
    """Return the mask ``(M + M^T) / 2``.

    Example:
        >>> import graphmask as gm
        >>> gm.masks.symmetrize(gm.masks.WalkMask(hops=2))
        symmetrize(WalkMask(hops=2, heads=1, alpha=Free))
    """
    return SymmetrizedMask(mask)


class HeadwiseMask(CombinedMask):
    """The heads of several masks side by side, such as walks in three heads and all ones in one.

    Attention runs over the heads of each mask by the execution that is best for it, as under the
    mask alone. Walks are drawn once, for the mask that needs most of them.

    Args:
        masks: masks on the same walks; the heads of all add up.

    Raises:
        TypeError: for anything but a list of masks.
        ValueError: for no mask, and for masks on walks of different normalisations.

    Cost: that of each mask for its heads, at most the sum of all.

    Example:
        >>> import torch, graphmask as gm
        >>> series = gm.masks.PowerSeriesMask(hops=1, heads=3)
        >>> mask = gm.masks.HeadwiseMask([series, gm.masks.GlobalMask()])
        >>> mask.heads
        4
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
        >>> mask(edge).to_dense()[-1].tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, masks: Sequence[TopologicalMask]) -> None:
        if not isinstance(masks, (list, tuple)):
            raise type_error("masks", "a list of TopologicalMasks", masks)
        super().__init__(*masks)

    @staticmethod
    def _count_heads(heads: list[int]) -> int:
        return sum(heads)

    def _operator(self, topology: Topology) -> MaskOperator:
        first, *others = (mask(topology) for mask in self._masks())
        return HeadwiseOperator(first, *others) if others else first

    def _structure(self, topology: Topology) -> Structure:
        structures = [mask._structure(topology) for mask in self._masks()]
        if len(structures) == 1:
            return structures[0]
        for structure in structures:
            structure.complete(topology)  # each part is attended by itself
        return Structure([pattern for each in structures for pattern in each.patterns])

    def __repr__(self) -> str:
        return f"HeadwiseMask([{', '.join(map(repr, self.masks))}])"


def _factor(mask: TopologicalMask) -> str:
    """The mask as a factor of a formula, sums in brackets."""
    return f"({mask!r})" if isinstance(mask, SumMask) else repr(mask)


def _multiply(a: TopologicalMask, b: float | Tensor | TopologicalMask) -> TopologicalMask:
    if isinstance(b, TopologicalMask):
        return HadamardMask(a, b)
    return ScaledMask(a, b) if isinstance(b, (int, float, Tensor)) else NotImplemented


TopologicalMask.__add__ = lambda a, b: SumMask(a, b)
TopologicalMask.__sub__ = lambda a, b: SumMask(a, -1 * b)
TopologicalMask.__neg__ = lambda mask: ScaledMask(mask, -1)
TopologicalMask.__mul__ = TopologicalMask.__rmul__ = _multiply
TopologicalMask.__matmul__ = lambda a, b: ProductMask(a, b)
TopologicalMask.mT = property(TransposedMask)  # type: ignore[assignment]
