from __future__ import annotations

import sys

import pytest

from graphmask.kernels import _extra


def test_a_numba_that_does_not_fit_numpy_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # its import raises ImportError
    assert not _extra._find()
