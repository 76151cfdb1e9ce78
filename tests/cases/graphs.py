"""Graphs and random numbers that cases and tests share."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.testing import batch_topologies
from graphmask.topology import Topology

NONE = torch.empty(2, 0, dtype=torch.long)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def edgeless(*sizes: int) -> Topology:
    """A graph without edges, or several with their nodes interleaved."""
    if len(sizes) < 2:
        return Topology(NONE, sum(sizes))
    return batch_topologies([Topology(NONE, size) for size in sizes], interleaved=True)[0]


def undirected(edges: Tensor, num_nodes: int, length: Tensor | None = None) -> Topology:
    """Every edge in both directions, with the same length in both."""
    lengths = None if length is None else torch.cat([length, length])
    return Topology(torch.cat([edges, edges.flip(0)], 1), num_nodes, lengths)


def path(num_nodes: int, *length: float) -> Topology:
    node = torch.arange(num_nodes - 1)
    lengths = torch.tensor(length) if length else None
    return undirected(torch.stack([node, node + 1]), num_nodes, lengths)


def ring(num_nodes: int) -> Topology:
    node = torch.arange(num_nodes)
    return undirected(torch.stack([node, node.roll(-1)]), num_nodes)


def star(num_nodes: int) -> Topology:
    """Node 0 is the hub."""
    leaf = torch.arange(1, num_nodes)
    return undirected(torch.stack([torch.zeros_like(leaf), leaf]), num_nodes)


def clique(num_nodes: int) -> Topology:
    return undirected(torch.combinations(torch.arange(num_nodes)).mT, num_nodes)


def grid(rows: int, cols: int, seed: int = 0) -> Topology:
    """A grid with random edge lengths between 0.2 and 1.2."""
    node = torch.arange(rows * cols).reshape(rows, cols)
    horizontal = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()])
    edges = torch.cat([horizontal, torch.stack([node[:-1].flatten(), node[1:].flatten()])], 1)
    length = torch.rand(edges.shape[1], generator=generator(seed), dtype=torch.float64) + 0.2
    return undirected(edges, rows * cols, length)


def cloud(num_nodes: int, dim: int = 3) -> Topology:
    """Points in the unit cube."""
    return Topology(NONE, pos=torch.rand(num_nodes, dim, generator=generator()))
