from __future__ import annotations

import networkx
import torch
from cases.grids import of_sizes
from scipy.linalg import expm
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import (
    CausalMask,
    GlobalMask,
    GridDiffusionMask,
    KroneckerMask,
    PowerSeriesMask,
    ToeplitzMask,
    WalkMask,
)
from graphmask.testing import example_topologies

NONE = torch.empty(2, 0, dtype=torch.long)


def test_the_heat_kernel_of_a_product_of_graphs_is_that_of_its_factors() -> None:
    graph = networkx.grid_graph((4, 3))
    L = networkx.laplacian_matrix(graph, sorted(graph)).toarray().astype(float)
    mask = KroneckerMask(GridDiffusionMask(3, scale=0.5), GridDiffusionMask(4, scale=0.5)).double()
    operator = mask(Topology(NONE, 12))
    assert_close((operator @ torch.eye(12))[0], torch.from_numpy(expm(-0.5 * L)))
    assert mask.shape == (3, 4)


def test_factors_with_edges_and_walks() -> None:
    """Walks are drawn once: equal products, in every call."""
    ring = example_topologies()["ring"]
    mask = KroneckerMask(PowerSeriesMask(2), WalkMask(2), graphs=(ring, ring)).double()
    topology = of_sizes(49, 49)
    operator = mask(topology)
    a, b = mask.a(mask.graphs[0]).to_dense(), mask.b(mask.graphs[1]).to_dense()
    first = (topology.batch == 0).nonzero().squeeze(1)
    assert_close(operator.to_dense()[0, first][:, first], torch.kron(a[0], b[0]))
    assert_close(mask(topology).to_dense(), operator.to_dense(), rtol=0, atol=0)


def test_shapes_are_known_through_sums_and_multiples() -> None:
    video = KroneckerMask(
        2 * CausalMask(0.5, length=3), GlobalMask() + 0.5 * ToeplitzMask((2, 2), class_token=True)
    )
    assert video.shape == (3, 5)
    assert video(Topology(NONE, 15)).shape == (1, 15, 15)
    assert KroneckerMask(video, ToeplitzMask(2)).shape == (3, 5, 2)
