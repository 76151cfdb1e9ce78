"""Who is compared: what each makes once per graph, and what it does in every call.

To add one, extend CONTENDERS.

All have 64 channels in 4 heads of 16, and all see the same graph. Masks reach 8 hops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

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

from .problem import CHANNELS, HEADS, Problem, near_sphere_graph, sphere_graph


class Workload(NamedTuple):
    """One call, the leaves its backward pass differentiates by, and what is known of its mask.

    ``entries`` counts what the mask stores, ``multiply_adds`` those of its product with one column,
    by its definition.
    """

    call: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]
    entries: int | None = None
    multiply_adds: float | None = None


class Contender(ABC):
    """Something whose cost is measured.

    Instances travel to a process of their own, so that they must be picklable: module-level classes
    and functions only.

    Attributes:
        name: as in tables and on the command line.
        about: what runs, in one line.
        library: who ships it.
    """

    name: str
    about: str
    library: str

    def pose(self, nodes: int, seed: int, device: str, reorder: bool = False) -> Problem:
        """The graph and its features.

        The same for all, but for those that need a graph of another kind.
        """
        return Problem(nodes, seed, device, near_sphere_graph if reorder else sphere_graph)

    @abstractmethod
    def prepare(self, problem: Problem) -> Any:
        """What is made once per graph, such as walks, or :obj:`None`.

        Timed apart from the calls.
        """

    @abstractmethod
    def build(self, problem: Problem, prepared: Any) -> Workload:
        """The call to be measured, given what ``prepare`` made."""


@dataclass(frozen=True)
class _Masked(Contender):
    """A mask of this library; ``entries`` counts what it stores."""

    name: str
    about: str
    mask: Callable[[], TopologicalMask]
    entries: Callable[[Topology], int | None]
    library: str = "graphmask"

    def prepare(self, problem: Problem) -> Topology:
        """The topology, with walks where the mask reads them."""
        return self.mask().prepare(Topology(problem.edge_index, problem.num_nodes))


@dataclass(frozen=True)
class MaskedAttention(_Masked):
    """:func:`graphmask.attention` of given queries, keys and values.

    The mask's values are made in every call.
    """

    execution: Execution | None = None

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        """From q, k, v to the attended values."""
        mask, qkv = self.mask().to(problem.device), problem.qkv
        leaves = (*qkv, *mask.parameters())
        return Workload(
            lambda: attention(*qkv, mask(prepared), execution=self.execution),
            leaves,
            self.entries(prepared),
        )


class MaskedLayer(_Masked):
    """:class:`graphmask.nn.TopologicalAttention`: attention with its projections."""

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        """From features to features."""
        layer = TopologicalAttention(CHANNELS, HEADS, self.mask()).to(problem.device)
        leaves = (problem.x, *layer.parameters())
        return Workload(lambda: layer(problem.x, prepared), leaves, self.entries(prepared))


@dataclass(frozen=True)
class PeerLayer(Contender):
    """A PyG layer; ``run(layer, problem)`` calls it."""

    name: str
    about: str
    make: Callable[[], nn.Module]
    run: Callable[[nn.Module, Problem], Tensor]
    entries: Callable[[Problem], int | None]
    library: str = "PyG"

    def prepare(self, problem: Problem) -> None:
        """Nothing."""

    def build(self, problem: Problem, prepared: None) -> Workload:
        """From features to features."""
        layer = self.make().to(problem.device)
        return Workload(
            lambda: self.run(layer, problem),
            (problem.x, *layer.parameters()),
            self.entries(problem),
        )


@dataclass(frozen=True)
class SoftmaxAttention(Contender):
    """torch's softmax attention between all nodes, plus ``bias(problem)``, ``[N, N]`` or :obj:`None`."""

    name: str
    about: str
    bias: Callable[[Problem], Tensor | None]
    library: str = "torch"

    def prepare(self, problem: Problem) -> Tensor | None:
        """The bias."""
        return self.bias(problem)

    def build(self, problem: Problem, prepared: Tensor | None) -> Workload:
        """From q, k, v to the attended values."""
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in problem.qkv)
        entries = None if prepared is None else prepared.numel()
        return Workload(
            lambda: scaled_dot_product_attention(q, k, v, attn_mask=prepared), problem.qkv, entries
        )


