"""The simulator against closed forms, and that the next state depends on the springs."""

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


@pytest.mark.parametrize(("axis", "tension"), [(0, 1.0), (2, 0.5)], ids=["along", "across"])
def test_standing_waves_of_a_string_have_their_frequencies(axis: int, tension: float) -> None:
    # A stretched chain of n particles between two that are held: omega = 2 sqrt(c) sin(pi / (2 (n +
    # 1))), c = k along and k (1 - L / h) across.
    index = np.arange(9)
    pos = np.stack([index, 0 * index, 0 * index], 1).astype(np.float64)
    springs = Springs(np.stack([index[:-1], index[1:]], 1), np.full(8, 0.5), np.isin(index, (0, 8)))
    wave = 1e-4 * np.sin(np.pi * index / 8)
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
    moved = rest.mean(0) + 200 * STEP * velocity.mean(0)
    np.testing.assert_allclose(pos.mean(0), moved, atol=1e-10)
    momentum = np.cross(rest, velocity).sum(0)
    np.testing.assert_allclose(np.cross(pos, after).sum(0), momentum, atol=1e-8)
    assert free.energy(pos, after) == pytest.approx(free.energy(rest, velocity), rel=5e-3)


def test_energy_does_not_drift_in_a_folded_net() -> None:
    rest, springs = folded_net(4, 12, 12)
    velocity = blows((48, 12), np.random.default_rng(1))
    velocity[springs.held] = 0
    velocity *= 0.12 / np.sqrt((velocity**2).sum(1).mean())
    pos, start, still = rest, springs.energy(rest, velocity), springs.energy(rest, 0 * velocity)
    for _ in range(5):
        pos, velocity = springs.advance(pos, velocity, STEP, STEPS_PER_FRAME)
        assert springs.energy(pos, velocity) - still == pytest.approx(start - still, rel=1e-3)


def test_forces_are_the_gradient_of_the_energy() -> None:
    rest, springs = folded_net(2, 4, 4)
    rng = np.random.default_rng(2)
    pos, step = rest + 0.1 * rng.standard_normal(rest.shape), rng.standard_normal(rest.shape)
    step[springs.held] = 0
    before, after = (springs.energy(pos + shift * step, 0 * step) for shift in (-1e-5, 1e-5))
    expected = (springs.forces(pos) * step).sum()
    assert (before - after) / 2e-5 == pytest.approx(expected, rel=1e-7)


def test_the_net_is_in_balance_and_folded() -> None:
    rest, springs = folded_net(3, 5, 4)
    np.testing.assert_allclose(springs.forces(rest), 0, atol=1e-12)
    assert (rest.shape, len(springs.pairs)) == ((60, 3), 15 * 3 + 14 * 4)
    # Row 4 of the first layer turns into row 0 of the second, above it.
    assert rest[[16, 20, 40]].tolist() == [[4, 0, 0], [4, 0, 0.25], [0, 0, 0.5]]
    assert springs.held.sum() == 3 * (20 - 3 * 2)
    joined = set(map(tuple, springs.pairs.tolist()))
    assert {(16, 20), (0, 1), (0, 4)} <= joined
    assert (3, 4) not in joined


def small(**options: object) -> ElasticBody:
    sizes = {"layers": 4, "rows": 8, "columns": 8, "num_sequences": 2, "frames": 3}
    return ElasticBody(**(sizes | options))


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


def test_a_frame_is_integrated_as_by_finer_steps() -> None:
    data = small()[0]
    _, springs = folded_net(4, 8, 8)
    state = data.pos.double().numpy(), data.velocity.double().numpy()
    pos, velocity = springs.advance(*state, ElasticBody.frame / 400, 400)
    np.testing.assert_allclose(data.future_pos[:, 0], pos, atol=5e-3)
    np.testing.assert_allclose(data.future_velocity[:, 0], velocity, atol=5e-3)


def forecast_error(graph: Callable[[Data], torch.Tensor], hops: int) -> float:
    """Share of the motion that a linear function of the state within ``hops`` leaves unexplained.

    Motion is that beyond constant velocity.
    """

    def regression(train: bool) -> list[torch.Tensor]:
        dataset = ElasticBody(train=train, layers=4, rows=16, columns=16, num_sequences=3, frames=2)
        rows = [state_and_motion(data, graph(data), hops) for data in dataset]
        return [torch.cat(columns) for columns in zip(*rows, strict=True)]

    (x, y), (x_test, y_test) = regression(True), regression(False)
    error = y_test - x_test @ torch.linalg.lstsq(x, y).solution
    return float(error.square().sum() / y_test.square().sum())


def state_and_motion(data: Data, edge_index: torch.Tensor, hops: int) -> list[torch.Tensor]:
    pattern, weight = gm.Topology(edge_index, data.num_nodes).adjacency("rw")
    steps = [torch.cat([data.pos - data.rest, ElasticBody.frame * data.velocity], 1)]
    for _ in range(hops):
        steps.append(gm.kernels.spmm(pattern, weight.unsqueeze(0), steps[-1].unsqueeze(0))[0])
    motion = data.future_pos[:, 0] - data.pos - ElasticBody.frame * data.velocity
    return [torch.cat(steps, 1)[~data.held].double(), motion[~data.held].double()]


def test_the_next_state_depends_on_the_springs_and_nearness_misleads() -> None:
    alone = forecast_error(lambda data: data.edge_index, 0)
    joined = forecast_error(lambda data: data.edge_index, 4)
    near = forecast_error(lambda data: gm.transforms.knn_graph(data.pos, 8), 4)
    assert joined < 0.1 < 0.3 < alone
    assert near > 0.8 * alone
