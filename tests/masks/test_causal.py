from __future__ import annotations

import math

import pytest
import torch
from counting import Written
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import CausalMask
from graphmask.operators import CausalOperator, Dense, Lifted
from graphmask.operators._sequences import attend_causally, chunk_length

NONE = torch.empty(2, 0, dtype=torch.long)


def test_prefix_sums_of_graphs_that_are_mixed() -> None:
    operator = CausalMask()(Topology(NONE, batch=torch.tensor([2, 0, 2, 0, 4]), num_graphs=7))
    x = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    assert (operator @ x).tolist() == [[1, 2, 5, 10, 16]]
    assert (operator.mT @ x).tolist() == [[5, 10, 4, 8, 16]]


@pytest.mark.parametrize("decay", [1e-30, 0.5, 1 - 1e-9])
def test_a_long_sequence_neither_over_nor_underflows(decay: float) -> None:
    """The sum of a geometric series, in float32; powers of an inverse decay would overflow."""
    n = 100_000
    log_decay = torch.tensor([math.log(decay)], dtype=torch.float32, requires_grad=True)
    found = CausalOperator(Topology(NONE, n), log_decay) @ torch.ones(n, 1, dtype=torch.float32)
    expected = -torch.expm1(
        torch.arange(1, n + 1).double() * log_decay.detach().double()
    ) / -torch.expm1(log_decay.double())
    assert_close(found[0, :, 0].double(), expected.detach(), rtol=1e-5, atol=0)
    found.sum().backward()
    assert log_decay.grad.isfinite().all()


def test_gradient_of_the_decay_by_hand() -> None:
    """The rows are 3 and 3 gamma + 1, and gamma is a sigmoid, whose slope is gamma (1 - gamma)."""
    mask = CausalMask(0.5)
    (mask(Topology(NONE, 2)) @ torch.tensor([3.0, 1.0])).sum().backward()
    assert_close(mask.logit.grad, torch.tensor([3 * 0.5 * 0.5]), check_dtype=False)


@pytest.mark.parametrize("nodes", [0, 1, 33, 5_000])
def test_attention_in_chunks_is_attention(nodes: int, generator: torch.Generator) -> None:
    topology = Topology(NONE, batch=torch.randint(4, (nodes,), generator=generator), num_graphs=5)
    q, k, v = (torch.rand(nodes, 2, 3, generator=generator, dtype=torch.float32) for _ in range(3))
    operator = CausalMask((0.9, 0.999))(topology)
    assert_close(
        attention(q, k, v, operator),
        attention(q, k, v, operator, execution=Lifted()),
        rtol=1e-4,
        atol=1e-5,
    )
    if 0 < nodes < 100:
        assert_close(
            attention(q, k, v, operator),
            attention(q, k, v, operator, execution=Dense()),
            rtol=1e-4,
            atol=1e-5,
        )


def test_slices_of_chunks_that_are_computed_twice(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    q, k, v = (torch.rand(2, 1, 100, 3, generator=generator).requires_grad_() for _ in range(3))
    log_decay = torch.tensor([-0.1, -0.2], requires_grad=True)

    def slopes() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(
            attend_causally(q, k, v, log_decay).square().sum(), (q, k, v, log_decay)
        )

    expected = slopes()
    monkeypatch.setattr("graphmask.operators._sequences.SCORE_MEMORY", 1)
    assert_close(slopes(), expected)


def test_it_is_linear_attention_of_the_past_and_keeps_no_lifted_keys(
    generator: torch.Generator,
) -> None:
    """Numbers written grow with nodes, and the largest tensor is far smaller than N m (d + 1)."""
    written = []
    for nodes in (4_096, 16_384):
        q, k, v = (
            torch.rand(nodes, 1, 64, generator=generator, dtype=torch.float32) for _ in range(3)
        )
        with Written() as count:
            attention(q, k, v, CausalMask()(Topology(NONE, nodes)))
        assert count.largest < nodes * 64 * 65 / 16
        written.append(count.count)
    assert written[1] < 4.1 * written[0]


def test_chunks_grow_with_channels() -> None:
    assert [chunk_length(m, d) for m, d in ((1, 1), (16, 17), (64, 65), (256, 257))] == [
        32,
        32,
        64,
        128,
    ]
