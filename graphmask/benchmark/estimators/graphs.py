"""The graphs that estimators are compared on.

Small ones as in the papers on graph random features, and large ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
import torch

from graphmask._checks import value_error
from graphmask.benchmark.problem import sphere_graph
from graphmask.topology import Topology
from graphmask.transforms import radius_graph


@dataclass(frozen=True)
class Graph:
    """A graph by name.

    Args:
        name: as in tables and on the command line.
        about: what it is, in one line.
        make: the undirected graph, from a seed.

    Example:
        >>> from graphmask.benchmark.estimators import GRAPHS
        >>> GRAPHS[0].make(0)
        Topology(num_nodes=20, num_edges=64, num_graphs=1)
    """

    name: str
    about: str
    make: Callable[[int], Topology]


def undirected(edges: np.ndarray, num_nodes: int) -> Topology:
    """The graph of some edges ``[E, 2]``.

    Each in both directions, and once, however often it is listed.

    Raises:
        ValueError: for node ids out of range.

    Example:
        >>> import numpy as np
        >>> undirected(np.array([[0, 1], [1, 0], [1, 2]]), num_nodes=3).edge_index.tolist()
        [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    if len(edges) and not 0 <= edges.min() <= edges.max() < num_nodes:
        raise value_error(
            "edges",
            f"node ids from 0 to N - 1 = {num_nodes - 1}",
            f"ids from {edges.min()} to {edges.max()}",
        )
    source, target = edges.astype(np.int64).T
    position = np.unique(np.concatenate([source * num_nodes + target, target * num_nodes + source]))
    return Topology(
        torch.from_numpy(np.stack([position // num_nodes, position % num_nodes])), num_nodes
    )


def _from_networkx(
    make: Callable[..., Any], *arguments: Any, seeded: bool = True
) -> Callable[[int], Topology]:
    def build(seed: int) -> Topology:
        graph = nx.convert_node_labels_to_integers(
            make(*arguments, **({"seed": seed} if seeded else {}))
        )
        return undirected(np.array(graph.edges), len(graph))

    return build


def _sphere(num_nodes: int, seed: int) -> Topology:
    return Topology(sphere_graph(num_nodes, seed)[1], num_nodes)


def _square(num_nodes: int, degree: float, seed: int) -> Topology:
    """Points in the unit square, joined up to the distance that gives this mean degree away from the border."""
    pos = torch.from_numpy(np.random.default_rng(seed).random((num_nodes, 2)))
    radius = math.sqrt(degree / (math.pi * num_nodes))
    return Topology(radius_graph(pos, radius, max_num_neighbors=None), num_nodes)


GRAPHS = (
    Graph("er-20", "Erdos-Renyi, 20 nodes, p = 0.2", _from_networkx(nx.gnp_random_graph, 20, 0.2)),
    Graph(
        "er-100", "Erdos-Renyi, 100 nodes, p = 0.05", _from_networkx(nx.gnp_random_graph, 100, 0.05)
    ),
    Graph("tree", "binary tree, 127 nodes", _from_networkx(nx.balanced_tree, 2, 6, seeded=False)),
    Graph(
        "regular", "random 4-regular, 100 nodes", _from_networkx(nx.random_regular_graph, 4, 100)
    ),
    Graph("ladder", "ladder, 100 nodes", _from_networkx(nx.ladder_graph, 50, seeded=False)),
    Graph(
        "karate",
        "Zachary's karate club, 34 nodes",
        _from_networkx(nx.karate_club_graph, seeded=False),
    ),
    Graph(
        "small-world",
        "Newman-Watts-Strogatz, 100 nodes, k = 4",
        _from_networkx(nx.newman_watts_strogatz_graph, 100, 4, 0.1),
    ),
    Graph(
        "barbell",
        "two cliques of 20 nodes and a path of 20",
        _from_networkx(nx.barbell_graph, 20, 20, seeded=False),
    ),
    Graph(
        "sphere",
        "nearest neighbours on a sphere, 20,000 nodes, degree about 7",
        partial(_sphere, 20_000),
    ),
    Graph(
        "square",
        "epsilon graph in a square, 32,768 nodes, degree about 40",
        partial(_square, 32_768, 40.0),
    ),
    Graph(
        "power-law",
        "Barabasi-Albert, 20,000 nodes, 4 edges each",
        _from_networkx(nx.barabasi_albert_graph, 20_000, 4),
    ),
)
