"""Scripts of examples/ and benchmarks/, imported from their folders."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


@contextmanager
def importable(folder: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Make the scripts of a folder importable, in worker processes, too.

    They are forgotten afterwards, since another folder has scripts of the same names.
    """
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]
