"""What attention of other papers costs here, beside what it would replace.

Each claim has variants, interleaved in one process; figures are medians of CPU times of forward and
backward, ratios to the first variant, MiB of the tensors of one call, and where a variant stands
for another one the relative error of its output. Reproduces the figures on ripples, chunks of
sequences, gated attention units, attention at many resolutions, layers as kernels, means as wide as
nodes decide and randomized attention in docs/families/grids.md, docs/models.md and
docs/features.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import torch
from runner import Row, Study, choose, numbers, print_table, progress
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch_geometric.nn import GCNConv

import graphmask as gm
from graphmask.benchmark.graphs import ordered_sphere_graph
from graphmask.benchmark.memory import MIB
from graphmask.kernels import spmm
from graphmask.masks.shortest_path import k_hop_balls_of
from graphmask.nn._clusters import make_clusters
from graphmask.nn.multilevel_attention import attend_by_clusters
from graphmask.reference import randomized_attention

HEADS, CHANNELS, BASE = 4, 16, 64


class Variant(NamedTuple):
    """A call to be measured, the module whose parameters are counted, and what the call estimates.

    Attributes:
        exact: the output that it estimates, if it does.
    """

    name: str
    call: Callable[[], Tensor]
    module: nn.Module
    exact: Tensor | None = None


def ripples(side: int, rings: int) -> Iterator[Variant]:
    """Attention on a square grid, weighed by rings: by pairs, and by windows as published."""
    n = side * side
    grid = gm.Topology(torch.empty(2, 0, dtype=torch.long), n)
    qkv = [torch.randn(n, HEADS, CHANNELS, requires_grad=True) for _ in range(3)]
    shape, lifted = (side, side), gm.operators.Lifted()
    for name, mask, execution in (
        ("GlobalMask", gm.masks.GlobalMask(), None),
        ("RippleMask", gm.masks.RippleMask(rings, HEADS, shape), None),
        ("RippleMask, lifted", gm.masks.RippleMask(rings, HEADS, shape), lifted),
        ("ToeplitzMask", gm.masks.ToeplitzMask(shape, HEADS), None),
    ):
        topology = mask.prepare(grid)
        yield Variant(name, partial(_attend, qkv, mask, topology, execution), mask)


def _attend(
    qkv: Sequence[Tensor], mask: Any, topology: gm.Topology, execution: Any, scores: Any = None
) -> Tensor:
    return gm.attention(*qkv, mask(topology), scores, execution)


def chunks(side: int, rings: int) -> Iterator[Variant]:
    """Causal attention, all at once and by chunks that the backward pass computes again.

    Of ReLU features, as many as channels, and of eight times as many random ones.
    """
    n = side * side
    sequence = gm.Topology(torch.empty(2, 0, dtype=torch.long), n)
    qkv = [torch.randn(n, HEADS, CHANNELS, requires_grad=True) for _ in range(3)]
    for phi in (gm.features.ReLU(), gm.features.PositiveRandomFeatures(CHANNELS, 8 * CHANNELS)):
        for chunk in (None, 256, 1_024, 4_096, 16_384):
            if chunk is None or chunk < n:
                mask = gm.masks.CausalMask(chunk=chunk)
                call = partial(gm.attention, *qkv, mask(sequence), phi)
                yield Variant(f"{type(phi).__name__}, chunk={chunk}", call, mask)


def units(side: int, rings: int) -> Iterator[Variant]:
    """A block of 128 channels, and two gated attention units, on a nearest-neighbour graph."""
    n, width = side * side, 8 * CHANNELS
    walks = gm.walks.ResampledWalks(budget=32, hops=4)

    def walk(heads: int) -> gm.masks.WalkMask:
        return gm.masks.WalkMask(4, heads, gm.masks.NonNegative, walks)

    topology = walk(1).prepare(gm.Topology(ordered_sphere_graph(n, 0)[1], n))
    unit, everything = partial(gm.nn.GatedAttentionUnit, width, base=BASE), gm.masks.GlobalMask()
    chunks = gm.masks.ChunkMask(64)
    block = partial(gm.nn.TopologicalTransformerLayer, width, HEADS, expansion=4)
    x = torch.randn(n, width, requires_grad=True)
    for name, layers in (
        ("block, GlobalMask", [block(everything)]),
        ("block, WalkMask", [block(walk(HEADS))]),
        ("2 units, WalkMask", [unit(walk(1)), unit(walk(1))]),
        (
            "2 units, WalkMask, ReLU",
            [unit(walk(1), feature_map=gm.features.ReLU()) for _ in range(2)],
        ),
        ("2 units, chunks and global", [unit(chunks, linear_mask=everything) for _ in range(2)]),
    ):
        yield Variant(name, partial(_run, layers, x, topology), nn.ModuleList(layers))


def _run(layers: Sequence[nn.Module], x: Tensor, topology: gm.Topology) -> Tensor:
    for layer in layers:
        x = layer(x, topology)
    return x


def levels(side: int, rings: int) -> Iterator[Variant]:
    """Softmax attention at many resolutions, and others that score about as many pairs.

    Of features that vary slowly over a graph, and of noise.
    """
    topology = gm.Topology(ordered_sphere_graph(side * side, 0)[1], side * side)
    everything, softmax = gm.masks.GlobalMask()(topology), gm.features.SoftmaxScores()
    ball = gm.masks.ShortestPathMask(6, alpha=gm.masks.NonNegative)
    for name, steps in (("smooth", 100), ("noise", 0)):
        qkv = [x.requires_grad_() for x in _projections(topology, steps)]
        with torch.no_grad():
            exact = gm.attention(*qkv, everything, softmax, gm.operators.Dense())
        sharp = gm.features.SharpPositiveFeatures(CHANNELS, 2 * BASE)
        sharp.calibrate(*qkv[:2])
        estimate = partial(Variant, module=nn.Identity(), exact=exact)
        dense = partial(gm.attention, *qkv, everything, softmax, gm.operators.Dense())
        yield estimate(f"{name}: softmax", dense)
        for sizes, blocks in (((32,), 4), ((16,), 8), ((16, 128), 8)):
            clusters = make_clusters(topology, sizes)
            call = partial(attend_by_clusters, *qkv, clusters, blocks)
            yield estimate(f"{name}: multilevel, {sizes} nodes, {blocks} blocks", call)
        call = partial(gm.attention, *qkv, everything, sharp)
        yield estimate(f"{name}: FAVOR#, {2 * BASE} features", call)
        near = partial(_attend, qkv, ball, topology, None, softmax)
        yield estimate(f"{name}: softmax of 6 hops", near)


def _projections(topology: gm.Topology, steps: int) -> list[Tensor]:
    """Random queries, keys and values of features after some steps of a lazy walk."""
    pattern, weight = topology.adjacency("rw")
    x = torch.randn(1, topology.num_nodes, HEADS * CHANNELS)
    for _ in range(steps):
        x = (x + spmm(pattern, weight.unsqueeze(0), x)) / 2
    x = (x / x.std(1, keepdim=True))[0]
    width = x.shape[1]
    maps = torch.randn(3, width, width) / width**0.5
    return [(x @ project).unflatten(1, (HEADS, CHANNELS)) for project in maps]


def kernels(side: int, rings: int) -> Iterator[Variant]:
    """A ReLU layer of 64 to 256 channels, and random features with the weights of least squares.

    On inputs of 8 and of all 64 directions, other ones than those of the fit.
    """
    d, width = 4 * CHANNELS, 16 * CHANNELS
    layer = nn.Linear(d, width)
    for rank in (8, d):
        spread = torch.randn(rank, d) / rank**0.5
        x, seen = (torch.randn(side * side, rank) @ spread for _ in range(2))
        with torch.no_grad():
            exact, target = layer(x).relu(), layer(seen).relu()
        make = partial(gm.nn.SNNKLinear, d, width, bias=True)
        name = f"{rank} directions"
        yield Variant(f"{name}: Linear, ReLU", lambda x=x: layer(x).relu(), layer, exact)
        layers = {"Linear alone": nn.Linear(d, width)}
        layers |= {f"ReLUKernel, {m} features": make(m) for m in (32, 64, 128)}
        layers["CosineKernel, 64 features"] = make(64, gm.nn.CosineKernel())
        for text, other in layers.items():
            _fit(other, seen, target)
            yield Variant(f"{name}: {text}", partial(other, x), other, exact)


@torch.no_grad()
def _fit(layer: nn.Module, x: Tensor, y: Tensor) -> None:
    """Give a layer that is linear in its weights those of least squares."""
    features = layer.features(x) if isinstance(layer, gm.nn.SNNKLinear) else x
    inputs = torch.cat([features, torch.ones(len(x), 1)], 1)
    best = torch.linalg.lstsq(inputs, y, driver="gelsd").solution
    layer.weight.copy_(best[:-1].mT)
    layer.bias.copy_(best[-1])


def pools(side: int, rings: int) -> Iterator[Variant]:
    """Means of noise over balls of 0, 1, 2 or 4 hops, as features of a node say.

    Each variant is trained on one signal, and tested on another.
    """
    n = side * side
    graph = gm.Topology(ordered_sphere_graph(n, 0)[1], n)
    reach, radii = torch.randint(4, (n,)), torch.tensor([0, 1, 2, 4])
    ball, table = k_hop_balls_of(graph, 4)
    row, col = ball.row.long(), ball.col.long()
    seen = (table.argmax(1) <= radii[reach][row]).float()
    code = torch.nn.functional.one_hot(reach, 4)

    def draw() -> tuple[Tensor, Tensor]:
        signal = torch.randn(n)
        total = torch.zeros(2, n).index_add(1, row, torch.stack([seen * signal[col], seen]))
        return torch.cat([signal.unsqueeze(1), code], 1), (total[0] / total[1]).unsqueeze(1)

    (x, y), (x_new, y_new) = draw(), draw()
    shells = gm.walks.Shells(budget=128, hops=4)
    shared = gm.masks.WalkMask(4, 1, gm.masks.NonNegative, shells)
    adaptive = gm.masks.AdaptiveWalkMask(5, 4, 1, gm.masks.NonNegative, shells)
    pools = gm.nn.ContextPool(5), gm.nn.ContextPool(5, 4, gm.masks.NonNegative, shells)
    for name, layer, topology in (
        ("GCNConv", GCNConv(5, 5), graph.edge_index),
        ("attention, WalkMask", gm.nn.TopologicalAttention(5, 1, shared), shared.prepare(graph)),
        (
            "attention, AdaptiveWalkMask",
            gm.nn.TopologicalAttention(5, 1, adaptive),
            adaptive.prepare(graph),
        ),
        ("ContextPool, diffusion", pools[0], pools[0].prepare(graph)),
        ("ContextPool, shells", pools[1], pools[1].prepare(graph)),
    ):
        module = nn.ModuleList([layer, nn.Linear(5, 1)])
        _train(module, x, topology, y)
        yield Variant(name, partial(_pool, module, x_new, topology), module, y_new)


def _pool(module: nn.ModuleList, x: Tensor, topology: Any) -> Tensor:
    layer, head = module
    return head(layer(x, topology))


def _train(module: nn.ModuleList, x: Tensor, topology: Any, y: Tensor, steps: int = 300) -> None:
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        (_pool(module, x, topology) - y).square().mean().backward()
        optimizer.step()
    for parameter in module.parameters():
        parameter.grad = None


def randomized(side: int, rings: int) -> Iterator[Variant]:
    """Randomized attention, means of 1 to 256 draws, and linear attention of 64 features.

    Queries and keys of 16 channels that spread in proportion to 1, 1/2, 1/3, ...
    """
    n, features = side * side, 4 * CHANNELS
    scale = 1 / torch.arange(1, CHANNELS + 1)
    scale = scale / scale.square().mean().sqrt()
    q, k = (torch.randn(n, 1, CHANNELS) * scale for _ in range(2))
    v = torch.randn(n, 1, CHANNELS, requires_grad=True)
    everything = gm.masks.GlobalMask()(gm.Topology(torch.empty(2, 0, dtype=torch.long), n))
    softmax = partial(gm.attention, q, k, v, everything)
    exact = softmax(gm.features.SoftmaxScores(), gm.operators.Dense()).detach()
    estimate = partial(Variant, module=nn.Identity(), exact=exact)
    call = partial(softmax, gm.features.SoftmaxScores(), gm.operators.Dense())
    yield estimate("softmax", call)
    for draws in (1, 16, 256):
        yield estimate(f"RA, {draws} draws", partial(_randomize, q, k, v, draws))
    for make in (
        gm.features.PositiveRandomFeatures,
        gm.features.OptimalPositiveFeatures,
        gm.features.SharpPositiveFeatures,
        gm.features.LinearRandomizedFeatures,
    ):
        phi = make(CHANNELS, features)
        if hasattr(phi, "calibrate"):
            phi.calibrate(q, k)
        yield estimate(f"{make.__name__}, {features} features", partial(softmax, phi))


def _randomize(q: Tensor, k: Tensor, v: Tensor, draws: int) -> Tensor:
    """The mean of draws of randomized attention by its definition."""
    q, k, v = (x.squeeze(1) * s for x, s in ((q, CHANNELS**-0.25), (k, CHANNELS**-0.25), (v, 1)))
    scores, total = (q @ k.mT).softmax(1), 0.0
    for _ in range(draws):
        j = torch.multinomial(scores, 1).squeeze(1)
        total = total + randomized_attention(q, k, v, j, torch.randn_like(q))
    return (total / draws).float().unsqueeze(1)


class Claim(NamedTuple):
    """Variants on N = side^2 nodes, with some rings or without."""

    name: str
    make: Callable[[int, int], Iterator[Variant]]
    has_rings: bool = False


CLAIMS = (
    Claim("ripples", ripples, True),
    Claim("chunks", chunks),
    Claim("units", units),
    Claim("levels", levels),
    Claim("kernels", kernels),
    Claim("pools", pools),
    Claim("randomized", randomized),
)


def measure(claim: Claim, side: int, rings: int, repeats: int) -> Iterator[Row]:
    """Medians of the variants of a claim, called in turn."""
    variants = list(claim.make(side, rings))
    times: list[list[float]] = [[] for _ in variants]
    for repeat in range(repeats + 1):  # the first compiles
        for variant, seen in zip(variants, times, strict=True):
            progress(f"{claim.name}: {variant.name}, call {repeat} of {repeats}")
            start = process_time()
            variant.call().sum().backward()
            seen.append(process_time() - start)
    figures = [median(seen[1:]) for seen in times]
    for variant, seconds in zip(variants, figures, strict=True):
        yield {
            "claim": claim.name,
            "nodes": side * side,
            "rings": rings if claim.has_rings else 0,
            "variant": variant.name,
            "parameters": sum(p.numel() for p in variant.module.parameters()),
            "ms": 1e3 * seconds,
            "ratio": seconds / figures[0],
            "MiB": _memory(variant),
            "error": _error(variant),
        }


def _memory(variant: Variant) -> float:
    """MiB of all tensors of a call at their peak, without those that were there before."""
    variant.call()  # what a first call keeps
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        variant.call().sum().backward()
    events = profiler.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes)) / MIB


@torch.no_grad()
def _error(variant: Variant) -> float | None:
    """The error of a variant relative to what it estimates."""
    if variant.exact is None:
        return None
    return float((variant.call() - variant.exact).norm() / variant.exact.norm())


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"sides": [6], "rings": [2], "repeats": 1})
    study.add_argument("--claims", type=choose(CLAIMS), default=CLAIMS)
    study.add_argument("--sides", type=numbers(int), default=[32, 64], help="N is the square")
    study.add_argument("--rings", type=numbers(int), default=[2, 4, 8])
    study.add_argument("--repeats", type=int, default=3)
    options = study.parse(arguments)

    def rows() -> Iterator[Row]:
        for claim in options.claims:
            for side in options.sides:
                for rings in options.rings if claim.has_rings else options.rings[:1]:
                    yield from measure(claim, side, rings, options.repeats)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        results = study.collect(rows(), options)
    print_table("Attention of other papers", results)
    return results


if __name__ == "__main__":
    main()
