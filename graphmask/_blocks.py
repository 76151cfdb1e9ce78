"""Graphs of a batch stacked in groups of similar size, padded to the width of their group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._cached import cached
from .kernels import Pattern

# Padded pairs of nodes that cost as much as the launches of one more group (measured on CPU).
_GROUP_COST = 2**13


@dataclass(frozen=True, eq=False)
class Blocks:
    """Positions of nodes and of pairs of nodes of a graph among stacked graphs.

    Groups follow each other, in each of them heads, then graphs, then the nodes of a graph.
    Positions without a node are zeros by construction: nothing is ever read into them.

    Attributes:
        shapes: number of graphs G and width w, the nodes of the largest graph, of each group.
        position: ``[3, N]``, for each node the start of its group, the positions of its group
            ``G w``, and its own position there.
        start: ``[N]``, start of its row of pairs, among the ``area`` pairs of one head.
        local: ``[N]``, its rank in its graph.
        is_view: whether they are one group without padding, in the order of their nodes.
    """

    shapes: tuple[tuple[int, int], ...]
    position: Tensor
    start: Tensor
    local: Tensor
    is_view: bool

    @classmethod
    def of_graphs(
        cls, sizes: Tensor, batch: Tensor | None, local: Tensor, exact: bool = False
    ) -> Blocks:
        """Stack B graphs of ``sizes [B]``, whose nodes have ranks ``local [N]``.

        With ``exact`` only graphs of equal size stand in a group; graphs without nodes are padding.
        """
        size = sizes.numpy(force=True)
        exact, widths = exact and bool(size.any()), np.unique(size[size > 0])
        size = np.maximum(size, 1)
        widths = widths if exact else find_widths(size)
        group = np.searchsorted(widths, size)
        graphs = np.bincount(group, minlength=len(widths))
        order = np.argsort(group, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(size)) - (np.cumsum(graphs) - graphs)[group[order]]
        span, area = graphs * widths, graphs * widths**2
        first, first_pair = np.cumsum(span) - span, np.cumsum(area) - area
        width = widths[group]
        start = first_pair[group] + rank * width**2
        of_graph = np.stack([first[group], span[group], rank * width, start, width])
        of_node = torch.from_numpy(of_graph).to(local.device)
        of_node = of_node.expand(-1, len(local)) if batch is None else of_node[:, batch]
        first_node, span_node, inner, start_node, width_node = of_node
        position = torch.stack([first_node, span_node, inner + local])
        shapes = tuple(zip(graphs.tolist(), widths.tolist(), strict=True))
        nodes = torch.arange(len(local), device=local.device)
        is_view = len(shapes) == 1 and int(span.sum()) == len(local)
        is_view = is_view and torch.equal(position[2], nodes)
        return cls(shapes, position, start_node + local * width_node, local, is_view)

    @cached
    def area(self) -> int:
        """Pairs of nodes of one head, padding included."""
        return sum(graphs * width * width for graphs, width in self.shapes)

    def map(
        self, function: Callable[..., Tensor], tensors: Sequence[Tensor], *groups: Sequence[Any]
    ) -> Tensor:
        """``function`` of each group of graphs.

        Args:
            function: returns ``[H', G, w, C']`` from ``[H, G, w, C]`` of each tensor, and from what
                further arguments hold for the group.
            tensors: each ``[H, N, C]``, of the same H.
            groups: sequences of something per group.

        Returns:
            ``[H', N, C']``.
        """
        if self.is_view:
            stacked = [self.split(x) for x in tensors]
            (result,) = (function(*group) for group in zip(*stacked, *groups, strict=True))
            return result.flatten(1, 2)
        rows = self._rows(len(tensors[0]))
        stacked = [self._stack(x, rows) for x in tensors]
        results = [function(*group) for group in zip(*stacked, *groups, strict=True)]
        heads, *_, channels = results[0].shape
        rows = rows if heads == len(tensors[0]) else self._rows(heads)
        padded = torch.cat([result.flatten(0, 2) for result in results])
        return padded.index_select(0, rows).view(-1, heads, channels).transpose(0, 1)

    def split(self, x: Tensor) -> list[Tensor]:
        """``[H, N, C]`` as ``[H, G, w, C]`` for each group."""
        if self.is_view:
            return [x.unflatten(1, self.shapes[0])]
        return self._stack(x, self._rows(len(x)))

    def _rows(self, heads: int) -> Tensor:
        """``[N H]``, the positions of all nodes in all heads."""
        first, span, inner = self.position
        head = span.unsqueeze(1) * torch.arange(heads, device=span.device)
        return ((first * heads + inner).unsqueeze(1) + head).flatten()

    def _stack(self, x: Tensor, rows: Tensor) -> list[Tensor]:
        heads, _, channels = x.shape
        sizes = [heads * graphs * width for graphs, width in self.shapes]
        padded = x.new_zeros(sum(sizes), channels)
        padded = padded.index_copy(0, rows, x.transpose(0, 1).flatten(0, 1))
        groups = zip(padded.split(sizes), self.shapes, strict=True)
        return [group.view(heads, *shape, channels) for group, shape in groups]

    def scatter(self, value: Tensor, slots: Tensor) -> list[Tensor]:
        """``[H, nnz]`` entries of a pattern as blocks ``[H, G, w, w]`` for each group.

        Coinciding entries add.
        """
        heads = len(value)
        full = value.new_zeros(heads, self.area).scatter_add(1, slots.expand(heads, -1), value)
        sizes = [graphs * width * width for graphs, width in self.shapes]
        groups = zip(full.split(sizes, 1), self.shapes, strict=True)
        return [group.view(heads, *shape, shape[1]) for group, shape in groups]

    def slots(self, pattern: Pattern) -> Tensor | None:
        """``[nnz]``, the positions of a pattern's entries among all pairs; kept with the pattern.

        Code that torch compiles reads them, but cannot keep them: it gets None at first use.
        """
        if torch.compiler.is_compiling() and not pattern.is_cached("slots", self):
            return None
        return pattern.cached(
            "slots", lambda: self.start[pattern.row] + self.local[pattern.col], partner=self
        )


def find_widths(sizes: np.ndarray) -> np.ndarray:
    """Ascending widths of the groups that cost least, from padded pairs and launches together."""
    size, count = np.unique(sizes, return_counts=True)
    graphs = np.concatenate([[0], np.cumsum(count)])
    best, first = np.zeros(len(size) + 1), np.zeros(len(size) + 1, dtype=np.int64)
    for end in range(1, len(size) + 1):
        cost = best[:end] + (graphs[end] - graphs[:end]) * float(size[end - 1]) ** 2 + _GROUP_COST
        first[end] = np.argmin(cost)
        best[end] = cost[first[end]]
    widths, end = [], len(size)
    while end:
        widths.append(size[end - 1])
        end = first[end]
    return np.array(widths[::-1], dtype=np.int64)
