"""Processes that share a graph give what one process gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch.distributed as dist
from processes import run
from rank_cases import (
    CASES,
    Run,
    check,
    check_bytes,
    check_compiled,
    check_half,
    check_mesh,
    check_refusals,
    check_single,
    run_cases,
    train,
)

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="without torch.distributed")

TRAINED = ("ones + walks", "series of 3", "GCN beside", "batch norm", "parts 1", "readout")
QUICK = (
    "GIN, batch norm",
    "batch norm, parts 4",
    "ones + signed walks",
    "series of 2, edges",
    "parts 2",
    "no halo",
)


def assert_equal(folder: Path, size: int, runs: Sequence[Run]) -> None:
    for rank, outcome in enumerate(run(folder, size, run_cases, runs)):
        assert "error" not in outcome, f"rank {rank}: {outcome['error']}"
        errors = [f"rank {rank}, {name}: {text}" for name, text in outcome["result"].items()]
        assert not errors, f"{len(errors)} cases:\n" + "\n".join(errors[:3])


def test_two_processes_give_what_one_does(tmp_path: Path) -> None:
    runs: list[Run] = [(check, name) for name in QUICK]
    runs += [(train, "readout"), (check_bytes, "ones + walks"), (check_refusals, "walks")]
    runs += [(check_half, "batch norm"), (check_single, "ones + signed walks")]
    assert_equal(tmp_path, 2, runs)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4])
def test_outputs_and_gradients_are_those_of_one_process(tmp_path: Path, size: int) -> None:
    assert_equal(tmp_path, size, [(check, name) for name in CASES])


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_training_is_that_of_one_process(tmp_path: Path, size: int) -> None:
    assert_equal(tmp_path, size, [(train, name) for name in TRAINED])


SOME = ("ones + walks", "series of 3", "GCN beside", "batch norm", "positive features", "Fourier")


@pytest.mark.slow
def test_single_precision_rounds_as_one_process_does(tmp_path: Path) -> None:
    names = (*SOME, "walks", "ones + signed walks", "degrees", "readout")
    assert_equal(tmp_path, 3, [(check_single, name) for name in names])


@pytest.mark.slow
def test_half_precision_is_that_of_one_process(tmp_path: Path) -> None:
    assert_equal(tmp_path, 2, [(check_half, name) for name in SOME])


@pytest.mark.slow
def test_compiled_models_run_on_parts(tmp_path: Path) -> None:
    assert_equal(tmp_path, 2, [(check_compiled, name) for name in SOME[:4]])


@pytest.mark.slow
def test_two_graphs_on_two_processes_each(tmp_path: Path) -> None:
    assert_equal(tmp_path, 4, [(check_mesh, name) for name in SOME])
