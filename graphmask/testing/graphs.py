"""Graphs to test on, and functions that permute, batch and convert them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphmask.topology import Topology
from graphmask.walks import Walks


def example_topologies() -> dict[str, Topology]:
    """Awkward graphs by name.

    Graphs of 1, 2, 7 and 13 nodes: weighted, directed, signed; with parallel edges, self-loops,
    edges of weight zero, isolated nodes, several components or no edge; and an unsorted batch of
    graphs of different sizes.

    Example:
        >>> from graphmask.testing import example_topologies
        >>> example_topologies()["ragged"]
        Topology(num_nodes=23, num_edges=40, num_graphs=4)
    """
    generator = torch.Generator().manual_seed(0)

    def graph(n: int, e: int, low: float = 0.3, undirected: bool = True) -> Topology:
        edges = torch.randint(n - 1, (2, e), generator=generator)  # the last node stays isolated
        weight = torch.rand(e, generator=generator, dtype=torch.float64) * (1.5 - low) + low
        if undirected:
            edges, weight = torch.cat([edges, edges.flip(0)], 1), torch.cat([weight, weight])
        return Topology(edges, n, weight)

    none, pair = torch.empty(2, 0, dtype=torch.long), torch.tensor([[0, 1], [1, 0]])
    ring = torch.stack([torch.arange(7), (torch.arange(7) + 1) % 7])
    parallel = torch.tensor([[0, 0, 1, 2, 2, 3, 5, 5, 4], [1, 1, 0, 2, 3, 2, 4, 4, 5]])
    zeros = torch.tensor([0, 0, 0, 1, 2, 1, 1, 1, 1], dtype=torch.float64)
    ragged = [graph(7, 9), Topology(none, 1), graph(13, 10), Topology(pair, 2)]
    return {
        "single": Topology(none, 1),
        "loop": Topology(torch.zeros(2, 1, dtype=torch.long), 1),
        "pair": Topology(pair, 2),
        "ring": Topology(torch.cat([ring, ring.flip(0)], 1), 7),
        "empty": Topology(none, 7),
        "multigraph": Topology(parallel, 7, torch.linspace(0.5, 1.5, 9, dtype=torch.float64)),
        "weightless": Topology(parallel, 7, zeros),
        "weighted": graph(13, 18),
        "directed": graph(13, 30, undirected=False),
        "signed": graph(7, 9, low=-1.5),
        "sparse": graph(13, 4),
        "ragged": batch_topologies(ragged, interleaved=True)[0],
    }


def permute(topology: Topology, perm: Tensor) -> Topology:
    """The topology whose node i is node ``perm[i]`` of this one, with all that it has.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import permute
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=3)
        >>> permute(edge, torch.tensor([1, 2, 0])).edge_index.tolist()
        [[2], [0]]
    """
    return topology.permute(perm)


def batch_topologies(
    topologies: Sequence[Topology], interleaved: bool = False
) -> tuple[Topology, list[Tensor]]:
    """The disjoint union of graphs, and the ids of the nodes of each graph in it.

    Args:
        topologies: the graphs, all with equally many sets of walks, and all with positions or none;
            features of edges and nodes are kept where all graphs have them.
        interleaved: whether nodes of different graphs alternate at random. The nodes of one graph
            keep their order.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import batch_topologies
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> union, ids = batch_topologies([edge, edge])
        >>> union.batch.tolist(), [nodes.tolist() for nodes in ids]
        ([0, 0, 1, 1], [[0, 1], [2, 3]])
    """
    sizes = torch.tensor([graph.num_nodes for graph in topologies])
    owner = torch.arange(len(topologies)).repeat_interleave(sizes)
    n = len(owner)
    if interleaved:
        owner = owner[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    ids = [(owner == index).nonzero().squeeze(1) for index in range(len(topologies))]
    parts = list(zip(topologies, ids, strict=True))
    graph_ids, num_graphs = torch.zeros(n, dtype=torch.long), 0
    for graph, nodes in parts:
        graph_ids[nodes] = num_graphs + (0 if graph.batch is None else graph.batch)
        num_graphs += graph.num_graphs
    weights = [
        torch.ones(graph.num_edges) if graph.edge_weight is None else graph.edge_weight
        for graph in topologies
    ]
    walk_sets = zip(*(graph.walk_sets for graph in topologies), strict=True)
    pos, x = (
        _interleave(ids, [getattr(graph, name) for graph in topologies]) for name in ("pos", "x")
    )
    union = Topology(
        torch.cat([nodes[graph.edge_index] for graph, nodes in parts], 1),
        n,
        torch.cat(weights),
        graph_ids,
        pos,
        [_batch_walks(walks, ids, n) for walks in walk_sets],
        num_graphs,
        _concatenate([graph.edge_attr for graph in topologies]),
    )
    return union if x is None else union.with_features(x), ids


def replace(topology: Topology, **changes: Any) -> Topology:
    """The topology with some of its fields replaced."""
    names = ("edge_index", "num_nodes", "edge_weight", "batch", "pos", "num_graphs", "edge_attr")
    fields = {name: getattr(topology, name) for name in names} | {"walks": topology.walk_sets}
    x = changes.pop("x", topology.x)
    changed = Topology(**{**fields, **changes})
    return changed if x is None else changed.with_features(x)


def astype(topology: Topology, dtype: torch.dtype) -> Topology:
    """The topology with weights, positions, features and walks of another dtype."""
    tensors = {name: getattr(topology, name) for name in ("edge_weight", "pos", "edge_attr", "x")}
    return replace(
        topology,
        **{name: x if x is None else x.to(dtype) for name, x in tensors.items()},
        walks=[Walks(w.pattern, w.table.to(dtype), w.normalization) for w in topology.walk_sets],
    )


def _concatenate(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """One tensor where all are there."""
    present = [x for x in tensors if x is not None]
    return torch.cat(present) if present and len(present) == len(tensors) else None


def _interleave(ids: list[Tensor], tensors: Sequence[Tensor | None]) -> Tensor | None:
    """Rows of the nodes of each graph in their places, where all graphs have them."""
    rows = _concatenate(tensors)
    return None if rows is None else torch.empty_like(rows).index_copy(0, torch.cat(ids), rows)


def _batch_walks(walks: Sequence[Walks], ids: Sequence[Tensor], num_nodes: int) -> Walks:
    row = torch.cat([nodes[part.row] for part, nodes in zip(walks, ids, strict=True)])
    col = torch.cat([nodes[part.col] for part, nodes in zip(walks, ids, strict=True)])
    hop, weight = (torch.cat([getattr(part, name) for part in walks]) for name in ("hop", "weight"))
    hops, normalization = walks[0].num_hops, walks[0].normalization
    return Walks.from_entries(row, col, hop, weight, num_nodes, hops, normalization)
