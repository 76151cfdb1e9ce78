"""The numbers that products and attention write grow with the nodes as stated."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from counting import Written
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import (
    DegreeMask,
    HypercubeMask,
    RFDMask,
    ShortestPathMask,
    ToeplitzMask,
    TopologicalMask,
)
from graphmask.testing.graphs import replace

NONE = torch.empty(2, 0, dtype=torch.long)


def edgeless(n: int) -> Topology:
    return Topology(NONE, n)


def ring(n: int) -> Topology:
    edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    return Topology(torch.cat([edges, edges.flip(0)], 1), n)


def cloud(n: int) -> Topology:
    return Topology(NONE, pos=torch.rand(n, 3, generator=torch.Generator().manual_seed(0)))


def square(n: int) -> ToeplitzMask:
    side = round(n**0.5)
    return ToeplitzMask((side, side))


ROWS = {
    "degree": (lambda n: DegreeMask(), ring, (1000, 4000), 4.1),
    "shortest path": (lambda n: ShortestPathMask(4), ring, (500, 2000), 4.01),
    "toeplitz": (square, edgeless, (64**2, 128**2), 4.3),
    "hypercube": (lambda n: HypercubeMask(), edgeless, (2**10, 2**15), 1.2 * 32 * 15 / 10),
    "rfd": (lambda n: RFDMask(num_features=4), cloud, (1000, 4000), 4.1),
    "fourier": (lambda n: cases.points.fourier(), cloud, (1000, 4000), 4.1),
}


@pytest.mark.parametrize(("make", "graph", "sizes", "growth"), ROWS.values(), ids=ROWS)
def test_work_grows_as_stated(
    make: Callable[[int], TopologicalMask],
    graph: Callable[[int], Topology],
    sizes: tuple[int, int],
    growth: float,
) -> None:
    counts = []
    for n in sizes:
        mask, topology = make(n), graph(n)
        q = torch.rand(n, mask.heads, 2, generator=torch.Generator().manual_seed(0))
        attention(q, q, q, mask(topology))  # caches the structure
        with Written() as written:
            attention(q, q, q, mask(topology))
            _ = mask(topology) @ torch.ones(n, 3)
        counts.append(written.count)
    assert counts[1] < growth * counts[0]


def test_a_mask_of_positions_reads_no_edges() -> None:
    mask = RFDMask(num_features=4)
    edge = replace(cloud(9), edge_index=torch.tensor([[0], [1]]))
    assert_close(mask(edge).to_dense(), mask(cloud(9)).to_dense())
