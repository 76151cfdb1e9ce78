"""Attention at many resolutions beside its definition, and exact softmax."""

from __future__ import annotations

import pytest
import torch
from cases.base import seeded
from cases.graphs import normal
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.nn import MultilevelAttention
from graphmask.nn._clusters import Clusters, make_clusters
from graphmask.nn.multilevel_attention import attend_by_clusters
from graphmask.testing import example_topologies


def grids() -> gm.Topology:
    """Grids of 5 x 7 and 2 x 2 nodes, a node without edges, and a graph without nodes, mixed."""
    edges, first = [], 0
    for sides in ((5, 7), (2, 2)):
        rank = torch.arange(sides[0] * sides[1]).view(sides) + first
        edges += [torch.stack([rank[1:].flatten(), rank[:-1].flatten()])]
        edges += [torch.stack([rank[:, 1:].flatten(), rank[:, :-1].flatten()])]
        first += sides[0] * sides[1]
    batch = torch.tensor([0] * 35 + [1] * 4 + [3])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    index = torch.argsort(order)[torch.cat(edges, 1)]
    return gm.Topology(index, batch=batch[order])


SIZES = [((4,), 1), ((6,), 2), ((2,), 3), ((64,), 1), ((2, 4), 1), ((2, 6, 12), 2), ((3, 6, 60), 3)]


def clusters_of_nodes(clusters: Clusters) -> list[torch.Tensor]:
    """The cluster of each node on every level."""
    found, node = [], torch.arange(len(clusters.levels[0].place))
    for members, place in clusters.levels:
        node = (place // members.shape[1])[node]
        found.append(node)
    return found


@pytest.mark.parametrize(("sizes", "blocks"), SIZES)
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_it_is_its_definition(sizes: tuple[int, ...], blocks: int, spread: float) -> None:
    topology = grids()
    q, k, v = normal(3, 40, 2, 3)
    leaves = [(spread * q).requires_grad_(), k.requires_grad_(), v.requires_grad_()]
    clusters = topology.derive(make_clusters, sizes)
    levels = clusters_of_nodes(clusters)
    outputs = (
        attend_by_clusters(*leaves, clusters, blocks),
        reference.multilevel_attention(*leaves, levels, topology.batch, blocks),
    )
    assert_close(*outputs)
    weight = normal(40, 2, 3, seed=1)
    assert_close(*(torch.autograd.grad((out * weight).sum(), leaves) for out in outputs))


def test_clusters_are_of_one_graph_and_of_about_one_size() -> None:
    topology = grids()
    clusters = make_clusters(topology, (6, 12))
    assert clusters.shapes == ((2, 1, 1), (1, 6, 3))
    for cluster, largest in zip(clusters_of_nodes(clusters), (7, 14), strict=True):
        for name in cluster.unique():
            nodes = cluster == name
            assert 1 <= nodes.sum() <= largest
            assert len(topology.batch[nodes].unique()) == 1


@pytest.mark.parametrize("sizes", [(2,), (2, 6)])
def test_with_all_blocks_it_is_softmax_attention(sizes: tuple[int, ...]) -> None:
    topology = example_topologies()["ragged"]
    q, k, v = normal(3, topology.num_nodes, 2, 3)
    out = attend_by_clusters(q, k, v, make_clusters(topology, sizes), 99)
    mask = gm.masks.GlobalMask()(topology)
    assert_close(out, gm.attention(q, k, v, mask, gm.features.SoftmaxScores()))


def test_half_precision_is_summed_in_single() -> None:
    topology = grids()
    q, k, v = normal(3, 40, 2, 3).to(torch.bfloat16)
    clusters = make_clusters(topology, (3, 6))
    expected = attend_by_clusters(q.float(), k.float(), v.float(), clusters, 2)
    out = attend_by_clusters(q, k, v, clusters, 2)
    assert out.dtype == torch.bfloat16
    assert_close(out.float(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.global_rng
def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="`channels` must be a multiple of heads = 3"):
        MultilevelAttention(4, 3)
    with pytest.raises(ValueError, match="`blocks` must be"):
        MultilevelAttention(4, 2, blocks=0)
    for size in ((), (4, 6), (4, 4)):
        with pytest.raises(ValueError, match="`size` must be an integer, or integers of which"):
            MultilevelAttention(4, 2, size=size)
    with pytest.raises(ValueError, match=r"`x` must be of shape \[N, C\] with C = 4"):
        seeded(lambda: MultilevelAttention(4, 2))(torch.ones(40, 3), grids())
