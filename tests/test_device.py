"""On an accelerator everything computes what it computes on the CPU.

Skipped where there is none.
"""

from __future__ import annotations

from copy import deepcopy

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import TopologicalMask, WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.operators import Dense
from graphmask.testing import example_topologies
from graphmask.walks import (
    Antithetic,
    Geometric,
    IIDWalks,
    Poisson,
    RepellingWalks,
    ResampledWalks,
    Shells,
    Systematic,
    WalkSampler,
)

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator"),
    pytest.mark.global_rng,
    pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning"),
]


@pytest.fixture(autouse=True)
def _deterministic_where_possible() -> object:
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(True)


@pytest.mark.parametrize("case", cases.MASKS, ids=str)
def test_masks(case: cases.Case) -> None:
    mask = case.make()
    for topology in map(mask.prepare, case.topologies().values()):
        _check_mask(mask, topology)


def _check_mask(mask: TopologicalMask, topology: Topology) -> None:
    x = torch.ones(topology.num_nodes, 2)
    expected = mask(topology) @ x
    actual = deepcopy(mask).cuda()(topology.to("cuda")) @ x.cuda()
    assert_close(actual.cpu(), expected)


@pytest.mark.parametrize("case", cases.LAYERS, ids=str)
def test_layers_forward_and_backward(case: cases.Case) -> None:
    layer = cases.seeded(case.make).eval()
    topology = example_topologies()["ragged"]
    for module in layer.modules():
        topology = module.prepare(topology) if hasattr(module, "prepare") else topology
    x = torch.ones(topology.num_nodes, case.channels)
    expected = layer(x, topology)
    grads = torch.autograd.grad(expected.square().sum(), list(layer.parameters()))
    actual = layer.cuda()(x.cuda(), topology.to("cuda"))
    assert_close(actual.cpu(), expected)
    again = torch.autograd.grad(actual.square().sum(), list(layer.parameters()))
    assert_close([grad.cpu() for grad in again], list(grads))


SAMPLERS = (
    IIDWalks(num_walks=4, hops=3),
    IIDWalks(num_walks=4, hops=3, length_law=Systematic(Poisson(2.0))),
    RepellingWalks(num_walks=9, hops=3, length_law=Antithetic(Geometric(0.2))),
    ResampledWalks(budget=13, hops=3),
    Shells(budget=4, hops=3),
)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_the_same_seed_draws_the_same_walks(sampler: WalkSampler) -> None:
    topology: Topology = example_topologies()["ragged"]
    walks = [
        sampler(each, torch.Generator().manual_seed(0)).to_dense().cpu()
        for each in (topology, topology.to("cuda"))
    ]
    assert_close(walks[1], walks[0])


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
def test_attention_reads_half_precision_and_sums_in_single(dtype: torch.dtype) -> None:
    mask = WalkMask(hops=2, heads=2)
    topology = mask.prepare(example_topologies()["ragged"])
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.rand(topology.num_nodes, 2, 16, generator=generator)
        .to("cuda", dtype)
        .requires_grad_()
        for _ in range(3)
    )
    wide = [x.detach().cpu().double().requires_grad_() for x in (q, k, v)]
    expected = attention(*wide, mask.double()(topology), execution=Dense())
    actual = attention(q, k, v, mask.cuda()(topology.to("cuda")))
    assert actual.dtype == dtype
    tolerance = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 8 * torch.finfo(dtype).eps}
    assert_close(actual.cpu().double(), expected, **tolerance)
    grads = zip(
        torch.autograd.grad(actual.sum(), (q, k, v)),
        torch.autograd.grad(expected.sum(), wide),
        strict=True,
    )
    for grad, other in grads:
        assert_close(grad.cpu().double(), other, **tolerance)


def test_a_training_step_is_captured_as_a_graph() -> None:
    mask = WalkMask(hops=2, heads=2)
    layer = TopologicalAttention(4, 2, mask).float().cuda()
    topology = mask.prepare(example_topologies()["ragged"].to("cuda"))
    x = torch.ones(topology.num_nodes, 4, device="cuda", dtype=torch.float32)
    parameters = list(layer.parameters())

    def step() -> list[torch.Tensor]:
        return list(torch.autograd.grad(layer(x, topology).square().sum(), parameters))

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        expected = step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        actual = step()
    graph.replay()
    assert_close(actual, expected)
