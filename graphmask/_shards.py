"""Files of collated graphs, whose tensors are mapped into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.collate import collate

from ._atomic import replacing
from ._checks import type_error, value_error
from .extras import require

_CHUNK = 1 << 20


def save_shard(path: Path, graphs: Sequence[Data], first: int, plan: str) -> dict[str, Any]:
    """Write graphs, the first of them number ``first``; return what a manifest says of the file.

    Args:
        path: of the file.
        graphs: of equal attributes and types.
        first: the number of the first graph, for errors.
        plan: fingerprint of the preparation that the file belongs to.
    """
    # As bytes: its own function for files leaves hidden ones where the process is killed.
    save = require("safetensors.torch", extra="pretrained").save
    kinds = _kinds(graphs[0].to_dict(), first)
    for index, data in enumerate(graphs[1:], first + 1):
        check_alike(_kinds(data.to_dict(), index), kinds, index, first)
    data, slices, _ = collate(Data, list(graphs), increment=False, add_batch=False)
    tensors: dict[str, Tensor] = {}
    trees = [_split(value, tensors) for value in (data.to_dict(), slices or {})]
    # One entry: several would be in no particular order.
    header = json.dumps({"plan": plan, "trees": trees})
    with replacing(path) as aside:
        aside.write_bytes(save(tensors, {"graphmask": header}))
        entry = {"sha256": sha256(aside), "bytes": aside.stat().st_size}
    return {**entry, "graphs": len(graphs), "kinds": kinds}


def read_shard(path: Path, plan: str) -> tuple[Data, dict[str, Any]]:
    """Map the collated graphs of a file and their slices into memory."""
    safetensors = require("safetensors", extra="pretrained")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("graphmask", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except Exception as error:  # of several types, by version
        raise damaged(path, str(error)) from error
    if header is None or header["plan"] != plan:
        raise damaged(path, "it belongs to another preparation")
    data, slices = (_join(tree, tensors) for tree in header["trees"])
    return Data.from_dict(data), slices


def check_alike(kinds: dict[str, Any], known: dict[str, Any], index: int, other: int) -> None:
    """Raise a ValueError where the graphs of two numbers have other attributes or types."""
    differ = sorted(k for k in {*kinds, *known} if kinds.get(k) != known.get(k))
    if differ:
        expected = f"a function to data of equal attributes and types, as graph {other}"
        raise value_error("transform", expected, f"graph {index}, which differs in {differ}")


def check_size(path: Path, size: int) -> None:
    """Raise an error where a file is missing or has another size."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `prepare` again, which writes it")
    if path.stat().st_size != size:
        raise damaged(path, f"it has {path.stat().st_size:,} bytes, not {size:,}")


def damaged(path: Path, problem: str) -> ValueError:
    """The error for a damaged file."""
    return ValueError(f"{path} is damaged ({problem}): delete it and run `prepare` again")


def sha256(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _split(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree of plain values, with numbers in the place of tensors, which are collected."""
    if isinstance(value, Tensor):
        name = f"{len(tensors):04d}"
        tensors[name] = value.detach().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": {name: _split(item, tensors) for name, item in value.items()}}
    if isinstance(value, list):
        return {"list": [_split(item, tensors) for item in value]}
    return {"plain": value}


def _join(tree: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """Undo :func:`_split`."""
    ((kind, value),) = tree.items()
    if kind == "dict":
        return {name: _join(item, tensors) for name, item in value.items()}
    if kind == "list":
        return [_join(item, tensors) for item in value]
    return tensors[value] if kind == "tensor" else value


def _kinds(value: Any, index: int) -> Any:
    """The types of the attributes of a graph."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            expected = f"a function to data of dense tensors, numbers and texts (graph {index})"
            raise value_error("transform", expected, str(value.layout))
        return str(value.dtype)
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _kinds(item, index) for name, item in value.items()}
    if isinstance(value, list):
        return sorted({str(_kinds(item, index)) for item in value})
    if not isinstance(value, (bool, int, float, str, type(None))):
        expected = f"a function to data of tensors, numbers and texts (graph {index})"
        raise type_error("transform", expected, value)
    return type(value).__name__
