"""The part of a graph that a rank holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch_geometric import nn as pyg

from graphmask._checks import value_error
from graphmask._part import Part

from ._modules import modules_on_nodes
from ._ranks import Ranks, Rows, convolving, recompute
from .batch_norm import RanksBatchNorm

# Normalisations of PyG that read all nodes of a graph.
_READ_GRAPHS = (
    pyg.GraphNorm,
    pyg.InstanceNorm,
    pyg.PairNorm,
    pyg.GraphSizeNorm,
    pyg.MeanSubtractionNorm,
    pyg.DiffGroupNorm,
    pyg.LayerNorm,
)


class Halo:
    """The nodes whose features a rank receives from their owners, and those that it sends.

    Args:
        ranks: the processes.
        wanted: ``[h]``, rising positions of nodes of other ranks.
        starts: ``[P + 1]``, the first position of each rank, and the number of nodes.

    The plan is made by asking: each rank tells all others which of their nodes it reads, so that
    directed graphs are served like others.
    """

    def __init__(self, ranks: Ranks, wanted: Tensor, starts: Tensor) -> None:
        self.ranks = ranks
        cuts = torch.searchsorted(wanted, starts)
        counts = cuts.diff()
        asked = ranks.exchange(counts, [1] * ranks.size, [1] * ranks.size)
        self.receive, self.send = counts.tolist(), asked.tolist()
        sent = ranks.exchange(wanted, self.receive, self.send)
        self.index = sent - starts[ranks.rank]

    def __call__(self, x: Tensor) -> Tensor:
        """``[n, ...] -> [h, ...]``, the features of the nodes wanted."""
        return self.ranks.exchange(x[self.index], self.send, self.receive)

    def to(self, device: Any) -> Halo:
        """The same plan on another device."""
        return _MovedHalo(self, device)


class _MovedHalo(Halo):
    def __init__(self, halo: Halo, device: Any) -> None:
        self.ranks, self.receive, self.send = halo.ranks, halo.receive, halo.send
        self.index = halo.index.to(device)


@dataclass(frozen=True, eq=False)
class RankPart(Part):
    """The own nodes of a rank within the nodes of its topology.

    Nodes of the topology come in this order: copies of lower position than own nodes, own nodes,
    copies of higher position, and nodes of which nothing but their edges is known.

    Args:
        ranks: the processes.
        halo: the plan for copies.
        first: the first own node.
        count: own nodes.
        num_nodes: of the topology.
        hops: how many hops away from own nodes edges and copies are complete.
        nodes: ``[count]``, ids of own nodes in the whole graph.
        total: nodes of the whole graph.
        most: nodes of the largest topology of all ranks.
        recomputes: whether blocks of models keep their inputs alone.
        is_gathered: whether features of copies are at hand.
    """

    ranks: Ranks
    halo: Halo
    first: int
    count: int
    num_nodes: int
    hops: int
    nodes: Tensor
    total: int
    most: int
    recomputes: bool = False
    is_gathered: bool = False

    is_whole = False

    def count_rows(self, num_nodes: int) -> int:
        return num_nodes if self.is_gathered else self.count

    def gather(self, x: Tensor) -> Tensor:
        if self.is_gathered:
            return x
        if len(x) != self.count:
            raise value_error("x", f"of shape [n, C] with n = {self.count} (own nodes)", x)
        before, after = self.halo(x).split([self.first, sum(self.halo.receive) - self.first])
        rest = self.num_nodes - len(before) - len(x) - len(after)
        return torch.cat([before, x, after, x.new_zeros(rest, *x.shape[1:])])

    def renew(self, x: Tensor) -> Tensor:
        return replace(self, is_gathered=False).gather(self.own(x))

    @property
    def gathered(self) -> Part:
        return self if self.is_gathered else replace(self, is_gathered=True)

    def release(self, x: Tensor) -> Tensor:
        return x if self.is_gathered else self.own(x)

    def run(self, block: Callable[..., Tensor], x: Tensor, topology: Any) -> Tensor:
        if self.recomputes and torch.is_grad_enabled():
            return recompute(block, x, topology)
        return block(x, topology)

    def convolve(self, conv: Any, x: Tensor, edges: Any, topology: Any, **arguments: Any) -> Tensor:
        if not any(isinstance(layer, RanksBatchNorm) for layer in conv.modules()):
            return conv(x, edges, **arguments)
        num_edges = topology.edge_index.shape[1]
        with convolving(Rows(self.first, self.count, self.num_nodes, num_edges)):
            return conv(x, edges, **arguments)

    def own(self, x: Tensor, dim: int = 0) -> Tensor:
        return x.narrow(dim, self.first, self.count)

    def sum(self, x: Tensor) -> Tensor:
        return self.ranks.sum(x)

    def max(self, x: Tensor) -> Tensor:
        return self.ranks.max(x)

    def largest(self, num_nodes: int) -> int:
        return self.most

    @torch.compiler.disable
    def check_hops(self, name: str, value: Any, hops: int | None) -> None:
        if hops is None:
            expected = (
                "what a graph over ranks can run: GlobalMask, WalkMask, PowerSeriesMask, "
                "ShortestPathMask, DegreeMask, FourierMask, RFDMask, their sums, multiples, "
                "entrywise products and heads side by side, and convolutions along edges"
            )
            raise value_error(name, expected, f"{value!r}, which reads a graph as a whole")
        if hops > self.hops:
            expected = f"to read at most {self.hops} hops: open_shard(folder, hops={hops}) has more"
            raise value_error(name, expected, repr(value))

    @torch.compiler.disable
    def check_modules(self, module: Any) -> None:
        for layer in modules_on_nodes(module):
            is_batch_norm = isinstance(layer, _BatchNorm) and not isinstance(layer, RanksBatchNorm)
            if is_batch_norm and _reads_rows(layer) and self.ranks.size > 1:
                expected = "over all ranks: model = graphmask.distributed.sync_batch_norm(model)"
                raise value_error("batch normalisation", expected, repr(layer))
            if isinstance(layer, RanksBatchNorm) and _reads_rows(layer) and not layer.replicated:
                layer.check_ranks(self.ranks)
            if isinstance(layer, _READ_GRAPHS) and getattr(layer, "mode", "graph") == "graph":
                expected = "of each node, or a batch normalisation, for a graph over ranks"
                raise value_error("normalisation", expected, repr(layer))

    @torch.compiler.disable
    def check_model(self, module: Any, x: Tensor) -> None:
        text = f"{_describe(module)} {x.dtype} {list(x.shape[1:])}"
        digest = hashlib.sha256(text.encode()).digest()
        number = torch.tensor([int.from_bytes(digest[:7], "little")], device=self.nodes.device)
        numbers = self.ranks.gather_numbers(number)
        if bool((numbers != number).any()):
            expected = "the same on all ranks, in settings, sizes and mode, for x of one type"
            found = f"on rank {self.ranks.rank} {module!r} for x of {x.dtype} {list(x.shape)}"
            raise value_error("model", expected, found)

    def to(self, device: Any) -> RankPart:
        return replace(self, halo=self.halo.to(device), nodes=self.nodes.to(device))


def _reads_rows(norm: Any) -> bool:
    """Return True if a batch normalisation takes the statistics of its input."""
    return norm.training or norm.running_mean is None


def _describe(module: nn.Module) -> str:
    """A model in words, without the values of its parameters."""
    shapes = {name: tuple(x.shape) for name, x in module.named_parameters()}
    return f"{module!r} {shapes} {module.training} {torch.is_grad_enabled()}"
