"""Masks that weigh edges by features of them."""

from __future__ import annotations

import torch

from graphmask import masks, operators
from graphmask.testing import example_topologies
from graphmask.testing.graphs import replace
from graphmask.topology import Topology

from .base import Case, scrambled
from .graphs import generator, normal


def featured() -> dict[str, Topology]:
    """The examples, with three features of each edge."""
    return {
        name: replace(graph, edge_attr=normal(graph.num_edges, 3, seed=seed))
        for seed, (name, graph) in enumerate(example_topologies().items())
    }


def _mask(
    order: int, alpha: type = masks.NonNegative, heads: int = 2, **options: str | None
) -> masks.PowerSeriesMask:
    return scrambled(masks.PowerSeriesMask(order, heads, alpha, edge_dim=3, **options))


def _operator(topology: Topology) -> operators.PowerSeriesOperator:
    weight = torch.rand(2, topology.num_edges, generator=generator(4))
    alpha = torch.tensor([[1.0, 0.5, 2.0]] * 2)
    adjacency = topology.adjacency("sym", weight)
    return operators.PowerSeriesOperator(topology, *adjacency, alpha, True)


MASKS = tuple(
    Case(name, make, True, topologies=featured)
    for name, make in {
        "edge-features": lambda: _mask(2),
        "edge-features-1": lambda: _mask(1, masks.Free, normalization="rw"),
        "edge-features-shared": lambda: _mask(3, masks.Diffusion, 1, normalization=None),
        "edge-features-sum": lambda: 0.3 * masks.GlobalMask() + _mask(2),
    }.items()
)

OPERATORS = (Case("power-series-per-head", _operator),)