def _none(_: object) -> None:
    return None


def _of_walks(topology: Topology) -> int:
    return sum(walks.pattern.nnz for walks in topology.walk_sets)


def _of_graph(graph: Topology | Problem) -> int:
    return graph.num_edges


def _minus_distance(problem: Problem) -> Tensor:
    # One for all heads and not learned, which favours this peer: learned biases keep several such
    # matrices.
    return torch.cdist(problem.pos, problem.pos).neg_()


def _on_edges(layer: nn.Module, problem: Problem) -> Tensor:
    return layer(problem.x, problem.edge_index)


def _on_one_graph(layer: nn.Module, problem: Problem) -> Tensor:
    return layer(problem.x.unsqueeze(0))


# Two factors of 4 hops reach as far as 8 hops do.
_WALK = partial(WalkMask, hops=8, heads=HEADS, sampler=ResampledWalks(budget=64, hops=8))
_GRF = partial(GRFMask, hops=4, heads=HEADS, sampler=ResampledWalks(budget=16, hops=4))
_SERIES = partial(PowerSeriesMask, hops=8, heads=HEADS)
_GPS = partial(GPSConv, CHANNELS, None, heads=HEADS, attn_type="multihead")

CONTENDERS: tuple[Contender, ...] = (
    MaskedAttention(
        "global", "attention under GlobalMask: unmasked linear attention", GlobalMask, _none
    ),
    MaskedLayer("global-layer", "TopologicalAttention(64, 4) under GlobalMask", GlobalMask, _none),
    MaskedAttention(
        "walk",
        "attention under WalkMask on resampled walks, about 64 entries per node",
        _WALK,
        _of_walks,
    ),
    MaskedLayer(
        "walk-layer",
        "TopologicalAttention(64, 4) under WalkMask, walks as in `walk`",
        _WALK,
        _of_walks,
    ),
    MaskedAttention(
        "grf", "attention under GRFMask, two factors of resampled walks", _GRF, _of_walks
    ),
    MaskedLayer(
        "grf-layer", "TopologicalAttention(64, 4) under GRFMask, walks as in `grf`", _GRF, _of_walks
    ),
    MaskedAttention(
        "power-series", "attention under PowerSeriesMask of order 8", _SERIES, _of_graph
    ),
    MaskedLayer(
        "power-series-layer",
        "TopologicalAttention(64, 4) under PowerSeriesMask of order 8",
        _SERIES,
        _of_graph,
    ),
    PeerLayer(
        "performer",
        "PerformerAttention(64, 4, head_channels=16), unmasked",
        partial(PerformerAttention, CHANNELS, HEADS, head_channels=CHANNELS // HEADS),
        _on_one_graph,
        _none,
    ),
    PeerLayer(
        "gps", "GPSConv(64, None, heads=4, attn_type='multihead'), unmasked", _GPS, _on_edges, _none
    ),
    PeerLayer(
        "transformer-conv",
        "TransformerConv(64, 16, heads=4), one hop",
        partial(TransformerConv, CHANNELS, CHANNELS // HEADS, heads=HEADS),
        _on_edges,
        _of_graph,
    ),
    SoftmaxAttention("sdpa", "scaled_dot_product_attention, unmasked", _none),
    SoftmaxAttention(
        "sdpa-bias", "scaled_dot_product_attention plus a dense bias [N, N]", _minus_distance
    ),
)


def find_contenders(names: Sequence[str]) -> tuple[Contender, ...]:
    """Contenders by name, in the order asked for.

    Raises:
        ValueError: for an unknown name; it lists the known ones.

    Example:
        >>> from graphmask.benchmark import find_contenders
        >>> [contender.library for contender in find_contenders(["sdpa", "walk"])]
        ['torch', 'graphmask']
    """
    return find_named("contenders", names, CONTENDERS)
