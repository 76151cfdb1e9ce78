"""Means over all nodes of a graph, and outputs of all ranks in one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphmask._checks import type_error, value_error
from graphmask.kernels.products import accumulator
from graphmask.topology import Topology

from ._part import RankPart


def mean(total: Tensor, count: Tensor | int, topology: Topology) -> Tensor:
    r"""The mean of a loss over the nodes of a graph that ranks share.

    .. math:: \frac{\sum_r \text{total}_r}{\sum_r \text{count}_r}

    All ranks get the same number. Its gradient is that of P times the own terms of each of the P
    ranks, so that the average over ranks, which ``DistributedDataParallel`` takes, is the gradient
    of the mean.

    Losses of graphs, behind a pool, need no such mean: outputs are the same on all ranks, and so is
    any loss of them.

    Args:
        total: the sum of the losses of own nodes, a number.
        count: how many these are; it may be 0 on some ranks.
        topology: that the model was given.

    Raises:
        TypeError: for anything but a topology.
        ValueError: for more than one number.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch.nn.functional import mse_loss
        >>> path = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> x, y = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])
        >>> gm.distributed.mean(mse_loss(x, y, reduction="sum"), 2, path)
        tensor(2.)
    """
    if not isinstance(total, Tensor) or total.numel() != 1:
        raise value_error("total", "a tensor of one number, a sum of losses", total)
    count = torch.as_tensor(count, device=total.device)
    if count.numel() != 1:
        raise value_error("count", "a number", count)
    part = _part_of(topology)
    # Half precision does not count far.
    wide = accumulator(total) if total.is_floating_point() else torch.get_default_dtype()
    sum_, count = total.to(wide), count.to(wide).reshape(())
    if not isinstance(part, RankPart):
        return (sum_ / count).to(total.dtype if total.is_floating_point() else wide)
    sums = part.ranks.sum(torch.stack([sum_.detach().reshape(()), count]))
    share = sum_ * (part.ranks.size / sums[1])
    out = share + (sums[0] / sums[1] - share).detach()
    return out.to(total.dtype if total.is_floating_point() else wide)


def collect(rows: Tensor, topology: Topology) -> Tensor:
    """Rows of all nodes of a graph, in their order before it was cut, on every rank.

    Args:
        rows: ``[n, ...]``, of own nodes.
        topology: that of the shard.

    Returns:
        ``[N, ...]``, without a gradient.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> gm.distributed.collect(torch.eye(2), path).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if not isinstance(rows, Tensor):
        raise type_error("rows", "a tensor of one row per own node", rows)
    part: Any = _part_of(topology)
    if rows.shape[:1] != (topology.num_rows,):
        expected = f"of shape [n, ...] with n = {topology.num_rows} (own nodes)"
        raise value_error("rows", expected, rows)
    rows = rows.detach()
    if part.is_whole:
        return rows
    out = rows.new_empty(part.total, *rows.shape[1:])
    for nodes, values in zip(*_of_all_ranks(part, rows), strict=True):
        out[nodes] = values
    return out


def _of_all_ranks(part: RankPart, rows: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Ids and rows of the own nodes of each rank."""
    ranks, sizes = part.ranks, part.ranks.gather_numbers(part.nodes.new_tensor([part.count]))
    counts = sizes.flatten().tolist()
    sent = [part.count] * ranks.size
    gathered = []
    for x in (part.nodes, rows):
        # As bytes, since backends do not send all types.
        data = x.unsqueeze(-1).flatten(1).contiguous().view(torch.uint8)
        received = ranks.exchange(data.repeat(ranks.size, 1), sent, counts)
        rows_of_all = received.flatten().view(x.dtype).view(len(received), *x.shape[1:])
        gathered.append(list(rows_of_all.split(counts)))
    return gathered[0], gathered[1]


def _part_of(topology: Any) -> Any:
    if not isinstance(topology, Topology):
        raise type_error("topology", "the Topology of a shard", topology)
    return topology.part
