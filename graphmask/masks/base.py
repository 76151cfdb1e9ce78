"""TopologicalMask: learnable parameters that turn a topology into a mask operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import chain
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from graphmask._buffers import SingleBuffers
from graphmask._checks import check_integer, type_error, value_error
from graphmask._html import html_table
from graphmask._precision import full_precision
from graphmask.config import ConfigMixin
from graphmask.kernels import Pattern
from graphmask.kernels.products import is_half
from graphmask.operators import MaskOperator
from graphmask.operators.executions import prefers_blocks
from graphmask.topology import Topology

from ._drawing import DrawCounter, WalkDemand, join_demands


class Structure(NamedTuple):
    """The sparse patterns that an operator reads.

    Attributes:
        patterns: patterns that it multiplies by.
        support: the pattern of its entries, or :obj:`None` where it stores none.
    """

    patterns: Sequence[Pattern] = ()
    support: Pattern | None = None

    def complete(self, topology: Topology) -> None:
        """Derive what products and attention read of the patterns.

        All of it is cached. Compiled code finds it in the caches, but cannot derive it.
        """
        _ = topology.largest_graph, topology.blocks
        patterns = list(self.patterns)
        if self.support is not None:
            _ = self.support.row_order
            patterns.append(self.support)
        for pattern in patterns:
            _ = pattern.mT
            if prefers_blocks(topology, pattern):
                topology.blocks.slots(pattern)


class TopologicalMask(ConfigMixin, SingleBuffers, ABC):
    """A learnable function of the weighted adjacency.

    ``mask(topology)`` is an operator of shape ``[H, N, N]``. Parameters live in the mask, structure
    in the operator, and ``forward`` draws no random number.

    A subclass implements ``_operator``. One that multiplies by sparse patterns also overrides
    ``_structure``, which :meth:`prepare` calls.

    Masks form an algebra: ``0.1 * GlobalMask() + WalkMask(hops=4)`` is a mask, and so are products
    ``a @ b``, entrywise products ``a * b`` and transposes ``a.mT``.

    Args:
        heads: H, or 1 for a mask that all heads share.

    Attributes:
        cost: multiply-adds of ``M @ x`` per head and column of x, a formula in N nodes, E edges and
            the letters of the mask's definition; ``print(mask)`` shows it.
        ordered: whether the mask depends on the order of nodes within each graph, as sequences and
            grids do.
    """

    cost: str = ""
    ordered: bool = False

    # ``combinators`` builds on this class and attaches the algebra to it.
    __add__: ClassVar[Callable[[TopologicalMask, TopologicalMask], TopologicalMask]]
    __sub__: ClassVar[Callable[[TopologicalMask, TopologicalMask], TopologicalMask]]
    __neg__: ClassVar[Callable[[TopologicalMask], TopologicalMask]]
    __mul__: ClassVar[
        Callable[[TopologicalMask, float | Tensor | TopologicalMask], TopologicalMask]
    ]
    __rmul__: ClassVar[Callable[[TopologicalMask, float | Tensor], TopologicalMask]]
    __matmul__: ClassVar[Callable[[TopologicalMask, TopologicalMask], TopologicalMask]]
    mT: TopologicalMask  # noqa: N815

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self._draws = DrawCounter()

    @abstractmethod
    def _operator(self, topology: Topology) -> MaskOperator:
        """Return the operator on a topology that has all that this mask reads."""

    def _structure(self, topology: Topology) -> Structure:
        """Derive the structure of the topology that ``_operator`` reads, and return its patterns.

        The default builds the operator once and names no pattern. Masks override it where they
        multiply by patterns, or where building the operator is expensive.
        """
        with torch.no_grad():
            self(topology)
        return Structure()

    def forward(self, topology: Topology) -> MaskOperator:
        """Return the mask of a topology.

        It is computed in float32 or wider, under autocast and from parameters in half precision
        too: phases, distances and counts need their digits.

        Raises:
            TypeError: if the argument is not a Topology.
            ValueError: if the topology lacks what this mask reads, such as walks.
        """
        if not isinstance(topology, Topology):
            raise type_error("topology", "a Topology (see Topology.from_data)", topology)
        self._check_part(topology)
        with full_precision(topology.device):
            tensors = list(chain(self.named_parameters(), self.named_buffers()))
            _check_device(tensors, topology)
            wide = {name: x.float() for name, x in tensors if is_half(x)}
            if wide:
                return functional_call(self, wide, topology)
            return self._operator(topology)

    @property
    def reach(self) -> int | None:
        """Hops that rows of this mask look along edges, where processes share a graph.

        Sums over all nodes of a graph, and pairs of walks, count no hops. :obj:`None` for a mask
        that reads all of its graph in another way: it needs all of it in one process.
        """
        return None

    def _check_part(self, topology: Topology) -> None:
        """Check that the topology holds what rows of this mask read."""
        topology.part.check_hops("mask", self, self.reach)

    @property
    def walk_demand(self) -> WalkDemand | None:
        """The walks that this mask reads, or :obj:`None`."""
        return None

    def draw_walks(self, topology: Topology) -> Topology:
        """Return the topology with the walks that this mask reads; one that has walks as it is.

        Walks are the same in every call. Drawing costs far more than attention: for training, draw
        once per graph with :class:`graphmask.transforms.AddWalks`.
        """
        return draw_walks([self], topology)

    def prepare(self, topology: Topology) -> Topology:
        """Return the topology with all that this mask reads, ready for ``torch.compile``.

        Walks are drawn where they are missing, see :meth:`draw_walks`. Structure that is derived
        from edges and walks, such as transposed patterns, is computed and cached; without this,
        the first call of the operator does so.
        """
        topology = self.draw_walks(topology)
        self._structure(topology).complete(topology)
        return topology

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for child in self.children():
            child.reset_parameters()  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self!r}: O({self.cost}) per column" if self.cost else repr(self)

    def _repr_html_(self) -> str:
        demand = self.walk_demand
        walks = "none" if demand is None else f"{demand.sets} set(s), by {demand.sampler!r}"
        count = sum(weight.numel() for weight in self.parameters() if weight.requires_grad)
        rows = {
            "heads": self.heads,
            "learned numbers": f"{count:,}",
            "M @ x costs": f"O({self.cost}) per head and column" if self.cost else "unknown",
            "reads walks": walks + (" where the data has none" if demand else ""),
            "depends on the order of nodes": "yes" if self.ordered else "no",
        }
        return html_table(repr(self), rows)


def _check_device(tensors: Sequence[tuple[str, Tensor]], topology: Topology) -> None:
    """Check that no tensor is on the device meta, from where torch would scatter no numbers."""
    names = [name for name, x in tensors if x.is_meta]
    if names and topology.device.type != "meta":
        expected = f"on the device of the topology, {topology.device}"
        got = f"`{names[0]}` on meta: load it, or move the mask by `to_empty` and reset it"
        raise value_error("mask", expected, got)


def draw_walks(masks: Sequence[TopologicalMask], topology: Topology) -> Topology:
    """Return the topology with walks that serve all masks; one that has walks as it is."""
    readers = [] if topology.walk_sets else [mask for mask in masks if mask.walk_demand is not None]
    demand = join_demands("mask", (mask.walk_demand for mask in readers))
    if demand is None:
        return topology
    if not topology.part.is_whole:
        expected = "with walks, drawn before the graph was cut: shard(data, folder, walks=sampler)"
        raise value_error("topology", expected, repr(topology))
    if readers[0].training:
        readers[0]._draws.count(type(readers[0]).__name__, topology)
    return demand.draw(topology)
