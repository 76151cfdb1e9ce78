"""A prepared topology holds all that compiled code reads: no eager call has to come first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from cases.paths import grid
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import (
    CausalMask,
    DegreeMask,
    Diffusion,
    Free,
    GlobalMask,
    GRFMask,
    GridDiffusionMask,
    HypercubeMask,
    KroneckerMask,
    NonNegative,
    PowerSeriesMask,
    RandomWalkKernelMask,
    SeparatorMask,
    ShortestPathMask,
    StitchedMask,
    ToeplitzMask,
    TopologicalMask,
    WalkMask,
)
from graphmask.nn import TopologicalAttention
from graphmask.testing import example_topologies
from graphmask.walks import ResampledWalks


def small(hops: int) -> ResampledWalks:
    return ResampledWalks(budget=3, hops=hops)


def ragged() -> Topology:
    return example_topologies()["ragged"]


def squares() -> Topology:
    """Two graphs of 16 nodes."""
    return Topology(torch.empty(2, 0, dtype=torch.long), 32, batch=torch.arange(2).repeat(16))


MASKS: dict[str, tuple[Callable[[], TopologicalMask], Callable[[], Topology]]] = {
    "global": (GlobalMask, ragged),
    "degree": (lambda: DegreeMask(2), ragged),
    "power series": (lambda: PowerSeriesMask(2, 2), ragged),
    "order zero": (lambda: PowerSeriesMask(0, 2), ragged),
    "order one": (lambda: PowerSeriesMask(1, 2), ragged),
    "signed, order one": (lambda: PowerSeriesMask(1, 2, alpha=Free), ragged),
    "shortest path": (lambda: ShortestPathMask(3, 2), ragged),
    "walk": (lambda: WalkMask(2, 2, sampler=small(2)), ragged),
    "symmetrized": (lambda: WalkMask(2, 2, sampler=small(2), symmetrize=True), ragged),
    "grf": (lambda: GRFMask(2, 2, alpha=Diffusion, sampler=small(2)), ragged),
    "stitched": (lambda: StitchedMask(2, 1, 2, sampler=small(1)), ragged),
    "random walk kernel": (lambda: RandomWalkKernelMask(2, 2, alpha=NonNegative), ragged),
    "scaled and added": (
        lambda: torch.nn.Parameter(torch.tensor(0.2)) * GlobalMask() + WalkMask(2, 2),
        ragged,
    ),
    "sum of supports": (
        lambda: WalkMask(2, 2, sampler=small(2)) + (PowerSeriesMask(1, 2) + 2 * WalkMask(2, 2)),
        ragged,
    ),
    "sum with a term without support": (
        lambda: GlobalMask() + PowerSeriesMask(1, 2) + WalkMask(2, 2, sampler=small(2)),
        ragged,
    ),
    "separator": (lambda: SeparatorMask(heads=2, leaf_size=8), lambda: grid(3, 5)),
    "causal": (lambda: CausalMask(0.9, heads=2), squares),
    "toeplitz": (lambda: ToeplitzMask((4, 4), heads=2), squares),
    "toeplitz with class token": (
        lambda: ToeplitzMask((3, 5), heads=2, shared="distance", class_token=True),
        squares,
    ),
    "grid diffusion": (lambda: GridDiffusionMask((4, 4), heads=2), squares),
    "hypercube": (lambda: HypercubeMask(heads=2), squares),
    "kronecker": (
        lambda: KroneckerMask(CausalMask(0.5, heads=2, length=4), ToeplitzMask(4)),
        squares,
    ),
}


@pytest.mark.parametrize(("make", "graph"), MASKS.values(), ids=MASKS)
def test_attention_is_one_graph_without_an_eager_call(
    make: Callable[[], TopologicalMask], graph: Callable[[], Topology]
) -> None:
    torch.compiler.reset()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = TopologicalAttention(4, 2, make())
    topology = layer.mask.prepare(graph())
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    out = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology)
    grads = torch.autograd.grad(out.square().sum(), list(layer.parameters()))
    expected = layer(x, graph())
    assert_close(out, expected)
    assert_close(grads, torch.autograd.grad(expected.square().sum(), list(layer.parameters())))


@pytest.mark.parametrize("symmetrize", [False, True])
def test_walks_with_a_gradient(symmetrize: bool) -> None:
    torch.compiler.reset()
    graph = example_topologies()["weighted"]
    mask = WalkMask(2, sampler=small(2), symmetrize=symmetrize)
    walks = mask.prepare(graph).walks
    table = walks.table.clone().requires_grad_()
    topology = mask.prepare(graph.with_walks(replace(walks, table=table)))
    x = torch.randn(13, 2, generator=torch.Generator().manual_seed(0))

    def product(topology: Topology, x: torch.Tensor) -> torch.Tensor:
        return mask(topology).matmul(x)

    out = torch.compile(product, fullgraph=True, backend="aot_eager")(topology, x)
    expected = product(topology, x)
    assert_close(out, expected)
    grads = [torch.autograd.grad(y.square().sum(), table)[0] for y in (out, expected)]
    assert_close(*grads)


def test_a_mask_outside_of_a_layer() -> None:
    torch.compiler.reset()
    mask = ShortestPathMask(3, heads=2)
    topology = mask.prepare(ragged())
    q = torch.rand(23, 2, 3, generator=torch.Generator().manual_seed(0))

    def attend(q: torch.Tensor) -> torch.Tensor:
        return attention(q, q, q, mask(topology))

    assert_close(torch.compile(attend, fullgraph=True, backend="aot_eager")(q), attend(q))
