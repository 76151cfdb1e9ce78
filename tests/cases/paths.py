"""Masks that are functions of the shortest-path distance."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.masks import ExponentialDistance, Free, PolynomialExponentialDistance, TableDistance
from graphmask.testing import example_topologies
from graphmask.testing.graphs import batch_topologies, replace
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, scrambled
from .graphs import grid
from .series import coefficients_reference
from .trees import distance_function_reference


def _shortest_path(mask: masks.ShortestPathMask, topology: Topology) -> Tensor:
    return reference.shortest_path_mask(
        topology.edge_index, topology.num_nodes, coefficients_reference(mask.alpha)
    )


def _separator(mask: masks.SeparatorMask, topology: Topology) -> Tensor:
    """The function of the distances of seeds, from the seeds that the mask chose."""
    exact = reference.path_distances(topology.edge_index, topology.num_nodes, topology.edge_weight)
    distances = exact
    for pair in mask(topology).standing:
        approximate = reference.approximate_distances(exact, *(nodes.tolist() for nodes in pair))
        distances = torch.where(approximate != exact, approximate, distances)
    return distance_function_reference(mask.function, distances)


MASK_REFERENCES |= {masks.ShortestPathMask: _shortest_path, masks.SeparatorMask: _separator}


def _shortest_path_mask(alpha: Any = masks.Free, **options: Any) -> masks.ShortestPathMask:
    return scrambled(masks.ShortestPathMask(alpha=alpha, **options))


def separator_mask(function: Any = ExponentialDistance, **options: Any) -> masks.SeparatorMask:
    """Leaves so small that nearly every distance passes a separator."""
    return scrambled(
        masks.SeparatorMask(function, **{"heads": 2, "tolerance": 0.5, "leaf_size": 2} | options)
    )


def undirected() -> dict[str, Topology]:
    """Graphs with edge lengths: grids, trees, components, multi-edges, loops, length zero."""
    names = ("single", "loop", "pair", "ring", "empty", "weighted", "sparse", "ragged")
    examples = example_topologies()
    row = [0, 1, 1, 0, 0, 1, 2, 1, 2, 3, 3, 2, 0]
    col = [1, 0, 2, 1, 1, 0, 1, 2, 3, 2, 3, 1, 0]
    lengths = torch.tensor([2, 2, 0, 1, 3, 1, 0, 0, 1, 1, 5, 0, 1], dtype=torch.float64)
    grids = [grid(4, 5), grid(3, 3, seed=1)]
    return {name: examples[name] for name in names} | {
        "loops": Topology(torch.tensor([row, col]), 5, lengths),
        "grid": grids[0],
        "grids": batch_topologies(grids, interleaved=True)[0],
    }


def unit_lengths() -> dict[str, Topology]:
    graphs = undirected()
    del graphs["loops"]
    return {name: replace(graph, edge_weight=None) for name, graph in graphs.items()}


MASKS = (
    Case("shortest-path", lambda: _shortest_path_mask(heads=2)),
    Case("shortest-path-0", lambda: _shortest_path_mask(hops=0)),
    Case(
        "shortest-path-non-negative",
        lambda: _shortest_path_mask(masks.NonNegative, hops=2, heads=2),
    ),
    Case("shortest-path-kernel", lambda: _shortest_path_mask(masks.Diffusion, hops=20, heads=2)),
    Case("separator", separator_mask, topologies=undirected),
    Case(
        "separator-exact", lambda: separator_mask(tolerance=0.0, leaf_size=1), topologies=undirected
    ),
    Case(
        "separator-resolution",
        lambda: separator_mask(heads=1, resolution=0.3),
        topologies=undirected,
    ),
    Case(
        "separator-signed",
        lambda: separator_mask(partial(PolynomialExponentialDistance, 2, coefficients=Free)),
        topologies=undirected,
    ),
    Case(
        "separator-table",
        lambda: separator_mask(partial(TableDistance, 4)),
        topologies=unit_lengths,
    ),
)


def _falling(distance: Tensor) -> Tensor:
    return torch.stack([(-rate * distance).exp() for rate in (0.5, 2.0)])


OPERATORS = (
    Case(
        "separator",
        lambda t: operators.SeparatorOperator(t, _falling, True, tolerance=0.7, leaf_size=1),
        topologies=undirected,
    ),
)
