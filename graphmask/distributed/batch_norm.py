"""Batch normalisation over the nodes of all ranks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch_geometric.nn import BatchNorm

from graphmask._checks import type_error, value_error

from ._modules import children_on_nodes
from ._ranks import Processes, Ranks, current_turn, is_recomputing, rows_of_convolution


class RanksBatchNorm(nn.BatchNorm1d):
    """``BatchNorm1d`` whose mean and variance are those of the rows of all ranks.

    In inference it is the same as ``BatchNorm1d``, and so are names and shapes of its state.
    :func:`sync_batch_norm` puts it into a model.

    Torch's ``SyncBatchNorm`` runs on accelerators alone.
    """

    group: dist.ProcessGroup | None = None
    replicated = False  # whether rows are those of all ranks already, behind a pool
    allow_single = False  # whether a single row is normalised as in evaluation, as PyG may do

    def forward(self, input: Tensor) -> Tensor:
        """``[n, C] -> [n, C]``, rows of this rank.

        Within a convolution copies are normalised as their owners normalise them.
        """
        if not (self.training or self.running_mean is None):
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        ranks = current_turn() or Processes(self.group)
        rows = None if self.replicated else rows_of_convolution()
        own = x if rows is None else rows.own(x)
        add = nn.Identity() if self.replicated else ranks.sum
        sums = add(torch.cat([own.sum(0), own.new_tensor([len(own)])]))
        count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        if float(count) < 2:
            if self.allow_single and self.running_mean is not None:
                return self._as_in_evaluation(input)
            raise value_error("x", "of two rows at least, over all ranks", input)
        var = add((own - mean).square().sum(0)) / count
        updates = self.training and self.running_mean is not None
        if updates and ranks.writes and not is_recomputing():
            self._update(mean.detach(), var.detach() * (count / (count - 1)))
        out = (x - mean) * (var + self.eps).rsqrt()
        if self.affine:
            out = out * self.weight + self.bias
        return out.to(input.dtype)

    def unsynced(self) -> nn.BatchNorm1d:
        """The module that this one took the place of, with the same weights."""
        options = self.eps, self.momentum, self.affine, self.track_running_stats
        out = nn.BatchNorm1d(self.num_features, *options)
        _share(self, out)
        return out.train(self.training)

    def __deepcopy__(self, memo: dict[int, Any]) -> RanksBatchNorm:
        # The weights are copied; processes are not.
        out = _of(deepcopy(self.unsynced(), memo), self.group, self.replicated)
        out.allow_single = self.allow_single
        return out

    def check_ranks(self, ranks: Ranks) -> None:
        """Check that rows are summed over the ranks that share a graph.

        Raises:
            ValueError: for another group.
        """
        if isinstance(ranks, Processes) and ranks.members != Processes(self.group).members:
            expected = "over the group of open_shard: sync_batch_norm(model, group)"
            raise value_error("batch normalisation", expected, repr(self))

    def _as_in_evaluation(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if share is None else share
        assert share is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)


def sync_batch_norm(model: nn.Module, group: dist.ProcessGroup | None = None) -> nn.Module:
    """Replace each ``BatchNorm1d`` by one over the nodes of all ranks.

    Those behind a pool read graphs, the same on all ranks, and give what they gave before.

    Args:
        model: changed in place; its parameters and their names stay.
        group: the processes that share a graph. (default: :obj:`None`, all)

    Returns:
        The model, or what takes its place.

    Example:
        >>> import graphmask as gm
        >>> model = gm.nn.TopologicalTransformer(3, 8, 2, 1, 2, gm.masks.GlobalMask())
        >>> gm.distributed.sync_batch_norm(model) is model
        True
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a module", model)
    return _convert(model, group, replicated=False)


def _convert(module: Any, group: dist.ProcessGroup | None, replicated: bool) -> Any:
    if type(module) in (nn.BatchNorm1d, RanksBatchNorm):
        return _of(module, group, replicated)
    on_nodes = {name for name, _ in children_on_nodes(module)}
    for name, child in module.named_children():
        setattr(module, name, _convert(child, group, replicated or name not in on_nodes))
    if isinstance(module, BatchNorm) and module.allow_single_element and not replicated:
        # How many rows there are is known to all ranks together.
        module.allow_single_element, module.module.allow_single = False, True
    return module


def _of(norm: nn.BatchNorm1d, group: dist.ProcessGroup | None, replicated: bool) -> RanksBatchNorm:
    options = norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    out = RanksBatchNorm(norm.num_features, *options)
    out.group, out.replicated = group, replicated
    out.allow_single = getattr(norm, "allow_single", False)
    _share(norm, out)
    return out.train(norm.training)


def _share(norm: nn.BatchNorm1d, out: nn.BatchNorm1d) -> None:
    """Give a module the weights of another."""
    if norm.affine:
        out.weight, out.bias = norm.weight, norm.bias
    if norm.track_running_stats:
        out.running_mean, out.running_var = norm.running_mean, norm.running_var
        out.num_batches_tracked = norm.num_batches_tracked
