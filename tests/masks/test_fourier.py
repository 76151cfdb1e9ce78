from __future__ import annotations

import cases
import torch
from cases.points import clouds
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.masks import FourierMask
from graphmask.testing import assert_gradients, assert_unbiased
from graphmask.testing.graphs import replace

NONE = torch.empty(2, 0, dtype=torch.long)


def cloud(n: int, dim: int = 3) -> Topology:
    return Topology(NONE, pos=torch.rand(n, dim, generator=torch.Generator().manual_seed(0)))


def small(**options: int) -> FourierMask:
    return cases.points.fourier(**options)


def test_the_target_is_the_exponential_of_the_bias() -> None:
    topology, mask = clouds()["ragged"], small(length=2)
    tau = reference.gaussian_mixture(
        mask.frequency, mask.amplitude, mask.centre, mask.log_width.exp()
    )
    bias = reference.fourier_bias((topology.pos[:, None] - topology.pos) / 2, mask.frequency, tau)
    assert_close(
        mask.target(topology).to_dense(), bias.exp() * reference.global_mask(23, topology.batch)
    )


def test_features_are_unbiased_for_the_target() -> None:
    topology, mask = clouds()["seven"], small(num_features=8)
    generator, target = torch.Generator().manual_seed(1), mask.target(topology).to_dense().detach()
    drawn = []
    for _ in range(2000):
        mask.redraw(generator)
        drawn.append(mask(topology).to_dense().detach())
    assert_unbiased(torch.stack(drawn), target)


def test_a_fresh_mask_falls_with_the_distance_and_is_close_to_its_target() -> None:
    line = Topology(NONE, pos=torch.linspace(0, 1, 30)[:, None] * torch.eye(3)[:1])
    mask = FourierMask()
    target = mask.target(line).to_dense()[0]
    assert 1.3 < target[0, 0] < 2.1
    assert target[0, 0] > target[0, 3] > target[0, 6]
    assert (mask(line).to_dense()[0] / target - 1).square().mean().sqrt() < 0.5
    assert (mask(line).to_dense() > 0).all()


def test_no_bias_is_no_mask() -> None:
    """And has gradients all the same: the split into factors is smooth at zero."""
    mask = FourierMask(num_features=8)
    mask.amplitude.data.zero_()
    assert_close(mask(cloud(5)).to_dense(), torch.ones(1, 5, 5), rtol=0.2, atol=0)
    mask(cloud(5)).to_dense().square().sum().backward()
    assert mask.amplitude.grad.isfinite().all()
    assert mask.amplitude.grad.abs().sum() > 0


def test_positions_have_gradients() -> None:
    mask, graph = small(), clouds()["ragged"]
    x = torch.rand(graph.num_nodes, 2, generator=torch.Generator().manual_seed(0))
    assert_gradients(lambda pos: mask(replace(graph, pos=pos)) @ x, graph.pos, module=mask)


def test_moving_a_cloud_changes_nothing() -> None:
    mask, graph = FourierMask(), cloud(9)
    assert_close(mask(replace(graph, pos=graph.pos + 100.0)).to_dense(), mask(graph).to_dense())


def test_large_biases_stay_finite_in_single_precision() -> None:
    mask = FourierMask().float()
    mask.amplitude.data *= 30
    assert mask(cloud(50)).to_dense().isfinite().all()
