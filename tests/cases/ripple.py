"""Weights by rings of distance, on grids and on graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.topology import Topology

from .adaptive import featured, node_coefficients
from .base import MASK_REFERENCES, Case, scrambled
from .graphs import normal
from .grids import batch_of, grids
from .series import coefficients_reference


def _reference(mask: masks.RippleMask, topology: Topology) -> Tensor:
    if mask.shape is None:
        distance = reference.path_distances(topology.edge_index, topology.num_nodes)
    else:
        one = reference.chebyshev_distances(mask.shape)
        distance = reference.blocks_of(one[None], batch_of(topology))[0]
    if mask.shift is None:
        alpha = coefficients_reference(mask.alpha)[None]
    else:
        alpha = node_coefficients(mask.alpha, mask.shift, topology)
    same = reference.global_mask(topology.num_nodes, topology.batch)
    return same * reference.ripple_mask(distance, mask.radii, alpha)


MASK_REFERENCES[masks.RippleMask] = _reference


def ripple(radii: Any = 2, alpha: Any = masks.StickBreaking, **options: Any) -> masks.RippleMask:
    return scrambled(masks.RippleMask(radii, 2, alpha=alpha, **options))


def _featured_grids(size: int) -> Callable[[], dict[str, Topology]]:
    def make() -> dict[str, Topology]:
        graphs = grids(size)().items()
        return {name: graph.with_features(normal(graph.num_nodes, 3)) for name, graph in graphs}

    return make


MASKS = (
    Case("ripple-line", lambda: ripple(shape=(7,)), topologies=grids(7)),
    Case("ripple-plane", lambda: ripple((0, 1, 3), shape=(3, 4)), topologies=grids(12)),
    Case("ripple-signed", lambda: ripple(3, masks.Free, shape=(2, 5)), topologies=grids(10)),
    Case("ripple-space", lambda: ripple((1,), shape=(2, 1, 3)), topologies=grids(6)),
    Case(
        "ripple-features",
        lambda: ripple(2, shape=(3, 3), channels=3),
        topologies=_featured_grids(9),
    ),
    Case("ripple-hops", lambda: ripple((0, 2))),
    Case("ripple-hops-signed", lambda: ripple(2, masks.Free, channels=3), topologies=featured),
)


def _grid(topology: Topology) -> operators.GridRippleOperator:
    alpha = normal(topology.num_nodes, 2, 3, seed=5)
    return operators.GridRippleOperator(topology, (3, 4), (0, 1), alpha)


def _rings(topology: Topology) -> operators.RippleOperator:
    pattern = topology.pattern.identity
    rings = operators.Rings(pattern, torch.ones(pattern.nnz, 1))
    return operators.RippleOperator(topology, rings, normal(1, 2, 2).abs(), nonnegative=True)


OPERATORS = (
    Case("grid-ripple", _grid, topologies=grids(12)),
    Case(
        "ripple", _rings, topologies=lambda: {n: g for n, g in featured().items() if n != "empty"}
    ),
)
