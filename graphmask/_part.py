"""The part of its graph that a topology holds: the whole graph, or one of several parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


class Part:
    """The part of a graph that a topology holds: here the whole graph.

    :mod:`graphmask.distributed` holds graphs in parts: a topology then has nodes of its own, whose
    rows it computes, and copies of nodes of other parts, which these rows read. Layers take and
    return the rows of own nodes.

    Attributes:
        is_whole: whether there are no other parts.
        numbers: ``[N]``, numbers of the nodes within their graphs, where the topology holds some of
            these nodes alone.
    """

    is_whole: bool = True
    numbers: Tensor | None = None

    def count_rows(self, num_nodes: int) -> int:
        """Rows of features that layers take and return, for a topology of so many nodes."""
        return num_nodes

    def gather(self, x: Tensor) -> Tensor:
        """Features ``[N, C]`` of all nodes of the topology, from those of its own nodes."""
        return x

    def renew(self, x: Tensor) -> Tensor:
        """Rows ``[N, C]`` of all nodes, those of copies replaced by what their owners have."""
        return x

    @property
    def gathered(self) -> Part:
        """The part once features of all nodes are at hand."""
        return self

    def release(self, x: Tensor) -> Tensor:
        """The rows that layers return, of rows ``[N, C]`` of all nodes of the topology."""
        return x

    def run(self, block: Callable[..., Tensor], x: Tensor, topology: Any) -> Tensor:
        """The output of a block of a model, whose intermediates need not be kept."""
        return block(x, topology)

    def convolve(
        self, conv: Callable[..., Tensor], x: Tensor, edges: Any, topology: Any, **arguments: Any
    ) -> Tensor:
        """The output of a convolution on features of all nodes of the topology."""
        return conv(x, edges, **arguments)

    def own(self, x: Tensor, dim: int = 0) -> Tensor:
        """The rows of own nodes, of rows of all nodes of the topology, in dimension ``dim``."""
        return x

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all parts."""
        return x

    def max(self, x: Tensor) -> Tensor:
        """The maximum over all parts, without a gradient."""
        return x

    def largest(self, num_nodes: int) -> int:
        """The nodes of the largest topology among those of all parts."""
        return num_nodes

    def check_hops(self, name: str, value: Any, hops: int | None) -> None:
        """Check that rows of own nodes can be computed by what reads edges ``hops`` hops away.

        Args:
            name: of the argument.
            value: what reads edges, such as a mask.
            hops: :obj:`None` for what reads all of a graph.
        """

    def check_modules(self, module: Any) -> None:
        """Check that all modules give the same on parts of a graph as on the whole."""

    def check_model(self, module: Any, x: Tensor) -> None:
        """Check that a model, and the type of its input, are the same in all processes."""

    def to(self, device: Any) -> Part:
        """The same part on another device."""
        return self


WHOLE = Part()
