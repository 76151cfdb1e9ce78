"""The folder of the real data, and a switch that makes the default dtype double for one test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    def folder(name: str) -> Path:
        root = os.environ.get("GRAPHMASK_DATA")
        if root is None or not (Path(root) / name).exists():
            pytest.skip(f"real data: set GRAPHMASK_DATA to the folder that holds {name}")
        return Path(root) / name

    return folder


@pytest.fixture
def double_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
