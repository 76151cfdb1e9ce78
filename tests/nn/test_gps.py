"""PyG's GPS layer with masked attention, compared with PyG's own layer."""

from __future__ import annotations

import inspect
from copy import deepcopy

import cases
import pytest
import torch
from models import PATH, edge_mask, features, gps
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.nn import GATConv, GCNConv, GPSConv, SAGEConv

from graphmask import Topology, reference
from graphmask.masks import PowerSeriesMask
from graphmask.nn import TopologicalGPS
from graphmask.testing import assert_batch_independent, example_topologies


def gps_conv(**options: object) -> GPSConv:
    return cases.seeded(lambda: GPSConv(6, SAGEConv(6, 6), heads=2, **options))


def test_arguments_and_attributes_are_those_of_gpsconv() -> None:
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(cls).parameters.values()][:-2]
        for cls in (TopologicalGPS, GPSConv)
    )
    assert ours == theirs
    ours, theirs = (
        list(inspect.signature(c.forward).parameters) for c in (TopologicalGPS, GPSConv)
    )
    assert ours == theirs
    layer, original = gps(), gps_conv()
    assert dict(layer.named_children()).keys() == dict(original.named_children()).keys()
    ours, theirs = (
        {name for name in module.state_dict() if not name.startswith("attn")}
        for module in (layer, original)
    )
    assert ours == theirs


def test_the_layer_is_its_formula_by_hand() -> None:
    """Batch normalisation in training: every step of the docstring, with dense matrices."""
    layer, topology, x = gps(), example_topologies()["ragged"], features(23, 6)
    q, k, v = (x @ layer.attn.qkv.weight.mT + layer.attn.qkv.bias).reshape(23, 3, 2, 3).unbind(1)
    same_graph = (topology.batch.unsqueeze(1) == topology.batch).double()
    phi_q, phi_k = (reference.relu_features(y, 1e-3) for y in (q, k))
    score = same_graph * torch.einsum("ihd,jhd->hij", phi_q, phi_k)
    mixed = torch.einsum("hij,jhd->ihd", score / score.sum(2, keepdim=True), v).reshape(23, 6)
    attended = mixed @ layer.attn.out.weight.mT + layer.attn.out.bias

    source, target = topology.edge_index
    neighbors = torch.zeros(23, 23).index_put((target, source), torch.ones(()), True)
    means = neighbors @ x / neighbors.sum(1, keepdim=True).clamp(min=1)
    conv = layer.conv
    convolved = means @ conv.lin_l.weight.mT + conv.lin_l.bias + x @ conv.lin_r.weight.mT

    def normed(y: Tensor) -> Tensor:
        return (y - y.mean(0)) / (y.var(0, unbiased=False) + 1e-5).sqrt()

    both = normed(x + convolved) + normed(x + attended)
    hidden = (both @ layer.mlp[0].weight.mT + layer.mlp[0].bias).relu()
    expected = normed(both + hidden @ layer.mlp[3].weight.mT + layer.mlp[3].bias)
    assert_close(layer(x, topology.edge_index, topology.batch), expected)


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm", "graph_norm", "instance_norm", None])
def test_everything_but_attention_is_that_of_gpsconv(norm: str | None) -> None:
    """Without attention, whose output is set to zero, both layers are the same."""
    original, layer = gps_conv(norm=norm, act="gelu"), gps(norm=norm, act="gelu")
    for parameter in (*layer.attn.out.parameters(), original.attn.out_proj.weight):
        parameter.data.zero_()
    attention = layer.attn.state_dict(prefix="attn.")
    layer.load_state_dict({**original.state_dict(), **attention}, strict=False)
    edge_index = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 4]])
    arguments = features(5, 6), edge_index, torch.tensor([0, 0, 0, 1, 1])
    assert_close(layer(*arguments), original(*arguments))


@pytest.mark.parametrize("norm", ["graph_norm", "instance_norm", None])
def test_normalizations_per_graph_do_not_see_batch_mates(norm: str | None) -> None:
    graphs = [example_topologies()[name] for name in ("weighted", "ring", "multigraph", "signed")]
    assert_batch_independent(gps(norm=norm), graphs, 6)


def test_edge_weights_reach_convolution_and_mask() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    conv = cases.seeded(lambda: GCNConv(6, 6))
    layer = gps(PowerSeriesMask(hops=2), conv=conv, norm=None)
    out = layer(features(3, 6), PATH, edge_weight=weight)
    assert_close(out, layer(features(3, 6), Topology(PATH, 3, weight)))
    for silenced in ("conv", "attn"):
        copied = deepcopy(layer)
        for parameter in getattr(copied, silenced).parameters():
            parameter.data.zero_()
        out = copied(features(3, 6), PATH, edge_weight=weight)
        assert torch.autograd.grad(out.square().sum(), weight)[0].abs().sum() > 0


def test_edge_features_reach_the_mask() -> None:
    attr = torch.eye(4)[:, :3]
    layer = gps(edge_mask(), conv=None, norm=None)
    out = layer(features(3, 6), PATH, edge_attr=attr)
    assert_close(out, layer(features(3, 6), Topology(PATH, 3, edge_attr=attr)))
    assert not torch.allclose(out, layer(features(3, 6), PATH, edge_attr=attr.flip(0)))


def test_keywords_reach_the_convolution() -> None:
    attr, x = torch.eye(4), features(3, 6)
    layer = gps(conv=cases.seeded(lambda: GATConv(6, 6, edge_dim=4)), norm=None)
    out = layer(x, PATH, edge_attr=attr)
    assert (out != layer(x, PATH, edge_attr=2 * attr)).any()
    assert_close(layer(x, Topology(PATH, 3), edge_attr=attr), out)


def test_models_written_for_gpsconv_pass_a_topology_beside_its_batch() -> None:
    layer, topology, x = gps(), example_topologies()["ragged"], features(23, 6)
    assert_close(layer(x, topology, topology.batch), layer(x, topology), rtol=0, atol=0)
    with pytest.raises(ValueError, match="`edge_weight, batch`"):
        layer(x, topology, topology.batch.clone())


def test_the_default_mask_has_the_heads_of_the_layer() -> None:
    layer = cases.seeded(lambda: TopologicalGPS(8, None, heads=4))
    assert repr(layer.attn.mask) == "WalkMask(hops=8, heads=4, alpha=Free)"


def test_dropout_is_off_in_evaluation() -> None:
    layer, topology, x = (
        gps(dropout=0.5, norm=None),
        example_topologies()["ragged"],
        features(23, 6),
    )
    first, second = cases.seeded(lambda: (layer(x, topology), layer(x, topology)))
    assert (first != second).any()
    assert_close(layer.eval()(x, topology), gps(norm=None)(x, topology))
