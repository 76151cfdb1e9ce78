from __future__ import annotations

import sys

import pytest

from graphmask.kernels import _extra


def test_a_numba_that_does_not_fit_numpy_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # its import raises ImportError
    assert not _extra._has_numba()


@pytest.mark.parametrize(("value", "wanted"), [("0", False), ("1", True), (None, True)])
def test_triton_can_be_left_aside(
    value: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_extra, "find_spec", lambda name: object())
    monkeypatch.delenv("GRAPHMASK_TRITON", raising=False)
    if value is not None:
        monkeypatch.setenv("GRAPHMASK_TRITON", value)
    assert _extra._has_triton() is wanted


def test_no_triton_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extra, "find_spec", lambda name: None)
    assert not _extra._has_triton()
