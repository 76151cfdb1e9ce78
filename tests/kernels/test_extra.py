from __future__ import annotations

import sys

import pytest

from graphmask.kernels import _extra


def test_a_numba_that_does_not_fit_numpy_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # its import raises ImportError
    assert not _extra._has_numba()


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [(1, "0", False), (1, "1", True), (1, None, True), (None, None, False)],
)
def test_triton_runs_where_it_is_present_and_wanted(
    spec: object, value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_extra, "find_spec", lambda name: spec)
    monkeypatch.delenv("GRAPHMASK_TRITON", raising=False)
    if value is not None:
        monkeypatch.setenv("GRAPHMASK_TRITON", value)
    assert _extra._has_triton() is expected
