from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from scripts import ROOT, importable


@pytest.fixture(scope="module")
def example() -> Iterator[Callable[[str], ModuleType]]:
    """Imports an example by its name."""
    pytest.importorskip("lightning")
    with importable(ROOT / "examples") as load:
        yield load
