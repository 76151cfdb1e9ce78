"""A prepared topology holds all that compiled code reads: no eager call has to come first."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cases
import pytest
import torch
from cases.graphs import normal
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import ShortestPathMask, WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.testing import example_topologies
from graphmask.walks import ResampledWalks

CASES = {case.name: case for case in cases.MASKS}
NAMES = (
    *("global", "degree", "power-series", "power-series-0", "power-series-1", "shortest-path"),
    *("walk-free", "walk-symmetrized", "grf-kernel", "stitched", "random-walk-kernel"),
    *("scaled-per-head", "sum-learned", "sum-sparse", "sum-wide", "separator", "causal-decay"),
    *("toeplitz-plane", "toeplitz-distance-space", "grid-diffusion-plane", "hypercube"),
    "kronecker-video",
)
QUICK = ("power-series", "walk-free", "grf-kernel", "sum-learned", "toeplitz-plane")
ROWS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NAMES]
compiled = partial(torch.compile, fullgraph=True, backend="aot_eager")


@pytest.mark.parametrize("name", ROWS)
def test_attention_compiles_to_one_graph_without_an_eager_call(name: str) -> None:
    torch.compiler.reset()
    layer = cases.seeded(lambda: TopologicalAttention(4, 2, CASES[name].make()))
    graph = list(CASES[name].topologies().values())[-1]
    topology, x = layer.mask.prepare(graph), normal(graph.num_nodes, 4)
    out, expected = compiled(layer)(x, topology), layer(x, graph)
    assert_close(out, expected)
    grads = [
        torch.autograd.grad(y.square().sum(), list(layer.parameters())) for y in (out, expected)
    ]
    assert_close(*grads)


@pytest.mark.parametrize("symmetrize", [False, True])
def test_walks_with_gradients_compile(symmetrize: bool) -> None:
    torch.compiler.reset()
    graph, x = example_topologies()["weighted"], normal(13, 2)
    mask = WalkMask(2, sampler=ResampledWalks(budget=3, hops=2), symmetrize=symmetrize)
    walks = mask.prepare(graph).walks
    table = walks.table.clone().requires_grad_()
    topology = mask.prepare(graph.with_walks(replace(walks, table=table)))

    def product(topology: Topology, x: torch.Tensor) -> torch.Tensor:
        return mask(topology).matmul(x)

    out, expected = compiled(product)(topology, x), product(topology, x)
    assert_close(out, expected)
    assert_close(*(torch.autograd.grad(y.square().sum(), table)[0] for y in (out, expected)))


def test_masks_outside_of_layers_compile() -> None:
    torch.compiler.reset()
    mask = ShortestPathMask(3, heads=2)
    topology, q = mask.prepare(example_topologies()["ragged"]), normal(23, 2, 3)

    def attend(q: torch.Tensor) -> torch.Tensor:
        return attention(q, q, q, mask(topology))

    assert_close(compiled(attend)(q), attend(q))


@pytest.mark.parametrize("name", ["power-series", "sum-learned"])
def test_masks_in_half_precision_compile(name: str) -> None:
    torch.compiler.reset()
    layer = cases.seeded(lambda: TopologicalAttention(4, 2, CASES[name].make())).bfloat16()
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = normal(topology.num_nodes, 4).bfloat16()
    assert_close(compiled(layer)(x, topology), layer(x, topology))
