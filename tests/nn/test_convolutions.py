"""Features of edges reach the convolutions that were made for them, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from models import block, features
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric import nn as pyg

from graphmask import Topology
from graphmask.masks import GlobalMask
from graphmask.nn import TopologicalGPS

LOOPS = torch.arange(3).repeat(2, 1)
EDGES = torch.cat([torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), LOOPS], 1)
DEGREES = torch.tensor([0, 2, 1])


def attributes(channels: int) -> Tensor:
    return torch.rand(7, channels, generator=torch.Generator().manual_seed(0))


def pna(**options: Any) -> nn.Module:
    return pyg.PNAConv(4, 4, ["mean"], ["identity"], DEGREES, **options)


IGNORE: list[Callable[[], nn.Module]] = [
    lambda: pyg.GATConv(4, 4),
    lambda: pyg.GATv2Conv(4, 4),
    lambda: pyg.TransformerConv(4, 4),
    lambda: pyg.ResGatedGraphConv(4, 4),
    lambda: pyg.GENConv(4, 4),
    lambda: pyg.CGConv(4),
    lambda: pyg.GeneralConv(4, 4),
    lambda: pyg.GINConv(nn.Linear(4, 4)),
    lambda: pyg.GCNConv(4, 4),
    lambda: pyg.GAT(4, 4, 2, 4, v2=True),
    pna,
]

READ: list[Callable[[], nn.Module]] = [
    lambda: pyg.GATConv(4, 4, edge_dim=3),
    lambda: pyg.GATv2Conv(4, 4, edge_dim=3),
    lambda: pyg.TransformerConv(4, 4, edge_dim=3),
    lambda: pyg.ResGatedGraphConv(4, 4, edge_dim=3),
    lambda: pyg.GENConv(4, 4, edge_dim=3),
    lambda: pyg.CGConv(4, dim=3),
    lambda: pyg.GeneralConv(4, 4, in_edge_channels=3),
    lambda: pyg.GINEConv(nn.Linear(4, 4), edge_dim=3),
    lambda: pyg.NNConv(4, 4, pyg.MLP([3, 16])),
    lambda: pyg.GMMConv(4, 4, dim=3, kernel_size=2),
    lambda: pyg.PDNConv(4, 4, edge_dim=3, hidden_channels=2),
    lambda: pyg.GAT(4, 4, 2, 4, v2=True, edge_dim=3),
    lambda: pna(edge_dim=3),
]


def outputs(conv: nn.Module, edge_attr: Tensor | None) -> list[Tensor]:
    """Of both layers, the second of which is given features as PyG's is, and with its topology."""
    topology, x = Topology(EDGES, 3, edge_attr=edge_attr), features(3, 4)
    layer = block(mask=GlobalMask(), conv=conv).eval()
    gps = cases.seeded(lambda: TopologicalGPS(4, conv, 2, mask=GlobalMask())).eval()
    return [layer(x, topology), gps(x, topology), gps(x, EDGES, edge_attr=edge_attr)]


@pytest.mark.parametrize("make", IGNORE)
def test_convolutions_that_were_not_made_for_features_get_none(make: Any) -> None:
    conv = cases.seeded(make).eval()
    assert_close(outputs(conv, attributes(3)), outputs(conv, None), rtol=0, atol=0)


@pytest.mark.parametrize("make", READ)
def test_convolutions_that_were_made_for_features_read_them(make: Any) -> None:
    conv = cases.seeded(make).eval()
    first, second = outputs(conv, attributes(3)), outputs(conv, attributes(3).flip(0))
    assert all((one != other).any() for one, other in zip(first, second, strict=True))
    assert_close(first[1], first[2], rtol=0, atol=0)
    for edge_attr, expected in ((None, "given"), (attributes(2), "of shape|with D = 3")):
        with pytest.raises(ValueError, match=f"`edge_attr` must be ({expected})"):
            outputs(conv, edge_attr)
    with pytest.raises(TypeError, match="`edge_attr` must be a floating-point tensor"):
        outputs(conv, attributes(3).long())


@pytest.mark.parametrize("make", [lambda: pyg.GENConv(4, 4), lambda: pyg.GINEConv(nn.Linear(4, 4))])
def test_features_as_wide_as_the_nodes_are_added_to_them(make: Any) -> None:
    conv = cases.seeded(make).eval()
    first, second = outputs(conv, attributes(4)), outputs(conv, attributes(4).flip(0))
    assert all((one != other).any() for one, other in zip(first, second, strict=True))


class AnyKeywords(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor, **options: Tensor) -> Tensor:
        return x + options["edge_attr"].sum()


def test_convolutions_of_any_keywords_get_what_the_layer_is_given() -> None:
    layer = cases.seeded(lambda: TopologicalGPS(4, AnyKeywords(), 2, mask=GlobalMask())).eval()
    one, other = (layer(features(3, 4), EDGES, edge_attr=k * attributes(3)) for k in (1, 2))
    assert (one != other).any()
