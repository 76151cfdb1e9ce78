"""What has rows to look at: a mask on a graph, and the attention of a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask.attention import divide
from graphmask.kernels import spmm
from graphmask.masks import TopologicalMask
from graphmask.nn import TopologicalAttention
from graphmask.operators import MaskOperator
from graphmask.operators.base import Entries
from graphmask.topology import Topology


class Source(ABC):
    """A matrix ``[H, N, N]`` whose rows are looked at.

    Args:
        name: in titles.
        topology: its graph.
        heads: H.
    """

    def __init__(self, name: str, topology: Topology, heads: int) -> None:
        self.name, self.topology, self.heads = name, topology, heads

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.topology.num_nodes

    @abstractmethod
    def rows(self, nodes: Tensor) -> Tensor:
        """``[H, len(nodes), N]``."""

    @abstractmethod
    def entries(self) -> Entries | None:
        """All entries, where the mask is sparse."""


class MaskRows(Source):
    """Rows of a mask.

    Args:
        mask: the mask, which is prepared here; or its operator.
        topology: the graph; it may be left out beside an operator.
        name: in titles. (default: the mask itself)

    Raises:
        ValueError: where the mask does not serve this graph.
    """

    def __init__(
        self, mask: TopologicalMask | MaskOperator, topology: Topology | None = None, name: str = ""
    ) -> None:
        if isinstance(mask, TopologicalMask):
            assert topology is not None
            with torch.no_grad():
                operator = mask(mask.prepare(topology))
        else:
            operator = mask
        self.operator = operator
        super().__init__(name or repr(mask), operator.topology, operator.heads)

    def rows(self, nodes: Tensor) -> Tensor:
        with torch.no_grad():
            return self.operator.rows(nodes)

    def entries(self) -> Entries | None:
        with torch.no_grad():
            found = self.operator.entries()
            return None if found is None else Entries(found.pattern, found.value.detach())


class AttentionRows(Source):
    """Rows of the attention of a layer.

    See :meth:`graphmask.nn.TopologicalAttention.attention_rows`.

    Args:
        attention: the layer.
        x: its input ``[N, C]``.
        topology: the graph.
        name: in titles. (default: the layer itself)
    """

    def __init__(
        self, attention: TopologicalAttention, x: Tensor, topology: Topology, name: str = ""
    ) -> None:
        super().__init__(
            name or f"attention under {attention.mask!r}",
            attention.mask.prepare(topology),
            attention.heads,
        )
        self.attention, self.x = attention, x

    def rows(self, nodes: Tensor) -> Tensor:
        with torch.no_grad():
            return self.attention.attention_rows(nodes, self.x, self.topology).transpose(0, 1)

    def entries(self) -> Entries | None:
        layer = self.attention
        with torch.no_grad():
            mask = layer.mask(self.topology)
            found, scores = mask.entries(), layer.feature_map.scores
            if found is None:
                return None
            q, k, _ = layer._project(self.x)
            features = layer.feature_map(q, k, self.topology.batch, self.topology.num_graphs)
            queries, keys = (each.transpose(0, 1) for each in features)
            weight = found.value.to(queries.dtype).expand(self.heads, -1)
            mixed = weight * scores.pairs(found.pattern, queries, keys, weight != 0)
            size = mixed if mask.sums_itself and not scores.signed else mixed.abs()
            total = spmm(found.pattern, size, size.new_ones(self.heads, self.num_nodes, 1))
            return Entries(found.pattern, divide(mixed, total[:, found.pattern.row.long(), 0]))


def layers_of(model: nn.Module) -> list[TopologicalAttention]:
    """The masked attentions of a model, in the order of its modules."""
    return [each for each in model.modules() if isinstance(each, TopologicalAttention)]


def source_of(thing: Any, topology: Topology, x: Tensor | None = None, name: str = "") -> Source:
    """Rows of a mask, an operator or a layer.

    Raises:
        TypeError: for anything else, and for a layer without its input.
    """
    if isinstance(thing, Source):
        return thing
    if isinstance(thing, (TopologicalMask, MaskOperator)):
        return MaskRows(thing, topology, name)
    if isinstance(thing, TopologicalAttention):
        if not isinstance(x, Tensor):
            raise type_error("x", f"a tensor [N, {thing.channels}], the input of the layer", x)
        return AttentionRows(thing, x, topology, name)
    raise type_error("source", "a mask, an operator or a TopologicalAttention", thing)
