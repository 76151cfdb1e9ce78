"""Nested clusters of the nodes of graphs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask.topology import Topology
from graphmask.transforms.partition import partition_nodes


class Level(NamedTuple):
    """Clusters of the nodes of graphs, or of the clusters of the level below.

    Attributes:
        members: ``[P + 1, w]``, the M members of each cluster, M where it has fewer than w, and at
            last a cluster without members.
        place: ``[M]``, the position of each member in ``members``.
    """

    members: Tensor
    place: Tensor


class Clusters(NamedTuple):
    """Nested clusters of graphs, graphs of as many clusters one after the other.

    Attributes:
        levels: from the finest to the coarsest.
        shapes: number of graphs, and of the clusters of each on every level, in the order of the
            clusters.
    """

    levels: tuple[Level, ...]
    shapes: tuple[tuple[int, ...], ...]


def make_clusters(topology: Topology, sizes: tuple[int, ...]) -> Clusters:
    """Partition each graph into clusters of ``sizes`` nodes on average, or a few less."""
    cluster, count = _partition(topology, sizes[0])
    levels, counts = [_make_level(topology, cluster, sum(count))], [count]
    for below, size in pairwise(sizes):
        topology = _join(topology, cluster, counts[-1])
        cluster, count = _partition(topology, size // below)
        levels.append(_make_level(topology, cluster, sum(count)))
        counts.append(count)
    graphs = Counter(zip(*counts, strict=True))
    return Clusters(tuple(levels), tuple((graphs[count], *count) for count in sorted(graphs)))


def _partition(topology: Topology, size: int) -> tuple[Tensor, tuple[int, ...]]:
    """The cluster ``[N]`` of each node, and the number of clusters of each graph that has nodes.

    Graphs of few clusters come first.
    """
    rank, edges = topology.local_index, topology.edge_index
    batch = torch.zeros_like(rank) if topology.batch is None else topology.batch
    sizes = topology.graph_sizes.tolist()
    nodes = torch.argsort(batch, stable=True).split(sizes)
    of_edge = batch[edges[0]]
    per_graph = torch.bincount(of_edge, minlength=len(sizes)).tolist()
    links = rank[edges[:, torch.argsort(of_edge, stable=True)]].split(per_graph, 1)
    counts = [-(-n // size) for n in sizes]
    cluster, first = torch.zeros_like(rank), 0
    for graph in sorted(range(len(counts)), key=counts.__getitem__):
        member, count = nodes[graph], counts[graph]
        if count > 1:
            cluster[member] = partition_nodes(links[graph], len(member), count)
        cluster[member] += first
        first += count
    return cluster, tuple(sorted(count for count in counts if count))


def _make_level(topology: Topology, cluster: Tensor, count: int) -> Level:
    """The members of ``count`` clusters of nodes."""
    parts = Topology(topology.edge_index.new_empty(2, 0), batch=cluster)
    width = parts.largest_graph if topology.num_nodes else 0
    place = cluster * width + parts.local_index
    members = torch.full(((count + 1) * width,), topology.num_nodes, device=topology.device)
    members[place] = torch.arange(topology.num_nodes, device=topology.device)
    return Level(members.view(count + 1, width), place)


def _join(topology: Topology, cluster: Tensor, counts: tuple[int, ...]) -> Topology:
    """The graphs of clusters, joined where an edge joins their nodes."""
    edges = cluster[topology.edge_index].unique(dim=1)
    graphs = torch.arange(len(counts), device=topology.device)
    batch = graphs.repeat_interleave(torch.tensor(counts, device=topology.device))
    return Topology(edges[:, edges[0] != edges[1]], batch=batch)
