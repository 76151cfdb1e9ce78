"""Graphs and random inputs that many tests build."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask import Topology

NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(num_nodes: int, copies: int = 1) -> Topology:
    """Undirected rings, all of one size."""
    step = torch.arange(num_nodes)
    once = torch.stack([step, step.roll(-1)])
    edges = torch.cat([once + number * num_nodes for number in range(copies)], 1)
    batch = None if copies == 1 else torch.arange(copies).repeat_interleave(num_nodes)
    return Topology(torch.cat([edges, edges.flip(0)], 1), num_nodes * copies, batch=batch)


def star(leaves: int, undirected: bool = False) -> Topology:
    """Node 0 with an entry of W for each leaf."""
    leaf = torch.arange(1, leaves + 1)
    edges = torch.stack([leaf, torch.zeros_like(leaf)])
    return Topology(torch.cat([edges, edges.flip(0)], 1) if undirected else edges, leaves + 1)


def features(num_nodes: int, m: int = 4, d: int = 3, heads: int = 2) -> tuple[Tensor, ...]:
    """Non-negative q, k and v, ``[H, N, .]``."""
    generator = seeded()
    return tuple(torch.rand(heads, num_nodes, width, generator=generator) for width in (m, m, d))
