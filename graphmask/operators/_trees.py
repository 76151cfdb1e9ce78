"""The rooted trees of a graph that is a forest, and distances in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels.forest import Forest
from graphmask.topology import Topology

# Lengths of both directions of an edge may differ by this number of roundings.
_ROUNDINGS = 8

_ADVICE = "(graphmask.transforms.MinimumSpanningTree makes a forest of any graph)"


class Trees(NamedTuple):
    """Rooted trees, and the two edges of the graph that join each node to its parent."""

    forest: Forest
    edges: Tensor  # [2, N], 0 at roots
    label: Tensor  # [N], index of the tree of each node

    def lengths(self, topology: Topology) -> Tensor:
        """``[N]``, lengths of the edges to parents, 0 at roots, with gradients."""
        root = self.forest.is_root
        if topology.edge_weight is None or not topology.num_edges:
            return (~root).to(torch.get_default_dtype())
        forth, back = topology.edge_weight[self.edges]
        return (forth + (back - forth) / 2).masked_fill(root, 0)

    def distances(self, length: Tensor) -> Tensor:
        """``[N, N]`` from lengths of the edges to parents, infinite between trees.

        O(N^3), for small graphs. With ``A_ic = 1`` where c is i or an ancestor of it, ``sum_c A_ic
        (1 - A_jc) length_c`` is the way from i to where the paths to i and j part. A sum beyond the
        type is its largest number.
        """
        ancestors = torch.eye(len(length), dtype=length.dtype, device=length.device)
        for node in self.forest.order.tolist():
            if (parent := int(self.forest.parent[node])) != node:
                ancestors[node] += ancestors[parent]
        up = (ancestors * length) @ (1 - ancestors).mT
        apart = self.label.unsqueeze(0) != self.label.unsqueeze(1)
        distance = (up + up.mT).clamp(max=torch.finfo(up.dtype).max)
        return distance.masked_fill(apart, torch.inf)


def trees_of(topology: Topology) -> Trees:
    """The trees of a topology.

    Raises:
        ValueError: for self-loops, parallel edges, edges in one direction only, cycles, negative
            lengths, and lengths that differ between both directions of an edge.

    Cost: O(N + E log E).
    """
    source, target = topology.edge_index.cpu().numpy()
    forth, back = _pairs(source, target, topology.num_nodes)
    _check_lengths(topology, forth, back)
    i, j, n = source[forth], target[forth], topology.num_nodes
    label = _components(i, j, n)
    parent, order = _rooted(i, j, label)
    child = np.where(parent[i] == j, i, j)
    edges = np.zeros((2, n), np.int64)
    edges[:, child] = forth, back
    forest, device = Forest.of_parents(parent, order), topology.device
    label_of = torch.from_numpy(label).long()
    return Trees(forest.to(device), torch.from_numpy(edges).to(device), label_of.to(device))


def _pairs(source: np.ndarray, target: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges i -> j with i < j, and the edges j -> i in the same order."""
    if (loop := source == target).any():
        raise value_error(
            "edge_index", "without self-loops, as in a tree", f"a loop at node {source[loop][0]}"
        )
    forth, back = (source < target).nonzero()[0], (source > target).nonzero()[0]
    forth = forth[np.argsort(source[forth] * n + target[forth], kind="stable")]
    back = back[np.argsort(target[back] * n + source[back], kind="stable")]
    keys, reverse = source[forth] * n + target[forth], target[back] * n + source[back]
    for sorted_keys in (keys, reverse):
        if (repeated := sorted_keys[1:] == sorted_keys[:-1]).any():
            pair = divmod(int(sorted_keys[1:][repeated][0]), n)
            raise value_error(
                "edge_index",
                f"without parallel edges, which are cycles {_ADVICE}",
                f"several edges between nodes {pair}",
            )
    if not np.array_equal(keys, reverse):
        pair = divmod(int(np.setxor1d(keys, reverse)[0]), n)
        raise value_error(
            "edge_index",
            "undirected, each edge in both directions",
            f"one direction between nodes {pair}",
        )
    return forth, back


