"""What fails is an error soon, on all processes, and leaves files that are whole or absent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
import torch.distributed as dist
from processes import run
from rank_cases import cloud, die
from scripts import ROOT

import graphmask as gm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.global_rng,
    pytest.mark.skipif(not dist.is_available(), reason="without torch.distributed"),
]


@pytest.mark.parametrize("when", ["is killed before a step", "is killed in a backward pass"])
def test_a_killed_process_is_an_error_of_the_others(tmp_path: Path, when: str) -> None:
    survivor, killed = run(tmp_path, 2, die, when)
    assert killed == {"error": "killed"}
    result = survivor["result"]
    assert "onnection" in result["error"], survivor
    print(f"a process that {when}: {result['seconds']:.2f} s")


def test_a_process_that_refuses_is_an_error_of_the_others(tmp_path: Path) -> None:
    survivor, refused = run(tmp_path, 2, die, "refuses its input")
    assert "`x` must be" in refused["error"]
    result = survivor["result"]
    assert "onnection" in result["error"], survivor
    print(f"a process that refuses its input: {result['seconds']:.2f} s")


def test_a_process_that_hangs_is_an_error_after_the_timeout(tmp_path: Path) -> None:
    survivor, _ = run(tmp_path, 2, die, "hangs")
    result = survivor["result"]
    assert "imed out" in result["error"], survivor
    print(f"a process that hangs, with a timeout of 3 s: {result['seconds']:.2f} s")


CUT = """
import sys, torch
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from rank_cases import cloud
import graphmask as gm
graphs = cloud(300, 0), cloud(300, 1)
walks = gm.walks.ResampledWalks(8, 2)
print("ready", flush=True)
while True:
    for graph in graphs:
        gm.distributed.shard(graph, sys.argv[1], parts=6, walks=walks, log=False)
"""


def test_a_killed_writer_leaves_a_whole_graph_or_none(tmp_path: Path) -> None:
    folder, graphs = tmp_path / "graph", (cloud(300, 0), cloud(300, 1))
    command = [sys.executable, "-c", CUT, str(folder), str(ROOT / "tests")]
    found = []
    for pause in (0.0, 0.01, 0.03, 0.05, 0.11, 0.17):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        if not (folder / "manifest.json").exists():
            found.append("none")
            continue
        shard = gm.distributed.open_shard(folder)
        x = gm.distributed.collect(shard.x, shard.topology)
        assert any(torch.equal(x, graph.x) for graph in graphs)
        found.append("whole")
    gm.distributed.shard(graphs[0], folder, parts=6, log=False)
    assert not list(folder.glob(".edges*"))
    print(f"a killed writer leaves, in turn: {found}")


class Kills:
    """A transform whose process is killed once."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, data: Any) -> Any:
        if int(data.y) == 7 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        generator = torch.Generator().manual_seed(0)
        return gm.transforms.AddWalks(gm.walks.IIDWalks(num_walks=4), generator)(data)

    def __repr__(self) -> str:
        return "Kills()"


@pytest.mark.filterwarnings("ignore")  # joblib's, of a worker that is gone
def test_a_killed_worker_is_an_error_and_the_next_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    graphs = [cloud(9, seed) for seed in range(12)]
    for seed, data in enumerate(graphs):
        data.y = torch.tensor([seed])
    options: dict[str, Any] = {"shard_size": 2, "progress": False, "workers": 2, "backend": "loky"}
    transform = Kills(tmp_path / "marker")
    with pytest.raises(joblib.externals.loky.process_executor.TerminatedWorkerError):
        gm.prepare(graphs, transform, tmp_path / "killed", **options)
    print(f"a killed worker of prepare: {time.time() - transform.marker.stat().st_mtime:.2f} s")
    killed = gm.prepare(graphs, transform, tmp_path / "killed", **options)
    whole = gm.prepare(graphs, transform, tmp_path / "whole", **{**options, "workers": 1})
    assert killed.shards == whole.shards


class KillingWalks(gm.walks.ResampledWalks):
    """Walks whose first worker is killed."""

    def __init__(self, marker: Path) -> None:
        super().__init__(6, hops=2)
        self._marker, self._parent = marker, os.getpid()

    def _rows(self, *arguments: Any) -> Any:
        if os.getpid() != self._parent and not self._marker.exists():
            time.sleep(0.5)  # others end their parts
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._rows(*arguments)


@pytest.mark.filterwarnings("ignore")  # joblib's, of a worker that is gone
def test_a_killed_worker_leaves_the_walks_of_before(tmp_path: Path) -> None:
    sampler = KillingWalks(tmp_path / "marker")
    folder, other = tmp_path / "killed", tmp_path / "whole"
    for place in (folder, other):
        gm.distributed.shard(cloud(300, 0), place, parts=6, walks=gm.walks.IIDWalks(2, hops=1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(joblib.externals.loky.process_executor.TerminatedWorkerError):
        gm.distributed.draw_walks(folder, sampler, workers=2, backend="loky", progress=False)
    seconds = time.time() - (tmp_path / "marker").stat().st_mtime
    for name, content in before.items():
        assert (folder / name).read_bytes() == content
    assert gm.distributed.open_shard(folder).topology.walks.num_hops == 1
    gm.distributed.draw_walks(folder, sampler, workers=2, backend="loky", progress=False)
    gm.distributed.draw_walks(other, sampler, progress=False)
    contents = [{path.name: path.read_bytes() for path in p.glob("[!.]*")} for p in (folder, other)]
    assert contents[0] == contents[1]
    print(f"a killed worker of draw_walks: {seconds:.2f} s")


RESTART = """
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv.pop(1)]
marker = Path(sys.argv.pop(1))
import one_graph_over_ranks as example

train = example.Field.training_step

def step(self, batch):
    if self.current_epoch == 4 and os.environ.get("RANK") == "1" and not marker.exists():
        marker.touch()
        os._exit(1)
    return train(self, batch)

example.Field.training_step = step
example.main()
"""


def train(folder: Path, marker: Path, processes: int, steps: int = 6) -> dict[str, torch.Tensor]:
    """The weights after a run of the example, whose process 1 is killed where no marker is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = folder.parent / "train.py"
    script.write_text(RESTART)
    launch = ["torch.distributed.run", "--nproc-per-node", str(processes), "--max-restarts", "1"]
    options = ["--nodes", "400", "--parts", "5", "--steps", str(steps), "--every", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    arguments = [str(script), str(ROOT / "examples"), str(marker), "--folder", str(folder)]
    command = [sys.executable, "-m", *launch, *arguments, *options]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        # Otherwise restarted processes find the addresses of those that ended.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    start = time.monotonic()
    outcome = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    print(f"{processes} processes, {steps} steps: {time.monotonic() - start:.1f} s")
    return torch.load(folder / "last.ckpt", weights_only=False)["state_dict"]


def test_a_restarted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    marker = tmp_path / "marker"
    restarted = train(tmp_path / "restarted", marker, 2)
    assert marker.exists()
    whole = train(tmp_path / "whole", marker, 2)
    for name, weight in whole.items():
        torch.testing.assert_close(restarted[name], weight, rtol=0, atol=0, msg=name)


def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    marker = tmp_path / "marker"
    marker.touch()
    whole = train(tmp_path / "whole", marker, 2)
    train(tmp_path / "resumed", marker, 2, steps=4)
    resumed = train(tmp_path / "resumed", marker, 3)
    for name, weight in whole.items():
        # Adam divides by gradients that may be nearly zero.
        torch.testing.assert_close(resumed[name], weight, rtol=1e-3, atol=1e-3, msg=name)
