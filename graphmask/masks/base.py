"""TopologicalMask: learnable parameters that turn a topology into a mask operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, type_error
from graphmask._html import html_table
from graphmask._recipes import Recorded
from graphmask._warnings import warn_once
from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator
from graphmask.operators.executions import prefers_blocks
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

# Graphs of so many nodes are worth a warning where their walks are drawn again and again, in
# training.
_LARGE = 1000
_AGAIN = 5


class WalkDemand(NamedTuple):
    """The walks that a mask reads.

    How many independent sets, who draws them where there are none, and from which seed.
    """

    sets: int
    sampler: WalkSampler
    seed: int


class TopologicalMask(Recorded, nn.Module, ABC):
    """A learnable function of the weighted adjacency.

    ``mask(topology)`` is an operator of shape ``[H, N, N]``.

    A subclass gives ``_operator``; parameters live here, structure lives in the operator. Masks
    add, scale and multiply entry
    by entry: ``0.1 * GlobalMask() + WalkMask(hops=4)``. No random number is drawn in ``forward``.

    Args:
        heads: H, or 1 for a mask that all heads share.

    Attributes:
        cost: multiply-adds of ``M @ x`` per head and column of x, as a formula in N nodes, E edges
            and what the mask defines; ``print(mask)`` shows it.
        ordered: whether the mask depends on the order of the nodes within each graph, as that of a
            sequence or grid does.
    """

    cost: str = ""
    ordered: bool = False

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
            raise type_error("topology", "a Topology (see Topology.from_data)", topology)
        return self._operator(topology)

    @property
    def walk_demand(self) -> WalkDemand | None:
        """The walks that this mask reads, or :obj:`None`."""
        return None

    def prepare(self, topology: Topology) -> Topology:
        """The topology with all that this mask reads, ready for ``torch.compile``.

        Where it has no walks they are drawn, the same at every call. Drawing costs far more than
        attention: for training, draw once per graph with :class:`graphmask.transforms.AddWalks`.
        What is derived from edges and walks once, such as transposed patterns, is made and kept,
        since compiled code finds it but cannot make it.
        """
        demand = None if topology.walk_sets else self.walk_demand
        if demand is not None:
            self._count_draw(topology)
            generator = torch.Generator().manual_seed(demand.seed)
            topology = topology.with_walks(
                *(demand.sampler(topology, generator) for _ in range(demand.sets))
            )
        support = self._support(topology)
        patterns = [*self._patterns(topology), *([] if support is None else [support])]
        _ = topology.largest_graph, topology.blocks, [pattern.mT for pattern in patterns]
        # Attention by pairs reads the schedule of what it sums over.
        _ = None if support is None else support.row_order
        for pattern in patterns:
            if prefers_blocks(topology, pattern):
                topology.blocks.slots(pattern)
        return topology

    def _count_draw(self, topology: Topology) -> None:
        """Warn who trains on a large graph whose walks are drawn in every call."""
        if torch.compiler.is_compiling() or not self.training or topology.num_nodes < _LARGE:
            return
        drawn, count = self.__dict__.get("_drawn", (None, 0))
        size = topology.num_nodes, topology.num_edges
        self.__dict__["_drawn"] = size, count + 1 if drawn == size else 1
        if self.__dict__["_drawn"][1] == _AGAIN and torch.is_grad_enabled():
            warn_once(
                "walks in every call",
                f"{type(self).__name__} has drawn the walks of a graph of {size[0]:,} nodes {_AGAIN} times while training, "
                "which costs far more than attention. Draw them once: data = graphmask.transforms.AddWalks(sampler)(data), and "
                "call the model with Topology.from_data(data), or with mask.prepare(topology) made once.",
            )

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        """The sparse patterns that the operator multiplies by.

        A mask without this works too, but is not compiled cold.
        """
        return ()

    def _support(self, topology: Topology) -> Pattern | None:
        """The pattern of the operator's entries, where they are known.

        Without this, sums of it are not compiled cold.
        """
        return None

    def reset_parameters(self) -> None:
        """Reset what is learnable."""
        for child in self.children():
            child.reset_parameters()  # type: ignore[operator]

    def __add__(self, other: TopologicalMask) -> TopologicalMask:
        """The sum of two masks."""
        from .algebra import SumMask

        return SumMask(self, other)

    def __sub__(self, other: TopologicalMask) -> TopologicalMask:
        """The difference of two masks."""
        return self + -1 * other

    def __neg__(self) -> TopologicalMask:
        """The mask with all signs changed."""
        return -1 * self

    def __matmul__(self, other: TopologicalMask) -> TopologicalMask:
        """The matrix product of two masks."""
        from .algebra import MatrixProduct

        return MatrixProduct(self, other)

    @property
    def mT(self) -> TopologicalMask:  # noqa: N802
        """The transposed mask."""
        from .algebra import Transposed

        return Transposed(self)

    def __str__(self) -> str:
        return f"{self!r}: O({self.cost}) per column" if self.cost else repr(self)

    def _repr_html_(self) -> str:
        """For notebooks: what it learns and costs, by its definition."""
        demand, learned = (
            self.walk_demand,
            sum(each.numel() for each in self.parameters() if each.requires_grad),
        )
        walks = (
            "none"
            if demand is None
            else f"{demand.sets} set(s), by {demand.sampler!r} where the data has none"
        )
        facts = {
            "heads": self.heads,
            "learned numbers": f"{learned:,}",
            "M @ x costs": f"O({self.cost}) per head and column"
            if self.cost
            else "what its parts do",
            "reads walks": walks,
            "depends on the order of nodes": "yes" if self.ordered else "no",
        }
        return html_table(repr(self), facts)

    def __mul__(self, other: float | Tensor | TopologicalMask) -> TopologicalMask:
        """The mask times a number, or a parameter of one number or one per head.

        The entrywise product with another mask.
        """
        from .algebra import ScaledMask
        from .hadamard import Hadamard

        if isinstance(other, TopologicalMask):
            return Hadamard(self, other)
        return (
            ScaledMask(self, other) if isinstance(other, (int, float, Tensor)) else NotImplemented
        )

    __rmul__ = __mul__
