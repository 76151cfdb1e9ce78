"""Structure of the package: imports run one way and stand at the top of files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

import graphmask

ROOT = Path(graphmask.__file__).parent


def modules() -> dict[str, Path]:
    """All modules of the package that hold code, by dotted name."""
    paths = (path for path in ROOT.rglob("*.py") if path.name != "__init__.py")
    return {".".join(("graphmask", *p.relative_to(ROOT).with_suffix("").parts)): p for p in paths}


MODULES = modules()


def imported(name: str, tree: ast.AST) -> Iterator[str]:
    """Modules of the package that a module imports, anywhere in its code, for typing too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parents = name.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names] + [base]
        elif isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            continue
        yield from (target for target in targets if target in MODULES and target != name)


def import_graph() -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(MODULES)
    for name, path in MODULES.items():
        graph.add_edges_from((name, other) for other in imported(name, ast.parse(path.read_text())))
    return graph


def test_imports_have_no_cycle() -> None:
    cycles = [sorted(part) for part in nx.strongly_connected_components(import_graph())]
    assert not [part for part in cycles if len(part) > 1]


def test_a_cycle_would_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = {}
    for name, other in (("a", "b"), ("b", "a")):
        path = tmp_path / f"{name}.py"
        path.write_text(
            f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .{other} import x"
        )
        paths[f"graphmask.{name}"] = path
    monkeypatch.setitem(globals(), "MODULES", paths)
    with pytest.raises(AssertionError):
        test_imports_have_no_cycle()


def test_imports_stand_at_the_top_of_files() -> None:
    """But for the command line, which loads its commands and its optional packages when it runs."""
    inside = [
        f"{name}:{statement.lineno}"
        for name, path in MODULES.items()
        if name != "graphmask.cli"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for statement in ast.walk(function)
        if isinstance(statement, (ast.Import, ast.ImportFrom))
    ]
    assert not inside


def test_values_are_written_in_their_constructors() -> None:
    """No file writes to the `__dict__` of an object, or makes one without its constructor."""
    written = [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        if name != "graphmask._cached"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("__dict__", "__new__")
    ]
    assert not written
