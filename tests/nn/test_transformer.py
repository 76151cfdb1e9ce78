"""Transformer blocks and models; tests/test_laws.py has the laws of all layers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cases
import pytest
import torch
from models import PATH, attention, block, edge_mask, features, model, walk_mask
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.nn import (
    GATv2Conv,
    GCNConv,
    GINEConv,
    GraphConv,
    JumpingKnowledge,
    MedianAggregation,
    SAGEConv,
    SortAggregation,
    global_mean_pool,
)

from graphmask import Topology, reference
from graphmask.features import EluPlusOne, ReLU, UnitPlusCosine
from graphmask.masks import GlobalMask, GRFMask, WalkMask
from graphmask.nn import BeforeAttention, OnValues, OutputGate, TopologicalTransformer
from graphmask.normalizers import Unnormalized
from graphmask.testing import check_layer, example_topologies, permute
from graphmask.values import Moments
from graphmask.walks import WalkSampler


def graph_conv() -> GraphConv:
    return cases.seeded(lambda: GraphConv(4, 4))


def test_a_block_adds_both_branches_to_its_input() -> None:
    topology, x = example_topologies()["weighted"], features(13, 4)
    layer = block(mask=GlobalMask(), conv=graph_conv())
    normed = layer.norm(x)
    local = layer.conv(normed, topology.edge_index, topology.edge_weight)
    hidden = x + layer.attention(normed, topology) + local
    assert_close(layer(x, topology), hidden + layer.feed_forward(hidden))


@pytest.mark.parametrize("place", [BeforeAttention, OnValues])
def test_a_gated_block_with_a_placed_convolution_is_its_formula(place: type) -> None:
    topology, x = example_topologies()["weighted"], features(13, 4)
    gate = cases.scrambled(cases.seeded(lambda: OutputGate(4)))
    branches = {"mask": GlobalMask(), "conv": place(graph_conv()), "gate": gate}
    layer = block(**branches, feature_map=ReLU()).eval()
    attend, local = layer.attention, layer.placed_conv.conv
    weights = reference.adjacency(topology.edge_index, 13, topology.edge_weight, None)

    def convolve(x: Tensor) -> Tensor:
        mixed = weights @ x
        return mixed @ local.lin_rel.weight.T + local.lin_rel.bias + x @ local.lin_root.weight.T

    def norm(x: Tensor) -> Tensor:  # its running statistics are 0 and 1
        return x / (1 + 1e-5) ** 0.5

    if place is BeforeAttention:
        x = x + convolve(norm(x))
    hidden = norm(x)
    q, k, v = (hidden @ attend.qkv.weight.T + attend.qkv.bias).split(4, 1)
    v = v + convolve(v) if place is OnValues else v
    heads = []
    for q_h, k_h, v_h in zip(q.split(2, 1), k.split(2, 1), v.split(2, 1), strict=True):
        scores = (q_h.relu() + 1e-3) @ (k_h.relu() + 1e-3).T
        heads.append(scores @ v_h / scores.sum(1, keepdim=True))
    factor = 1 + torch.tanh(hidden @ gate.linear.weight.T + gate.linear.bias)
    out = x + (factor * torch.cat(heads, 1)) @ attend.out.weight.T + attend.out.bias
    expected = out + layer.feed_forward(out)
    assert_close(layer(features(13, 4), topology), expected)


def test_gates_start_at_one_and_may_be_shared_by_a_head() -> None:
    x, plain = features(3, 4), model(mask=GlobalMask())
    gated = model(mask=GlobalMask(), gate=cases.seeded(lambda: OutputGate(4)))
    gated.load_state_dict(plain.state_dict(), strict=False)
    assert_close(gated(x[:, :3], PATH), plain(x[:, :3], PATH), rtol=0, atol=0)
    gate = cases.scrambled(cases.seeded(lambda: OutputGate(4, 2)))
    factor = gate(x).repeat_interleave(2, 1)
    assert 0 < factor.min() < factor.max() < 2
    layer, plain = attention(GlobalMask(), 4, gate=gate), attention(GlobalMask(), 4)
    heads = (plain(x, PATH) - plain.out.bias) @ plain.out.weight.inverse().T
    assert_close(layer(x, PATH), layer.out(factor * heads))


def test_gates_have_one_factor_for_each_channel_of_wider_values() -> None:
    cloud = Topology(PATH, 3, pos=features(3, 2))
    gate = cases.seeded(lambda: OutputGate(4, 8))
    gated = attention(GlobalMask(), 4, values=Moments(dim=2), gate=gate)
    plain = attention(GlobalMask(), 4, values=Moments(dim=2))
    assert_close(gated(features(3, 4), cloud), plain(features(3, 4), cloud), rtol=0, atol=0)
    gate.linear.bias.data[-1] = 1.0  # the second coordinate of the last head
    assert not torch.equal(gated(features(3, 4), cloud), plain(features(3, 4), cloud))


@pytest.mark.parametrize(
    ("conv", "takes_weights"), [(GraphConv, True), (GCNConv, True), (SAGEConv, False)]
)
def test_weights_reach_the_convolution_that_takes_them(conv: type, takes_weights: bool) -> None:
    topology, x = example_topologies()["weighted"], features(13, 4)
    layer = block(conv=cases.seeded(lambda: conv(4, 4)))
    unweighted = layer(x, Topology(topology.edge_index, 13))
    assert torch.allclose(layer(x, topology), unweighted) != takes_weights


def test_dropout_reaches_every_branch() -> None:
    layer = block(mask=GlobalMask(), conv=graph_conv(), dropout=0.3, expansion=3)
    assert [m.p for m in layer.modules() if isinstance(m, nn.Dropout)] == [0.3] * 4
    assert layer.feed_forward[1].out_features == 12


def test_every_block_learns_its_own_copy() -> None:
    mask, conv = walk_mask(), graph_conv()
    layers = model(mask=mask, conv=conv, feature_map=EluPlusOne(), num_layers=3).layers
    assert len({id(mask), *(id(layer.attention.mask) for layer in layers)}) == 4
    assert len({id(conv), *(id(layer.conv) for layer in layers)}) == 4
    weights = [layer.conv.lin_rel.weight for layer in layers]
    assert not torch.equal(weights[0], weights[1])


class CountingSampler(WalkSampler):
    """Counts how often walks are drawn."""

    draws = 0

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, ...]:
        CountingSampler.draws += 1
        return cases.random_walks(self.hops)._draw(topology, seed)


def test_walks_are_drawn_once_for_all_blocks() -> None:
    transformer = model(mask=WalkMask(2, 2, sampler=CountingSampler(2)), num_layers=4)
    CountingSampler.draws = 0
    transformer(features(3, 3), PATH)
    assert CountingSampler.draws == 1


@pytest.mark.parametrize("pool", [None, global_mean_pool, MedianAggregation()])
def test_outputs_are_per_node_or_per_graph(pool: Any) -> None:
    """In any order of ``batch``, with graphs of no nodes at the end, and for a single graph."""
    ragged, transformer = example_topologies()["ragged"], model(mask=GlobalMask(), pool=pool)
    topology = Topology(ragged.edge_index, 23, ragged.edge_weight, ragged.batch, num_graphs=6)
    assert transformer(features(23, 3), topology).shape == (23 if pool is None else 6, 5)
    assert transformer(features(3, 3), PATH).shape == (3 if pool is None else 1, 5)


def test_aggregations_that_need_sorted_graphs_get_them() -> None:
    ragged, x = example_topologies()["ragged"], features(23, 3)
    transformer = model(mask=GlobalMask(), pool=SortAggregation(k=1))
    order = torch.argsort(ragged.batch, stable=True)
    assert_close(transformer(x, ragged), transformer(x[order], permute(ragged, order)))


@pytest.mark.parametrize("name", ["mask", "conv"])
def test_edge_features_reach_the_mask_and_the_convolution(name: str) -> None:
    conv = cases.seeded(lambda: GATv2Conv(4, 4, edge_dim=3))
    options = {"mask": edge_mask()} if name == "mask" else {"conv": conv}
    transformer = cases.scrambled(model(**options))
    topology, x = cases.edges.featured()["weighted"], features(13, 3)
    edges = (topology.edge_index, topology.edge_weight)
    attr = topology.edge_attr.clone().requires_grad_()
    out = transformer(x, *edges, edge_attr=attr)
    assert_close(out, transformer(x, topology), rtol=0, atol=0)
    assert not torch.allclose(out, transformer(x, *edges, edge_attr=attr.flip(0)))
    assert torch.autograd.grad(out.square().sum(), attr)[0].abs().sum() > 0


def test_blocks_have_the_masks_of_a_list() -> None:
    mask = walk_mask()
    layers = model(mask=[None, mask, mask, GlobalMask()], conv=graph_conv(), num_layers=4).layers
    masks = [getattr(layer.attention, "mask", None) for layer in layers]
    assert [type(each).__name__ for each in masks] == [
        "NoneType",
        "WalkMask",
        "WalkMask",
        "GlobalMask",
    ]
    assert len({id(mask), *map(id, masks)}) == 5


def test_walks_that_are_drawn_serve_all_masks_of_a_list() -> None:
    grf, long = (
        GRFMask(1, 2, sampler=CountingSampler(1)),
        WalkMask(3, 2, sampler=CountingSampler(3)),
    )
    transformer = model(mask=[grf, GlobalMask(), long], num_layers=3)
    CountingSampler.draws, x = 0, features(3, 3)
    out = transformer(x, PATH)
    assert CountingSampler.draws == 2
    prepared = transformer.prepare(Topology(PATH, 3))
    assert [walks.num_hops for walks in prepared.walk_sets] == [3, 3]
    assert_close(transformer(x, prepared), out, rtol=0, atol=0)


def test_masks_of_a_list_print_as_runs() -> None:
    text = repr(model(mask=[walk_mask()] * 2 + [GlobalMask()], num_layers=3))
    assert "mask=[WalkMask(hops=2, heads=2, alpha=Free)] * 2 + [GlobalMask()],\n" in text


def test_parts_of_the_user_stand_in_their_places() -> None:
    """The whole model written out, in float64."""
    sizes = {"skip": (4, 4), "encoder": (3, 4), "head": (4, 5)}
    parts = {name: cases.seeded(lambda size=size: nn.Linear(*size)) for name, size in sizes.items()}
    options = {"feature_map": ReLU(), "norm": None, "jk": "sum", "pool": global_mean_pool}
    transformer = model(mask=GlobalMask(), **options, **parts).double()
    skips = [layer.skip for layer in transformer.layers]
    assert not torch.equal(skips[0].weight, skips[1].weight)
    topology, x = example_topologies()["weighted"], features(13, 3).double()
    hidden, total = transformer.encoder(x), 0
    for layer in transformer.layers:
        normed = nn.functional.layer_norm(hidden, (4,), layer.norm.weight, layer.norm.bias)
        q, k, v = layer.attention.qkv(normed).view(13, 3, 2, 2).unbind(1)
        scores = torch.einsum("ihm,jhm->hij", q.relu() + 1e-3, k.relu() + 1e-3)
        mixed = torch.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdim=True), v)
        hidden = layer.skip(hidden) + layer.attention.out(mixed.flatten(1))
        hidden = hidden + layer.feed_forward(hidden)
        total = total + hidden
    out = transformer(x, topology)
    assert_close(out, parts["head"](total.mean(0, keepdim=True)))
    assert transformer.encoder is parts["encoder"]


def test_a_model_that_reads_edge_features_keeps_all_laws() -> None:
    conv = cases.seeded(lambda: GINEConv(nn.Linear(4, 4), edge_dim=3))
    graphs = cases.edges.featured()
    names = ("pair", "multigraph", "signed", "ragged")
    transformer = cases.scrambled(model(mask=edge_mask(), conv=conv))
    check_layer(transformer, 3, [graphs[name] for name in names])


def test_a_lazy_model_reads_its_size_from_the_first_input() -> None:
    lazy = model(-1, mask=GlobalMask())
    cases.seeded(lazy.reset_parameters)
    assert "in_channels=-1" in repr(lazy)
    for copied in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy)), lazy):
        assert copied.in_channels == -1
        assert cases.seeded(lambda copied=copied: copied(features(3, 7), PATH)).shape == (3, 5)
    assert (lazy.in_channels, lazy.encoder.weight.shape) == (7, (4, 7))
    with pytest.raises(ValueError, match="in_channels = 7"):
        lazy(features(3, 6), PATH)


@pytest.mark.global_rng
def test_an_encoder_may_be_replaced() -> None:
    transformer = model(mask=GlobalMask())
    transformer.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double()
    assert transformer.in_channels == 3
    assert transformer(features(3, 3), PATH).shape == (3, 5)


def test_a_lazy_model_loads_parameters_before_its_first_input() -> None:
    original, lazy = model(mask=GlobalMask()), model(-1, mask=GlobalMask())
    lazy.load_state_dict(original.state_dict())
    assert lazy.in_channels == 3
    assert_close(lazy(features(3, 3), PATH), original(features(3, 3), PATH), rtol=0, atol=0)


@pytest.mark.parametrize("mode", [None, "cat", "max", "lstm", "sum"])
def test_the_head_reads_the_last_block_or_with_jumping_knowledge_all(mode: str | None) -> None:
    transformer = model(mask=GlobalMask(), num_layers=3, jk=mode)
    topology, outputs = example_topologies()["weighted"], []
    x = transformer.encoder(features(13, 3))
    for layer in transformer.layers:
        x = layer(x, topology)
        outputs.append(x)
    aggregated = {
        None: lambda: x,
        "cat": lambda: torch.cat(outputs, 1),
        "max": lambda: torch.stack(outputs).amax(0),
        "lstm": lambda: transformer.jk(outputs),
        "sum": lambda: torch.stack(outputs).sum(0),
    }[mode]()
    out = transformer(features(13, 3), topology)
    assert_close(out, transformer.head(transformer.norm(aggregated)))
    grads = torch.autograd.grad(out.square().sum(), list(transformer.parameters()))
    assert all(grad.isfinite().all() for grad in grads)


def test_a_module_for_jumping_knowledge_is_copied() -> None:
    jk = cases.seeded(lambda: JumpingKnowledge("lstm", 4, 2))
    transformer = model(mask=GlobalMask(), jk=jk)
    assert transformer.jk is not jk
    assert_close(transformer.jk.att.weight, jk.att.weight)
    assert model(mask=GlobalMask(), jk=JumpingKnowledge("cat")).head.in_features == 8


def test_models_for_a_kind_of_task_choose_parts_that_options_replace() -> None:
    make = TopologicalTransformer.for_nodes
    chosen = cases.seeded(lambda: make(3, 4, 5, 2, 2, walk_mask(), dropout=0.4))
    same = model(
        mask=walk_mask(),
        dropout=0.4,
        feature_map=UnitPlusCosine(2),
        normalizer=Unnormalized(),
        norm="batch_norm",
    )
    assert repr(chosen) == repr(same)
    x = features(3, 3)
    assert_close(chosen.eval()(x, PATH), same.eval()(x, PATH), rtol=0, atol=0)
    make = TopologicalTransformer.for_graphs
    graphs = cases.seeded(lambda: make(-1, 4, 5, 3, 2, GlobalMask(), norm=None)).eval()
    assert graphs.head.channels == 12
    assert isinstance(graphs.layers[0].norm, nn.LayerNorm)
    assert cases.seeded(lambda: graphs(features(3, 7), PATH)).shape == (1, 5)
