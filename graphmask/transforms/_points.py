"""Checks of coordinates, batch vectors and periodic boxes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from graphmask._checks import check_finite, describe, type_error, value_error
from graphmask._precision import double_dtype, to_double

Period: TypeAlias = float | Sequence[float] | Tensor | None


def check_pos(pos: Tensor) -> None:
    """Check that coordinates are finite, ``[N, D]`` with D >= 1, and float32 or float64."""
    if not isinstance(pos, Tensor):
        raise type_error("pos", "a tensor [N, D]", pos)
    if pos.dtype not in (torch.float32, torch.float64):
        raise value_error("pos", "float32 or float64 (convert with pos.float())", pos)
    if pos.dim() != 2 or pos.size(1) == 0:
        raise value_error("pos", "a tensor [N, D] with D >= 1", pos)
    check_finite("pos", pos)


def positions(data: Data) -> Tensor:
    """Return the checked ``data.pos``."""
    if not isinstance(data, Data):
        raise type_error("data", "a torch_geometric.data.Data", data)
    if data.pos is None:
        expected = "set: give the data its point coordinates, data.pos of shape [N, D]"
        raise value_error("pos", expected, f"{data} without it")
    check_pos(data.pos)
    return data.pos


def check_without_edges(data: Data) -> None:
    """Check that no graph has been built on the points yet."""
    for key in ("edge_index", "adj", "adj_t", "face"):
        if key in data:
            expected = "points only: apply this before building the graph, or delete"
            raise value_error("data", expected, f"`{key}`")


def keep_points(data: Data, nodes: Tensor) -> Data:
    """Return the points ``nodes`` of data without edges, with every attribute that has a row each.

    Tensors, arrays and lists alike, whatever their name.
    """
    kept, size = copy.copy(data), data.num_nodes
    for key, value in data:
        if key == "num_nodes":
            kept.num_nodes = len(nodes)
        elif isinstance(value, (list, tuple)) and len(value) == size:
            kept[key] = [value[node] for node in nodes.tolist()]
        elif isinstance(value, (Tensor, np.ndarray)):
            # Along the axis that batches are joined along, if that is the one of the points.
            joined = data.__cat_dim__(key, value)
            axes = (joined, 0) if value.ndim and isinstance(joined, int) else ()
            axis = next((axis for axis in axes if value.shape[axis] == size), None)
            if axis is not None:
                rows = nodes.to(value.device) if isinstance(value, Tensor) else nodes.cpu().numpy()
                kept[key] = value[(slice(None),) * (axis % value.ndim) + (rows,)]
    return kept


def is_of_nodes(data: Data, key: str) -> bool:
    """Tell if an attribute has a row for each node: PyG's rule, by size, and then by name.

    Without edges there are no attributes of edges, whatever they are called.
    """
    value = data[key]
    if data.edge_index is None and isinstance(value, Tensor) and "index" not in key:
        return value.dim() > 0 and value.size(0) == data.num_nodes
    return bool(data.is_node_attr(key))


def graph_numbers(pos: Tensor, batch: Tensor | None) -> Tensor:
    """Return the graph of each point, renumbered to 0 ... B - 1 without gaps."""
    if batch is None:
        return torch.zeros(pos.size(0), dtype=torch.long, device=pos.device)
    if not isinstance(batch, Tensor):
        raise type_error("batch", "a tensor [N] of graph numbers", batch)
    if batch.shape != pos.shape[:1] or batch.is_floating_point() or batch.dtype == torch.bool:
        raise value_error("batch", f"integers of shape [{pos.size(0)}]", batch)
    if batch.device != pos.device:
        raise value_error("batch", f"on the device of pos, {pos.device}", str(batch.device))
    if (batch < 0).any():
        raise value_error("batch", "non-negative", f"a graph number {int(batch.min())}")
    return batch.unique(return_inverse=True)[1]


def centred(pos: Tensor, graph: Tensor) -> Tensor:
    """``[N, D]``, in float64, the points about the mean of their graph.

    From a corner first: the mean of coinciding points, rounded, is not always the point.
    """
    pos = to_double(pos)
    pos = pos - scatter(pos.detach(), graph, reduce="min")[graph]
    return pos - scatter(pos, graph, reduce="mean")[graph]


def box_lengths(period: Period, dim: int) -> Tensor:
    """Return the lengths ``[D]`` of the periodic box, infinite along open axes."""
    length = math.inf if period is None else period
    lengths = torch.as_tensor(length, dtype=double_dtype(), device="cpu")
    if lengths.shape not in ((), (dim,)):
        raise value_error("period", f"one length or D = {dim} lengths", period)
    if not (lengths > 0).all():
        raise value_error("period", "positive", period)
    return lengths.expand(dim)


def minimal_image(gap: Tensor, period: float) -> Tensor:
    """Return the shortest of the displacements ``gap + n * period`` over the integers n."""
    return gap if math.isinf(period) else gap - period * (gap.detach() / period).round()


def check_length(name: str, value: float) -> float:
    """Check that a number is positive and finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise type_error(name, "a number", value)
    if not 0 < value < math.inf:
        raise value_error(name, "positive and finite", describe(value))
    return value
