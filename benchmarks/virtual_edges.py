"""How far nodes are from each other along virtual edges, and how soon walks have been everywhere.

A ring alone, with an expander and with a hypercube beside it. Hops are those from 64 nodes; the gap
is 1 less the second eigenvalue of the normalised adjacency; the distance is that in total variation
of a walk that halts at every other step to its limit, after 2 log2 N steps, the mean of these
nodes. Reproduces the table of docs/models.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from runner import Row, Study, numbers, print_table, progress
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import shortest_path
from scipy.sparse.linalg import eigsh
from torch_geometric.data import Data

from graphmask.transforms import ExpanderGraph, HypercubeGraph

SOURCES = 64


class Wiring(NamedTuple):
    """Virtual edges: a transform from a generator."""

    name: str
    make: Callable[[torch.Generator], Callable[[Data], Data]]


WIRINGS = (
    Wiring("ring", lambda generator: lambda data: data),
    Wiring("ring, ExpanderGraph(4)", lambda generator: ExpanderGraph(4, generator)),
    Wiring("ring, ExpanderGraph(10)", lambda generator: ExpanderGraph(10, generator)),
    Wiring("ring, HypercubeGraph()", lambda generator: HypercubeGraph()),
)


def ring(num_nodes: int) -> Data:
    """Join each node with the next, and the last with the first."""
    node = torch.arange(num_nodes)
    link = torch.stack([node, node.roll(-1)])
    return Data(edge_index=torch.cat([link, link.flip(0)], 1), num_nodes=num_nodes)


def measure(wiring: Wiring, num_nodes: int, seed: int) -> Row:
    """Distances, the gap, and what walks from some nodes have reached."""
    data = wiring.make(torch.Generator().manual_seed(seed))(ring(num_nodes))
    row, col = data.edge_index.numpy()
    A = csr_array((np.ones(len(row)), (row, col)), shape=(num_nodes, num_nodes))
    A.sum_duplicates()
    A.data[:] = 1  # an edge that is listed several times is one
    degree = A.sum(1)
    nodes = np.random.default_rng(seed).permutation(num_nodes)[:SOURCES]
    hops = shortest_path(A, unweighted=True, indices=nodes)
    root = diags_array(degree**-0.5)
    second = eigsh(root @ A @ root, k=2, which="LA", return_eigenvectors=False)[0]
    place = np.zeros((len(nodes), num_nodes))
    place[np.arange(len(nodes)), nodes] = 1
    step, steps = diags_array(1 / degree) @ A, 2 * math.ceil(math.log2(num_nodes))
    for _ in range(steps):
        place = (place + place @ step) / 2
    return {
        "nodes": num_nodes,
        "edges": wiring.name,
        "degree": float(degree.mean()),
        "most hops": int(hops.max()),
        "mean hops": float(hops.mean()),
        "gap": float(1 - second),
        "steps": steps,
        "distance": float(np.abs(place - degree / degree.sum()).sum(1).mean() / 2),
    }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"nodes": [64]})
    study.add_argument("--nodes", type=numbers(int), default=[256, 1_024, 4_096])
    options = study.parse(arguments)

    def rows() -> Iterator[Row]:
        for num_nodes in options.nodes:
            for wiring in WIRINGS:
                progress(f"{wiring.name}, {num_nodes} nodes")
                yield measure(wiring, num_nodes, options.seed)

    results = study.collect(rows(), options)
    print_table("Virtual edges", results)
    return results


if __name__ == "__main__":
    main()
