"""The numbers that products and attention write grow with the nodes as stated."""

from __future__ import annotations

from typing import Any

import cases
import pytest
import torch
from cases.graphs import cloud, edgeless, ring
from counting import Written
from torch.testing import assert_close

from graphmask import attention
from graphmask.masks import DegreeMask, HypercubeMask, RFDMask, ShortestPathMask, ToeplitzMask
from graphmask.testing.graphs import replace

ROWS = {
    "degree": (lambda n: DegreeMask(), ring, (1000, 4000), 4.1),
    "shortest path": (lambda n: ShortestPathMask(4), ring, (500, 2000), 4.01),
    "toeplitz": (lambda n: ToeplitzMask([round(n**0.5)] * 2), edgeless, (64**2, 128**2), 4.3),
    "hypercube": (lambda n: HypercubeMask(), edgeless, (2**10, 2**15), 1.2 * 32 * 15 / 10),
    "rfd": (lambda n: RFDMask(num_features=4), cloud, (1000, 4000), 4.1),
    "fourier": (lambda n: cases.points.fourier(), cloud, (1000, 4000), 4.1),
}


@pytest.mark.parametrize(("make", "graph", "sizes", "growth"), ROWS.values(), ids=ROWS)
def test_work_grows_as_stated(make: Any, graph: Any, sizes: tuple[int, int], growth: float) -> None:
    counts = []
    for n in sizes:
        mask, topology = make(n), graph(n)
        q = torch.rand(n, mask.heads, 2, generator=cases.graphs.generator())
        attention(q, q, q, mask(topology))  # caches the structure
        with Written() as written:
            attention(q, q, q, mask(topology))
            _ = mask(topology) @ torch.ones(n, 3)
        counts.append(written.count)
    assert counts[1] < growth * counts[0]


def test_masks_on_positions_read_no_edges() -> None:
    mask = RFDMask(num_features=4)
    edge = replace(cloud(9), edge_index=torch.tensor([[0], [1]]))
    assert_close(mask(edge).to_dense(), mask(cloud(9)).to_dense())
