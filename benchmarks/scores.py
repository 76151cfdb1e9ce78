"""What scores and normalizers cost: an attention layer under a walk mask, forward and backward.

Variants are interleaved in one process; figures are medians of CPU times, and ratios to the first.
Composed softmax is what ran before there was a compiled body: torch's sparse products, one after
the other. Reproduces the table of docs/features.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from time import process_time
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from runner import Row, Study, choose, print_table, progress

import graphmask as gm
from graphmask import features, normalizers
from graphmask.kernels import pairs


class Variant(NamedTuple):
    """A feature map and a normalizer of an attention layer of some heads."""

    name: str
    feature_map: Any
    normalizer: Any = lambda heads: normalizers.RowSums()
    composed: bool = False

    def context(self) -> AbstractContextManager[Any]:
        """Where the layer runs."""
        if not self.composed:
            return nullcontext()
        return patch.object(pairs, "runs_compiled", lambda *_: False)


VARIANTS = (
    Variant("relu", lambda heads: features.ReLU()),
    Variant(
        "relu, unnormalized",
        lambda heads: features.ReLU(),
        lambda heads: normalizers.Unnormalized(),
    ),
    Variant("relu, sink", lambda heads: features.ReLU(), normalizers.Sink),
    Variant("relu, degree scaled", lambda heads: features.ReLU(), normalizers.DegreeScaled),
    Variant("focused", lambda heads: features.Focused()),
    Variant("normalized relu", lambda heads: features.Normalized(features.ReLU(), heads)),
    Variant(
        "unit plus cosine, unnormalized",
        features.UnitPlusCosine,
        lambda heads: normalizers.Unnormalized(),
    ),
    Variant("softmax", lambda heads: features.SoftmaxScores()),
    Variant("composed softmax", lambda heads: features.SoftmaxScores(), composed=True),
)


def grid(side: int) -> gm.Topology:
    """The graph of a square grid, neighbours in eight directions."""
    node = torch.arange(side * side).view(side, side)
    ends = (
        (node[:, 1:], node[:, :-1]),
        (node[1:], node[:-1]),
        (node[1:, 1:], node[:-1, :-1]),
        (node[1:, :-1], node[:-1, 1:]),
    )
    edges = torch.cat([torch.stack([a.flatten(), b.flatten()]) for a, b in ends], 1)
    return gm.Topology(torch.cat([edges, edges.flip(0)], 1), side * side)


def measure(
    variants: Sequence[Variant], side: int, pairs: int, channels: int, heads: int, repeats: int
) -> Iterator[Row]:
    """Medians of all variants, called in turn."""
    walks = gm.walks.ResampledWalks(budget=pairs)
    mask = gm.masks.WalkMask(heads=heads, sampler=walks)
    topology = mask.prepare(grid(side))
    x = torch.randn(topology.num_nodes, channels, requires_grad=True)
    layers = [
        gm.nn.TopologicalAttention(
            channels,
            heads,
            mask,
            feature_map=variant.feature_map(heads),
            normalizer=variant.normalizer(heads),
        )
        for variant in variants
    ]
    times: list[list[tuple[float, float]]] = [[] for _ in variants]
    for repeat in range(repeats + 1):  # the first compiles
        progress(f"call {repeat} of {repeats}")
        for variant, layer, seen in zip(variants, layers, times, strict=True):
            with variant.context():
                start = process_time()
                out = layer(x, topology)
                middle = process_time()
                out.sum().backward()
                seen.append((middle - start, process_time() - start))
    stored = mask(topology).entries().pattern.nnz / topology.num_nodes
    figures = [[median(part[1:]) for part in zip(*seen, strict=True)] for seen in times]
    for variant, (forward, both) in zip(variants, figures, strict=True):
        yield {
            "layer": variant.name,
            "pairs per node": stored,
            "forward, ms": 1e3 * forward,
            "forward and backward, ms": 1e3 * both,
            "ratio": both / figures[0][1],
        }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"side": 6, "pairs": 8, "channels": 8, "heads": 2, "repeats": 1}
    study = Study(__doc__, smoke)
    study.add_argument("--variants", type=choose(VARIANTS), default=VARIANTS)
    study.add_argument("--side", type=int, default=181, help="of the grid, in nodes")
    study.add_argument("--pairs", type=int, default=64, help="per node at most")
    study.add_argument("--channels", type=int, default=64)
    study.add_argument("--heads", type=int, default=4)
    study.add_argument("--repeats", type=int, default=7)
    options = study.parse(arguments)
    sizes = options.side, options.pairs, options.channels, options.heads, options.repeats
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        rows = study.collect(measure(options.variants, *sizes), options)
    print_table("Attention layers", rows)
    return rows


if __name__ == "__main__":
    main()
