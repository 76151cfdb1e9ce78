"""The implementations whose cost is measured; to add one, extend IMPLEMENTATIONS.

All have 64 channels in 4 heads of 16, and all run on the same graph. Masks reach 8 hops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch_geometric.nn import GPSConv, TransformerConv
from torch_geometric.nn.attention import PerformerAttention

from graphmask._console import find_named
from graphmask.attention import attention
from graphmask.masks import GlobalMask, GRFMask, PowerSeriesMask, TopologicalMask, WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.operators import Execution
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks

from .graphs import CHANNELS, HEADS, Problem


class Workload(NamedTuple):
    """A call, the leaves that its backward pass differentiates by, and the size of its mask.

    ``entries`` counts what the mask stores, ``multiply_adds`` those of its product with one column.
    """

    call: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]
    entries: int | None = None
    multiply_adds: float | None = None
    step: Callable[[], object] | None = None  # a whole training step, where that is compared


@dataclass(frozen=True)
class Implementation(ABC):
    """An attention whose cost is measured, with a description in one line.

    Instances are sent to worker processes and must be picklable: module-level classes and functions
    only. ``library`` is the one that ships it.
    """

    name: str
    about: str

    library: ClassVar[str] = "graphmask"

    def make_problem(
        self, num_nodes: int, seed: int, device: str, make: Callable[[int, int, str], Problem]
    ) -> Problem:
        """Build the graph and its features by ``make``; override it for another kind of graph."""
        return make(num_nodes, seed, device)

    def prepare(self, problem: Problem) -> Any:
        """Build what is built once per graph, such as walks; timed apart from the calls."""
        return None

    @abstractmethod
    def build(self, problem: Problem, prepared: Any) -> Workload:
        """Build the call to be measured from the result of :meth:`prepare`."""


def count_walk_entries(topology: Topology) -> int:
    """Count the stored entries of all sets of walks."""
    return sum(walks.pattern.nnz for walks in topology.walk_sets)


def _none(_: object) -> None:
    return None


@dataclass(frozen=True)
class MaskedAttention(Implementation):
    """:func:`graphmask.attention` of queries, keys and values.

    The mask's values are computed in every call; ``entries`` counts what it stores.
    """

    mask: Callable[[], TopologicalMask]
    entries: Callable[[Topology], int | None] = count_walk_entries
    execution: Execution | None = None

    def prepare(self, problem: Problem) -> Topology:
        return self.mask().prepare(Topology(problem.edge_index, problem.num_nodes))

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        mask, qkv = self.mask().to(problem.device), problem.qkv
        return Workload(
            lambda: attention(*qkv, mask(prepared), execution=self.execution),
            (*qkv, *mask.parameters()),
            self.entries(prepared),
        )


class MaskedLayer(MaskedAttention):
    """:class:`graphmask.nn.TopologicalAttention`: attention with its projections."""

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        layer = TopologicalAttention(CHANNELS, HEADS, self.mask()).to(problem.device)
        leaves = (problem.x, *layer.parameters())
        return Workload(lambda: layer(problem.x, prepared), leaves, self.entries(prepared))


@dataclass(frozen=True)
class Layer(Implementation):
    """A layer, by default of PyG; ``run(layer, problem)`` calls it."""

    make: Callable[[], nn.Module]
    run: Callable[[nn.Module, Any], Tensor]
    entries: Callable[[Problem], int | None] = _none

    library = "PyG"

    def build(self, problem: Problem, prepared: None) -> Workload:
        layer = self.make().to(problem.device)
        leaves = (problem.x, *layer.parameters())
        return Workload(lambda: self.run(layer, problem), leaves, self.entries(problem))


@dataclass(frozen=True)
class SoftmaxAttention(Implementation):
    """torch's softmax attention between all nodes, plus ``bias(problem)``, ``[N, N]`` or None."""

    bias: Callable[[Problem], Tensor | None]

    library = "torch"

    def prepare(self, problem: Problem) -> Tensor | None:
        return self.bias(problem)

    def build(self, problem: Problem, prepared: Tensor | None) -> Workload:
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in problem.qkv)
        attend = partial(scaled_dot_product_attention, q, k, v, attn_mask=prepared)
        return Workload(attend, problem.qkv, None if prepared is None else prepared.numel())


