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
from .series import coefficients_reference
from .trees import distance_function_reference


def _shortest_path(mask: masks.ShortestPathMask, topology: Topology) -> Tensor:
    return reference.shortest_path_mask(
        topology.edge_index, topology.num_nodes, coefficients_reference(mask.alpha)
    )


def told_distances(mask: masks.SeparatorMask, topology: Topology) -> Tensor:
    """The distances that stand for those of the graph, from the seeds that the mask chose."""
    exact = reference.path_distances(topology.edge_index, topology.num_nodes, topology.edge_weight)
    told = exact
    for pair in mask(topology).standing:
        new = reference.approximate_distances(exact, *(nodes.tolist() for nodes in pair))
        told = torch.where(new != exact, new, told)
    return told


def _separator(mask: masks.SeparatorMask, topology: Topology) -> Tensor:
    return distance_function_reference(mask.function, told_distances(mask, topology))


MASK_REFERENCES |= {masks.ShortestPathMask: _shortest_path, masks.SeparatorMask: _separator}


def _shortest_path_mask(alpha: Any = masks.Free, **options: Any) -> masks.ShortestPathMask:
    return scrambled(masks.ShortestPathMask(alpha=alpha, **options))


def separator_mask(function: Any = ExponentialDistance, **options: Any) -> masks.SeparatorMask:
    """Leaves so small that nearly every distance is told through separators."""
    return scrambled(
        masks.SeparatorMask(function, **{"heads": 2, "tolerance": 0.5, "leaf_size": 2} | options)
    )


def grid(rows: int, cols: int, seed: int = 0) -> Topology:
    """A grid with random lengths of edges."""
    node = torch.arange(rows * cols).reshape(rows, cols)
    sides = torch.cat(
        [
            torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()]),
            torch.stack([node[:-1].flatten(), node[1:].flatten()]),
        ],
        1,
    )
    length = (
        torch.rand(
            sides.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        + 0.2
    )
    return Topology(torch.cat([sides, sides.flip(0)], 1), rows * cols, torch.cat([length, length]))


def undirected() -> dict[str, Topology]:
    """Graphs with lengths of edges.

    Grids, trees, several components, multi-edges, loops, edges of no length.
    """
    examples = example_topologies()
    plain = {
        name: examples[name]
        for name in ("single", "loop", "pair", "ring", "empty", "weighted", "sparse", "ragged")
    }
    loops = torch.tensor(
        [[0, 1, 1, 0, 0, 1, 2, 1, 2, 3, 3, 3], [1, 0, 2, 1, 1, 0, 1, 2, 3, 2, 3, 3]]
    )[:, :10]
    loops = torch.cat([loops, torch.tensor([[3, 2, 0], [3, 1, 0]])], 1)
    lengths = torch.tensor([2, 2, 0, 1, 3, 1, 0, 0, 1, 1, 5, 0, 1], dtype=torch.float64)
    grids = [grid(4, 5), grid(3, 3, seed=1)]
    return plain | {
        "loops": Topology(loops, 5, lengths),
        "grid": grids[0],
        "grids": batch_topologies(grids, interleaved=True)[0],
    }


def whole_lengths() -> dict[str, Topology]:
    """Graphs whose edges have length 1."""
    return {
        name: replace(graph, edge_weight=None)
        for name, graph in undirected().items()
        if name != "loops"
    }


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
        topologies=whole_lengths,
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
