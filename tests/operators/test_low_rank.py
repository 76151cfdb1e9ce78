from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from counting import Written
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.operators import LowRankOperator, low_rank
from graphmask.testing import assert_gradients, example_topologies

NONE = torch.empty(2, 0, dtype=torch.long)


def factors(n: int, rank: int, heads: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(heads, n, rank, generator=generator) for _ in range(2)]


def test_values_known_by_hand() -> None:
    topology = Topology(NONE, batch=torch.tensor([0, 1, 0]))
    left, right = (
        torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]]),
        torch.tensor([[[3.0, 0.0], [1.0, 1.0], [0.0, 5.0]]]),
    )
    operator = LowRankOperator(topology, left, right)
    assert operator.to_dense()[0].tolist() == [[3, 0, 0], [0, 2, 0], [3, 0, 5]]
    assert (operator @ torch.ones(3)).tolist() == [[3, 2, 8]]
    assert operator.rank == 2


@pytest.mark.parametrize("name", ["weighted", "ragged"])
def test_slices_add_up_to_all_ranks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = example_topologies()[name]
    operator = LowRankOperator(topology, *factors(topology.num_nodes, 2), nonnegative=True)
    q, k, v = torch.rand(3, 2, topology.num_nodes, 4, generator=torch.Generator().manual_seed(1))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat(
            [
                operator.attend(q, k, v).numerator,
                operator.attend(q, k, v).denominator.unsqueeze(-1),
            ],
            -1,
        )

    whole = attend(q, k, v)
    monkeypatch.setattr(low_rank, "SLICE_MEMORY", 1)
    assert_close(attend(q, k, v), whole)
    assert_gradients(attend, q, k, v)


@pytest.mark.parametrize("batched", [False, True])
def test_work_is_linear_in_nodes(batched: bool) -> None:
    counts = []
    for n in (1000, 4000):
        batch = torch.arange(n) % 5 if batched else None
        operator = LowRankOperator(Topology(NONE, n, batch=batch), *factors(n, 2), nonnegative=True)
        _ = operator.topology.blocks
        x = torch.ones(2, n, 4)
        with Written() as written:
            operator.attend(x, x, x)
            operator @ x
        counts.append(written.count)
        assert written.largest < 10 * n * 10
    assert counts[1] < 4.1 * counts[0]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (
        lambda: LowRankOperator(Topology(NONE, 3), *factors(2, 1)),
        r"`left` must be of shape \[H or 1, N, r\] with N = 3",
    ),
    (
        lambda: LowRankOperator(Topology(NONE, 2), torch.ones(2, 2, 1), torch.ones(3, 2, 1)),
        "`right` must be of shape",
    ),
    (
        lambda: LowRankOperator(Topology(NONE, 2), torch.ones(1, 2, 1), torch.ones(1, 2, 2)),
        "`right` must be of shape",
    ),
]


@pytest.mark.parametrize(("make", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()
