from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fakes() -> Iterator[ModuleType]:
    """Fake implementations, importable by worker processes, which inherit the search path."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("benchmark_fakes")
    sys.path.remove(folder)
