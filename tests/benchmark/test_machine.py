from __future__ import annotations

import sys

import pytest

from graphmask._machine import summarize, total_memory
from graphmask.benchmark import MissingExtraError, describe_machine
from graphmask.benchmark.memory import HostMemory
from graphmask.extras import installed_extras, require


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


def test_absent_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(MissingExtraError, match=r'needs matplotlib: pip install "graphmask\[viz\]'):
        require("matplotlib.figure", extra="viz")


def test_a_broken_package_is_not_called_absent(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as caught:
        require("broken_package", extra="viz")
    assert not isinstance(caught.value, MissingExtraError)


def test_extras_are_those_of_the_metadata() -> None:
    extras = installed_extras()
    assert set(extras["cli"]) == {"typer", "rich", "psutil"}
    assert "graphmask" not in {package for packages in extras.values() for package in packages}
