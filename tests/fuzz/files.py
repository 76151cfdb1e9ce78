"""Readers give what a file holds, or an error that names it: never another, a hang or a crash."""

from __future__ import annotations

import io
import re
import resource
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import dataset_files
import numpy as np
import torch
from rdkit import RDLogger
from torch_geometric.data import Data

from .campaign import Draw
from .mutations import mutate, mutate_arrays
from .valid_files import readers

CASES = 4_000
RDLogger.DisableLog("rdApp.*")
_SECONDS = 20
_MEMORY = 4 * 2**30  # more than is in use
_ERRORS = (ValueError, TypeError, OSError)


def case(seed: int) -> None:
    draw = Draw("files", seed)
    name = draw.choice(readers())
    reader = readers()[name]
    with tempfile.TemporaryDirectory() as folder:
        root, marker = Path(folder) / "root", Path(folder) / "executed"
        for path, content in reader.files.items():
            dataset_files.write(root / path, content)
        target = draw.choice(reader.files)
        kind = _mutate_file(draw, root / target, reader.files[target], str(marker))
        law = f"{name}, {kind} in {target}"
        try:
            with _limits(), redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = list(reader.read(root))
        except _ERRORS as error:
            # One of its files, or their folder. A network is no part of reading a file.
            names = [str(root), *(Path(path).name for path in reader.files)]
            named = any(name in str(error) for name in names)
            if not named or isinstance(error, ConnectionError):
                text = f"{type(error).__name__}: {error}"
                raise AssertionError(f"{law}: the error does not name the file: {text}") from error
        except Exception as error:
            raise AssertionError(f"{law}: {type(error).__name__}: {error}") from error
        else:
            for data in results:
                _check(data, law)
            if name.startswith(("graph-", "shape-")):
                _look(root / target, results[0], law)
        finally:
            if marker.exists():
                raise AssertionError(f"{law}: the content of the file was executed")


def _mutate_file(draw: Draw, path: Path, content: Any, marker: str) -> str:
    if isinstance(content, dict) and path.suffix in (".npz", ".h5") and draw.chance(0.6):
        kind, arrays = mutate_arrays(draw, content, marker)
        if path.suffix == ".npz" or not any(x.dtype.kind in "OUc" for x in arrays.values()):
            path.unlink()
            dataset_files.write(path, arrays)
            return kind
    kind, mutated = mutate(draw, path.read_bytes(), marker)
    path.write_bytes(mutated)
    return kind


@contextmanager
def _limits() -> Iterator[None]:
    """An error after some seconds, or beyond some memory."""

    def stop(*_: object) -> None:
        raise RuntimeError(f"reading took more than {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    memory = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, memory[1]))
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, memory)


def _check(data: Data, law: str) -> None:
    """Indices are those of nodes, and weights and positions finite."""
    n = int(data.num_nodes)
    for key, value in data:
        if not isinstance(value, torch.Tensor) or value.is_sparse or not value.numel():
            continue
        if key in ("edge_index", "face") and (value.min() < 0 or value.max() >= n):
            ends = f"{int(value.min())} to {int(value.max())}"
            raise AssertionError(f"{law}: `{key}` names nodes {ends} of {n}")
        # Targets are NaN where a cell is empty, and features may be.
        wrong = ~value.isfinite() if key in ("pos", "edge_weight") else value.isinf() & (key != "x")
        if wrong.any():
            raise AssertionError(f"{law}: `{key}` is not finite")
    weight = data.get("edge_weight")
    if weight is not None and len(weight) != data.num_edges:
        raise AssertionError(f"{law}: {len(weight)} weights of {data.num_edges} edges")


def _look(path: Path, data: Data, law: str) -> None:
    """Compare counts with those of an independent look, where the file is plain enough for one."""
    if path.suffix == ".npy":
        expected, actual = np.load(path).shape[0], data.num_nodes
    elif (lines := _lines(path)) is None:
        return
    elif path.suffix in (".xyz", ".pts"):
        expected, actual = len(lines) - (len(lines[0].split()) == 1), data.num_nodes
    elif path.suffix == ".obj":
        expected, actual = sum(line.split()[0] == "v" for line in lines), data.num_nodes
    elif path.suffix in (".edgelist", ".tsv", ".csv", ".txt"):
        rows = [re.split(r"[,;\t]|\s+", line.strip()) for line in lines]
        cells = [cell for row in rows for cell in row]
        if len({len(row) for row in rows}) > 1 or any(
            not cell or set(cell) & set('"{') for cell in cells
        ):
            return
        # A heading is a row of words above rows with numbers.
        numbers = [any(cell.isdigit() for cell in row[:2]) for row in rows]
        if any(numbers) and not all(numbers):
            if numbers[0] or not all(numbers[1:]):
                return
            rows = rows[1:]
        expected = len({tuple(sorted(row[:2])) for row in rows})
        actual = len({tuple(sorted(pair)) for pair in data.edge_index.T.tolist()})
    else:
        return
    if expected != actual:
        raise AssertionError(f"{law}: {actual} read, an independent look counts {expected}")


def _lines(path: Path) -> list[str] | None:
    """Lines that are neither empty nor comments, of a text that leaves no doubt about its lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith(("#", "%", "//"))]
    return (
        lines
        if lines
        and "\0" not in text
        and len(text.splitlines()) == len(text.rstrip("\n").split("\n"))
        else None
    )
