"""Functions of the distance in trees, and the trees that they are defined on."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.testing import batch_topologies
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, scrambled
from .graphs import generator, normal, undirected
from .series import coefficients_reference


def tree(graph: nx.Graph, seed: int = 0) -> Topology:
    """Edges in random order, whose lengths are small multiples of 1/2, some of them 0."""
    source = generator(seed)
    edges = torch.tensor(list(graph.edges), dtype=torch.long).reshape(-1, 2).mT
    length = torch.randint(4, (edges.shape[1],), generator=source).double() / 2
    both = undirected(edges, graph.number_of_nodes(), length)
    order = torch.randperm(both.num_edges, generator=source)
    return Topology(both.edge_index[:, order], both.num_nodes, both.edge_weight[order])


def caterpillar(spine: int, legs: int) -> nx.Graph:
    graph = nx.path_graph(spine)
    graph.add_edges_from(
        (node, spine + node * legs + leg) for node in range(spine) for leg in range(legs)
    )
    return graph


@cache
def trees() -> dict[str, Topology]:
    forest = nx.disjoint_union_all(
        [nx.random_labeled_tree(6, seed=1), nx.empty_graph(2), nx.path_graph(3)]
    )
    alone = {
        "single": tree(nx.empty_graph(1)),
        "empty": tree(nx.empty_graph(3)),
        "pair": tree(nx.path_graph(2)),
        "star": tree(nx.star_graph(7), seed=2),
        "path": tree(nx.path_graph(17), seed=3),
        "caterpillar": tree(caterpillar(4, 3), seed=4),
        "random": tree(nx.random_labeled_tree(21, seed=5), seed=5),
        "forest": tree(nx.convert_node_labels_to_integers(forest), seed=6),
        "unweighted": Topology(tree(nx.random_labeled_tree(9, seed=7)).edge_index, 9),
    }
    parts = [alone[name] for name in ("random", "single", "forest", "pair", "star")]
    return alone | {"ragged": batch_topologies(parts, interleaved=True)[0]}


def distances(topology: Topology) -> Tensor:
    return reference.path_distances(topology.edge_index, topology.num_nodes, topology.edge_weight)


def _tree_distance(mask: masks.TreeDistanceMask, topology: Topology) -> Tensor:
    return distance_function_reference(mask.function, distances(topology))


def distance_function_reference(g: masks.DistanceFunction, D: Tensor) -> Tensor:
    if isinstance(g, masks.TableDistance):
        return reference.table_distance(D, coefficients_reference(g.values), g.unit)
    slope = (1 + g.raw_slope.double().exp()).log()
    if isinstance(g, masks.ExponentialDistance):
        return reference.exponential_distance(D, g.offset, slope)
    return reference.polynomial_exponential_distance(
        D, coefficients_reference(g.coefficients), slope
    )


MASK_REFERENCES |= {masks.TreeDistanceMask: _tree_distance}


def tree_mask(function: Any, heads: int = 2) -> masks.TreeDistanceMask:
    return scrambled(masks.TreeDistanceMask(function, heads))


POLYNOMIAL, TABLE = masks.PolynomialExponentialDistance, masks.TableDistance

MASKS = tuple(
    Case(name, partial(tree_mask, function), topologies=trees)
    for name, function in {
        "tree-exponential": masks.ExponentialDistance,
        "tree-polynomial": partial(POLYNOMIAL, 3),
        "tree-polynomial-signed": partial(POLYNOMIAL, 1, coefficients=masks.Free),
        "tree-table": partial(TABLE, 40, unit=0.5),
        "tree-table-short": partial(TABLE, 5, unit=0.5),
        "tree-table-signed": partial(TABLE, 12, unit=0.5, values=masks.Free),
    }.items()
)


def _operators() -> dict[str, Any]:
    offset = normal(2, seed=8)
    slope, polynomial, table = offset.exp(), normal(2, 3, seed=8), normal(2, 9, seed=8).abs()
    return {
        "tree-exponential": lambda t: operators.TreeExponentialOperator(t, slope, offset),
        "tree-polynomial": lambda t: operators.TreePolynomialOperator(t, slope, polynomial),
        "tree-table": lambda t: operators.TreeTableOperator(t, table, 0.5, True),
    }


OPERATORS = tuple(Case(name, make, topologies=trees) for name, make in _operators().items())
