"""Coordinates for graphs that have none: in the plane or, for large graphs, in space."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components, dijkstra
from sklearn.decomposition import PCA

# Largest components drawn by springs, and by distances between all pairs.
_SPRINGS = 500
_ALL_PAIRS = 80

# Nodes that distances are measured from.
_PIVOTS = 24


def lay_out(edge_index: np.ndarray, num_nodes: int) -> np.ndarray:
    """Compute coordinates from edges alone, the same at every call.

    Components are placed apart. A component of up to 500 nodes is drawn by springs in the plane; a
    larger one by the principal axes of its distances, in hops, from 24 nodes, which is cheap and
    unfolds meshes.

    Args:
        edge_index: ``[2, E]``; directions are ignored.
        num_nodes: N.

    Returns:
        ``[N, 2]``, or ``[N, 3]`` where a component is large.

    Cost: O(N + E) beyond components of 500 nodes.

    Source: Harel and Koren, "Graph drawing by high-dimensional embedding" (Graph Drawing 2002), for
    the distances.

    Example:
        >>> import numpy as np
        >>> from graphmask.view.layout import lay_out
        >>> lay_out(np.array([[0, 1, 2], [1, 2, 3]]), 5).shape  # a path, and an isolated node
        (5, 2)
    """
    ones = np.ones(edge_index.shape[1])
    adjacency = csr_array((ones, tuple(edge_index)), shape=(num_nodes, num_nodes))
    adjacency = (adjacency + adjacency.T).tocsr()
    label = connected_components(adjacency, directed=False)[1]
    components = [np.flatnonzero(label == index) for index in np.unique(label)]
    axes = 3 if any(len(nodes) > _SPRINGS for nodes in components) else 2
    pos = np.zeros((num_nodes, axes))
    for nodes in components:
        if len(nodes) > 1:
            pos[nodes] = _place(adjacency[nodes][:, nodes].tocsr(), axes)
    _pack(pos, components)
    return pos.astype(np.float32)


def _place(adjacency: csr_array, axes: int) -> np.ndarray:
    """A connected graph around the origin, whose median edge has length 1."""
    if adjacency.shape[0] > _SPRINGS:
        pos = _embed_distances(adjacency, axes)
    else:
        graph = nx.from_scipy_sparse_array(adjacency)
        positions = (
            nx.kamada_kawai_layout(graph, weight=None)
            if len(graph) <= _ALL_PAIRS
            else nx.spring_layout(graph, weight=None, seed=0, iterations=100)
        )
        pos = np.pad(np.array([positions[node] for node in graph]), ((0, 0), (0, axes - 2)))
    source, target = adjacency.nonzero()
    length = np.median(np.linalg.norm(pos[source] - pos[target], axis=1))
    return (pos - pos.mean(0)) / (length or 1.0)


def _embed_distances(adjacency: csr_array, axes: int) -> np.ndarray:
    count = adjacency.shape[0]
    pivots = np.random.default_rng(0).choice(count, min(_PIVOTS, count), replace=False)
    distance = dijkstra(adjacency, directed=False, indices=pivots, unweighted=True).T
    # Distances are integers: without means over neighbours many nodes would share a place.
    mean = diags_array(1 / adjacency.sum(1)) @ adjacency
    for _ in range(2):
        distance = 0.5 * (distance + mean @ distance)
    return PCA(axes, svd_solver="covariance_eigh").fit_transform(distance)


def _pack(pos: np.ndarray, components: list[np.ndarray]) -> None:
    """Place components side by side in rows, the largest first."""
    if len(components) < 2:
        return
    boxes = [np.ptp(pos[nodes][:, :2], axis=0) + 1.5 for nodes in components]
    row_width = 1.3 * math.sqrt(sum(float(np.prod(box)) for box in boxes))
    left, top, height = 0.0, 0.0, 0.0
    for index in sorted(range(len(components)), key=lambda index: -len(components[index])):
        width, depth = boxes[index]
        if left and left + width > row_width:
            left, top, height = 0.0, top - height, 0.0
        corners = pos[components[index], :2]
        pos[components[index], :2] += (left - corners[:, 0].min(), top - corners[:, 1].max())
        left, height = left + width, max(height, float(depth))
