from __future__ import annotations

import sys

import pytest

from graphmask._machine import describe_machine, summarize, total_memory
from graphmask.benchmark.memory import HostMemory


def test_machine_has_all_that_a_figure_depends_on() -> None:
    machine = describe_machine(threads=3)
    known = "cpu cores threads memory gpu load os python torch torch-geometric numba graphmask date"
    assert list(machine) == known.split()
    assert all(machine.values())
    assert "threads 3; memory" in summarize(machine)
    assert total_memory() > 2**28


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_peak_can_be_reset() -> None:
    memory = HostMemory()
    block = bytearray(2**26)
    del block
    assert memory.peak() >= 63
    memory.reset()
    peak = memory.peak()
    # This process lives on, and keeps its freed memory again.
    memory.relax()
    assert peak < 32
