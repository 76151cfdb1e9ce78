"""PyG's GPS layer with masked attention; PyG's own layer beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.nn import GATConv, GCNConv, GPSConv, SAGEConv

from graphmask import Topology, reference
from graphmask.masks import GlobalMask, PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalGPS
from graphmask.testing import example_topologies

NORMS = pytest.mark.parametrize(
    "norm", ["batch_norm", "layer_norm", "graph_norm", "instance_norm", None]
)


def layer(mask: Callable = GlobalMask, **options: object) -> TopologicalGPS:
    options = {"conv": cases.seeded(lambda: SAGEConv(6, 6)), **options}
    return cases.seeded(lambda: TopologicalGPS(6, heads=2, mask=mask(), **options))


def walk_mask() -> WalkMask:
    return cases.scrambled(WalkMask(2, 2, sampler=cases.random_walks(2)))


def features(num_nodes: int = 23) -> Tensor:
    return torch.randn(num_nodes, 6, generator=torch.Generator().manual_seed(0))


def test_arguments_and_attributes_are_those_of_gpsconv() -> None:
    ours, theirs = (
        list(inspect.signature(each.__init__).parameters.values())
        for each in (TopologicalGPS, GPSConv)
    )
    assert [(each.name, each.default) for each in ours[:-2]] == [
        (each.name, each.default) for each in theirs[:-2]
    ]
    ours, theirs = (
        list(inspect.signature(each.forward).parameters) for each in (TopologicalGPS, GPSConv)
    )
    assert ours == theirs
    made, original = layer(), cases.seeded(lambda: GPSConv(6, SAGEConv(6, 6), heads=2))
    assert {name for name, _ in made.named_children()} == {
        name for name, _ in original.named_children()
    }
    assert {name for name in made.state_dict() if name[:4] != "attn"} == {
        name for name in original.state_dict() if name[:4] != "attn"
    }


def test_the_layer_is_its_formula_by_hand() -> None:
    """Batch normalisation in training: every step of the docstring, with dense matrices."""
    made, topology, x = layer(), example_topologies()["ragged"], features()
    q, k, v = (x @ made.attn.qkv.weight.mT + made.attn.qkv.bias).reshape(23, 3, 2, 3).unbind(1)
    same = (topology.batch.unsqueeze(1) == topology.batch).double()
    mixed = torch.zeros(23, 2, 3)
    for head in range(2):
        score = same * (
            reference.relu_features(q[:, head], 1e-3) @ reference.relu_features(k[:, head], 1e-3).mT
        )
        mixed[:, head] = score / score.sum(1, keepdim=True) @ v[:, head]
    attended = mixed.reshape(23, 6) @ made.attn.out.weight.mT + made.attn.out.bias

    neighbours = torch.zeros(23, 23).index_put(
        (topology.edge_index[1], topology.edge_index[0]), torch.ones(()), True
    )
    means = neighbours @ x / neighbours.sum(1, keepdim=True).clamp(min=1)
    convolved = (
        means @ made.conv.lin_l.weight.mT + made.conv.lin_l.bias + x @ made.conv.lin_r.weight.mT
    )

    def normed(y: Tensor) -> Tensor:
        return (y - y.mean(0)) / (y.var(0, unbiased=False) + 1e-5).sqrt()

    both = normed(x + convolved) + normed(x + attended)
    hidden = (both @ made.mlp[0].weight.mT + made.mlp[0].bias).relu()
    expected = normed(both + hidden @ made.mlp[3].weight.mT + made.mlp[3].bias)
    assert_close(made(x, topology.edge_index, topology.batch), expected)


@NORMS
def test_everything_but_attention_is_that_of_gpsconv(norm: str | None) -> None:
    """With attention whose output is zero both layers are one."""
    original = cases.seeded(lambda: GPSConv(6, SAGEConv(6, 6), heads=2, norm=norm, act="gelu"))
    made = layer(norm=norm, act="gelu")
    made.attn.out.weight.data.zero_()
    made.attn.out.bias.data.zero_()
    original.attn.out_proj.weight.data.zero_()
    made.load_state_dict(
        {**original.state_dict(), **made.attn.state_dict(prefix="attn.")}, strict=False
    )
    edge_index = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 4]])
    batch = torch.tensor([0, 0, 0, 1, 1])
    assert_close(made(features(5), edge_index, batch), original(features(5), edge_index, batch))


@pytest.mark.parametrize("norm", ["layer_norm", "graph_norm", "instance_norm", None])
@pytest.mark.parametrize("mask", [GlobalMask, walk_mask], ids=["global", "walk"])
def test_batch_mates_in_any_order_change_nothing(mask: Callable, norm: str | None) -> None:
    made, topology, x = layer(mask, norm=norm), example_topologies()["ragged"], features()
    together = made(x, topology.edge_index, topology.batch)
    assert (topology.batch.diff() < 0).any()
    for graph in range(topology.num_graphs):
        nodes = (topology.batch == graph).nonzero().flatten()
        place = torch.full((23,), -1).index_put((nodes,), torch.arange(len(nodes)))
        edges = place[topology.edge_index]
        alone = made(x[nodes], edges[:, edges[0] >= 0])
        assert_close(together[nodes], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.global_rng
def test_pygs_performer_sees_its_batch_mates() -> None:
    """What the law above is for: should this fail, PyG has mended its padding."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    original = GPSConv(8, None, heads=2, norm=None, attn_type="performer").eval()
    made = TopologicalGPS(8, None, heads=2, norm=None, mask=GlobalMask()).eval()
    x, edges = torch.randn(70, 8), torch.empty(2, 0, dtype=torch.long)
    batch = torch.arange(70) >= 10
    errors = [
        (each(x, edges, batch.long())[:10] - each(x[:10], edges, torch.zeros(10).long()))
        .abs()
        .max()
        for each in (original, made)
    ]
    assert errors[0] > 1e-3
    assert errors[1] < 1e-5


