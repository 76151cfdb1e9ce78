"""The folder of the real data, and a switch that makes the default dtype double for one test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    default = Path(__file__).parents[3] / "shared" / "data"

    def folder(name: str) -> Path:
        path = Path(os.environ.get("GRAPHMASK_DATA", default)) / name
        if not path.exists():
            pytest.skip(f"{path} is absent: set GRAPHMASK_DATA to the folder that holds {name}")
        return path

    return folder


@pytest.fixture
def double_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
