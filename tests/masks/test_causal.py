from __future__ import annotations

import math

import cases
import pytest
import torch
from cases.graphs import NONE, edgeless
from counting import Written
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.features import PositiveRandomFeatures
from graphmask.masks import CausalMask
from graphmask.operators import CausalOperator, Lifted
from graphmask.operators._sequences import attend_causally, chunk_length


def test_products_are_prefix_sums_of_interleaved_graphs() -> None:
    operator = CausalMask()(Topology(NONE, batch=torch.tensor([2, 0, 2, 0, 4]), num_graphs=7))
    x = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    assert (operator @ x).tolist() == [[1, 2, 5, 10, 16]]
    assert (operator.mT @ x).tolist() == [[5, 10, 4, 8, 16]]


@pytest.mark.parametrize("decay", [1e-30, 0.5, 1 - 1e-9])
def test_long_sequences_neither_overflow_nor_underflow(decay: float) -> None:
    """The sum of a geometric series, in float32; powers of an inverse decay would overflow."""
    n = 100_000
    log_decay = torch.tensor([math.log(decay)], dtype=torch.float32, requires_grad=True)
    sums = CausalOperator(Topology(NONE, n), log_decay) @ torch.ones(n, 1, dtype=torch.float32)
    rate = log_decay.detach().double()
    expected = torch.expm1(torch.arange(1, n + 1) * rate) / torch.expm1(rate)
    assert_close(sums[0, :, 0].double(), expected, rtol=1e-5, atol=0)
    sums.sum().backward()
    assert log_decay.grad.isfinite().all()


@pytest.mark.parametrize("nodes", [0, 1, 33, 5_000])
def test_attention_in_chunks_is_attention(nodes: int, generator: torch.Generator) -> None:
    topology = Topology(NONE, batch=torch.randint(4, (nodes,), generator=generator), num_graphs=5)
    q, k, v = (torch.rand(nodes, 2, 3, generator=generator, dtype=torch.float32) for _ in range(3))
    operator = CausalMask((0.9, 0.999))(topology)
    lifted = attention(q, k, v, operator, execution=Lifted())
    assert_close(attention(q, k, v, operator), lifted, rtol=1e-4, atol=1e-5)


def test_chunks_computed_in_slices_give_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    q, k, v = (torch.rand(2, 1, 100, 3, generator=generator).requires_grad_() for _ in range(3))
    leaves = (q, k, v, torch.tensor([-0.1, -0.2], requires_grad=True))

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(attend_causally(*leaves).square().sum(), leaves)

    expected = gradients()
    monkeypatch.setattr("graphmask.operators._sequences.SCORE_MEMORY", 1)
    assert_close(gradients(), expected)


@pytest.mark.parametrize("decay", [None, 0.99])
def test_parts_that_are_computed_again_give_the_same(
    decay: float | None, generator: torch.Generator
) -> None:
    topology = Topology(NONE, batch=torch.arange(1_000) % 3)
    leaves = [torch.rand(1_000, 2, 4, generator=generator) for _ in range(3)]
    results = []
    for chunk in (None, 1, 37, 5_000):
        mask = CausalMask(decay, chunk=chunk)
        qkv = [x.clone().requires_grad_() for x in leaves]
        out = attention(*qkv, mask(topology))
        results.append([out, *torch.autograd.grad(out.square().sum(), [*qkv, *mask.parameters()])])
    for result in results[1:]:
        assert_close(result, results[0], rtol=1e-9, atol=1e-9)


FACTORED = [case for case in cases.FEATURES if case.make().scores.factored]


@pytest.mark.parametrize("phi", FACTORED, ids=str)
def test_features_of_parts_are_those_of_all_nodes(
    phi: cases.Case, generator: torch.Generator
) -> None:
    """Two sequences without padding, whose features are mapped part by part."""
    topology, feature_map = Topology(NONE, batch=torch.arange(2).repeat_interleave(9)), phi.make()
    leaves = [torch.randn(18, 2, width, generator=generator) for width in (5, 5, 3)]
    results = []
    assert feature_map.in_parts
    for chunk in (None, 4):
        mask = CausalMask((0.9, 0.5), chunk=chunk)
        qkv = [x.clone().requires_grad_() for x in leaves]
        inputs = [*qkv, *mask.parameters(), *feature_map.parameters()]
        out = attention(*qkv, mask(topology), feature_map)
        options = {"create_graph": True, "materialize_grads": True}
        gradients = torch.autograd.grad(out.square().sum(), inputs, **options)
        total = sum(gradient.square().sum() for gradient in gradients)
        results.append([out, *gradients, *torch.autograd.grad(total, qkv)])
    assert_close(*results, rtol=1e-7, atol=1e-7)


def test_parts_keep_no_features(generator: torch.Generator) -> None:
    """No tensor of as many numbers as the features of all nodes."""
    nodes, features = 4_096, 256
    phi = PositiveRandomFeatures(4, features)
    largest = {}
    for chunk in (None, 128):
        qkv = [torch.rand(nodes, 1, 4, generator=generator).requires_grad_() for _ in range(3)]
        with Written() as count:
            attention(*qkv, CausalMask(chunk=chunk)(edgeless(nodes)), phi).sum().backward()
        largest[chunk] = count.largest
    assert largest[None] >= nodes * features > 4 * largest[128]


def test_attention_is_linear_and_stores_no_lifted_keys(generator: torch.Generator) -> None:
    """Numbers written grow with nodes, and the largest tensor is far smaller than N m (d + 1)."""
    written = []
    for nodes in (4_096, 16_384):
        qkv = torch.rand(3, nodes, 1, 64, generator=generator, dtype=torch.float32)
        with Written() as count:
            attention(*qkv, CausalMask()(edgeless(nodes)))
        assert count.largest < nodes * 64 * 65 / 16
        written.append(count.count)
    assert written[1] < 4.1 * written[0]


def test_chunks_grow_with_channels() -> None:
    sizes = ((1, 1), (16, 17), (64, 65), (256, 257))
    assert [chunk_length(m, d) for m, d in sizes] == [32, 32, 64, 128]
