"""The decision how attention runs, and what may be combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cases
import pytest
import torch
from torch.testing import assert_close

import graphmask as gm
from graphmask import Topology
from graphmask.attention import attention_rows
from graphmask.features import FeatureMap, Identity, ReLU, SoftmaxScores
from graphmask.kernels import Pattern
from graphmask.normalizers import Normalizer, RowSums, Sink
from graphmask.operators import (
    Attended,
    Dense,
    GlobalOperator,
    HeadwiseOperator,
    Lifted,
    LowRankOperator,
    MaskOperator,
    Pairs,
    ProductOperator,
    Sign,
    SparseOperator,
    SumOperator,
    attend,
)
from graphmask.operators.attend import describe_choice
from graphmask.operators.executions import OwnRule
from graphmask.operators.hadamard import multiply
from graphmask.testing import example_topologies
from graphmask.walks import IIDWalks


def features(mask: MaskOperator, m: int = 4, d: int = 3) -> tuple[torch.Tensor, ...]:
    heads, generator = max(mask.heads, 2), torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(heads, mask.num_nodes, width, generator=generator) for width in (m, m, d)
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, MaskOperator]]:
    """Executions and rules that run, and the operators that they run on."""
    recorded: list[tuple[str, MaskOperator]] = []
    for kind in (Pairs, Lifted, Dense, OwnRule):

        def record(self: object, mask: MaskOperator, *args: object, run=kind._run) -> Attended:
            recorded.append((repr(self), mask))
            return run(self, mask, *args)

        monkeypatch.setattr(kind, "_run", record)
    return recorded


def operators_of(case: cases.Case) -> Iterator[MaskOperator]:
    graphs = case.topologies()
    for name in sorted({*graphs} & {"ring", "ragged"}) or list(graphs)[:1]:
        made = case.make if case in cases.OPERATORS else cases.seeded(case.make)
        yield made(graphs[name]) if case in cases.OPERATORS else made(made.prepare(graphs[name]))


@pytest.mark.parametrize("case", [*cases.OPERATORS, *cases.MASKS], ids=str)
def test_attention_runs_as_announced(
    case: cases.Case, calls: list[tuple[str, MaskOperator]]
) -> None:
    for mask in operators_of(case):
        announced = [text.split(",")[0] for text in describe_choice(mask, 4, 3, 8).split("; ")]
        calls.clear()
        attend(mask, *features(mask))
        parts = [id(part) for part in mask._parts()]
        assert [run for run, operator in calls if id(operator) in parts] == announced


OWN_RULES: dict[str, Callable[[Topology], MaskOperator]] = {
    "global": GlobalOperator,
    "scaled": lambda t: 0.5 * GlobalOperator(t),
    "sum": lambda t: GlobalOperator(t) + sparse(t),
    "low-rank": lambda t: low_rank(t),
    "hadamard": lambda t: low_rank(t) * (GlobalOperator(t) + GlobalOperator(t)),
}


def sparse(topology: Topology, pattern: Pattern | None = None) -> SparseOperator:
    pattern = topology.pattern if pattern is None else pattern
    value = torch.randn(1, pattern.nnz, generator=torch.Generator().manual_seed(0))
    return SparseOperator(topology, pattern, value)


def low_rank(topology: Topology) -> LowRankOperator:
    return LowRankOperator(topology, *torch.ones(2, 1, topology.num_nodes, 1), nonnegative=True)


@pytest.mark.parametrize("make", OWN_RULES.values(), ids=OWN_RULES)
def test_operators_with_a_rule_announce_it(make: Callable[[Topology], MaskOperator]) -> None:
    for topology in (example_topologies()["ragged"], Topology(torch.tensor([[0], [1]]), 100_000)):
        assert "attention runs as</b></td>" in (table := make(topology)._repr_html_())
        assert "a rule of its own" in table


def test_attend_is_a_method_too_and_the_old_name_of_the_denominator_warns() -> None:
    mask = GlobalOperator(example_topologies()["ring"])
    actual = mask.attend(*features(mask))
    assert_close(actual[:2], attend(mask, *features(mask))[:2])
    with pytest.warns(DeprecationWarning, match="denominator"):
        assert actual.normaliser is actual.denominator


def test_signs_are_ordered() -> None:
    assert Sign.ANY < Sign.ESTIMATE < Sign.NONNEGATIVE
    assert [Sign.of(*sign.flags) for sign in Sign] == list(Sign)
    topology = example_topologies()["ring"]
    pattern, value = sparse(topology).entries()
    signs = [SparseOperator(topology, pattern, value, *sign.flags) for sign in Sign]
    for a in signs:
        for b in signs:
            for combined in (a + b, a @ b, a * b):
                assert combined.sign is min(a.sign, b.sign)


COMBINE: dict[str, Callable[[MaskOperator, MaskOperator], MaskOperator]] = {
    "+": SumOperator,
    "@": ProductOperator,
    "*": multiply,
}
RING = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
BATCH = torch.tensor([0, 0, 1, 1])
NONE = RING[:, :0]


@pytest.mark.parametrize("combine", COMBINE.values(), ids=COMBINE)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Topology(NONE, batch=BATCH), Topology(NONE, batch=BATCH.flip(0))),
        (Topology(NONE, batch=BATCH), Topology(NONE, 4)),
        (Topology(NONE, batch=BATCH), Topology(NONE, batch=BATCH, num_graphs=3)),
        (Topology(RING, 4), Topology(RING.flip(0), 4)),
        (Topology(RING, 4), Topology(RING[:, :3], 4)),
        (Topology(RING, 4), Topology(RING, 5)),
    ],
    ids=["batch", "no-batch", "empty-graph", "edges", "fewer-edges", "nodes"],
)
def test_masks_of_different_graphs_are_refused(
    combine: Callable, first: Topology, second: Topology
) -> None:
    with pytest.raises(ValueError, match="must be of the same graph"):
        combine(GlobalOperator(first), GlobalOperator(second))


@pytest.mark.parametrize("combine", COMBINE.values(), ids=COMBINE)
def test_masks_of_equal_graphs_are_combined(
    combine: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Topology(RING, 4, batch=torch.zeros(4, dtype=torch.long))
    derived = graph.with_walks(IIDWalks(hops=1)(graph, torch.Generator().manual_seed(0)))
    equal = [
        graph.to("cpu"),
        Topology(RING.clone(), 4, torch.ones(4), batch=graph.batch.clone()),
        Topology(RING.flip(1), 4),
    ]
    for other in equal:
        assert combine(GlobalOperator(graph), GlobalOperator(other)).num_nodes == 4
    # Topologies that share their tensors are not compared by value.
    monkeypatch.setattr(torch, "equal", None)
    assert combine(GlobalOperator(graph), GlobalOperator(derived)).num_nodes == 4


@pytest.mark.parametrize("combine", COMBINE.values(), ids=COMBINE)
def test_other_numbers_of_heads_are_refused(combine: Callable) -> None:
    graph = Topology(RING, 4)
    two, three = (SparseOperator(graph, graph.pattern, torch.ones(heads, 4)) for heads in (2, 3))
    with pytest.raises(ValueError, match=r"same number of heads, or one, got heads \[2, 3\]"):
        combine(two, three)


@pytest.mark.parametrize("phi", [ReLU(), SoftmaxScores(), Identity()], ids=repr)
@pytest.mark.parametrize("execution", [None, Dense()], ids=str)
@pytest.mark.parametrize("has_sink", [False, True])
def test_heads_of_several_operators_are_attended_as_alone(
    phi: FeatureMap, execution: Dense | None, has_sink: bool
) -> None:
    """Estimates beside entries of any sign: each has the denominator of its own sign."""

    def normalizer(heads: slice) -> Normalizer:
        if not has_sink:
            return RowSums()
        null = torch.tensor([0.5, -1.0, 2.0, 0.1])[heads]
        sink = Sink(len(null))
        sink.null.data.copy_(null)
        return sink

    topology = example_topologies()["ragged"]
    parts = [
        cases.operators.sparse(topology, 2, estimate=True),
        cases.operators.sparse(topology, 1),
        GlobalOperator(topology),
    ]
    together = HeadwiseOperator(HeadwiseOperator(*parts[:2]), parts[2])
    assert together.sign is Sign.ANY
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, topology.num_nodes, 4, 3, generator=generator)
    out = gm.attention(q, k, v, together, phi, execution, normalizer(slice(4)))
    start, nodes = 0, torch.tensor([3, 0, 7])
    rows = attention_rows(q, k, together, nodes, phi, normalizer(slice(4)))
    assert_close(torch.einsum("nhj,jhd->nhd", rows, v), out[nodes])
    for part in parts:
        heads = slice(start, start := start + part.heads)
        qkv, divide = (q[:, heads], k[:, heads], v[:, heads]), normalizer(heads)
        assert_close(out[:, heads], gm.attention(*qkv, part, phi, execution, divide))
        assert_close(rows[:, heads], attention_rows(*qkv[:2], part, nodes, phi, divide))


def test_forced_executions_reach_every_part(calls: list[tuple[str, MaskOperator]]) -> None:
    topology = example_topologies()["ring"]
    together = HeadwiseOperator(*(cases.operators.sparse(topology, 1) for _ in range(2)))
    attend(together, *features(together), execution=Pairs())
    assert [run for run, _ in calls] == ["Pairs()"] * 2
    mixed = HeadwiseOperator(*together.parts, GlobalOperator(topology))
    with pytest.raises(ValueError, match="has no sparse support"):
        attend(mixed, *features(mixed), execution=Pairs())


def test_multiples_and_sums_with_estimates_in_some_heads_sum_absolute_values() -> None:
    topology = example_topologies()["ring"]
    parts = cases.operators.sparse(topology, 1, estimate=True), cases.operators.sparse(topology, 1)
    together = HeadwiseOperator(*parts)
    q, k, v = features(together)
    for mask in (-0.5 * together, 2.0 * together, GlobalOperator(topology) + together):
        denominator = attend(mask, q, k, v).denominator
        expected = (mask.to_dense().abs() * (q @ k.mT)).sum(-1)
        assert_close(denominator, expected)