def differentiate(work: Workload) -> tuple[Tensor | None, ...]:
    """Run forward and backward, with ones for the gradient of the output; or the whole step."""
    if work.step is not None:
        work.step()
        return ()
    out = work.call()
    # Leaves that a layer creates and never uses have no gradient.
    return torch.autograd.grad(out, work.leaves, torch.ones_like(out), allow_unused=True)


_count_edges = attrgetter("num_edges")


def _minus_distance(problem: Problem) -> Tensor:
    # One bias for all heads and not learned, which favours this peer: learned biases keep several
    # such matrices.
    return torch.cdist(problem.pos, problem.pos).neg_()


def _on_edges(layer: nn.Module, problem: Problem) -> Tensor:
    return layer(problem.x, problem.edge_index)


def _as_one_batch(layer: nn.Module, problem: Problem) -> Tensor:
    return layer(problem.x.unsqueeze(0))


# Two factors of 4 hops reach as far as 8 hops do.
WALK = partial(WalkMask, hops=8, heads=HEADS, sampler=ResampledWalks(budget=64, hops=8))
_GRF = partial(GRFMask, hops=4, heads=HEADS, sampler=ResampledWalks(budget=16, hops=4))
_SERIES = partial(PowerSeriesMask, hops=8, heads=HEADS)
_PERFORMER = partial(PerformerAttention, CHANNELS, HEADS, head_channels=CHANNELS // HEADS)
_PERFORMER_ABOUT = "PerformerAttention(64, 4, head_channels=16), unmasked"
_CONV = partial(TransformerConv, CHANNELS, CHANNELS // HEADS, heads=HEADS)
_CONV_ABOUT = "TransformerConv(64, 16, heads=4), one hop"
GPS = partial(GPSConv, CHANNELS, None, heads=HEADS, attn_type="multihead")
GPS_ABOUT = "GPSConv(64, None, heads=4, attn_type='multihead')"
_BIAS_ABOUT = "scaled_dot_product_attention plus a dense bias [N, N]"


def _attention_and_layer(
    name: str,
    about: str,
    mask: Callable[[], TopologicalMask],
    entries: Callable[[Topology], int | None] = count_walk_entries,
) -> tuple[Implementation, Implementation]:
    layer = f"TopologicalAttention(64, 4) under {about}"
    return (
        MaskedAttention(name, f"attention under {about}", mask, entries),
        MaskedLayer(f"{name}-layer", layer, mask, entries),
    )


IMPLEMENTATIONS: tuple[Implementation, ...] = (
    *_attention_and_layer("global", "GlobalMask, unmasked and linear", GlobalMask, _none),
    *_attention_and_layer("walk", "WalkMask on resampled walks, about 64 entries per node", WALK),
    *_attention_and_layer("grf", "GRFMask, two factors of resampled walks", _GRF),
    *_attention_and_layer("power-series", "PowerSeriesMask of 8 hops", _SERIES, _count_edges),
    Layer("performer", _PERFORMER_ABOUT, _PERFORMER, _as_one_batch),
    Layer("gps", f"{GPS_ABOUT}, unmasked", GPS, _on_edges),
    Layer("transformer-conv", _CONV_ABOUT, _CONV, _on_edges, _count_edges),
    SoftmaxAttention("sdpa", "scaled_dot_product_attention, unmasked", _none),
    SoftmaxAttention("sdpa-bias", _BIAS_ABOUT, _minus_distance),
)


def find_implementations(names: Sequence[str]) -> tuple[Implementation, ...]:
    """Select implementations by name, in the order of the names.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.

    Example:
        >>> from graphmask.benchmark import find_implementations
        >>> [implementation.library for implementation in find_implementations(["sdpa", "walk"])]
        ['torch', 'graphmask']
    """
    return find_named("implementations", names, IMPLEMENTATIONS)
