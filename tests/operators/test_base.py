from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.operators import (
    GlobalOperator,
    MaskOperator,
    PowerSeriesOperator,
    SparseOperator,
    attend,
)
from graphmask.testing import example_topologies


def operator(heads: int = 2) -> SparseOperator:
    topology = example_topologies()["weighted"]
    pattern, weight = topology.adjacency()
    scale = torch.arange(1.0, heads + 1).unsqueeze(1)
    return SparseOperator(topology, pattern, scale * weight, nonnegative=True)


def ones(*shape: int, dtype: torch.dtype | None = None) -> Tensor:
    return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("missing", ["_matmul", "_transpose", "to_dense"])
def test_an_operator_lacks_nothing(missing: str) -> None:
    names = {"_matmul", "_transpose", "to_dense"} - {missing}
    partial = type("Partial", (MaskOperator,), {name: lambda self: None for name in names})
    with pytest.raises(TypeError, match=missing):
        partial(example_topologies()["pair"], 1, True, 1)


def test_shape_and_repr() -> None:
    assert operator().shape == (2, 13, 13)
    assert operator().num_nodes == 13
    assert repr(operator()) == "SparseOperator(2, 13, 13)"
    assert (
        str(operator())
        == f"SparseOperator(2, 13, 13): {operator().pattern.nnz} multiply-adds per head and column"
    )


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(13,), (13, 2), (3, 2, 13, 2)], ids=str)
def test_half_precision_products(half: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.linspace(0, 1, ones(*shape).numel()).reshape(shape).to(half)
    found = operator() @ x
    assert found.dtype == half
    assert_close(found.double(), operator().to_dense() @ x.double(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (ones(12), r"`x` must be of shape \[..., N, C\] with N = 13"),
        (ones(13, 1)[None, :12], "N = 13"),
        (ones(), "N = 13"),
        (ones(3, 13, 1), "H = 2 or 1"),
        (ones(5, 3, 13, 1), "H = 2 or 1"),
    ],
    ids=["rows", "rows-3d", "scalar", "heads", "heads-4d"],
)
def test_products_that_do_not_fit(x: Tensor, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        operator() @ x


@pytest.mark.parametrize(
    ("heads", "shapes", "expected"),
    [
        (2, [(2, 12, 3), (2, 13, 3), (2, 13, 4)], "`q`.*N = 13"),
        (2, [(2, 13, 3), (13, 3), (2, 13, 4)], "`k`"),
        (2, [(2, 13, 3), (2, 13, 3), (2, 14, 4)], "`v`"),
        (2, [(3, 13, 3), (3, 13, 3), (3, 13, 4)], "H = 2"),
        (1, [(3, 13, 3), (2, 13, 3), (3, 13, 4)], "equal heads"),
        (2, [(2, 13, 3), (2, 13, 2), (2, 13, 4)], "`k` must be of 3 features"),
    ],
)
def test_features_of_other_shapes_are_refused(
    heads: int, shapes: list[tuple[int, ...]], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        attend(operator(heads), *(ones(*shape) for shape in shapes))


x = ones(2, 13, 3)
REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: attend(operator(), x.long(), x, x), TypeError, "`q`"),
    (lambda: attend(operator(), x, [1.0], x), TypeError, "`k`"),
    (lambda: operator().rows(torch.tensor([13])), ValueError, "`nodes`.*0 to N - 1 = 12"),
    (lambda: operator().rows(torch.tensor([-1])), ValueError, "`nodes`"),
    (lambda: operator().rows(torch.tensor([[1]])), ValueError, "`nodes`"),
    (lambda: operator().rows(torch.tensor([1.0])), ValueError, "`nodes`"),
    (lambda: operator().rows(torch.ones(13, dtype=torch.bool)), ValueError, "`nodes`"),
    (lambda: operator().rows([1]), ValueError, "`nodes`"),
    (lambda: operator() + 1, TypeError, "unsupported operand"),
    (lambda: operator() * "2", TypeError, "multiply"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_arguments_of_other_types_are_refused(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_attending_sums_half_precision_in_single(half: torch.dtype) -> None:
    q, v = ones(2, 13, 3, dtype=half), ones(2, 13, 4, dtype=half)
    found = operator().attend(q, q, v)
    assert {part.dtype for part in found} <= {torch.float32, torch.float64}
    expected = operator().attend(q.double(), q.double(), v.double())
    assert_close(found, expected, check_dtype=False)


def test_entries_are_known_once() -> None:
    same = PowerSeriesOperator(
        example_topologies()["ring"], *example_topologies()["ring"].adjacency(), ones(1, 2)
    )
    assert same.entries() is same.entries()


def test_rows_of_no_nodes() -> None:
    assert operator().rows(torch.empty(0, dtype=torch.long)).shape == (2, 0, 13)


def path(num_nodes: int) -> Topology:
    steps = torch.stack([torch.arange(num_nodes - 1), torch.arange(1, num_nodes)])
    return Topology(torch.cat([steps, steps.flip(0)], 1), num_nodes)


def test_rows_of_a_large_graph() -> None:
    """200,000 nodes: their square would need 320 gigabytes."""
    topology = path(200_000)
    pattern, weight = topology.adjacency("rw")
    series = PowerSeriesOperator(topology, pattern, weight, torch.tensor([[0.0, 0.0, 1.0]]))
    for each in (
        series,
        SparseOperator(topology, pattern, weight.unsqueeze(0)),
        GlobalOperator(topology),
    ):
        assert each.rows(torch.tensor([100_000, 0])).shape == (1, 2, 200_000)
    two_hops = series.rows(torch.tensor([100_000]))[0, 0, 99_997:100_004]
    assert_close(two_hops, torch.tensor([0, 0.25, 0, 0.5, 0, 0.25, 0]))
