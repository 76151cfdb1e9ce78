"""The simulator against what is known by hand, and what the task is for.

That the next state depends on the springs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphmask as gm
from graphmask.datasets import ElasticBody
from graphmask.datasets._springs import Springs
from graphmask.datasets.elastic_body import STEP, STEPS_PER_FRAME, blows, folded_net


def chain(
    count: int, length: float = 0.5, held: tuple[int, ...] = ()
) -> tuple[np.ndarray, Springs]:
    """Particles at distance 1 along the first axis."""
    number = np.arange(count)
    pos = np.column_stack([number, 0 * number, 0 * number]).astype(np.float64)
    pairs = np.column_stack([number[:-1], number[1:]])
    return pos, Springs(pairs, np.full(count - 1, length), np.isin(number, held))


def test_two_particles_swing_about_their_spring() -> None:
    # Reduced mass 1/2, stiffness 1: the distance is 1 + 0.1 cos(sqrt(2) t).
    pos, springs = chain(2, length=1.0)
    pos[1, 0] = 1.1
    for time in (1.0, 2.5):
        moved, _ = springs.advance(pos, np.zeros_like(pos), 0.01, round(time / 0.01))
        assert moved[1, 0] - moved[0, 0] == pytest.approx(
            1 + 0.1 * np.cos(np.sqrt(2) * time), abs=1e-5
        )


@pytest.mark.parametrize(("axis", "tension"), [(0, 1.0), (2, 0.5)], ids=["along", "across"])
def test_standing_waves_of_a_string_have_the_frequencies_of_the_book(
    axis: int, tension: float
) -> None:
    # A stretched chain of n particles between two that are held: omega = 2 sqrt(c) sin(pi / (2 (n +
    # 1))), c = k along and k (1 - L / h) across.
    pos, springs = chain(9, held=(0, 8))
    wave = 1e-4 * np.sin(np.pi * np.arange(9) / 8)
    start = pos.copy()
    start[:, axis] += wave
    moved, _ = springs.advance(start, np.zeros_like(pos), 0.05, 100)
    omega = 2 * np.sqrt(tension) * np.sin(np.pi / 16)
    expected = wave * np.cos(omega * 5.0)
    np.testing.assert_allclose(moved[:, axis] - pos[:, axis], expected, atol=2e-7)


def test_a_free_net_keeps_energy_and_both_momenta() -> None:
    rest, springs = folded_net(3, 6, 5)
    free = Springs(springs.pairs, springs.length, np.zeros(len(rest), dtype=bool))
    velocity = blows((18, 5), np.random.default_rng(0))
    pos, after = free.advance(rest, velocity, STEP, 200)
    np.testing.assert_allclose(after.sum(0), velocity.sum(0), atol=1e-10)
    np.testing.assert_allclose(
        pos.mean(0), rest.mean(0) + 200 * STEP * velocity.mean(0), atol=1e-10
    )
    np.testing.assert_allclose(
        np.cross(pos, after).sum(0), np.cross(rest, velocity).sum(0), atol=1e-8
    )
    assert free.energy(pos, after) == pytest.approx(free.energy(rest, velocity), rel=5e-3)


def test_energy_does_not_drift_in_a_folded_net() -> None:
    rest, springs = folded_net(4, 12, 12)
    velocity = blows((48, 12), np.random.default_rng(1))
    velocity[springs.held] = 0
    velocity *= 0.12 / np.sqrt((velocity**2).sum(1).mean())
    pos, start, still = rest, springs.energy(rest, velocity), springs.energy(rest, 0 * velocity)
    for _ in range(10):
        pos, velocity = springs.advance(pos, velocity, STEP, STEPS_PER_FRAME)
        assert springs.energy(pos, velocity) - still == pytest.approx(start - still, rel=1e-3)


def test_forces_are_the_slope_of_the_energy() -> None:
    rest, springs = folded_net(2, 4, 4)
    rng = np.random.default_rng(2)
    pos, way = rest + 0.1 * rng.standard_normal(rest.shape), rng.standard_normal(rest.shape)
    way[springs.held] = 0
    near = [springs.energy(pos + shift * way, 0 * way) for shift in (-1e-5, 1e-5)]
    assert (near[0] - near[1]) / 2e-5 == pytest.approx((springs.forces(pos) * way).sum(), rel=1e-7)


def test_the_net_is_in_balance_and_folded() -> None:
    rest, springs = folded_net(3, 5, 4)
    np.testing.assert_allclose(springs.forces(rest), 0, atol=1e-12)
    assert rest.shape == (60, 3)
    assert len(springs.pairs) == 15 * 3 + 14 * 4
    # Row 4 of the first layer turns into row 0 of the second, above it.
    assert rest[16].tolist() == [4, 0, 0]
    assert rest[20].tolist() == [4, 0, 0.25]
    assert rest[40].tolist() == [0, 0, 0.5]
    assert springs.held.sum() == 3 * (20 - 3 * 2)
    joined = {tuple(pair) for pair in springs.pairs.tolist()}
    assert {(16, 20), (0, 1), (0, 4)} <= joined
    assert (3, 4) not in joined


def small(**more: object) -> ElasticBody:
    return ElasticBody(
        **({"layers": 4, "rows": 8, "columns": 8, "num_sequences": 2, "frames": 3} | more)
    )


def test_examples_follow_each_other() -> None:
    dataset = small(steps=2)
    assert len(dataset) == 6
    first, second, third = dataset[0], dataset[1], dataset[2]
    for later, step in ((second, 0), (third, 1)):
        assert torch.equal(first.future_pos[:, step], later.pos)
        assert torch.equal(first.future_velocity[:, step], later.velocity)
    assert not torch.equal(dataset[3].pos, third.future_pos[:, 0])
    for data in dataset:
        assert torch.equal(data.pos[data.held], data.rest[data.held])
        assert not data.velocity[data.held].any()
        assert (data.pos[~data.held] != data.rest[~data.held]).any(1).all()
        assert data.is_undirected()


def test_a_frame_is_what_the_integrator_does_in_it() -> None:
    data = small()[0]
    _, springs = folded_net(4, 8, 8)
    state = data.pos.double().numpy(), data.velocity.double().numpy()
    pos, velocity = springs.advance(*state, ElasticBody.frame / 400, 400)
    np.testing.assert_allclose(data.future_pos[:, 0], pos, atol=5e-3)
    np.testing.assert_allclose(data.future_velocity[:, 0], velocity, atol=5e-3)


def forecast_error(graph: Callable[[Data], torch.Tensor], hops: int) -> float:
    """Share of the motion that a linear function of the state within ``hops`` does not explain.

    Motion beyond constant velocity.
    """
    seen: dict[bool, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for train in (True, False):
        dataset = ElasticBody(train=train, layers=4, rows=16, columns=16, num_sequences=3, frames=2)
        seen[train] = [_seen(data, graph(data), hops) for data in dataset]
    (x, y), (x_test, y_test) = (
        [torch.cat(part) for part in zip(*seen[train], strict=True)] for train in (True, False)
    )
    left = y_test - x_test @ torch.linalg.lstsq(x, y).solution
    return float(left.square().sum() / y_test.square().sum())


def _seen(data: Data, edge_index: torch.Tensor, hops: int) -> tuple[torch.Tensor, torch.Tensor]:
    pattern, weight = gm.Topology(edge_index, data.num_nodes).adjacency("rw")
    steps = [torch.cat([data.pos - data.rest, ElasticBody.frame * data.velocity], 1)]
    for _ in range(hops):
        steps.append(gm.kernels.spmm(pattern, weight.unsqueeze(0), steps[-1].unsqueeze(0))[0])
    added = data.future_pos[:, 0] - data.pos - ElasticBody.frame * data.velocity
    free = ~data.held
    return torch.cat(steps, 1)[free].double(), added[free].double()


def test_the_next_state_depends_on_the_springs_and_nearness_misleads() -> None:
    alone = forecast_error(lambda data: data.edge_index, 0)
    tied = forecast_error(lambda data: data.edge_index, 4)
    near = forecast_error(lambda data: gm.transforms.knn_graph(data.pos, 8), 4)
    assert tied < 0.1 < 0.3 < alone
    assert near > 0.8 * alone
