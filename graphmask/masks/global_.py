"""Unmasked attention within each graph."""

from __future__ import annotations

from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.topology import Topology

from .base import TopologicalMask


class GlobalMask(TopologicalMask):
    r"""All ones within each graph: :math:`M_{ij} = 1` where i and j belong to the same graph.

    Attention under it is linear attention without a mask, exact for any order of ``batch`` and
    without padding.

    Cost: O(N) per product column; attention in O(N m d).

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020).

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), batch=torch.tensor([0, 1, 0]))
        >>> gm.masks.GlobalMask()(two).to_dense()
        tensor([[[1., 0., 1.],
                 [0., 1., 0.],
                 [1., 0., 1.]]])
    """

    cost = "N"

    def __init__(self) -> None:
        super().__init__(heads=1)

    @property
    def reach(self) -> int | None:
        return 0

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)

    def __repr__(self) -> str:
        return "GlobalMask()"
