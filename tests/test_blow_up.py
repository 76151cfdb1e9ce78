"""The campaign on large awkward graphs, on small ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fuzz import blow_up

from graphmask import masks, walks

pytestmark = [pytest.mark.usefixtures("single_by_default"), pytest.mark.global_rng]


def test_every_mask_and_sampler_takes_part() -> None:
    bases = {"TopologicalMask", "WalkSampler"}
    public = {
        name
        for module, base in ((masks, masks.TopologicalMask), (walks, walks.WalkSampler))
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
    }
    assert public - bases == {name.split(",")[0] for name in blow_up.SUBJECTS}


@pytest.mark.parametrize(("subject", "graph", "nodes"), blow_up.cases([40], None, 0))
def test_small_graphs(subject: str, graph: str, nodes: int) -> None:
    topology = blow_up.topology(graph, nodes, 0)
    if subject.startswith("TreeDistanceMask") and graph == "hubs":
        with pytest.raises(ValueError, match="forest"):
            blow_up.SUBJECTS[subject](topology)
    else:
        blow_up.SUBJECTS[subject](topology)


@pytest.mark.slow
def test_a_case_beyond_its_memory_is_a_fault(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    command = [sys.executable, blow_up.__file__, "--only", "GlobalMask", "--csv", str(table)]
    limits = ["--nodes", "4000000", "--cases", "1000", "--memory-limit", "64"]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "memory" in done.stdout
    assert torch.get_default_dtype() == torch.float32
