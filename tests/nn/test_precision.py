"""Layers and models in half precision and under autocast."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from models import MASKS, attention, edge_mask, features, gps, model, walk_mask
from torch import nn
from torch.testing import assert_close
from torch_geometric.nn import GCNConv, GINEConv, GraphConv, SGConv

from graphmask import Topology
from graphmask.testing.graphs import astype


def edge_model() -> nn.Module:
    conv = cases.seeded(lambda: GINEConv(nn.Linear(4, 4), edge_dim=3))
    return cases.scrambled(model(6, mask=edge_mask(), conv=conv, jk="cat"))


def topology_in_single_precision() -> Topology:
    return astype(cases.edges.featured()["ragged"], torch.float32)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    **{f"attention-{name}": lambda mask=mask: attention(mask()) for name, mask in MASKS.items()},
    "gps": lambda: gps(walk_mask()),
    "model": lambda: model(6, mask=walk_mask()),
    "model-edge-features": edge_model,
}
parametrize_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
parametrize_dtype = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


@parametrize_layer
@parametrize_dtype
def test_layers_in_half_precision(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    layer, topology, x = make(), cases.edges.featured()["ragged"], features(23, 6)
    expected = layer(x, topology)
    out = layer.to(dtype)(x.to(dtype), astype(topology, dtype))
    assert out.dtype == dtype
    assert torch.linalg.vector_norm(out.double() - expected) < 0.05 * expected.norm()


@pytest.mark.parametrize(
    "conv",
    [
        lambda: GCNConv(4, 4),
        lambda: GraphConv(4, 4),
        lambda: SGConv(4, 4),
        lambda: GINEConv(nn.Linear(4, 4), edge_dim=3),
    ],
    ids=["GCNConv", "GraphConv", "SGConv", "GINEConv"],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_convolutions_get_numbers_of_edges_in_the_type_of_features(conv, dtype) -> None:
    layer = cases.scrambled(model(6, mask=walk_mask(), conv=cases.seeded(conv))).eval()
    topology, x = topology_in_single_precision(), features(23, 6)
    expected = layer(x, astype(topology, torch.float64))
    out = layer.to(dtype)(x.to(dtype), topology)
    assert out.dtype == dtype
    assert torch.linalg.vector_norm(out.double() - expected) < 0.05 * expected.norm()


@parametrize_layer
@parametrize_dtype
def test_autocast_forward_and_backward(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    layer, topology, x = make().float(), topology_in_single_precision(), features(23, 6).float()
    expected = layer(x, topology)
    with torch.autocast("cpu", dtype):
        out = layer(x, topology)
        out.float().square().sum().backward()
    assert_close(out.float(), expected, rtol=0.1, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@parametrize_dtype
def test_gradients_of_edge_features_under_autocast(dtype: torch.dtype) -> None:
    layer, topology, x = edge_model().float(), topology_in_single_precision(), features(23, 6)
    parameters = list(layer.parameters())
    loss = layer(x.float(), topology).square().mean()
    expected_grads = torch.autograd.grad(loss, parameters)
    with torch.autocast("cpu", dtype):
        loss = layer(x.float(), topology).float().square().mean()
    grads = torch.autograd.grad(loss, parameters)
    for grad, expected in zip(grads, expected_grads, strict=True):
        assert (grad - expected).norm() < 0.1 * (expected.norm() + 1e-3)
