"""Coordinates for graphs that have none: in the plane or, for large graphs, in space."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components, dijkstra
from sklearn.decomposition import PCA

# Nodes of the largest component that networkx draws.
_SMALL = 500


def lay_out(edge_index: np.ndarray, num_nodes: int) -> np.ndarray:
    """Compute coordinates ``[N, 2]`` from edges alone, or ``[N, 3]`` where a component is large."""
    ones = np.ones(edge_index.shape[1])
    adjacency = csr_array((ones, tuple(edge_index)), shape=(num_nodes, num_nodes))
    adjacency = (adjacency + adjacency.T).tocsr()
    label = connected_components(adjacency, directed=False)[1]
    components = [np.flatnonzero(label == index) for index in np.unique(label)]
    components.sort(key=len, reverse=True)
    pos = np.zeros((num_nodes, 3 if components and len(components[0]) > _SMALL else 2))
    for nodes in components:
        if len(nodes) > 1:
            pos[nodes] = _lay_out_component(adjacency[nodes][:, nodes].tocsr(), pos.shape[1])
    _pack(pos, components)
    return pos.astype(np.float32)


def _lay_out_component(adjacency: csr_array, axes: int) -> np.ndarray:
    """Draw a connected graph such that its median edge has length 1."""
    if adjacency.shape[0] > _SMALL:
        pos = _embed_distances(adjacency, axes)
    else:
        graph = nx.from_scipy_sparse_array(adjacency)
        start = nx.kamada_kawai_layout(graph, weight=None) if len(graph) <= 80 else None
        layout = start or nx.spring_layout(graph, weight=None, seed=0, iterations=100)
        pos = np.pad(np.array([layout[node] for node in graph]), ((0, 0), (0, axes - 2)))
    source, target = adjacency.nonzero()
    return pos / (np.median(np.linalg.norm(pos[source] - pos[target], axis=1)) or 1.0)


def _embed_distances(adjacency: csr_array, axes: int) -> np.ndarray:
    """Principal axes of the distances from 24 nodes: Harel and Koren, Graph Drawing 2002."""
    pivots = np.random.default_rng(0).choice(adjacency.shape[0], 24, replace=False)
    distance = dijkstra(adjacency, directed=False, indices=pivots, unweighted=True).T
    # Distances are integers: without means over neighbours many nodes would share a place.
    mean = diags_array(1 / adjacency.sum(1)) @ adjacency
    for _ in range(2):
        distance = 0.5 * (distance + mean @ distance)
    return PCA(axes, svd_solver="covariance_eigh").fit_transform(distance)


def _pack(pos: np.ndarray, components: list[np.ndarray]) -> None:
    """Move components, the largest first, side by side on shelves."""
    boxes = [np.ptp(pos[nodes, :2], axis=0) + 1.5 for nodes in components]
    shelf_width = 1.3 * math.sqrt(sum(float(np.prod(box)) for box in boxes))
    left, top, height = 0.0, 0.0, 0.0
    for nodes, (width, depth) in zip(components, boxes, strict=True):
        if left and left + width > shelf_width:
            left, top, height = 0.0, top - height, 0.0
        x, y = pos[nodes, :2].T
        pos[nodes, :2] += (left - x.min(), top - y.max())
        left, height = left + width, max(height, float(depth))
