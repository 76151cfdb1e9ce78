"""Random graphs of few nodes."""

from __future__ import annotations

import torch
from torch import Tensor

import graphmask as gm

from .campaign import Draw

# Kinds of graphs, and the sizes of a grid by its shape.
ANY, LENGTHS, TREE, GRID = "any", "lengths", "tree", "grid"
SHAPES = ((1,), (2,), (4,), (8,), (2, 2), (2, 4), (2, 2, 2), (1, 4), (4, 2))


def topology(draw: Draw, kind: str, dtype: torch.dtype, size: int | None = None) -> gm.Topology:
    """Up to twelve nodes in up to three graphs, in any order.

    Args:
        draw: the source of chance.
        kind: ``ANY`` graph; undirected with non-negative ``LENGTHS``; a forest (``TREE``); or a
            ``GRID``, graphs of equally many nodes.
        dtype: of weights, positions and features of edges.
        size: nodes of each graph of a grid.
    """
    batch = _batch(draw, size)
    n = len(batch)
    edge_index = _forest(draw, batch) if kind == TREE else _edges(draw, batch)
    weight = _weights(draw, edge_index.shape[1], kind)
    if kind in (LENGTHS, TREE) or draw.chance(0.5):
        edge_index = torch.cat([edge_index, edge_index.flip(0)], 1)
        weight = None if weight is None else torch.cat([weight, weight])
    order = draw.permutation(edge_index.shape[1])
    single = batch.numel() == 0 or (int(batch.max()) == 0 and draw.chance(0.5))
    return gm.Topology(
        edge_index[:, order],
        n,
        None if weight is None else weight[order].to(dtype),
        None if single else batch,
        draw.normal(n, 3, dtype=dtype),
        num_graphs=None if single else int(batch.max()) + 1 + draw.integer(0, 1),
        edge_attr=draw.normal(edge_index.shape[1], 3, dtype=dtype),
    )


def _batch(draw: Draw, size: int | None) -> Tensor:
    graphs = draw.integer(1, 3)
    if size is not None:
        batch = torch.arange(graphs).repeat_interleave(size)
        return batch[draw.permutation(len(batch))]
    return draw.integers(graphs, draw.choice([0, 1, 1, 2, 3, 4, 6, 8, 12]))


def _edges(draw: Draw, batch: Tensor) -> Tensor:
    """Pairs of nodes of one graph: with loops and parallel edges, some nodes isolated."""
    n = len(batch)
    count = 0 if n == 0 else draw.choice([0, 1, n, 2 * n, 4 * n])
    pairs = draw.integers(draw.choice([n, max(1, n - 1)]), 2, count)
    return pairs[:, batch[pairs[0]] == batch[pairs[1]]]


def _forest(draw: Draw, batch: Tensor) -> Tensor:
    """Every node is joined with one before it in its graph, or with none."""
    edges = []
    for node in range(len(batch)):
        before = (batch[:node] == batch[node]).nonzero().flatten().tolist()
        if before and draw.chance(0.85):
            edges.append((node, draw.choice(before)))
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2).mT


def _weights(draw: Draw, count: int, kind: str) -> Tensor | None:
    uniform = draw.uniform(count)
    signs = [] if kind in (LENGTHS, TREE) else [2 * draw.normal(count)]
    halves = (4 * uniform).floor() / 2  # zeros among them
    return draw.choice([None, uniform + 0.1, halves, 3 * uniform, *signs])
