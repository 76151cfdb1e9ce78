from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from graphmask.masks import (
    Diffusion,
    Free,
    GlobalMask,
    GRFMask,
    PowerSeriesMask,
    ScaledMask,
    StitchedMask,
    SumMask,
    TopologicalMask,
    WalkMask,
)
from graphmask.nn import TopologicalAttention
from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.testing import check_mask, example_topologies
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks


def test_a_mask_is_abstract() -> None:
    with pytest.raises(TypeError, match="_operator"):
        TopologicalMask()


@pytest.mark.parametrize(
    "argument", [torch.tensor([[0], [1]]), None, "graph"], ids=["edges", "none", "text"]
)
@pytest.mark.parametrize("mask", [GlobalMask(), PowerSeriesMask(), WalkMask()], ids=repr)
def test_a_mask_reads_a_topology(mask: TopologicalMask, argument: object) -> None:
    with pytest.raises(TypeError, match="`topology` must be a Topology"):
        mask(argument)


@pytest.mark.parametrize(
    ("heads", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError), ("2", TypeError)]
)
@pytest.mark.parametrize("kind", [PowerSeriesMask, WalkMask])
def test_heads_are_counted(kind: type, heads: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="`heads`"):
        kind(heads=heads)


def test_algebra_is_spelled_as_in_formulas() -> None:
    walk, wide = WalkMask(hops=1), GlobalMask()
    assert isinstance(walk + wide, SumMask)
    assert isinstance(2 * wide, ScaledMask)
    assert isinstance(wide * 2, ScaledMask)
    assert isinstance(torch.ones(2) * wide, ScaledMask)
    assert isinstance(wide * torch.ones(2), ScaledMask)


@pytest.mark.parametrize("other", [1, "mask", None, torch.ones(1)], ids=repr)
def test_only_masks_add(other: object) -> None:
    with pytest.raises(TypeError):
        GlobalMask() + other


@pytest.mark.parametrize("scale", ["2", None, [1.0]], ids=repr)
def test_only_numbers_scale(scale: object) -> None:
    with pytest.raises(TypeError):
        GlobalMask() * scale


def test_what_reads_no_walks_is_ready() -> None:
    topology = example_topologies()["ring"]
    assert GlobalMask().prepare(topology) is topology
    assert GlobalMask().walk_demand is None


def small(hops: int) -> ResampledWalks:
    return ResampledWalks(budget=3, hops=hops)


READY: dict[str, Callable[[], TopologicalMask]] = {
    "global": GlobalMask,
    "power series": lambda: PowerSeriesMask(2, 2),
    "order zero": lambda: PowerSeriesMask(0, 2),
    "order one": lambda: PowerSeriesMask(1, 2),
    "signed, order one": lambda: PowerSeriesMask(1, 2, alpha=Free),
    "sum of supports": lambda: (
        WalkMask(2, 2, sampler=small(2)) + (PowerSeriesMask(1, 2) + 2 * WalkMask(2, 2))
    ),
    "sum with a term without support": lambda: (
        GlobalMask() + PowerSeriesMask(1, 2) + WalkMask(2, 2, sampler=small(2))
    ),
    "walk": lambda: WalkMask(2, 2, sampler=small(2)),
    "symmetrized": lambda: WalkMask(2, 2, sampler=small(2), symmetrize=True),
    "grf": lambda: GRFMask(2, 2, alpha=Diffusion, sampler=small(2)),
    "stitched": lambda: StitchedMask(2, 1, 2, sampler=small(1)),
    "sum": lambda: (
        torch.nn.Parameter(torch.tensor(0.2)) * GlobalMask() + WalkMask(2, 2, sampler=small(2))
    ),
}


@pytest.mark.parametrize("make", READY.values(), ids=READY)
def test_a_prepared_topology_is_compiled_as_one_graph_without_an_eager_call(make: Callable) -> None:
    torch.compiler.reset()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = TopologicalAttention(4, 2, make())
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    found = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology)
    slopes = torch.autograd.grad(found.square().sum(), list(layer.parameters()))
    expected = layer(x, example_topologies()["ragged"])
    assert_close(found, expected)
    assert_close(slopes, torch.autograd.grad(expected.square().sum(), list(layer.parameters())))


@pytest.mark.parametrize("symmetrize", [False, True])
def test_walks_with_a_gradient_are_compiled_too(symmetrize: bool) -> None:
    torch.compiler.reset()
    mask = WalkMask(2, sampler=small(2), symmetrize=symmetrize)
    walks = mask.prepare(example_topologies()["weighted"]).walks
    table = walks.table.clone().requires_grad_()
    topology = mask.prepare(
        example_topologies()["weighted"].with_walks(replace(walks, table=table))
    )
    x = torch.randn(13, 2, generator=torch.Generator().manual_seed(0))

    def product(topology: Topology, x: torch.Tensor) -> torch.Tensor:
        return mask(topology).matmul(x)

    found = torch.compile(product, fullgraph=True, backend="aot_eager")(topology, x)
    expected = product(topology, x)
    assert_close(found, expected)
    slopes = [torch.autograd.grad(out.square().sum(), table)[0] for out in (found, expected)]
    assert_close(*slopes)


def test_preparing_again_changes_nothing() -> None:
    mask = WalkMask(2, sampler=small(2))
    topology = mask.prepare(example_topologies()["ragged"])
    kept = {**topology.__dict__, **topology.walks.__dict__}
    assert mask.prepare(topology) is topology
    assert all(
        {**topology.__dict__, **topology.walks.__dict__}[name] is value
        for name, value in kept.items()
    )


class Identity(TopologicalMask):
    """What a user may write: one file, one method."""

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)


def test_a_mask_can_be_written() -> None:
    check_mask(Identity())
