from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from models import attention, features, parametrize_masks
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.features import EluPlusOne
from graphmask.masks import Free, PowerSeriesMask
from graphmask.testing import example_topologies
from graphmask.testing.graphs import astype


@parametrize_masks
def test_the_layer_is_its_formula(mask: Callable) -> None:
    layer, x = attention(mask(), feature_map=EluPlusOne()), features(23, 6)
    topology = layer.mask.prepare(example_topologies()["ragged"])
    q, k, v = (x @ layer.qkv.weight.mT + layer.qkv.bias).reshape(23, 3, 2, 3).unbind(1)
    phi_q, phi_k = reference.elu_plus_one(q), reference.elu_plus_one(k)
    M = cases.mask_reference(layer.mask, topology)
    mixed = reference.attention(phi_q, phi_k, v, M).reshape(23, 6)
    assert_close(layer(x, topology), mixed @ layer.out.weight.mT + layer.out.bias)


@parametrize_masks
def test_rows_of_the_attention_map(mask: Callable) -> None:
    """Their absolute values sum to one, and times the values they are the output."""
    layer, topology, x = attention(mask()), example_topologies()["ragged"], features(23, 6)
    nodes = torch.tensor([5, 0, 22, 5])
    rows = layer.attention_rows(nodes, x, topology)
    assert rows.shape == (4, 2, 23)
    assert_close(rows.abs().sum(-1), torch.ones(4, 2))
    other_graphs = topology.batch[nodes].unsqueeze(1) != topology.batch
    assert (rows.transpose(1, 2)[other_graphs] == 0).all()
    v = layer.qkv(x)[:, 12:].reshape(23, 2, 3)
    mixed = torch.einsum("ihj,jhd->ihd", rows, v).reshape(4, 6)
    assert_close(layer.out(mixed), layer(x, topology)[nodes])


def test_rows_of_a_node_that_sees_nothing_are_zero() -> None:
    """Under the first power of W alone, node 12 is isolated."""
    layer = attention(PowerSeriesMask(hops=1, alpha=Free))
    layer.mask.alpha.value.data.copy_(torch.tensor([[0.0, 1.0]]))
    nodes, topology = torch.tensor([12, 0]), example_topologies()["weighted"]
    rows = layer.attention_rows(nodes, features(13, 6), topology)
    assert (rows[0] == 0).all()
    assert_close(rows[1].abs().sum(-1), torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@parametrize_masks
def test_rows_under_autocast(mask: Callable, dtype: torch.dtype) -> None:
    layer = attention(mask()).float()
    topology = astype(example_topologies()["ragged"], torch.float32)
    with torch.autocast("cpu", dtype):
        rows = layer.attention_rows(torch.tensor([0]), features(23, 6).float(), topology)
    assert_close(rows.abs().sum(-1).double(), torch.ones(1, 2), rtol=2e-2, atol=2e-2)


def ring(num_nodes: int) -> Topology:
    step = torch.arange(num_nodes)
    edges = torch.stack([step, (step + 1) % num_nodes])
    return Topology(torch.cat([edges, edges.flip(0)], 1), num_nodes)


@pytest.mark.usefixtures("single_by_default")
@parametrize_masks
def test_a_large_graph(mask: Callable) -> None:
    """200,000 nodes: the attention map would need 320 gigabytes."""
    layer, x = attention(mask(), channels=2), features(200_000, 2)
    topology = layer.mask.prepare(ring(200_000))
    assert layer(x, topology).shape == (200_000, 2)
    rows = layer.attention_rows(torch.tensor([7, 100_000]), x, topology)
    assert_close(rows.abs().sum(-1), torch.ones(2, 2), rtol=1e-3, atol=1e-3)


@parametrize_masks
def test_training_after_validation_in_inference_mode(mask: Callable) -> None:
    layer, x = attention(mask()), features(23, 6)
    topology = layer.mask.prepare(example_topologies()["ragged"])
    with torch.inference_mode():
        expected = layer(x, topology)
    out = layer(x, topology)
    assert_close(out, expected)
    out.sum().backward()


def test_dropout_scales_the_output_in_training() -> None:
    layer, x, topology = attention(dropout=0.5), torch.ones(7, 6), example_topologies()["ring"]
    dropped = cases.seeded(lambda: layer(x, topology))
    complete = layer.eval()(x, topology)
    assert ((dropped == 0) | torch.isclose(dropped, 2 * complete)).all()
    assert 0 < int((dropped == 0).sum()) < 42
