from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from graphmask.datasets import Heterophilous, Minesweeper
from graphmask.datasets.minesweeper import random_masks


def numbers(mine: torch.Tensor, size: int) -> np.ndarray:
    """Mines around each cell, by a convolution."""
    kernel = np.ones((3, 3), dtype=int)
    kernel[1, 1] = 0
    return convolve(mine.numpy().reshape(size, size), kernel, mode="constant").ravel()


def test_shown_numbers_count_the_mines_around() -> None:
    data = Minesweeper(size=30, mines=0.3, hidden=0.25)[0]
    around = numbers(data.y, 30)
    assert torch.equal(data.x.sum(1), torch.ones(900))
    shown = data.x[:, 0] == 0
    assert int(shown.sum()) == 675
    assert data.x.argmax(1)[shown].tolist() == (1 + np.minimum(around, 5))[shown.numpy()].tolist()
    assert around.max() > 5
    assert int(data.y.sum()) == 270


def test_cells_border_on_eight() -> None:
    data = Minesweeper(size=4)[0]
    assert data.edge_index[0].bincount().view(4, 4).tolist() == [
        [3, 5, 5, 3],
        [5, 8, 8, 5],
        [5, 8, 8, 5],
        [3, 5, 5, 3],
    ]
    assert (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).abs().amax(1).eq(1).all()
    assert data.grid_shape.tolist() == [[4, 4]]
    assert data.is_undirected()


@pytest.mark.parametrize("n", [4, 10, 103])
def test_masks_part_the_nodes_by_the_generator(n: int) -> None:
    masks = random_masks(n, np.random.default_rng(0))
    assert list(masks) == ["train_mask", "val_mask", "test_mask"]
    assert torch.equal(torch.stack(list(masks.values())).sum(0), torch.ones(n, dtype=torch.long))
    assert [int(mask.sum()) for mask in masks.values()] == [n // 2, n // 4, n - n // 2 - n // 4]
    same, other = (random_masks(n, np.random.default_rng(seed)) for seed in (0, 1))
    assert torch.equal(masks["train_mask"], same["train_mask"])
    assert n == 4 or not torch.equal(masks["train_mask"], other["train_mask"])


def test_the_real_graph_keeps_the_same_rules(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    real = Heterophilous(real_data("heterophilous"), "minesweeper", processed_root=tmp_path)[0]
    made = Minesweeper()[0]
    assert torch.equal(real.edge_index, made.edge_index)
    assert int(real.y.sum()) == int(made.y.sum())
    assert int(real.x[:, 0].sum()) == int(made.x[:, 0].sum())
    shown = real.x[:, 0] == 0
    assert (
        real.x.argmax(1)[shown].tolist()
        == (1 + np.minimum(numbers(real.y, 100), 5))[shown.numpy()].tolist()
    )
    for part in ("train", "val", "test"):
        assert int(real[f"{part}_mask"].sum()) == int(made[f"{part}_mask"].sum())
