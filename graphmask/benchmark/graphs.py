"""Graph generators of the benchmarks, and the features that every implementation is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph, to_scipy_sparse_matrix, to_undirected

from graphmask._checks import check_integer, value_error
from graphmask.io import read_graph
from graphmask.transforms import Hilbert, ReorderNodes, knn_graph

CHANNELS = 64
HEADS = 4

# pos [N, D] and edge_index [2, E], and the functions that return them for N and a seed.
Edges = tuple[Tensor, Tensor]
Graph = Callable[[int, int], Edges]


def sphere_graph(num_nodes: int, seed: int = 0, neighbours: int = 6) -> Edges:
    """Sample uniform points on the unit sphere and join nearest neighbours.

    Args:
        num_nodes: N.
        seed: of the points.
        neighbours: k; two nodes are joined where one is among the k nearest of the other. The mean
            degree for 6 is about 7.

    Returns:
        ``pos [N, 3]`` in float32 and ``edge_index [2, E]``, both directions of every edge once.

    Raises:
        ValueError: for fewer than two nodes or one neighbour.

    Cost: O(N log N) time.

    Example:
        >>> from graphmask.benchmark import sphere_graph
        >>> pos, edge_index = sphere_graph(100)
        >>> pos.shape, bool((edge_index[0] != edge_index[1]).all())
        (torch.Size([100, 3]), True)
    """
    check_integer("num_nodes", num_nodes, 2)
    k = min(check_integer("neighbours", neighbours, 1), num_nodes - 1)
    numbers = np.random.default_rng(seed).standard_normal((num_nodes, 3))
    pos = torch.nn.functional.normalize(torch.from_numpy(numbers))
    return pos.float(), to_undirected(knn_graph(pos, k), num_nodes=num_nodes)


def reordered(
    graph: Graph, order: Callable[[Data], Tensor] | None, num_nodes: int, seed: int
) -> Edges:
    """Reorder the nodes of a generated graph."""
    pos, edge_index = graph(num_nodes, seed)
    data = ReorderNodes(order)(Data(pos=pos, edge_index=edge_index))
    return data.pos, data.edge_index


# Nodes are numbered along a Hilbert curve.
ordered_sphere_graph: Graph = partial(reordered, sphere_graph, Hilbert())


class Problem:
    """A graph of N nodes with float32 features, the same for every implementation.

    Args:
        num_nodes, seed, device: of the points and the features.
        graph: returns ``pos [N, D]`` and ``edge_index [2, E]`` for N and the seed. (default:
            :func:`sphere_graph`)

    Attributes:
        pos, edge_index: ``[N, D]`` points and ``[2, E]`` edges.
        x, qkv: features ``[N, 64]``; queries, keys and values ``[N, 4, 16]``; they require
            gradients.

    Cost: O(N log N) time, O(N) memory.

    Example:
        >>> from graphmask.benchmark import Problem
        >>> problem = Problem(100)
        >>> problem.x.shape, problem.num_edges > 600
        (torch.Size([100, 64]), True)
    """

    def __init__(
        self, num_nodes: int, seed: int = 0, device: str = "cpu", graph: Graph = sphere_graph
    ) -> None:
        self.num_nodes, self.device = num_nodes, torch.device(device)
        pos, edge_index = graph(num_nodes, seed)
        self.pos, self.edge_index = pos.to(self.device), edge_index.to(self.device)
        generator = np.random.default_rng(seed)
        self.x = self._draw(generator, CHANNELS)
        q, k, v = (self._draw(generator, HEADS, CHANNELS // HEADS) for _ in range(3))
        self.qkv = q, k, v

    @property
    def num_edges(self) -> int:
        """E, both directions counted."""
        return self.edge_index.shape[1]

    def _draw(self, generator: np.random.Generator, *shape: int) -> Tensor:
        # On the CPU, so that every device gets the same numbers.
        numbers = generator.standard_normal((self.num_nodes, *shape), dtype=np.float32)
        return torch.from_numpy(numbers).to(self.device).requires_grad_()


class NamedGraph(NamedTuple):
    """A generator of problems: its name, a description, and a function of N, seed and device."""

    name: str
    about: str
    make: Callable[[int, int, str], Problem]


def both_orders(name: str, about: str, graph: Graph) -> list[NamedGraph]:
    """Return a graph as it is and after ``ReorderNodes()``."""
    changed, suffix = partial(reordered, graph, None), ", after ReorderNodes()"
    return [
        NamedGraph(name, about, partial(Problem, graph=graph)),
        NamedGraph(f"{name}, reordered", f"{about}{suffix}", partial(Problem, graph=changed)),
    ]


SPHERE = both_orders(
    "sphere", "nearest neighbours of random points on a sphere, mean degree about 7", sphere_graph
)


def read_mesh(path: str | Path) -> list[NamedGraph]:
    """Read a mesh, to be cut to a :func:`ball` around its first vertex."""
    mesh, name = read_graph(path), Path(path).stem
    about = f"ball around vertex 0 of {name}, a mesh of {mesh.num_nodes:,} vertices"
    return both_orders(name, about, partial(ball, mesh))


def ball(data: Data, num_nodes: int, seed: int = 0) -> Edges:
    """Keep the nodes that a breadth-first search from node 0 visits first; ``pos`` is zero."""
    count: int = data.num_nodes
    adjacency = to_scipy_sparse_matrix(data.edge_index, num_nodes=count).tocsr()
    visited = breadth_first_order(adjacency, 0, return_predecessors=False)[:num_nodes]
    if len(visited) < num_nodes:
        most = f"at most {len(visited):,}, as many as are connected with the mesh's first vertex"
        raise value_error("nodes", most, num_nodes)
    nodes = torch.from_numpy(np.sort(visited)).long()
    edge_index, _ = subgraph(nodes, data.edge_index, relabel_nodes=True, num_nodes=count)
    return torch.zeros(num_nodes, 3), edge_index
