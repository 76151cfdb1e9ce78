"""The graphs that families of masks are measured on, one kind per kind of input.

To add one, extend GROUNDS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import value_error
from graphmask.benchmark.problem import near_sphere_graph
from graphmask.topology import Topology
from graphmask.transforms import Hilbert, MinimumSpanningTree


class Ground(NamedTuple):
    """A kind of graph.

    Args:
        name: as in tables.
        about: what it is, in one line.
        make: the graph of N nodes from a seed.
        shape: of the grid of N nodes, where the graph is one; masks are then made from it.
            (default: :obj:`None`)
    """

    name: str
    about: str
    make: Callable[[int, int], Topology]
    shape: Callable[[int], tuple[int, ...]] | None = None


def sphere(num_nodes: int, seed: int) -> Topology:
    """Nearest neighbours on the unit sphere, nodes in the order of a Hilbert curve, with ``pos``."""
    pos, edge_index = near_sphere_graph(num_nodes, seed)
    return Topology(edge_index, num_nodes, pos=pos)


def lengths(num_nodes: int, seed: int) -> Topology:
    """:func:`sphere`, edges weighted by their lengths in units of the mean one.

    Example:
        >>> round(float(lengths(100, seed=0).edge_weight.mean()), 3)
        1.0
    """
    graph = sphere(num_nodes, seed)
    assert graph.pos is not None
    source, target = graph.edge_index
    length = (graph.pos[source] - graph.pos[target]).norm(dim=1)
    return Topology(graph.edge_index, num_nodes, length / length.mean(), pos=graph.pos)


def tree(num_nodes: int, seed: int) -> Topology:
    """The minimum spanning tree of :func:`lengths`, every edge of length 1.

    Example:
        >>> tree(100, seed=0).num_edges  # both directions of N - 1
        198
    """
    graph = lengths(num_nodes, seed)
    data = Data(edge_index=graph.edge_index, edge_weight=graph.edge_weight, num_nodes=num_nodes)
    return Topology(MinimumSpanningTree()(data).edge_index, num_nodes, pos=graph.pos)


def grid_shape(num_nodes: int) -> tuple[int, int]:
    """Rows and columns of the grid of N nodes that is nearest to a square.

    Example:
        >>> grid_shape(1024), grid_shape(2048)
        ((32, 32), (32, 64))
    """
    rows = next(rows for rows in range(math.isqrt(num_nodes), 0, -1) if num_nodes % rows == 0)
    return rows, num_nodes // rows


def grid(num_nodes: int, seed: int) -> Topology:
    """A grid of :func:`grid_shape` whose nodes come row by row, each joined with up to four others, with ``pos``.

    Example:
        >>> grid(6, seed=0).num_edges
        14
    """
    place = torch.arange(num_nodes).view(grid_shape(num_nodes))
    ends = [(place[1:], place[:-1]), (place[:, 1:], place[:, :-1])]
    one, other = (torch.cat([pair[side].flatten() for pair in ends]) for side in (0, 1))
    pos = torch.stack(
        [place.flatten() // place.shape[1], place.flatten() % place.shape[1]], 1
    ).float()
    return Topology(_both_ways(one, other), num_nodes, pos=pos)


def sequence(num_nodes: int, seed: int) -> Topology:
    """Nodes in a row, each joined with the next."""
    step = torch.arange(num_nodes - 1)
    return Topology(_both_ways(step, step + 1), num_nodes)


def hypercube(num_nodes: int, seed: int) -> Topology:
    """The hypercube, where nodes whose numbers differ in one bit are joined.

    Raises:
        ValueError: where N is no power of two.

    Example:
        >>> hypercube(8, seed=0).num_edges
        24
    """
    if num_nodes & (num_nodes - 1):
        raise value_error("nodes", "powers of two, for hypercubes", num_nodes)
    node = torch.arange(num_nodes)
    flipped = [node ^ (1 << bit) for bit in range(num_nodes.bit_length() - 1)]
    return Topology(torch.stack([node.repeat(len(flipped)), torch.cat(flipped)]), num_nodes)


def cloud(num_nodes: int, seed: int) -> Topology:
    """Uniform points in the unit cube in the order of a Hilbert curve, without edges.

    Example:
        >>> cloud(10, seed=0).pos.shape
        torch.Size([10, 3])
    """
    pos = torch.from_numpy(np.random.default_rng(seed).random((num_nodes, 3), dtype=np.float32))
    return Topology(
        torch.empty(2, 0, dtype=torch.long), num_nodes, pos=pos[Hilbert()(Data(pos=pos))]
    )


def _both_ways(one: Tensor, other: Tensor) -> Tensor:
    return torch.stack([torch.cat([one, other]), torch.cat([other, one])])


SPHERE = Ground(
    "sphere",
    "nearest neighbours on the sphere, mean degree about 7, nodes in the order of a Hilbert curve",
    sphere,
)
LENGTHS = Ground("lengths", "`sphere`, edges weighted by their lengths", lengths)
TREE = Ground("tree", "the minimum spanning tree of `sphere`, every edge of length 1", tree)
GRID = Ground(
    "grid",
    "nodes row by row, as many rows as columns or half as many, four neighbours",
    grid,
    grid_shape,
)
SEQUENCE = Ground("sequence", "nodes in a row", sequence)
HYPERCUBE = Ground("hypercube", "nodes whose numbers differ in one bit are joined", hypercube)
CLOUD = Ground(
    "cloud", "uniform points in the unit cube, no edges, in the order of a Hilbert curve", cloud
)

GROUNDS = (SPHERE, LENGTHS, TREE, GRID, SEQUENCE, HYPERCUBE, CLOUD)
