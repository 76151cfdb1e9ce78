"""Two processes that share a batch learn what one does."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scripts import ROOT

EXAMPLE = ROOT / "examples" / "point_cloud_classification.py"
# 48 clouds without augmentation, of which four validate: global batches of 8, and one of 4.
SIZES = ["--smoke", "--batch-size", "8", "--per-class", "4"]
# Batch normalisation and dropout differ by process.
ALIKE = ["--norm", "none", "--dropout", "0", "--head-dropout", "0"]
OPTIONS = [*SIZES, *ALIKE, "--accelerator", "cpu", "--any-pose"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train(out: Path, devices: int) -> Path:
    """The folder of the run of the masked variant."""
    out.mkdir()
    ranks = ("WORLD_SIZE", "LOCAL_RANK", "NODE_RANK")
    environment = {key: value for key, value in os.environ.items() if key not in ranks}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environment |= {**address, "OMP_NUM_THREADS": "1"}
    options = "--variants", "masked + local", "--devices", str(devices), "--out", str(out)
    command = [sys.executable, str(EXAMPLE), *OPTIONS, *options]
    run = subprocess.run(
        command, env=environment, cwd=out, capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    # Lightning prints the number of processes.
    assert ("MEMBER: 2/2" in run.stdout + run.stderr) == (devices == 2)
    return out / "clouds-primitives" / "masked+local-0"


def logged(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    pytest.importorskip("lightning")
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    one, two = train(tmp_path / "one", 1), train(tmp_path / "two", 2)
    losses = logged(one, "loss")
    assert len(losses) == 2
    assert losses[0] > losses[1]
    assert logged(two, "loss") == pytest.approx(losses, abs=1e-5)
    assert logged(two, "val") == pytest.approx(logged(one, "val"), abs=1e-6)
    ends = [
        torch.load(folder / "last.ckpt", weights_only=False)["state_dict"] for folder in (one, two)
    ]
    assert ends[0].keys() == ends[1].keys()
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=0, atol=1e-5, msg=name)
