"""Diffusion on the graph."""

from __future__ import annotations

import math
from typing import Any

import torch

from graphmask import masks, operators, reference
from graphmask.masks.diffusion import is_undirected
from graphmask.testing import example_topologies
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, adjacency_reference, scrambled
from .graphs import normal


def _reference(mask: masks.DiffusionMask, topology: Topology) -> torch.Tensor:
    W, raw = adjacency_reference(topology, mask.normalization), mask.kernel.raw.double()
    if mask.kernel.name == "heat":
        return reference.heat_kernel(W, raw.exp())
    return reference.resolvent(W, 1 / (1 + (-raw).exp()))


MASK_REFERENCES[masks.DiffusionMask] = _reference


def undirected() -> dict[str, Topology]:
    return {name: graph for name, graph in example_topologies().items() if is_undirected(graph)}


def nonnegative() -> dict[str, Topology]:
    return {name: graph for name, graph in undirected().items() if graph.nonnegative}


def _diffusion(
    kernel: str = "heat", times: float = 1.0, tolerance: float = 1e-13, **options: Any
) -> masks.DiffusionMask:
    mask = scrambled(masks.DiffusionMask(2, kernel, tolerance=tolerance, **options))
    mask.kernel.raw.data.add_(math.log(times))
    return mask


def _chebyshev(topology: Topology, normalization: Any, order: int) -> operators.ChebyshevOperator:
    coefficients = normal(2, order + 1, seed=3)
    return operators.ChebyshevOperator(topology, *topology.adjacency(normalization), coefficients)


def _resolvent(topology: Topology) -> operators.ResolventOperator:
    scale, adjacency = torch.tensor([0.9, 0.2]), topology.adjacency("sym")
    return operators.ResolventOperator(topology, *adjacency, scale, 1e-13, topology.nonnegative)


MASKS = (
    Case("diffusion", _diffusion, True),
    Case("diffusion-rw", lambda: _diffusion(normalization="rw"), True),
    Case("diffusion-plain", lambda: _diffusion(times=0.3, normalization=None), True),
    Case("diffusion-long", lambda: _diffusion(times=30.0), topologies=nonnegative),
    Case("diffusion-resolvent", lambda: _diffusion("resolvent"), True),
    Case("diffusion-resolvent-rw", lambda: _diffusion("resolvent", normalization="rw"), True),
)

OPERATORS = (
    Case("chebyshev", lambda t: _chebyshev(t, "rw", 4)),
    Case("chebyshev-0", lambda t: _chebyshev(t, "sym", 0)),
    Case("chebyshev-1", lambda t: _chebyshev(t, "sym", 1)),
    Case("resolvent", _resolvent, topologies=undirected),
)
