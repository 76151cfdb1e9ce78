"""Heterogeneous graphs raise an error that names the homogeneous form, which works."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from models import attention, block, gps
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData
from torch_geometric.nn import to_hetero

from graphmask import Topology
from graphmask.masks import GlobalMask, PowerSeriesMask


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


def test_a_topology_of_heterogeneous_data_raises() -> None:
    message = r"`data` must be a Data or Batch of one kind \(see HeteroData.to_homogeneous"
    for data in (papers(), Batch.from_data_list([papers(), papers()])):
        with pytest.raises(TypeError, match=message):
            Topology.from_data(data)


@pytest.mark.parametrize("make", [attention, gps, lambda: block(mask=GlobalMask())])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.global_rng
def test_to_hetero_raises(make: Callable[[], nn.Module]) -> None:
    layer, data = make(), papers()
    message = r"`x` must be .* of one kind \(see HeteroData.to_homogeneous"
    with pytest.raises(TypeError, match=message):
        to_hetero(Model(layer), data.metadata())(data.x_dict, data.edge_index_dict)
    with pytest.raises(TypeError, match="of one kind"):
        to_hetero(layer, data.metadata())
    with pytest.raises(TypeError, match="of one kind"):
        layer(data.x_dict, data.edge_index_dict)


def test_homogeneous_data_learns_a_weight_of_every_edge_type() -> None:
    data, layer = papers().to_homogeneous(), attention(PowerSeriesMask(hops=2), 4)
    edge_types = torch.zeros(3, requires_grad=True)
    node_types = torch.zeros(2, 4, requires_grad=True)
    weight = nn.functional.softplus(edge_types)[data.edge_type]
    x = data.x.to(node_types.dtype) + node_types[data.node_type]
    layer(x, data.edge_index, weight).square().sum().backward()
    assert (edge_types.grad.abs() > 1e-6).all()
    assert (node_types.grad != 0).any(1).all()
