"""Places for the nodes of graphs that have none, in the plane or, where there are many, in space."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

# Up to so many nodes springs are worth their cost, and up to so many paths between all pairs.
_SPRINGS = 500
_PATHS = 80

# Nodes that distances are taken from, and rounds in which each node moves towards its neighbours.
_PIVOTS = 24
_ROUNDS = 2


def lay_out(edge_index: np.ndarray, num_nodes: int) -> np.ndarray:
    """Coordinates from edges alone, the same at every call.

    Components are placed apart. One of up to 500 nodes is drawn by springs in the plane; larger
    ones by their distances, in hops, from 24 nodes far from each other, projected on three axes:
    cheap, and it unfolds meshes.

    Args:
        edge_index: ``[2, E]``, its directions ignored.
        num_nodes: N.

    Returns:
        ``[N, 2]``, or ``[N, 3]`` where a component is large.

    Cost: O(N + E) beyond components of 500 nodes.

    Source: Harel and Koren, "Graph drawing by high-dimensional embedding" (Graph Drawing 2002), for
    the distances.

    Example:
        >>> import numpy as np
        >>> from graphmask.view.layout import lay_out
        >>> lay_out(np.array([[0, 1, 2], [1, 2, 3]]), 5).shape  # a path, and a node alone
        (5, 2)
    """
    links = csr_array(
        (np.ones(edge_index.shape[1]), (edge_index[0], edge_index[1])), shape=(num_nodes, num_nodes)
    )
    links = (links + links.T).tocsr()
    label = connected_components(links, directed=False)[1] if num_nodes else np.zeros(0, int)
    order = np.argsort(label, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(label))[:-1]) if num_nodes else []
    axes = 3 if any(len(nodes) > _SPRINGS for nodes in members) else 2
    pos = np.zeros((num_nodes, axes))
    for nodes in members:
        if len(nodes) > 1:
            pos[nodes] = _place(links[nodes][:, nodes].tocsr(), axes)
    return _pack(pos, members).astype(np.float32)


def _place(links: csr_array, axes: int) -> np.ndarray:
    """A connected graph around the origin, its typical link of length 1."""
    count = links.shape[0]
    graph = nx.from_scipy_sparse_array(links) if count <= _SPRINGS else None
    if graph is None:
        pos = _by_distances(links, axes)
    elif count <= _PATHS:
        pos = _array(nx.kamada_kawai_layout(graph, weight=None), axes)
    else:
        pos = _array(nx.spring_layout(graph, weight=None, seed=0, iterations=100), axes)
    one, other = links.nonzero()
    length = np.median(np.linalg.norm(pos[one] - pos[other], axis=1))
    return (pos - pos.mean(0)) / (length or 1.0)


def _array(places: dict[int, np.ndarray], axes: int) -> np.ndarray:
    flat = np.array([places[node] for node in range(len(places))])
    return np.pad(flat, ((0, 0), (0, axes - 2)))


def _by_distances(links: csr_array, axes: int) -> np.ndarray:
    """The main axes of the distances from pivots, each the farthest from those before it."""
    pivot = int(breadth_first_order(links, 0, directed=False, return_predecessors=False)[-1])
    nearest = np.full(links.shape[0], np.inf)
    columns = []
    for _ in range(min(_PIVOTS, links.shape[0])):
        columns.append(dijkstra(links, directed=False, indices=pivot, unweighted=True))
        nearest = np.minimum(nearest, columns[-1])
        pivot = int(nearest.argmax())
    distance = np.stack(columns, 1)
    distance -= distance.mean(0)
    # Distances are whole numbers: without the means over neighbours many nodes would share a place.
    mean = diags_array(1 / np.maximum(links.sum(1), 1)) @ links
    for _ in range(_ROUNDS):
        distance = 0.5 * (distance + mean @ distance)
    vectors = np.linalg.svd(distance.T @ distance)[0][:, :axes]
    # Signs of axes are arbitrary: the largest number of each is made positive.
    signs = np.sign(vectors[np.abs(vectors).argmax(0), range(axes)])
    return distance @ (vectors * signs)


def _pack(pos: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    """Components side by side in rows, the largest first."""
    if len(members) < 2:
        return pos
    boxes = [np.ptp(pos[nodes][:, :2], axis=0) + 1.5 for nodes in members]
    width = 1.3 * math.sqrt(sum(float(np.prod(box)) for box in boxes))
    left, top, height = 0.0, 0.0, 0.0
    for number in sorted(range(len(members)), key=lambda each: -len(members[each])):
        wide, high = boxes[number]
        if left and left + wide > width:
            left, top, height = 0.0, top - height, 0.0
        nodes = members[number]
        corner = pos[nodes][:, :2]
        pos[nodes, :2] += np.array([left, top]) - np.array([corner[:, 0].min(), corner[:, 1].max()])
        left, height = left + wide, max(height, float(high))
    return pos
