"""Saved ``Data`` and ``Batch`` of PyG, of which nothing but tensors is unpickled."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import AttrType, GlobalStorage

from ._formats import read_edges
from .topology import Topology

# Names of the weights of edges; PyG's `from_networkx` keeps that of networkx.
WEIGHTS = ("edge_weight", "edge_weights", "weight", "weights")


class _BatchMaker:
    """Replacement of PyG's ``DynamicInheritanceGetter``, whose instances torch does not call."""

    def __new__(cls) -> Callable[..., Batch]:  # type: ignore[misc]
        return _make_batch


def _make_batch(batch: type, base: type) -> Batch:
    if batch is not Batch or base is not Data:
        raise TypeError(f"a batch of {base.__name__}")
    return Batch(_base_cls=Data)


def _make_dict(*_: Any) -> dict[Any, Any]:
    """Replacement of ``defaultdict``, into which torch does not write."""
    return {}


@contextmanager
def _safe_globals() -> Iterator[None]:
    """Declare what a saved ``Data`` or ``Batch`` holds as safe, and nothing else afterwards."""
    before = torch.serialization.get_safe_globals()
    safe = {Batch, type(Batch()), Data, DataEdgeAttr, DataTensorAttr, GlobalStorage, AttrType}
    batch = "torch_geometric.data.batch.DynamicInheritanceGetter"
    makers: list[Any] = [_make_batch, (_BatchMaker, batch), (_make_dict, "collections.defaultdict")]
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([*{*before, *safe} - {defaultdict}, *makers])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def read_data(path: Path) -> Data:
    """Read a ``Data`` or a ``Batch``; its ``adj_t`` becomes ``edge_index``.

    Raises:
        ValueError: for other contents, and for sparse matrices whose indices are out of range.
    """
    expected = "it must be a PyG `Data` or `Batch` of tensors, saved by torch.save"
    try:
        # Products with sparse matrices whose indices are out of range end the process.
        with _safe_globals(), torch.sparse.check_sparse_tensor_invariants():
            data = torch.load(path, map_location="cpu", weights_only=True)
    # On damaged files torch fails with errors of many kinds.
    except Exception as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        problem = (
            f"an object of {unsafe[1]}, which is not unpickled"
            if unsafe
            else next(iter(str(error).splitlines()), type(error).__name__)
        )
        raise ValueError(f"{expected}, got {problem}") from error
    if not isinstance(data, Data):
        raise ValueError(f"{expected}, got {type(data).__name__}")
    # What PyG found out about the attributes, in the defaultdict that it was; it finds out again.
    vars(data._store).pop("_cached_attr", None)
    if data.edge_index is None and "adj_t" in data:
        Topology.from_data(data)
        data.edge_index, weight, data.num_nodes = read_edges(data.adj_t)
        if weight is not None:
            data.edge_weight = weight
        del data.adj_t
    names = [name for name in WEIGHTS if name in data]
    if len(names) == 1 and names[0] != "edge_weight" and data.is_edge_attr(names[0]):
        weight = data[names[0]]
        data.edge_weight = (weight if weight.is_floating_point() else weight.float()).view(-1)
    return data
