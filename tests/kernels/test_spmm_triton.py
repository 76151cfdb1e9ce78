from __future__ import annotations

import pytest
import torch
from pairs_by_hand import uneven
from torch.testing import assert_close

pytest.importorskip("triton", exc_type=ImportError)

from graphmask.kernels import Pattern
from graphmask.kernels import _rows_triton as rows
from graphmask.kernels import _spmm_triton as bodies

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are cut although they are short."""
    for module in (bodies, rows):
        monkeypatch.setattr(module, "LENGTH", 16)


def rectangle(nodes: int = 12) -> Pattern:
    """Rows of many entries, few and none; one column more than rows."""
    square = uneven(nodes)
    return Pattern(square.rowptr.to(DEVICE), square.col.to(DEVICE), nodes + 1)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("channels", [1, 5, 300])
@pytest.mark.parametrize("heads", [1, 3])
def test_both_primitives_are_their_definitions(heads: int, channels: int) -> None:
    pattern, generator = rectangle(), torch.Generator().manual_seed(0)
    value = torch.randn(pattern.nnz, heads, generator=generator).mT.to(DEVICE)
    x = (
        torch.randn(pattern.shape[1], heads, channels, generator=generator)
        .transpose(0, 1)
        .to(DEVICE)
    )
    y = torch.randn(heads, pattern.shape[0], channels, generator=generator).to(DEVICE)
    row, back = pattern.mT.col, pattern.mT.order
    assert_close(
        bodies.spmm(value, x, pattern.rowptr, pattern.col, row, back), pattern.to_dense(value) @ x
    )
    places = pattern.row.long(), pattern.col.long()
    assert_close(bodies.sddmm(y, x, pattern.col, row, back), (y @ x.mT)[:, places[0], places[1]])


@pytest.mark.parametrize("rows", [0, 2])
def test_no_entries(rows: int) -> None:
    pattern = Pattern(
        torch.zeros(rows + 1, dtype=torch.int32, device=DEVICE),
        torch.zeros(0, dtype=torch.int32, device=DEVICE),
        3,
    )
    value, x = torch.zeros(2, 0, device=DEVICE), torch.ones(2, 3, 4, device=DEVICE)
    row, back = pattern.mT.col, pattern.mT.order
    assert_close(
        bodies.spmm(value, x, pattern.rowptr, pattern.col, row, back),
        torch.zeros(2, rows, 4, device=DEVICE),
    )
    assert bodies.sddmm(torch.ones(2, rows, 4, device=DEVICE), x, pattern.col, row, back).shape == (
        2,
        0,
    )
