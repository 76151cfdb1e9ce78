from __future__ import annotations

import sys
from pathlib import Path

import pytest

import graphmask
from graphmask.extras import MissingExtraError, installed_extras, require


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


def test_the_citation_and_the_changelog_name_the_version() -> None:
    root = Path(__file__).parents[1]
    assert f"\nversion: {graphmask.__version__}\n" in (root / "CITATION.cff").read_text()
    assert f"\n## [{graphmask.__version__}] - " in (root / "CHANGELOG.md").read_text()
