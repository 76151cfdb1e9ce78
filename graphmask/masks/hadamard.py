"""Entrywise products of masks."""

from __future__ import annotations

from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator
from graphmask.operators.hadamard import multiply
from graphmask.topology import Topology

from ._combined import CombinedMask
from .algebra import SumMask
from .base import TopologicalMask


class Hadamard(CombinedMask):
    r"""The entrywise product :math:`M_{ij} = A_{ij} B_{ij}` of two masks, exact: ``a * b``.

    It is multiplied where one of the masks is of low rank r within each graph, as
    :math:`\sum_r \text{diag}(u_r)\, A\, \text{diag}(v_r)`, or where one is sparse and single
    entries of the other are known: then the product is sparse. All ones leave the other mask as it
    is; sums are multiplied term by term. Whether a product is one of these is decided where an
    operator is made.

    The mask is non-negative where both are.

    Args:
        a: a mask.
        b: a mask of as many heads, or of one.

    Raises:
        ValueError: for different numbers of heads, and masks on walks of different normalisations;
            for a topology on which neither is of low rank, and none sparse beside one whose single
            entries are known.

    Cost: r products with A per column, or one number per entry of the sparse mask; at most as
    stated.

    Source: Choromanski et al. (ICML 2022): sums, products and entrywise products with low rank keep
    masks fast.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> series = gm.masks.PowerSeriesMask(order=1, alpha=gm.masks.RegularizedLaplacian, normalization="rw")
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
        """The product of both costs, by N: with a mask of rank r, r times that of the other."""
        costs = [mask.cost for mask in self._parts()]
        if not all(costs):
            return ""
        if "N" in costs:
            costs.remove("N")
            return costs[0]
        return " * ".join(f"({cost})" if " + " in cost else cost for cost in costs) + " / N"

    def _operator(self, topology: Topology) -> MaskOperator:
        a, b = (mask(topology) for mask in self._parts())
        return multiply(a, b)

    def _support(self, topology: Topology) -> Pattern | None:
        known = [
            support for mask in self._parts() if (support := mask._support(topology)) is not None
        ]
        return min(known, key=lambda support: support.nnz) if known else None

    def __repr__(self) -> str:
        return " * ".join(
            f"({mask!r})" if isinstance(mask, SumMask) else repr(mask) for mask in self.masks
        )
