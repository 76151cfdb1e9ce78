"""Graphs to test on, and how to rename, join and recast them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphmask.topology import Topology
from graphmask.walks import Walks


def example_topologies() -> dict[str, Topology]:
    """Awkward graphs by name.

    Of 1, 2, 7 and 13 nodes; weighted, directed, signed; with parallel edges, self-loops, edges of
    no weight, isolated nodes, several components or no edge; and a batch of graphs of different
    sizes, in no order.

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
    ragged = [graph(7, 9), Topology(none, 1), graph(13, 10), Topology(pair, 2)]
    return {
        "single": Topology(none, 1),
        "loop": Topology(torch.zeros(2, 1, dtype=torch.long), 1),
        "pair": Topology(pair, 2),
        "ring": Topology(torch.cat([ring, ring.flip(0)], 1), 7),
        "empty": Topology(none, 7),
        "multigraph": Topology(parallel, 7, torch.linspace(0.5, 1.5, 9, dtype=torch.float64)),
        "weightless": Topology(
            parallel, 7, torch.tensor([0, 0, 0, 1, 2, 1, 1, 1, 1], dtype=torch.float64)
        ),
        "weighted": graph(13, 18),
        "directed": graph(13, 30, undirected=False),
        "signed": graph(7, 9, low=-1.5),
        "sparse": graph(13, 4),
        "ragged": join(ragged, interleaved=True)[0],
    }


def permute(topology: Topology, order: Tensor) -> Topology:
    """The topology whose node i is node ``order[i]`` of this one; positions and walks move along.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import permute
        >>> permute(gm.Topology(torch.tensor([[0], [1]]), num_nodes=3), torch.tensor([1, 2, 0])).edge_index.tolist()
        [[2], [0]]
    """
    place = torch.argsort(order)
    return remade(
        topology,
        edge_index=place[topology.edge_index],
        batch=None if topology.batch is None else topology.batch[order],
        pos=None if topology.pos is None else topology.pos[order],
        walks=[_moved(walks, place, topology.num_nodes) for walks in topology.walk_sets],
    )


def join(
    topologies: Sequence[Topology], interleaved: bool = False
) -> tuple[Topology, list[Tensor]]:
    """The batch of some graphs, and the ids that the nodes of each have there.

    Args:
        topologies: the graphs, all with equally many sets of walks, and all with positions or none;
            features of edges are kept where all have them.
        interleaved: whether nodes of different graphs alternate at random. Those of one graph keep
            their order.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import join
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> batch, places = join([edge, edge])
        >>> batch.batch.tolist(), [place.tolist() for place in places]
        ([0, 0, 1, 1], [[0, 1], [2, 3]])
    """
    owner = torch.arange(len(topologies)).repeat_interleave(
        torch.tensor([each.num_nodes for each in topologies])
    )
    n = len(owner)
    owner = (
        owner[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
        if interleaved
        else owner
    )
    places = [(owner == number).nonzero().squeeze(1) for number in range(len(topologies))]
    batch, graphs = torch.zeros(n, dtype=torch.long), 0
    for place, each in zip(places, topologies, strict=True):
        batch[place] = graphs + (0 if each.batch is None else each.batch)
        graphs += each.num_graphs
    edges = [place[each.edge_index] for place, each in zip(places, topologies, strict=True)]
    attributes = None
    if topologies and all(each.edge_attr is not None for each in topologies):
        attributes = torch.cat([each.edge_attr for each in topologies])  # type: ignore[misc]
    weights = [
        torch.ones(each.num_edges) if each.edge_weight is None else each.edge_weight
        for each in topologies
    ]
    sets = [
        _concatenated([_moved(walks, place, n) for walks, place in zip(drawn, places, strict=True)])
        for drawn in zip(*(each.walk_sets for each in topologies), strict=True)
    ]
    pos = None
    if topologies and all(each.pos is not None for each in topologies):
        found = torch.cat([each.pos for each in topologies])  # type: ignore[misc]
        pos = torch.empty_like(found).index_copy(0, torch.cat(places), found)
    return Topology(
        torch.cat(edges, 1), n, torch.cat(weights), batch, pos, sets, graphs, attributes
    ), places


def remade(topology: Topology, **changes: Any) -> Topology:
    """The topology with some of its fields replaced."""
    names = ("edge_index", "num_nodes", "edge_weight", "batch", "pos", "num_graphs", "edge_attr")
    kept = {name: getattr(topology, name) for name in names} | {"walks": topology.walk_sets}
    return Topology(**{**kept, **changes})


def cast(topology: Topology, dtype: torch.dtype) -> Topology:
    """The topology with weights, positions, features of edges and walks of another dtype."""
    return remade(
        topology,
        edge_weight=None if topology.edge_weight is None else topology.edge_weight.to(dtype),
        pos=None if topology.pos is None else topology.pos.to(dtype),
        edge_attr=None if topology.edge_attr is None else topology.edge_attr.to(dtype),
        walks=[replace(walks, table=walks.table.to(dtype)) for walks in topology.walk_sets],
    )


def _moved(walks: Walks, place: Tensor, num_nodes: int) -> Walks:
    row, col = place[walks.row], place[walks.col]
    weight, hops = walks.weight, walks.num_hops
    return Walks.from_entries(row, col, walks.hop, weight, num_nodes, hops, walks.normalization)


def _concatenated(parts: Sequence[Walks]) -> Walks:
    row, col, hop, weight = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("row", "col", "hop", "weight")
    )
    first = parts[0]
    return Walks.from_entries(
        row, col, hop, weight, first.num_nodes, first.num_hops, first.normalization
    )
