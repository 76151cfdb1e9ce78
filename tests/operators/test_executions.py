from __future__ import annotations

import pytest
import torch
from builders import features, ring
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.features import InnerProducts, Scores
from graphmask.kernels import columns
from graphmask.kernels.columns import HAS_NUMBA
from graphmask.operators import (
    Attended,
    Dense,
    Execution,
    GlobalOperator,
    Lifted,
    MaskOperator,
    Pairs,
    PowerSeriesOperator,
    SparseOperator,
    executions,
)
from graphmask.testing import example_topologies


def series(topology: Topology, order: int = 3, nonnegative: bool = True) -> PowerSeriesOperator:
    alpha = torch.linspace(1, 0.5, 2 * order + 2).reshape(2, -1)
    return PowerSeriesOperator(topology, *topology.adjacency(), alpha, nonnegative)


def sparse(topology: Topology, nonnegative: bool = True) -> SparseOperator:
    pattern, weight = topology.adjacency()
    return SparseOperator(topology, pattern, weight.unsqueeze(0), nonnegative)


def leaves_of(mask: MaskOperator, m: int = 4, d: int = 3) -> list[Tensor]:
    return [x.requires_grad_() for x in features(mask.num_nodes, m, d)]


CHOSEN = [
    (sparse(ring(50)), Pairs),
    (sparse(ring(50), nonnegative=False), Pairs),
    (series(ring(50_000)), Lifted),
    (series(ring(4, copies=500)), Dense),
    (series(ring(50), nonnegative=False), Dense),
    (series(ring(50), order=1, nonnegative=False), Pairs),
]


@pytest.mark.parametrize(("mask", "expected"), CHOSEN)
def test_the_cheapest_that_can_is_chosen(mask: MaskOperator, expected: type[Execution]) -> None:
    assert isinstance(executions.choose(mask, 16, 16, 4), expected)


def test_blocks_that_do_not_fit_are_not_chosen() -> None:
    """Blocks of 2 heads of 4 bytes: 512 MiB for 8,192 nodes, 128 MiB for 4,096."""
    assert executions.BLOCK_MEMORY == 2**28
    with pytest.raises(ValueError, match=r"`mask`.*execution=Dense"):
        executions.choose(series(ring(8_192), nonnegative=False), 4, 4, 4)
    assert isinstance(executions.choose(series(ring(4_096), nonnegative=False), 4, 4, 4), Dense)


@pytest.mark.parametrize(
    ("execution", "mask", "reason"),
    [
        (Lifted(), sparse(ring(5), nonnegative=False), "may be negative"),
        (Pairs(), series(ring(5)), "no sparse support"),
        (Pairs(), GlobalOperator(ring(5)), "no sparse support"),
    ],
)
def test_executions_that_cannot_run_say_why(
    execution: Execution, mask: MaskOperator, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"{type(execution).__name__}.* cannot run .*{reason}"):
        mask.attend(*leaves_of(mask), execution)


@pytest.mark.parametrize("memory", [1, 2000, 5000, 2**28])
def test_lifting_in_slices_changes_nothing(memory: int) -> None:
    mask, results = series(example_topologies()["weighted"]), []
    for execution in (Lifted(memory), Dense()):
        leaves = leaves_of(mask)
        sums = execution(mask, *leaves)[:2]
        loss = sum(x.square().sum() for x in sums)
        results.append([*sums, *torch.autograd.grad(loss, leaves)])
    assert_close(*results)


def saved_numbers(mask: MaskOperator, execution: Execution) -> int:
    """Numbers that autograd keeps for the backward pass, each tensor once."""
    saved: dict[tuple[int, int], int] = {}

    def pack(x: Tensor) -> Tensor:
        saved[x.untyped_storage().data_ptr(), x.numel()] = x.numel()
        return x

    leaves = leaves_of(mask, m=16, d=8)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        execution(mask, *leaves)
    return sum(saved.values())


def test_lifting_in_slices_and_in_compiled_columns_keeps_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = series(ring(2_000), order=4)
    compiled = saved_numbers(mask, Lifted())
    monkeypatch.setattr(columns, "HAS_NUMBA", False)
    whole = saved_numbers(mask, Lifted(2**28))
    assert saved_numbers(mask, Lifted(2**19)) < whole / 2
    if HAS_NUMBA:
        assert compiled < whole / 2


@pytest.mark.parametrize("execution", [Pairs(), Lifted(), Lifted(1), Dense()], ids=repr)
def test_second_derivatives(execution: Execution) -> None:
    mask = sparse(ring(4))

    def run(*leaves: Tensor) -> Tensor:
        return torch.cat([x.flatten() for x in execution(mask, *leaves)[:2]])

    grad_output = torch.ones(2 * 4 * 3).requires_grad_()
    assert torch.autograd.gradgradcheck(run, leaves_of(mask, 2, 2), grad_output)


class Written(Execution):
    """An execution of a user."""

    def refusal(self, mask: MaskOperator, scores: Scores = InnerProducts()) -> str | None:  # noqa: B008
        return None

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        return 0.0

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        weight = mask.to_dense() * (q @ k.mT)
        return Attended(weight @ v, weight.abs().sum(-1))


def test_executions_are_values_and_can_be_added() -> None:
    assert Lifted(7) == Lifted(memory=7) != Lifted()
    assert Pairs() == Pairs()
    assert repr(Lifted(7)) == "Lifted(memory=7)"
    mask = series(ring(5))
    leaves = leaves_of(mask)
    assert_close(mask.attend(*leaves, Written())[:2], mask.attend(*leaves)[:2])
