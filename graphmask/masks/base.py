"""TopologicalMask: learnable parameters that turn a topology into a mask operator."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from graphmask._checks import check_integer, refuse_type
from graphmask.operators import MaskOperator
from graphmask.topology import Topology


class TopologicalMask(nn.Module, ABC):
    """A learnable function of the weighted adjacency: ``mask(topology)`` is an operator of shape ``[H, N, N]``.

    A subclass gives ``_operator``; parameters live here, structure lives in the operator. Masks add and scale:
    ``0.1 * GlobalMask() + WalkMask(hops=4)``. No random number is drawn in ``forward``.

    Args:
        heads: H, or 1 for a mask that all heads share.
    """

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)

    @abstractmethod
    def _operator(self, topology: Topology) -> MaskOperator:
        """The operator on a topology that has all that this mask reads."""

    def forward(self, topology: Topology) -> MaskOperator:
        """The mask of a topology.

        Raises:
            TypeError: where the argument is no Topology.
            ValueError: where the topology lacks what this mask reads, such as walks.
        """
        if not isinstance(topology, Topology):
            raise refuse_type("topology", "a Topology (see Topology.from_data)", topology)
        return self._operator(topology)

    def prepare(self, topology: Topology) -> Topology:
        """The topology with all that this mask reads: a mask on walks draws them here if there are none."""
        return topology

    @property
    def walk_sets(self) -> int:
        """Number of independent sets of walks that this mask reads."""
        return 0

    def reset_parameters(self) -> None:
        """Reset what is learnable."""
        for child in self.children():
            child.reset_parameters()  # type: ignore[operator]

    def __add__(self, other: TopologicalMask) -> TopologicalMask:
        """The sum of two masks."""
        from .algebra import SumMask

        return SumMask(self, other) if isinstance(other, TopologicalMask) else NotImplemented

    def __mul__(self, scale: float | Tensor) -> TopologicalMask:
        """The mask times a number, or a parameter of one number or one per head."""
        from .algebra import ScaledMask

        return ScaledMask(self, scale) if isinstance(scale, (int, float, Tensor)) else NotImplemented

    __rmul__ = __mul__
