"""Masks that weigh edges by features of them."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask import masks, operators
from graphmask.testing import example_topologies
from graphmask.testing.graphs import replace
from graphmask.topology import Topology

from .base import Case, scrambled


def featured() -> dict[str, Topology]:
    """The examples, with three features of each edge."""
    generator = torch.Generator().manual_seed(9)

    def features(graph: Topology) -> Tensor:
        return torch.randn(graph.num_edges, 3, generator=generator, dtype=torch.float64)

    return {
        name: replace(graph, edge_attr=features(graph))
        for name, graph in example_topologies().items()
    }


def _mask(
    order: int, alpha: type = masks.NonNegative, heads: int = 2, **options: str | None
) -> masks.PowerSeriesMask:
    return scrambled(masks.PowerSeriesMask(order, heads, alpha, edge_dim=3, **options))


def _operator(topology: Topology) -> operators.PowerSeriesOperator:
    generator = torch.Generator().manual_seed(4)
    weight = torch.rand(2, topology.num_edges, generator=generator)
    return operators.PowerSeriesOperator(
        topology, *topology.adjacency("sym", weight), torch.tensor([[1.0, 0.5, 2.0]] * 2), True
    )


MASKS = (
    Case("edge-features", lambda: _mask(2), True, topologies=featured),
    Case(
        "edge-features-1",
        lambda: _mask(1, masks.Free, normalization="rw"),
        True,
        topologies=featured,
    ),
    Case(
        "edge-features-shared",
        lambda: _mask(3, masks.Diffusion, 1, normalization=None),
        True,
        topologies=featured,
    ),
    Case(
        "edge-features-sum", lambda: 0.3 * masks.GlobalMask() + _mask(2), True, topologies=featured
    ),
)

OPERATORS = (Case("power-series-per-head", _operator),)
