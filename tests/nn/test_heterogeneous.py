"""Graphs of several kinds of nodes and edges.

Refused by name where they come as such, served as one kind with types.
"""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.data import Batch, HeteroData
from torch_geometric.nn import SAGEConv, to_hetero

from graphmask import Topology
from graphmask.masks import GlobalMask, PowerSeriesMask
from graphmask.nn import TopologicalAttention, TopologicalGPS, TopologicalTransformerLayer

LAYERS = {
    "attention": lambda: TopologicalAttention(4, 2, PowerSeriesMask(hops=2)),
    "gps": lambda: TopologicalGPS(4, SAGEConv(4, 4), 2, mask=GlobalMask()),
    "block": lambda: TopologicalTransformerLayer(4, 2, GlobalMask()),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def papers() -> HeteroData:
    data, generator = HeteroData(), torch.Generator().manual_seed(0)
    data["paper"].x, data["author"].x = (torch.randn(n, 4, generator=generator) for n in (5, 3))
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 3]])
    data["paper", "by", "author"].edge_index = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 2]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1, 4], [1, 3, 0]])
    return data


class Model(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x, edge_index)


@pytest.mark.parametrize(
    "data", [papers(), Batch.from_data_list([papers(), papers()])], ids=["data", "batch"]
)
def test_a_topology_is_of_one_kind(data: HeteroData) -> None:
    with pytest.raises(
        TypeError,
        match=r"`data` must be a Data or Batch of one kind \(see HeteroData.to_homogeneous",
    ):
        Topology.from_data(data)


@every_layer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.global_rng
def test_to_hetero_is_refused_with_a_way_out(make: Callable[[], nn.Module]) -> None:
    layer, data = cases.seeded(make), papers()
    with pytest.raises(
        TypeError, match=r"`x` must be .* of one kind \(see HeteroData.to_homogeneous"
    ):
        to_hetero(Model(layer), data.metadata())(data.x_dict, data.edge_index_dict)
    with pytest.raises(TypeError, match=r"of one kind"):
        to_hetero(layer, data.metadata())
    with pytest.raises(TypeError, match=r"of one kind"):
        layer(data.x_dict, data.edge_index_dict)


def test_the_way_out_learns_a_weight_of_every_kind_of_edge() -> None:
    data = papers().to_homogeneous()
    layer = cases.seeded(lambda: TopologicalAttention(4, 2, PowerSeriesMask(hops=2)))
    kinds, nodes = torch.zeros(3, requires_grad=True), torch.zeros(2, 4, requires_grad=True)
    x = data.x + nodes[data.node_type]
    out = layer(x, data.edge_index, nn.functional.softplus(kinds)[data.edge_type])
    out.square().sum().backward()
    assert (kinds.grad.abs() > 1e-6).all()
    assert (nodes.grad != 0).any(1).all()
    assert_close(out.shape, (8, 4))
