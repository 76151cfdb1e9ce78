from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.features import EluPlusOne
from graphmask.masks import Free, GlobalMask, PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.testing import example_topologies

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
MASKS = {
    "global": GlobalMask,
    "series": lambda: PowerSeriesMask(hops=2, heads=2),
    "walk": lambda: cases.scrambled(WalkMask(2, 2, sampler=cases.random_walks(2))),
    "sum": lambda: (
        0.3 * GlobalMask() + cases.scrambled(WalkMask(2, 1, sampler=cases.random_walks(2)))
    ),
}
every_mask = pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)


def layer(
    make: Callable = GlobalMask, channels: int = 6, **options: object
) -> TopologicalAttention:
    return cases.seeded(lambda: TopologicalAttention(channels, 2, make(), **options))


def features(num_nodes: int = 23, channels: int = 6) -> Tensor:
    return torch.randn(num_nodes, channels, generator=torch.Generator().manual_seed(0))


@every_mask
def test_the_layer_is_its_formula(make: Callable) -> None:
    made, topology, x = (
        layer(make, feature_map=EluPlusOne()),
        example_topologies()["ragged"],
        features(),
    )
    topology = made.mask.prepare(topology)
    q, k, v = (x @ made.qkv.weight.mT + made.qkv.bias).reshape(23, 3, 2, 3).unbind(1)
    M = cases.mask_reference(made.mask, topology)
    mixed = reference.attention(reference.elu_plus_one(q), reference.elu_plus_one(k), v, M).reshape(
        23, 6
    )
    assert_close(made(x, topology), mixed @ made.out.weight.mT + made.out.bias)


@every_mask
def test_rows_of_the_attention_map(make: Callable) -> None:
    """Their absolute values sum to one, and times the values they are the output."""
    made, topology, x = layer(make), example_topologies()["ragged"], features()
    nodes = torch.tensor([5, 0, 22, 5])
    rows = made.attention_rows(nodes, x, topology)
    assert rows.shape == (4, 2, 23)
    assert_close(rows.abs().sum(-1), torch.ones(4, 2))
    elsewhere = topology.batch[nodes].unsqueeze(1) != topology.batch
    assert (rows.transpose(1, 2)[elsewhere] == 0).all()
    v = made.qkv(x)[:, 12:].reshape(23, 2, 3)
    mixed = torch.einsum("ihj,jhd->ihd", rows, v).reshape(4, 6)
    assert_close(made.out(mixed), made(x, topology)[nodes])


def test_rows_of_a_node_that_sees_nothing_are_zero() -> None:
    """Under the first power of W alone, node 12 is isolated."""
    made, topology = (
        layer(lambda: PowerSeriesMask(hops=1, alpha=Free)),
        example_topologies()["weighted"],
    )
    made.mask.alpha.value.data.copy_(torch.tensor([[0.0, 1.0]]))
    rows = made.attention_rows(torch.tensor([12, 0]), features(13), topology)
    assert (rows[0] == 0).all()
    assert_close(rows[1].abs().sum(-1), torch.ones(2))


def ring(num_nodes: int) -> Tensor:
    step = torch.arange(num_nodes)
    edges = torch.stack([step, (step + 1) % num_nodes])
    return torch.cat([edges, edges.flip(0)], 1)


@pytest.mark.usefixtures("single_by_default")
@every_mask
def test_a_large_graph(make: Callable) -> None:
    """200,000 nodes: the attention map would need 320 gigabytes."""
    made, x = layer(make, channels=2), features(200_000, 2)
    topology = made.mask.prepare(Topology(ring(200_000), 200_000))
    assert made(x, topology).shape == (200_000, 2)
    rows = made.attention_rows(torch.tensor([7, 100_000]), x, topology)
    assert_close(rows.abs().sum(-1), torch.ones(2, 2), rtol=1e-3, atol=1e-3)


@every_mask
def test_every_parameter_learns(make: Callable) -> None:
    made = layer(make)
    made(features(), example_topologies()["ragged"]).square().sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.mask.parameters())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@every_mask
