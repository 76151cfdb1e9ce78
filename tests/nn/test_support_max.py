"""The maximum over the surroundings, as a convolution."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from models import assert_compiles, features, model
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.nn import EdgeConv
from torch_geometric.utils import add_remaining_self_loops

import graphmask as gm
from graphmask import reference
from graphmask.kernels import Pattern
from graphmask.masks import GlobalMask
from graphmask.nn import SupportMax
from graphmask.nn import support_max as module
from graphmask.nn.support_max import closed_neighbourhoods
from graphmask.testing import assert_batch_independent, example_topologies

GRAPHS = example_topologies()


def made(*arguments: int, **options: object) -> SupportMax:
    return cases.seeded(lambda: SupportMax(*arguments, **options))


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("root_weight", [True, False])
def test_it_is_its_definition(name: str, root_weight: bool) -> None:
    topology, conv = GRAPHS[name], made(3, 6, hops=(1, 3), root_weight=root_weight)
    x = features(topology.num_nodes, 3).requires_grad_()
    u = x @ conv.lin.weight.mT
    near, far = u.chunk(2, 1)
    edges = topology.edge_index
    top = [reference.support_max(near, edges, 1), reference.support_max(far, edges, 3)]
    root = x @ conv.root.weight.mT if root_weight else -u
    expected = torch.cat(top, 1) + root + conv.bias
    leaves = [x, *conv.parameters()]
    for edges in (topology, topology.edge_index):
        out = conv(x, edges)
        assert_close(out, expected)
        grads = [torch.autograd.grad(y.square().sum(), leaves, None, True) for y in (out, expected)]
        assert_close(*grads)


def test_it_is_edge_convolution_with_what_grows_behind_it() -> None:
    """A gain below zero turns the maximum into a minimum, and the signs of weights undo that."""
    topology, in_channels, channels = GRAPHS["ragged"], 5, 8
    norm, act = nn.BatchNorm1d(channels), nn.LeakyReLU(0.2)
    theirs = cases.seeded(
        lambda: EdgeConv(nn.Sequential(nn.Linear(2 * in_channels, channels), norm, act))
    ).eval()
    norm.weight.data, norm.bias.data = features(2, channels).unbind(0)
    norm.running_mean, norm.running_var = features(channels, 2).mT.exp().unbind(0)
    linear = theirs.nn[0]
    assert (norm.weight < 0).any()

    ours, sign = made(in_channels, channels), norm.weight.detach().sign()
    of_self, of_offset = linear.weight.detach().split(in_channels, 1)
    ours.lin.weight.data = sign[:, None] * of_offset
    ours.root.weight.data = sign[:, None] * (of_self - of_offset)
    ours.bias.data = sign * linear.bias.detach()
    behind = nn.BatchNorm1d(channels).eval()
    behind.weight.data, behind.bias.data = norm.weight.detach().abs(), norm.bias.detach()
    behind.running_mean, behind.running_var = sign * norm.running_mean, norm.running_var

    x = features(topology.num_nodes, in_channels)
    edges, _ = add_remaining_self_loops(topology.edge_index, num_nodes=topology.num_nodes)
    expected = theirs(x, edges)
    assert_close(act(behind(ours(x, topology))), expected, rtol=1e-6, atol=1e-6)


def test_graphs_of_a_batch_do_not_see_each_other() -> None:
    conv = made(3, 4, hops=(1, 2))
    assert_batch_independent(conv, list(GRAPHS.values()), 3)
    topology = GRAPHS["ragged"]
    x, inside = features(topology.num_nodes, 3), topology.batch == 0
    broken = x.masked_fill(inside.unsqueeze(1), float("nan"))
    assert_close(conv(broken, topology)[~inside], conv(x, topology)[~inside], rtol=0, atol=0)
    assert conv(broken, topology)[inside].isnan().all()


def test_layers_make_the_pattern_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made_on: list[gm.Topology] = []

    def counted(topology: gm.Topology) -> Pattern:
        made_on.append(topology)
        return closed_neighbourhoods(topology)

    monkeypatch.setattr(module, "closed_neighbourhoods", counted)
    topology, x = GRAPHS["ragged"], features(23, 4)
    transformer = model(4, conv=made(4, 4, hops=2), mask=GlobalMask())
    topology = transformer.prepare(topology)
    conv, mask = made(4, 4), GlobalMask()
    gps = cases.seeded(lambda: gm.nn.TopologicalGPS(4, conv, 2, mask=mask))
    outputs = [layer(x, topology) for layer in (transformer, gps)]
    assert len(made_on) == 1
    raw = [
        layer(x, topology.edge_index, edge_weight=topology.edge_weight, batch=topology.batch)
        for layer in (transformer, gps)
    ]
    assert_close(raw, outputs, rtol=0, atol=0)


def test_blocks_of_it_compile_as_one_graph() -> None:
    conv = made(4, 4, hops=(1, 2))
    transformer = model(conv=conv, mask=GlobalMask(), num_layers=1)
    topology = transformer.prepare(GRAPHS["ragged"])
    assert_compiles(transformer, features(topology.num_nodes, 3), topology)


def test_lazy_input_and_reset() -> None:
    conv = made(-1, 4)
    x: Tensor = features(7, 3)
    assert cases.seeded(lambda: conv(x, GRAPHS["ring"])).shape == (7, 4)
    conv.bias.data.fill_(3.0)
    cases.seeded(conv.reset_parameters)
    assert not conv.bias.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SupportMax(3, 4, hops=0), "`hops` must be at least 1, got 0"),
        (lambda: SupportMax(3, 4, hops=(1, 2, 3)), "`hops` must be one number, or as many as"),
        (lambda: SupportMax(3, 4, hops=()), "`hops` must be one number"),
        (lambda: SupportMax(3, 0), "`out_channels` must be at least 1"),
        (lambda: made(3, 4)(features(7, 2), GRAPHS["ring"]), "in_channels = 3"),
    ],
)
def test_wrong_arguments_raise(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
