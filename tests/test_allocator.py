"""Processes that hold large graphs keep the memory that they free."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from graphmask._allocator import LARGE

# MiB that stay resident after 64 MiB are freed, beside a graph of so many nodes.
SCRIPT = """
import sys
import psutil, torch, graphmask as gm
gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=int(sys.argv[1]))
before = psutil.Process().memory_info().rss
torch.ones(2**24)
print((psutil.Process().memory_info().rss - before) // 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
@pytest.mark.parametrize(
    ("nodes", "setting", "keeps"),
    [
        (LARGE, {}, True),
        (LARGE - 1, {}, False),
        (LARGE, {"GRAPHMASK_KEEP_MEMORY": "0"}, False),
        (LARGE, {"MALLOC_ARENA_MAX": "2"}, False),
    ],
)
def test_freed_memory_is_kept_where_graphs_are_large(nodes, setting, keeps):
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", SCRIPT, str(nodes)]
    output = subprocess.run(
        command, env=environment | setting, capture_output=True, text=True, check=True
    )
    assert (int(output.stdout) > 32) is keeps
