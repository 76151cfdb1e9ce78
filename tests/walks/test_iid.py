from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology
from graphmask.testing import example_topologies
from graphmask.walks import IIDWalks


def errors(topology: Topology, num_walks: int, draws: int) -> torch.Tensor:
    """Root mean square distance of W^2 and its estimate."""
    pattern, weight = topology.adjacency()
    target = torch.linalg.matrix_power(pattern.to_dense(weight), 2)
    generator, sampler = torch.Generator().manual_seed(0), IIDWalks(num_walks, hops=2)
    drawn = torch.stack([sampler(topology, generator).to_dense()[2] for _ in range(draws)])
    return (drawn - target).square().mean().sqrt()


@pytest.mark.parametrize("name", ["weighted", "directed", "signed"])
def test_the_error_falls_with_the_root_of_the_number_of_walks(name: str) -> None:
    counts = torch.tensor([4.0, 16.0, 64.0, 256.0])
    found = torch.stack(
        [errors(example_topologies()[name], int(count), 40) for count in counts]
    ).log()
    x = counts.log() - counts.log().mean()
    exponent = float((x * found).sum() / x.square().sum())
    assert -0.6 < exponent < -0.4


def test_a_path_that_cannot_branch_is_exact() -> None:
    """0 -> 1 -> 2 by weights 2 and 3, without halting: every walker does the same."""
    line = Topology(torch.tensor([[1, 2], [0, 1]]), 3, torch.tensor([2.0, 3.0]))
    walks = IIDWalks(num_walks=3, p_halt=0.0, hops=3, normalization=None)(line)
    dense = walks.to_dense()
    assert_close(dense[1], torch.tensor([[0, 2.0, 0], [0, 0, 3.0], [0, 0, 0]]))
    assert_close(dense[2], torch.tensor([[0, 0, 6.0], [0, 0, 0], [0, 0, 0]]))
    assert_close(dense[3], torch.zeros(3, 3))


@pytest.mark.parametrize("p_halt", [0.0, 0.3, 0.6])
def test_walkers_halt_with_the_given_probability(p_halt: float) -> None:
    """On a cycle walked one way, walkers at hop t went on t times, and weigh 1 / (n q^t) each."""
    n, hops, size = 50, 3, 200
    ring = Topology(torch.stack([(torch.arange(size) + 1) % size, torch.arange(size)]), size)
    dense = IIDWalks(n, p_halt, hops, normalization=None)(
        ring, torch.Generator().manual_seed(0)
    ).to_dense()
    for hop in range(hops + 1):
        alive = dense[hop].sum() * n * (1 - p_halt) ** hop / (n * size)
        expected = (1 - p_halt) ** hop
        deviation = (expected * (1 - expected) / (n * size)) ** 0.5
        assert abs(float(alive) - expected) <= 4 * deviation + 1e-12


def test_neighbours_are_chosen_evenly() -> None:
    """Whatever their weights: the load makes up for it."""
    star = Topology(
        torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]]), 5, torch.tensor([0.1, 1.0, 5.0, 2.0])
    )
    dense = IIDWalks(4000, 0.0, hops=1, normalization=None)(
        star, torch.Generator().manual_seed(0)
    ).to_dense()
    share = dense[1, 0, 1:] / torch.tensor([0.1, 1.0, 5.0, 2.0]) / 4
    assert_close(share, torch.full((4,), 0.25), atol=4 * (0.1875 / 4000) ** 0.5, rtol=0)
