"""Examples are imported from their folder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    pytest.importorskip("lightning")
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module