def test_edge_weights_reach_convolution_and_mask() -> None:
    edge_index, weight = (
        torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True),
    )
    made = layer(
        lambda: PowerSeriesMask(hops=2), conv=cases.seeded(lambda: GCNConv(6, 6)), norm=None
    )
    found = made(features(3), edge_index, edge_weight=weight)
    assert_close(found, made(features(3), Topology(edge_index, 3, weight)))
    for silent in (made.conv, made.attn):
        kept = deepcopy(made)
        for parameter in getattr(kept, "attn" if silent is made.conv else "conv").parameters():
            parameter.data.zero_()
        assert (
            torch.autograd.grad(
                kept(features(3), edge_index, edge_weight=weight).square().sum(), weight
            )[0]
            .abs()
            .sum()
            > 0
        )


def test_edge_features_reach_the_mask() -> None:
    edge_index, edge_attr = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.eye(4)
    mask = cases.scrambled(PowerSeriesMask(hops=2, heads=2, edge_dim=4))
    made = layer(lambda: mask, conv=None, norm=None).eval()
    found = made(features(3), edge_index, edge_attr=edge_attr)
    assert_close(found, made(features(3), Topology(edge_index, 3, edge_attr=edge_attr)))
    assert not torch.allclose(found, made(features(3), edge_index, edge_attr=edge_attr.flip(0)))


def test_keywords_reach_the_convolution() -> None:
    edge_index, edge_attr = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.eye(4)
    made = layer(conv=cases.seeded(lambda: GATConv(6, 6, edge_dim=4)), norm=None)
    first, second = (
        made(features(3), edge_index, edge_attr=each) for each in (edge_attr, 2 * edge_attr)
    )
    assert (first != second).any()
    assert_close(made(features(3), Topology(edge_index, 3), edge_attr=edge_attr), first)


def test_models_written_for_gpsconv_pass_a_topology_beside_its_batch() -> None:
    made, topology, x = layer(), example_topologies()["ragged"], features()
    assert_close(made(x, topology, topology.batch), made(x, topology), rtol=0, atol=0)
    with pytest.raises(ValueError, match="`edge_weight, batch`"):
        made(x, topology, topology.batch.clone())


def test_the_default_mask_has_the_heads_of_the_layer() -> None:
    made = cases.seeded(lambda: TopologicalGPS(8, None, heads=4))
    assert repr(made.attn.mask) == "WalkMask(hops=8, heads=4, alpha=Free)"


@NORMS
def test_compiles_as_one_graph_with_a_batch(norm: str | None) -> None:
    torch.compiler.reset()
    made, x = layer(walk_mask, norm=norm).eval(), features()
    topology = made.attn.mask.prepare(example_topologies()["ragged"])
    expected = made(x, topology)
    found = torch.compile(made, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, expected)
    assert_close(
        *(
            torch.autograd.grad(each.square().sum(), made.attn.qkv.weight)
            for each in (found, expected)
        )
    )


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_autocast(half: torch.dtype) -> None:
    made, topology, x = layer(walk_mask).float(), example_topologies()["ragged"], features().float()
    expected = made(x, topology)
    with torch.autocast("cpu", half):
        found = made(x, topology)
        found.float().square().sum().backward()
    assert_close(found.float(), expected, rtol=0.1, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_copies_and_states_are_complete() -> None:
    made, other, topology = layer(walk_mask), layer(GlobalMask), example_topologies()["ragged"]
    x = features()
    expected = made.eval()(x, topology)
    assert_close(deepcopy(made)(x, topology), expected, rtol=0, atol=0)
    fresh = layer(walk_mask).eval()
    with torch.random.fork_rng(devices=[]):
        fresh.reset_parameters()
    fresh.load_state_dict(made.state_dict())
    assert_close(fresh(x, topology), expected, rtol=0, atol=0)
    assert other.state_dict().keys() != made.state_dict().keys()


def test_dropout_is_off_in_evaluation() -> None:
    made, topology, x = layer(dropout=0.5, norm=None), example_topologies()["ragged"], features()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert (made(x, topology) != made(x, topology)).any()
    assert_close(made.eval()(x, topology), layer(norm=None)(x, topology))


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: TopologicalGPS(0, None), ValueError, "`channels` must be at least 1"),
    (
        lambda: TopologicalGPS(5, None, heads=2),
        ValueError,
        "`channels` must be a multiple of heads = 2",
    ),
    (lambda: TopologicalGPS(4, None, dropout=1.0), ValueError, "`dropout`"),
    (lambda: TopologicalGPS(4, None, mask="walk"), TypeError, "`mask` must be a TopologicalMask"),
    (
        lambda: TopologicalGPS(4, None, heads=2, mask=WalkMask(heads=4)),
        ValueError,
        "`mask` must be of one head or 2",
    ),
    (lambda: TopologicalGPS(4, None, feature_map="relu"), TypeError, "`feature_map`"),
    (
        lambda: layer()(torch.ones(3, 5), torch.tensor([[0], [1]])),
        ValueError,
        r"`x` must be of shape \[N, C\] with C = 6",
    ),
    (
        lambda: layer()(torch.ones(3, 6), torch.tensor([[0], [3]])),
        ValueError,
        "`edge_index` must be node ids",
    ),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