def _check_lengths(topology: Topology, forth: np.ndarray, back: np.ndarray) -> None:
    if topology.edge_weight is None or not len(forth):
        return
    if not topology.nonnegative:
        raise value_error(
            "edge_weight", "at least 0, lengths of edges", f"{topology.edge_weight.min().item():g}"
        )
    length = topology.edge_weight.detach().cpu()
    first, second = length[torch.from_numpy(forth)], length[torch.from_numpy(back)]
    wrong = (first - second).abs() > _ROUNDINGS * torch.finfo(length.dtype).eps * first
    if bool(wrong.any()):
        pair = f"{first[wrong][0].item():g} and {second[wrong][0].item():g}"
        raise value_error("edge_weight", "the same in both directions of an edge", pair)


def _components(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    graph = coo_matrix((np.ones(len(i)), (i, j)), (n, n))
    count, label = connected_components(graph, directed=False)
    if len(i) != n - count:
        size = f"({len(i)} edges between {n} nodes in {count} components)"
        cycles = f"{len(i) - n + count} cycles {size}"
        raise value_error("edge_index", f"a forest, without cycles {_ADVICE}", cycles)
    return label


def _rooted(i: np.ndarray, j: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parents, roots being their own, and an order of parents before children."""
    # The search starts at an extra node, joined to the first node of each tree.
    n, first = len(label), np.unique(label, return_index=True)[1]
    ends = np.concatenate([i, np.full(len(first), n)]), np.concatenate([j, first])
    graph = coo_matrix((np.ones(len(ends[0])), ends), (n + 1, n + 1))
    # Scipy's depth-first search reads all edges of a hub again after each of its branches.
    order, parent = breadth_first_order((graph + graph.T).tocsr(), n, directed=True)
    return np.where(parent[:n] == n, np.arange(n), parent[:n]), order[1:]


class NumberedTrees(NamedTuple):
    """Trees whose nodes are numbered parents before children."""

    order: Tensor  # [N], the node of each number
    place: Tensor  # [N], the number of each node
    parent: Tensor  # [N], the number of the parent of each number


def numbered_trees_of(topology: Topology) -> NumberedTrees:
    """The trees of a topology, numbered."""
    forest = topology.derive(trees_of).forest
    place = torch.empty_like(forest.order)
    place[forest.order] = torch.arange(len(place), device=place.device)
    return NumberedTrees(forest.order, place, place[forest.parent[forest.order]])


class BinaryTrees(NamedTuple):
    """Trees of at most two children per node: further ones hang from added nodes, the last ones."""

    forest: Forest
    sibling: Tensor  # [N], the other child of the same parent, or the node itself
    alone: Tensor  # [N], whether a node has no sibling


def binary_trees_of(topology: Topology) -> BinaryTrees:
    """The trees of a topology, with nodes added where a node has more than two children."""
    parent = _split_families(topology.derive(trees_of).forest.parent.cpu().numpy())
    child = _children(parent)
    first = (parent[child][1:] == parent[child][:-1]).nonzero()[0]
    sibling = np.arange(len(parent))
    sibling[child[first]], sibling[child[first + 1]] = child[first + 1], child[first]
    alone = torch.from_numpy(sibling == np.arange(len(parent)))
    forest, device = Forest.of_parents(parent), topology.device
    return BinaryTrees(forest.to(device), torch.from_numpy(sibling).to(device), alone.to(device))


def _children(parent: np.ndarray) -> np.ndarray:
    """Nodes other than roots, those of one parent side by side."""
    child = (parent != np.arange(len(parent))).nonzero()[0]
    return child[np.argsort(parent[child], kind="stable")]


def _split_families(parent: np.ndarray) -> np.ndarray:
    """Parents with nodes added: of k children the first keeps its parent.

    Each added node takes one of the others, and the last added node takes two.
    """
    n, child = len(parent), _children(parent)
    count = np.bincount(parent[child], minlength=n)
    rank = np.arange(len(child)) - (count.cumsum() - count)[parent[child]]
    added = np.maximum(count - 2, 0)
    start = n + added.cumsum() - added
    new_parent = start[parent[child]] + np.minimum(rank, added[parent[child]]) - 1
    result = np.arange(n + added.sum())
    result[child] = np.where((rank == 0) | (count[parent[child]] < 3), parent[child], new_parent)
    owner = np.repeat(np.arange(n), added)
    result[n:] = np.where(result[n:] == start[owner], owner, result[n:] - 1)
    return result
