from __future__ import annotations

import torch
from cases.graphs import edgeless
from torch.testing import assert_close

from graphmask.masks import (
    CausalMask,
    GlobalMask,
    KroneckerMask,
    PowerSeriesMask,
    ToeplitzMask,
    WalkMask,
)
from graphmask.testing import example_topologies


def test_factors_may_have_edges_and_walks() -> None:
    """Walks are drawn once: equal products, in every call."""
    ring = example_topologies()["ring"]
    mask = KroneckerMask(PowerSeriesMask(2), WalkMask(2), graphs=(ring, ring)).double()
    topology = edgeless(49, 49)
    operator = mask(topology)
    a, b = mask.a(mask.graphs[0]).to_dense(), mask.b(mask.graphs[1]).to_dense()
    first = (topology.batch == 0).nonzero().squeeze(1)
    assert_close(operator.to_dense()[0, first][:, first], torch.kron(a[0], b[0]))
    assert_close(mask(topology).to_dense(), operator.to_dense(), rtol=0, atol=0)


def test_shapes_pass_through_sums_and_multiples() -> None:
    video = KroneckerMask(
        2 * CausalMask(0.5, length=3), GlobalMask() + 0.5 * ToeplitzMask((2, 2), class_token=True)
    )
    assert video.shape == (3, 5)
    assert video(edgeless(15)).shape == (1, 15, 15)
    assert KroneckerMask(video, ToeplitzMask(2)).shape == (3, 5, 2)
