from __future__ import annotations

import math

import cases
import pytest
import torch
from cases.graphs import generator
from torch.testing import assert_close

from graphmask.features import IID, Coupling, Orthogonal, Simplex

every_coupling = pytest.mark.parametrize("coupling", cases.features.COUPLINGS, ids=repr)


def drawn(coupling: Coupling, rows: int, channels: int, seed: int = 0) -> torch.Tensor:
    return coupling(rows, channels, generator(seed))


def cosines(coupling: Coupling, channels: int) -> torch.Tensor:
    W = drawn(coupling, channels, channels)
    unit = W / W.norm(dim=1, keepdim=True)
    return (unit @ unit.mT)[~torch.eye(channels, dtype=torch.bool)]


@every_coupling
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_row_is_standard_normal_by_itself(coupling: Coupling, channels: int) -> None:
    """The first and the last row of blocks, by moments up to the fourth."""
    draws = torch.stack(
        [drawn(coupling, 2 * channels, channels, seed)[[0, -1]] for seed in range(4000)]
    )
    assert_close(draws.mean(0), torch.zeros(2, channels), rtol=0, atol=0.07)
    for row in draws.unbind(1):
        assert_close(row.mT @ row / len(row), torch.eye(channels), rtol=0, atol=0.1)
        assert_close(row.pow(4).mean(0), torch.full((channels,), 3.0), rtol=0, atol=0.6)
        square = row.square().sum(1)
        assert float(square.var()) == pytest.approx(2 * channels, rel=0.2)


@every_coupling
@pytest.mark.parametrize(("rows", "channels"), [(1, 3), (3, 3), (7, 3), (2, 1)])
def test_any_number_of_rows_can_be_drawn(coupling: Coupling, rows: int, channels: int) -> None:
    W = drawn(coupling, rows, channels)
    assert W.shape == (rows, channels)
    assert_close(drawn(coupling, rows, channels), W, rtol=0, atol=0)
    assert not torch.equal(drawn(coupling, rows, channels, seed=1), W)


@pytest.mark.parametrize("channels", [2, 3, 16])
def test_rows_of_a_block_have_their_angles(channels: int) -> None:
    assert_close(
        cosines(Orthogonal(), channels), torch.zeros(channels * (channels - 1)), rtol=0, atol=1e-12
    )
    wide = torch.full((channels * (channels - 1),), -1 / (channels - 1))
    assert_close(cosines(Simplex(), channels), wide)
    assert cosines(IID(), channels).abs().max() > 0.1 / math.sqrt(channels)


def test_blocks_are_independent() -> None:
    W = drawn(Orthogonal(), 6, 3)
    across = W[:3] @ W[3:].mT
    assert (across.abs() > 1e-3).all()
