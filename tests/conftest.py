"""Strictness: deterministic kernels (which fill fresh memory with NaN) everywhere.

Float64 and no global chance in the core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Before torch-geometric imports triton: without a GPU its kernels run in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from torch_geometric.nn import Sequential

from graphmask.testing import global_rng_untouched

# These load data, train or print: they live with float32 and with loaders, which draw seeds from
# the global state.
RELAXED = (
    "benchmark",
    "datasets",
    "examples",
    "transforms",
    "view",
    "inspect",
    "test_cli.py",
    "test_docs.py",
    "test_reference.py",
)


# No test measures time, not even hypothesis: machines are slow and shared. Examples are the same at
# every run.
settings.register_profile("graphmask", deadline=None, derandomize=True)
settings.load_profile("graphmask")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "global_rng: the test may draw from the global random state")
    config.addinivalue_line("markers", "slow: run by `make test-full` alone")
    config.addinivalue_line("markers", "whole: slow, and sampled by a test beside it")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(
        1
    )  # graphs are tiny, and threads of several test processes would wait for each other


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest) -> Iterator[None]:
    relaxed = request.path.relative_to(Path(__file__).parent).parts[0] in RELAXED
    torch.set_default_dtype(torch.float32 if relaxed else torch.float64)
    # A Sequential of PyG whose code can be generated replaces `forward` for all of them.
    forward = Sequential.forward
    if relaxed or request.node.get_closest_marker("global_rng"):
        yield
    else:
        with global_rng_untouched():
            yield
    torch.set_default_dtype(torch.float32)
    Sequential.forward = forward  # type: ignore[method-assign]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def single_by_default() -> None:
    """The default dtype of users; the strict one comes back for the next test."""
    torch.set_default_dtype(torch.float32)
