"""Sides of a comparison: what is done once with a problem, and the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GPSConv

from graphmask.benchmark.contenders import Contender, MaskedAttention, Workload
from graphmask.benchmark.contenders import find_contenders as find
from graphmask.benchmark.measure import differentiate
from graphmask.benchmark.problem import CHANNELS, HEADS, Problem
from graphmask.benchmark.scenes import Molecules
from graphmask.masks import Diffusion, GlobalMask, GRFMask, TopologicalMask, WalkMask
from graphmask.nn import TopologicalTransformer, TopologicalTransformerLayer
from graphmask.operators import Lifted
from graphmask.topology import Topology
from graphmask.walks import IIDWalks, ResampledWalks

_HOPS, _BUDGET = 8, 64

# As published for images of 14 x 14 patches: 20 walks, p_halt = 0.1 (Reid et al. 2025, table 2).
_WALKS, _P_HALT = 20, 0.1

_LAYERS, _CLASSES = 4, 10


class Timed(NamedTuple):
    """A call, and the entries that its mask stores."""

    call: Callable[[], object]
    entries: int | None = None


class Estimate(NamedTuple):
    """How a side's mask estimates the diffusion kernel of scale 1.

    An estimator's name and its setting.
    """

    estimator: str
    setting: float


@dataclass(frozen=True)
class Side:
    """One side.

    Args:
        name: as in tables.
        about: what runs, in one line.
        make: the call, from a problem.
        estimate: how its mask is estimated, where its error is asked for. (default: :obj:`None`)
    """

    name: str
    about: str
    make: Callable[[Any], Timed]
    estimate: Estimate | None = None


def attending(contender: Contender, estimate: Estimate | None = None) -> Side:
    """Forward and backward of a contender."""

    def make(problem: Problem) -> Timed:
        work = contender.build(problem, contender.prepare(problem))
        return Timed(partial(differentiate, work), work.entries)

    return Side(contender.name, contender.about, make, estimate)


def training(name: str, about: str, mask: Callable[[], TopologicalMask]) -> Side:
    """A training step of a four-layer transformer on one graph.

    Forward, loss, backward, AdamW, gradients to none.
    """

    def make(problem: Problem) -> Timed:
        topology = mask().prepare(Topology(problem.edge_index, problem.num_nodes))
        model = TopologicalTransformer(
            CHANNELS, CHANNELS, _CLASSES, _LAYERS, HEADS, mask=mask()
        ).to(problem.device)
        optimizer = torch.optim.AdamW(model.parameters())
        x = problem.x.detach()
        label = x[:, :_CLASSES].argmax(1)

        def step() -> None:
            cross_entropy(model(x, topology), label).backward()
            optimizer.step()
            optimizer.zero_grad()

        return Timed(step, sum(walks.pattern.nnz for walks in topology.walk_sets) or None)

    return Side(name, about, make)


def on_molecules(
    name: str,
    about: str,
    layer: Callable[[], nn.Module],
    run: Callable[[nn.Module, Molecules], Callable[[], Tensor]],
) -> Side:
    """Forward and backward of a layer on a batch; ``run(layer, molecules)`` makes the call."""

    def make(molecules: Molecules) -> Timed:
        made = layer().to(molecules.device)
        return Timed(
            partial(
                differentiate, Workload(run(made, molecules), (molecules.x, *made.parameters()))
            )
        )

    return Side(name, about, make)


def _on_new_batch(layer: nn.Module, molecules: Molecules) -> Callable[[], Tensor]:
    return lambda: layer(molecules.x, Topology.from_data(molecules.data))


def _on_known_batch(layer: nn.Module, molecules: Molecules) -> Callable[[], Tensor]:
    topology = Topology.from_data(molecules.data)
    return lambda: layer(molecules.x, topology)


def _on_dense_batch(layer: nn.Module, molecules: Molecules) -> Callable[[], Tensor]:
    return lambda: layer(molecules.x, molecules.data.edge_index, molecules.data.batch)


def _entries(topology: Topology) -> int:
    return sum(walks.pattern.nnz for walks in topology.walk_sets)


_SAMPLER = ResampledWalks(budget=_BUDGET, hops=_HOPS)
_WALK = partial(WalkMask, hops=_HOPS, heads=HEADS, sampler=_SAMPLER)
_BLOCK = partial(TopologicalTransformerLayer, CHANNELS, HEADS)

LAYER, PERFORMER, GPS, CONV = map(
    attending, find(["walk-layer", "performer", "gps", "transformer-conv"])
)

DIFFUSION = attending(
    MaskedAttention(
        "walk",
        "attention under WalkMask, a diffusion kernel on resampled walks, about 64 entries per node",
        partial(_WALK, alpha=partial(Diffusion, scale=1.0)),
        _entries,
    ),
    Estimate("resampled", _BUDGET),
)

# f * f is the diffusion kernel of scale 1.
PUBLISHED = attending(
    MaskedAttention(
        "grf-iid",
        f"attention under GRFMask, the same kernel on {_WALKS} independent walks of p_halt = {_P_HALT}, lifted",
        partial(
            GRFMask,
            hops=_HOPS,
            heads=HEADS,
            f=partial(Diffusion, scale=0.5),
            sampler=IIDWalks(num_walks=_WALKS, p_halt=_P_HALT, hops=_HOPS),
        ),
        _entries,
        execution=Lifted(),
    ),
    Estimate("iid-symmetric", _WALKS),
)

MASKED_STEP = training(
    "walk-step", "training step of 4 layers under WalkMask, 64 channels, 4 heads, AdamW", _WALK
)
UNMASKED_STEP = training(
    "global-step", "training step of 4 layers under GlobalMask, unmasked", GlobalMask
)

NEW_BATCH = on_molecules(
    "walk-block",
    "TopologicalTransformerLayer(64, 4) under WalkMask, its topology made from the batch in every call",
    lambda: _BLOCK(_WALK()),
    _on_new_batch,
)
KNOWN_BATCH = on_molecules(
    "walk-block-known",
    "TopologicalTransformerLayer(64, 4) under WalkMask, on a topology that is there already",
    lambda: _BLOCK(_WALK()),
    _on_known_batch,
)
DENSE_BATCH = on_molecules(
    "gps-batch",
    "GPSConv(64, None, heads=4, attn_type='multihead') and its dense batches",
    partial(GPSConv, CHANNELS, None, heads=HEADS, attn_type="multihead"),
    _on_dense_batch,
)
