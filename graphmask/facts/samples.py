"""Parts of a graph, for processes that measure on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from graphmask.attention import attention
from graphmask.benchmark.contenders import Contender, Workload
from graphmask.benchmark.problem import Problem
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology


@dataclass(frozen=True)
class Sample(Contender):
    """A mask on the first nodes of a search through a graph.

    Its arrays travel to the process that measures.

    Args:
        name: of the mask.
        make: the mask.
        order: ``[n]`` nodes as the search meets them.
        edges: ``[2, E']`` between these.
        weights: ``[E']``, or :obj:`None`.
        pos: ``[n, D]`` of these nodes in their order, or :obj:`None`.
    """

    name: str
    make: Callable[[], TopologicalMask]
    order: np.ndarray
    edges: np.ndarray
    weights: np.ndarray | None
    pos: np.ndarray | None
    about: str = ""
    library: str = "graphmask"

    def pose(self, nodes: int, seed: int, device: str, reorder: bool = False) -> Problem:
        """The subgraph of the nodes that were met first, in the order of the whole."""
        kept = np.argsort(self.order[:nodes])
        place = np.full(int(self.order.max(initial=0)) + 1, -1)
        place[self.order[:nodes][kept]] = np.arange(len(kept))
        ends = place[self.edges]
        inside = (ends >= 0).all(0)
        pos = np.zeros((nodes, 0), np.float32) if self.pos is None else self.pos[:nodes][kept]
        problem = Problem(
            nodes,
            seed,
            device,
            lambda *_: (torch.from_numpy(pos), torch.from_numpy(ends[:, inside])),
        )
        weight = None if self.weights is None else torch.from_numpy(self.weights[inside])
        problem.topology = Topology(
            problem.edge_index, nodes, weight, pos=None if self.pos is None else problem.pos
        )  # type: ignore[attr-defined]
        return problem

    def prepare(self, problem: Problem) -> Topology:
        """The topology with all that the mask reads."""
        return self.make().prepare(problem.topology)  # type: ignore[attr-defined]

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        """From q, k, v to the attended values."""
        mask, qkv = self.make(), problem.qkv
        with torch.no_grad():
            entries = mask(prepared).entries()
        stored = sum(walks.pattern.nnz for walks in prepared.walk_sets) or (
            None if entries is None else entries.pattern.nnz
        )
        return Workload(lambda: attention(*qkv, mask(prepared)), (*qkv, *mask.parameters()), stored)


def search(topology: Topology) -> np.ndarray:
    """``[N]`` nodes: the largest component as a breadth-first search meets it, then the others, one after the other.

    Cost: O(N log N + E).
    """
    count = topology.num_nodes
    ends = topology.edge_index.numpy()
    links = csr_array(
        (np.ones(ends.shape[1], np.float32), (ends[0], ends[1])), shape=(count, count)
    )
    label = connected_components(links, directed=True, connection="weak")[1]
    largest = int(np.bincount(label).argmax())
    first = int(np.flatnonzero(label == largest)[0])
    met = breadth_first_order(
        (links + links.T).tocsr(), first, directed=False, return_predecessors=False
    )
    rest = np.flatnonzero(label != largest)
    return np.concatenate([met, rest[np.argsort(label[rest], kind="stable")]])
