from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.features import InnerProducts, Scores
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


def ring(num_nodes: int, copies: int = 1) -> Topology:
    step = torch.arange(num_nodes)
    once = torch.stack([step, (step + 1) % num_nodes])
    edges = torch.cat([once + number * num_nodes for number in range(copies)], 1)
    batch = torch.arange(copies).repeat_interleave(num_nodes)
    return Topology(torch.cat([edges, edges.flip(0)], 1), num_nodes * copies, batch=batch)


def series(topology: Topology, order: int = 3, nonnegative: bool = True) -> PowerSeriesOperator:
    alpha = torch.linspace(1, 0.5, 2 * order + 2).reshape(2, -1)
    return PowerSeriesOperator(topology, *topology.adjacency(), alpha, nonnegative)


def sparse(topology: Topology, nonnegative: bool = True) -> SparseOperator:
    pattern, weight = topology.adjacency()
    return SparseOperator(topology, pattern, weight.unsqueeze(0), nonnegative)


def features(topology: Topology, m: int = 4, d: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(2, topology.num_nodes, width, generator=generator).requires_grad_()
        for width in (m, m, d)
    )


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


REFUSING = [
    (Lifted(), sparse(ring(5), nonnegative=False), "may be negative"),
    (Pairs(), series(ring(5)), "no sparse support"),
    (Pairs(), GlobalOperator(ring(5)), "no sparse support"),
]


@pytest.mark.parametrize(("execution", "mask", "reason"), REFUSING)
def test_refusals_say_why(execution: Execution, mask: MaskOperator, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{type(execution).__name__}.* cannot run .*{reason}"):
        mask.attend(*features(mask.topology), execution)


@pytest.mark.parametrize("memory", [1, 2000, 5000, 2**28])
def test_lifting_in_slices_changes_nothing(memory: int) -> None:
    mask = series(example_topologies()["weighted"])
    leaves, again = features(mask.topology), features(mask.topology)
    found = Lifted(memory)(mask, *leaves)
    expected = Dense()(mask, *again)
    assert_close(tuple(found), tuple(expected))
    for attended, inputs in ((found, leaves), (expected, again)):
        (attended.numerator.square().sum() + attended.denominator.square().sum()).backward()
        assert all(each.grad is not None for each in inputs)
    assert_close([each.grad for each in leaves], [each.grad for each in again])


def saved_numbers(mask: MaskOperator, execution: Execution, leaves: tuple[Tensor, ...]) -> int:
    """Numbers that autograd keeps for the backward pass, each tensor once."""
    kept: dict[tuple[int, int], int] = {}

    def pack(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr(), x.numel()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        execution(mask, *leaves)
    return sum(kept.values())


def test_lifting_in_slices_keeps_less() -> None:
    mask = series(ring(2_000), order=4)
    leaves = features(mask.topology, m=16, d=8)
    whole, slices = (saved_numbers(mask, Lifted(memory), leaves) for memory in (2**28, 2**19))
    assert slices < whole / 2


@pytest.mark.parametrize("execution", [Pairs(), Lifted(), Dense()], ids=repr)
def test_second_derivatives(execution: Execution) -> None:
    leaves = features(ring(5))
    mask = sparse(ring(5))

    def run(*leaves: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in execution(mask, *leaves)])

    above = torch.ones(2 * 5 * 4).requires_grad_()
    assert torch.autograd.gradgradcheck(run, leaves, above)


def test_second_derivatives_through_slices() -> None:
    leaves = features(ring(4), m=2, d=1)
    above = torch.ones(2 * 4).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda *x: Lifted(1)(series(ring(4)), *x).denominator.flatten(), leaves, above
    )


def test_blocks_of_graphs_of_very_unequal_size() -> None:
    """Sizes 1, 2, 7 and 13, interleaved, with one graph that has no nodes."""
    ragged = example_topologies()["ragged"]
    topology = Topology(ragged.edge_index, 23, ragged.edge_weight, ragged.batch, num_graphs=6)
    mask, leaves = series(topology), features(topology)
    assert_close(tuple(Dense()(mask, *leaves)), tuple(Lifted()(mask, *leaves)))


def test_an_execution_is_a_value() -> None:
    assert Lifted(7) == Lifted(memory=7) != Lifted()
    assert Pairs() == Pairs()
    assert repr(Lifted(7)) == "Lifted(memory=7)"


class Written(Execution):
    """What a user may write."""

    def refusal(self, mask: MaskOperator, scores: Scores = InnerProducts()) -> str | None:  # noqa: B008
        return None

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        return 0.0

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        weight = mask.to_dense() * (q @ k.mT)
        return Attended(weight @ v, weight.abs().sum(-1))


def test_executions_can_be_added() -> None:
    mask, leaves = series(ring(5)), features(ring(5))
    assert_close(tuple(mask.attend(*leaves, Written())), tuple(mask.attend(*leaves)))
