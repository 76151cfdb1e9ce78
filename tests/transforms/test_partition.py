"""Parts of large graphs hold every node once, and few edges lie between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Data
from torch_geometric.loader import ClusterLoader, DataLoader
from torch_geometric.utils import subgraph

from graphmask import Topology
from graphmask.datasets._grids import grid_edges
from graphmask.masks import WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.transforms import (
    AddWalks,
    KNNGraph,
    NodePartition,
    cut_share,
    partition,
    partition_nodes,
)
from graphmask.walks import ResampledWalks


def cloud(num_nodes: int = 600) -> Data:
    generator = torch.Generator().manual_seed(0)
    data = KNNGraph(6)(Data(pos=torch.rand(num_nodes, 2, generator=generator)))
    data.x, data.y = torch.randn(num_nodes, 3, generator=generator), torch.arange(num_nodes)
    data.train_mask = torch.rand(num_nodes, generator=generator) < 0.3
    data.edge_attr = torch.stack(tuple(data.edge_index), 1).float()
    return data


def grid(side: int) -> Tensor:
    return grid_edges((side, side))


@pytest.mark.parametrize("num_parts", [1, 2, 7, 16])
def test_parts_are_nearly_equal_and_all_are_used(num_parts: int) -> None:
    part = partition_nodes(cloud().edge_index, 600, num_parts)
    sizes = part.bincount(minlength=num_parts)
    assert len(sizes) == num_parts
    assert (sizes - 600 / num_parts).abs().max() <= max(1, 0.05 * 600 / num_parts)


def test_sizes_without_slack_differ_by_one() -> None:
    sizes = partition_nodes(cloud().edge_index, 600, 7, slack=0.0).bincount()
    assert sizes.min() == 85
    assert sizes.max() == 86


def test_a_grid_is_cut_near_its_best() -> None:
    """32 x 32: halves cannot be parted by fewer than 32 of 1984 edges.

    A cut from corner to corner takes 62.
    """
    share = cut_share(grid(32), partition_nodes(grid(32), 1024, 2))
    assert 32 / 1984 <= share <= 62 / 1984


def test_two_cliques_are_found_whatever_the_names_of_their_nodes() -> None:
    place = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    clique = torch.cartesian_prod(torch.arange(20), torch.arange(20)).T
    edges = place[torch.cat([clique, clique + 20, torch.tensor([[0], [20]])], 1)]
    part = partition_nodes(edges, 40, 2)
    assert cut_share(edges, part) == pytest.approx(1 / 801)


def test_a_share_needs_the_part_of_every_node() -> None:
    with pytest.raises(ValueError, match=r"`edge_index` must be node ids from 0 to N - 1 = 1"):
        cut_share(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 1]))


def test_moves_across_borders_mend_what_an_order_spoils(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = cloud(2000).edge_index
    moved = cut_share(edges, partition_nodes(edges, 2000, 8))
    monkeypatch.setattr(partition, "_SWEEPS", 0)
    halved = cut_share(edges, partition_nodes(edges, 2000, 8))
    assert cut_share(edges, torch.arange(2000) % 8) > 0.8
    assert moved < 0.8 * halved < 0.2


def test_parts_are_induced_subgraphs_with_all_attributes_of_their_nodes() -> None:
    data = cloud()
    parts = NodePartition(data, 5)
    assert len(parts) == 5
    for part in parts:
        nodes = part.y
        expected, _ = subgraph(nodes, data.edge_index, num_nodes=600)
        key = [(edges[0] * 600 + edges[1]).sort() for edges in (nodes[part.edge_index], expected)]
        assert torch.equal(key[0].values, key[1].values)
        assert_close(part.edge_attr, nodes[part.edge_index].T.float())
        for name in ("x", "pos", "train_mask"):
            assert_close(part[name], data[name][nodes])
    assert torch.equal(torch.cat([part.y for part in parts]), parts.node_index)
    assert torch.equal(parts.node_index.sort().values, torch.arange(600))


def test_cluster_loaders_join_parts_with_the_edges_between_them() -> None:
    data = cloud()
    (joined,) = ClusterLoader(NodePartition(data, 5), batch_size=5)
    assert (joined.num_nodes, joined.num_edges) == (600, data.num_edges)
    assert_close(joined.edge_attr, joined.y[joined.edge_index].T.float())
    loader = ClusterLoader(NodePartition(data, 5), batch_size=2)
    assert sum(batch.num_nodes for batch in loader) == 600
    parts = NodePartition(data, 3, keep_inter_cluster_edges=True)
    assert sum(part.num_edges for part in parts) == data.num_edges


def test_walks_are_drawn_in_every_part() -> None:
    walks = AddWalks(ResampledWalks(budget=8, hops=2), torch.Generator().manual_seed(0))
    parts = NodePartition(cloud(), 4, transform=walks)
    layer = TopologicalAttention(3, 1, WalkMask(hops=2))
    for batch in DataLoader(parts, batch_size=2):
        assert layer(batch.x, Topology.from_data(batch)).shape == (batch.num_nodes, 3)
    assert int(next(iter(parts)).walk_index.max()) == parts[0].num_nodes - 1


def test_graphs_without_edges_and_of_several_pieces() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    assert partition_nodes(none, 6, 3).bincount().tolist() == [2, 2, 2]
    assert cut_share(none, torch.zeros(6).long()) == 0
    pairs = torch.tensor([[0, 2, 4, 6], [1, 3, 5, 7]])
    assert cut_share(pairs, partition_nodes(pairs, 8, 4)) == 0
