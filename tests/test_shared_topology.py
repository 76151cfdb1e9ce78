"""All masks on one prepared topology, in any order, give what each gives alone.

Whatever a mask derives from a graph is kept on the topology, on its walks or on a pattern, for all
masks to read: a key that leaves out what the result depends on would show here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask import Topology
from graphmask.masks import TopologicalMask, WalkMask
from graphmask.testing import example_topologies

HOPS = 6
Outputs = list[Tensor | None]
Scene = tuple[Callable[[], Topology], list[cases.Case]]


# Sums that unite the entries of one set of walks with different others.
SUMS = (
    cases.Case("mirrored", lambda: WalkMask(2) + WalkMask(2).mT),
    cases.Case("symmetrized", lambda: WalkMask(2) + WalkMask(2, symmetrize=True)),
    cases.Case("transposed", lambda: WalkMask(2).mT + WalkMask(2, symmetrize=True)),
)


def scenes() -> dict[str, Scene]:
    """Graphs, and the cases of masks that are defined on each."""
    by_graph: dict[tuple[Any, str], Scene] = {}
    for case in (*cases.MASKS, *SUMS):
        factory = case.topologies
        for name in ("ragged", "signed") if factory is example_topologies else factory():
            scene = by_graph.setdefault((factory, name), (partial(_graph, factory, name), []))
            scene[1].append(case)
    return {f"{scene[1][0]}-{name}": scene for (_, name), scene in by_graph.items() if scene[1][1:]}


def _graph(factory: Callable[[], dict[str, Topology]], name: str) -> Topology:
    return factory()[name]


def with_walks(topology: Topology, masks: list[TopologicalMask]) -> Topology:
    """As many sets of walks as any mask reads, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    demands = [mask.walk_demand for mask in masks]
    sets = max((demand.sets for demand in demands if demand is not None), default=0)
    sampler = cases.random_walks(HOPS, normalization="rw")  # which all masks on walks read
    return topology.with_walks(*(sampler(topology, generator) for _ in range(sets)))


def run(mask: TopologicalMask, topology: Topology) -> Outputs:
    """Products, attention where the mask allows it, and all of their gradients."""
    operator = mask(mask.prepare(topology))
    generator = torch.Generator().manual_seed(1)
    q, k, v = (
        torch.rand(topology.num_nodes, mask.heads, 3, generator=generator).requires_grad_()
        for _ in range(3)
    )
    outputs = [operator @ v.transpose(0, 1), operator.mT @ k.transpose(0, 1)]
    with contextlib.suppress(ValueError):  # where absolute values are not known
        outputs.append(gm.attention(q, k, v, operator, feature_map=gm.features.ReLU()))
    total = torch.stack([output.square().sum() for output in outputs]).sum()
    leaves = [q, k, v, *mask.parameters()]
    return [*outputs, *torch.autograd.grad(total, leaves, allow_unused=True)]


@pytest.mark.parametrize("scene", scenes().values(), ids=scenes())
def test_masks_share_a_topology(scene: Scene) -> None:
    make, cases_here = scene
    masks = [case.make() for case in cases_here]
    alone = [run(mask, with_walks(make(), masks)) for mask in masks]
    shared = with_walks(make(), masks)
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        for position in torch.randperm(len(masks), generator=generator).tolist():
            for output, expected in zip(run(masks[position], shared), alone[position], strict=True):
                assert_close(output, expected, msg=lambda m, i=position: f"{cases_here[i]}: {m}")
