"""The graphs of a batch stacked in a few groups of similar size, each padded to the width of its group only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .kernels import Pattern

# Padded pairs of nodes that cost as much as the launches of one more group (measured on CPU).
_GROUP_COST = 2**13


@dataclass(frozen=True, eq=False)
class Blocks:
    """Where each node and each pair of nodes of a graph lies among stacked graphs.

    Groups follow each other, in each of them heads, then graphs, then the nodes of a graph. Places
    that no node takes are
    zeros by construction: nothing is ever read into them.

    Attributes:
        shapes: for each group its graphs G and its width w, the nodes of its largest graph.
        place: ``[3, N]``, of each node: where its group starts, the places of its group ``G w``,
            and its own place there.
        start: ``[N]``, where its row of pairs starts, among the ``area`` pairs of one head.
        local: ``[N]``, its rank in its graph.
    """

    shapes: tuple[tuple[int, int], ...]
    place: Tensor
    start: Tensor
    local: Tensor

    @classmethod
    def of_graphs(cls, sizes: Tensor, batch: Tensor | None, local: Tensor) -> Blocks:
        """Of B graphs of ``sizes [B]``, whose nodes have ``local [N]`` ranks."""
        size = sizes.numpy(force=True)
        widths = find_widths(size)
        group = np.searchsorted(widths, size)
        graphs = np.bincount(group, minlength=len(widths))
        order = np.argsort(group, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(size)) - (np.cumsum(graphs) - graphs)[group[order]]
        span, area = graphs * widths, graphs * widths**2
        first, first_pair = (np.cumsum(x) - x for x in (span, area))
        width = widths[group]
        facts = np.stack(
            [first[group], span[group], rank * width, first_pair[group] + rank * width**2, width]
        )
        known = torch.from_numpy(facts).to(local.device)
        known = known.expand(-1, len(local)) if batch is None else known[:, batch]
        place = torch.stack([known[0], known[1], known[2] + local])
        shapes = tuple(zip(graphs.tolist(), widths.tolist(), strict=True))
        return cls(shapes, place, known[3] + local * known[4], local)

    @property
    def area(self) -> int:
        """Pairs of nodes of one head, padding included."""
        return sum(graphs * width * width for graphs, width in self.shapes)

    def rows(self, heads: int) -> Tensor:
        """``[N H]``, the places of all nodes in all heads."""
        first, span, inner = self.place.unsqueeze(2)
        return (first * heads + span * torch.arange(heads, device=first.device) + inner).flatten()

    def stack(self, x: Tensor, rows: Tensor) -> list[Tensor]:
        """``[N, H, C]`` as ``[H, G, w, C]`` for each group."""
        heads, width = x.shape[1:]
        total = heads * sum(graphs * width for graphs, width in self.shapes)
        padded = x.new_zeros(total, width).index_copy(0, rows, x.reshape(-1, width))
        parts = padded.split([heads * graphs * width for graphs, width in self.shapes])
        return [
            part.view(heads, *shape, width) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def unstack(self, parts: list[Tensor], rows: Tensor) -> Tensor:
        """``[N, H, C]`` from ``[H, G, w, C]`` for each group."""
        heads, *_, width = parts[0].shape
        return (
            torch.cat([part.reshape(-1, width) for part in parts])
            .index_select(0, rows)
            .view(-1, heads, width)
        )

    def scatter(self, value: Tensor, slots: Tensor) -> list[Tensor]:
        """``[H, nnz]`` entries of a pattern as blocks ``[H, G, w, w]`` for each group.

        Coinciding entries add.
        """
        heads = len(value)
        full = value.new_zeros(heads, self.area).scatter_add(1, slots.expand(heads, -1), value)
        parts = full.split([graphs * width * width for graphs, width in self.shapes], 1)
        return [
            part.view(heads, *shape, shape[1])
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def slots(self, pattern: Pattern) -> Tensor | None:
        """``[nnz]``, where the entries of a pattern lie among all pairs; kept with the pattern.

        In code that torch compiles only where they are kept already, since they cannot be kept
        there.
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
    best, since = np.zeros(len(size) + 1), np.zeros(len(size) + 1, dtype=np.int64)
    for end in range(1, len(size) + 1):
        cost = best[:end] + (graphs[end] - graphs[:end]) * float(size[end - 1]) ** 2 + _GROUP_COST
        since[end] = np.argmin(cost)
        best[end] = cost[since[end]]
    widths, end = [], len(size)
    while end:
        widths.append(size[end - 1])
        end = since[end]
    return np.array(widths[::-1], dtype=np.int64)