def test_half_precision(make: Callable, half: torch.dtype) -> None:
    made, topology = layer(make), example_topologies()["ragged"]
    expected = made(features(), topology)
    found = made.to(half)(features().to(half), topology)
    assert found.dtype == half
    assert_close(found.double(), expected, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@every_mask
def test_autocast_forward_and_backward(make: Callable, half: torch.dtype) -> None:
    made, topology, x = layer(make).float(), example_topologies()["ragged"], features().float()
    expected = made(x, topology)
    with torch.autocast("cpu", half):
        found = made(x, topology)
        found.float().square().sum().backward()
        rows = made.attention_rows(torch.tensor([0]), x, topology)
    assert found.dtype == half
    assert_close(found.float(), expected, rtol=5e-2, atol=5e-2)
    assert_close(rows.abs().sum(-1).double(), torch.ones(1, 2), rtol=2e-2, atol=2e-2)
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


@every_mask
def test_compiles_as_one_graph_on_a_prepared_topology(make: Callable) -> None:
    torch.compiler.reset()
    made, x = layer(make), features()
    topology = made.mask.prepare(example_topologies()["ragged"])
    expected = made(x, topology)
    gradients = torch.autograd.grad(
        expected.square().sum(), list(made.parameters()), retain_graph=True
    )
    found = torch.compile(made, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, expected)
    assert_close(torch.autograd.grad(found.square().sum(), list(made.parameters())), gradients)


@every_mask
def test_training_after_validation_in_inference_mode(make: Callable) -> None:
    made, x, topology = layer(make), features(), example_topologies()["ragged"]
    topology = made.mask.prepare(topology)
    with torch.inference_mode():
        expected = made(x, topology)
    found = made(x, topology)
    assert_close(found, expected)
    found.sum().backward()


def test_dropout_is_of_the_output_and_of_training() -> None:
    made, x, topology = layer(dropout=0.5), torch.ones(7, 6), example_topologies()["ring"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = made(x, topology)
    kept = made.eval()(x, topology)
    assert ((dropped == 0) | torch.isclose(dropped, 2 * kept)).all()
    assert 0 < int((dropped == 0).sum()) < 42


def test_repr() -> None:
    assert repr(layer()) == "TopologicalAttention(6, heads=2, mask=GlobalMask())"


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: layer(channels=0), ValueError, "`channels` must be at least 1"),
    (lambda: layer(channels=5), ValueError, "`channels` must be a multiple of heads = 2, got 5"),
    (lambda: TopologicalAttention(4, 0, GlobalMask()), ValueError, "`heads` must be at least 1"),
    (lambda: TopologicalAttention(4, 2, None), TypeError, "`mask` must be a TopologicalMask"),
    (
        lambda: TopologicalAttention(4, 2, PowerSeriesMask(heads=3)),
        ValueError,
        "`mask` must be of one head or 2",
    ),
    (lambda: layer(feature_map=torch.relu), TypeError, "`feature_map`"),
    (lambda: layer(dropout=1.0), ValueError, "`dropout`"),
    (lambda: layer(dropout=-0.1), ValueError, "`dropout`"),
    (lambda: layer()(ones(3, 5), PATH), ValueError, r"`x` must be of shape \[N, C\] with C = 6"),
    (lambda: layer()(ones(3), PATH), ValueError, "`x`"),
    (lambda: layer()(ones(3, 6).long(), PATH), TypeError, "`x` must be a floating-point tensor"),
    (lambda: layer()([1.0], PATH), TypeError, "`x`"),
    (
        lambda: layer()(ones(2, 6), PATH),
        ValueError,
        "`edge_index` must be node ids from 0 to N - 1 = 1, got 2",
    ),
    (lambda: layer()(ones(3, 6), PATH.double()), TypeError, "`edge_index`"),
    (lambda: layer()(ones(3, 6), PATH, ones(3)), ValueError, "`edge_weight`"),
    (lambda: layer()(ones(3, 6), PATH, None, ones(2).long()), ValueError, "`batch`"),
    (
        lambda: layer()(ones(3, 6), PATH, None, torch.tensor([0, 1, 1])),
        ValueError,
        "`edge_index` must be within",
    ),
    (lambda: layer()(ones(4, 6), Topology(PATH, 3)), ValueError, "`x` must be of shape.*N = 3"),
    (lambda: layer()(ones(3, 6), Topology(PATH, 3), ones(4)), ValueError, "`edge_weight, batch`"),
    (lambda: layer().attention_rows(torch.tensor([3]), ones(3, 6), PATH), ValueError, "`nodes`"),
    (lambda: layer().attention_rows(1, ones(3, 6), PATH), ValueError, "`nodes`"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
