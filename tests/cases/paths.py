"""Masks that are functions of the shortest-path distance."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphmask import masks, reference
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, scrambled
from .series import coefficients_reference


def _shortest_path(mask: masks.ShortestPathMask, topology: Topology) -> Tensor:
    return reference.shortest_path_mask(topology.edge_index, topology.num_nodes, coefficients_reference(mask.alpha))


MASK_REFERENCES |= {masks.ShortestPathMask: _shortest_path}


def _shortest_path_mask(alpha: Any = masks.Free, **options: Any) -> masks.ShortestPathMask:
    return scrambled(masks.ShortestPathMask(alpha=alpha, **options))


MASKS = (
    Case("shortest-path", lambda: _shortest_path_mask(heads=2)),
    Case("shortest-path-0", lambda: _shortest_path_mask(max_hops=0)),
    Case("shortest-path-non-negative", lambda: _shortest_path_mask(masks.NonNegative, max_hops=2, heads=2)),
    Case("shortest-path-kernel", lambda: _shortest_path_mask(masks.Diffusion, max_hops=20, heads=2)),
)
