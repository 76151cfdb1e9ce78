from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from graphmask.benchmark import Problem
from graphmask.benchmark.bodies import (
    BODIES,
    IN_USE,
    Body,
    BodyTimes,
    Products,
    Race,
    compose,
    find_bodies,
    run,
)
from graphmask.benchmark.bodies.study import Operation, make_operations
from graphmask.kernels import Pattern

INSTALLED = [body for body in BODIES if body.installed]


def make_pattern() -> Pattern:
    """Rows of unequal length, one of them empty, and columns in any order."""
    generator = torch.Generator().manual_seed(1)
    dense = torch.rand(12, 12, generator=generator) < 0.4
    dense[5] = False
    row, col = dense.nonzero().T
    return Pattern.from_coo(row, col, (12, 12))


def in_dense(pattern: Pattern) -> Products:
    """The definition: all pairs, masked."""
    support = pattern.to_dense(torch.ones(pattern.nnz, dtype=torch.float64))
    row, col = pattern.row.long(), pattern.col.long()

    def fill(value: Tensor) -> Tensor:
        return support.new_zeros(len(value), *pattern.shape).index_put(
            (torch.arange(len(value))[:, None], row, col), value
        )

    def pairs(q: Tensor, k: Tensor, v: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        weight = (q @ k.mT) * fill(value)
        return weight @ v, weight.sum(-1)

    return Products(lambda x, y: (x @ y.mT)[:, row, col], lambda value, x: fill(value) @ x, pairs)


@pytest.mark.parametrize("body", INSTALLED, ids=lambda body: body.name)
@pytest.mark.parametrize("name", ["sddmm", "spmm", "pairs"])
def test_bodies_are_their_definition(body: Body, name: str) -> None:
    pattern = make_pattern()
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64, generator=generator).requires_grad_()

    q, k, v, value = draw(3, 12, 4), draw(3, 12, 4), draw(3, 12, 5), draw(3, pattern.nnz)
    inputs = {"sddmm": (q, k), "spmm": (value, v), "pairs": (q, k, v, value)}[name]
    operation, products = Operation(name, *inputs), body.make(pattern)
    if operation.call_of(products) is None:
        pytest.skip("none of its own")
    for method in (operation.forward, operation.both):
        for found, expected in zip(method(products), method(in_dense(pattern)), strict=True):
            torch.testing.assert_close(found, expected)


def test_operations_take_the_features_of_the_problem() -> None:
    pattern = make_pattern()
    operations = make_operations(Problem(12), pattern)
    assert [operation.name for operation in operations] == list(Products._fields)
    (out,) = operations[1].forward(IN_USE.make(pattern))
    assert out.shape == (4, 12, 16)
    assert not out.requires_grad
    assert [gradient.shape for gradient in operations[1].both(IN_USE.make(pattern))] == [
        (4, pattern.nnz),
        (4, 12, 16),
    ]


def off_by_a_little(pattern: Pattern) -> Products:
    right = IN_USE.make(pattern)
    return compose(lambda x, y: 1.001 * right.sddmm(x, y), right.spmm)


def broken(pattern: Pattern) -> Products:
    def fail(*_: Any) -> Tensor:
        raise RuntimeError("no body")

    return compose(fail, IN_USE.make(pattern).spmm)


WRONG = Body("wrong", "scores too large", off_by_a_little)
BROKEN = Body("broken", "no scores", broken)
ABSENT = Body("absent", "of no package", broken, needs="no_such_package_at_all")


def test_wrong_bodies_are_told_of_and_not_timed() -> None:
    found = list(run(Race([IN_USE, WRONG, BROKEN, ABSENT], nodes=[64], rounds=2)))
    timed = [(each.operation, each.body) for each in found if not each.note]
    assert timed == [
        *(
            ("sddmm", "in use"),
            ("spmm", "in use"),
            ("spmm", "wrong"),
            ("spmm", "broken"),
            ("pairs", "in use"),
        ),
    ]
    notes = {(each.operation, each.body): each.note for each in found}
    assert notes["sddmm", "wrong"] == "its results are off by 0.001 of the largest: not timed"
    assert notes["pairs", "broken"] == "RuntimeError: no body"
    assert notes["spmm", "absent"] == "not installed"


def test_ratios_are_to_the_body_in_use() -> None:
    for each in run(Race(find_bodies(["torch-int64"]), nodes=[64], rounds=2)):
        assert (
            len(each.forward)
            == len(each.both)
            == len(each.forward_ratios)
            == len(each.both_ratios)
            == 2
        )
        if each.body == IN_USE.name:
            assert each.forward_ratios == each.both_ratios == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bodies": BODIES[1:]}, "`bodies` must be with `in use` among them"),
        ({"nodes": []}, "`nodes` must be at least one"),
        ({"scenes": []}, "`scenes` must be at least one"),
        ({"nodes": [1]}, "`nodes` must be at least 2, got 1"),
        ({"rounds": 0}, "`rounds` must be at least 1, got 0"),
        ({"time_limit": float("nan")}, "`time_limit` must be positive and finite, got nan"),
    ],
)
def test_races_refuse(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Race(**wrong)


def test_unknown_body_is_named() -> None:
    with pytest.raises(ValueError, match="`only` must be among in use, torch-int32"):
        find_bodies(["mkl"])


def test_rows_hold_medians_and_quartiles() -> None:
    each = BodyTimes(
        "torus", 64, 640, "spmm", "x", (1.0, 2.0, 4.0), (2.0,) * 3, (0.5, 1.0, 2.0), (1.0,) * 3
    )
    row = each.row()
    assert (
        row["entries_per_node"],
        row["forward_s"],
        row["forward_ratio"],
        row["forward_ratio_low"],
    ) == (10, 2, 1, 0.75)
    assert replace(each, forward=(), forward_ratios=()).row()["forward_ratio"] is None


def test_report_has_a_table_per_operation(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    from graphmask._console import make_console
    from graphmask.benchmark.bodies.report import print_report

    times = (1.0, 2.0, 4.0), (2.0,) * 3, (0.5, 1.0, 2.0), (1.0,) * 3
    found = [
        BodyTimes("torus", 64, 640, "spmm", "x", *times),
        BodyTimes("torus", 64, 640, "spmm", "absent", note="not installed"),
        BodyTimes("torus", 64, 640, "pairs", "x", *times),
        BodyTimes("torus", 64, 640, "pairs", "absent", note="not installed"),
    ]
    print_report(make_console(), found, [IN_USE])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines.count("x 2,000 1 0.75 .. 1.5 2,000 1 1 .. 1 3") == 2
    assert "absent: not installed (spmm, pairs)." in lines
    assert any(line.startswith("pairs, torus, 64 nodes, 10 entries per node") for line in lines)
