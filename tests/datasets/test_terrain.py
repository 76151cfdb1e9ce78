from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from graphmask.datasets import TerrainScenes
from graphmask.datasets.terrain import (
    BUILDING,
    DENSITY,
    GROUND,
    TREE,
    Ground,
    Scene,
    _build,
    draw_scene,
)


def heights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Heights above the bare ground, and labels, of a scene without blur."""
    pos, label = draw_scene(20_000, 0.0, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    side = np.sqrt(20_000 / DENSITY)
    place = rng.uniform(-side / 2, side / 2, (20_000, 2))
    np.testing.assert_allclose(pos[:, :2], place, atol=1e-4)
    return pos[:, 2] - Ground(rng)(place), label


def test_ground_is_on_the_ground_and_trees_above_it() -> None:
    above, label = heights(0)
    np.testing.assert_allclose(above[label == GROUND], 0, atol=1e-4)
    # A crown begins at half of its height, 3 to 18 metres.
    assert above[label == TREE].min() >= 1.5
    assert above[label == TREE].max() <= 18
    # A house is level and the ground is not: a roof may come close to a slope, hardly ever below
    # it.
    assert np.median(above[label == BUILDING]) > 3
    assert (above[label == BUILDING] > 0).mean() > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_building_is_a_rectangle_of_its_sides(seed: int) -> None:
    place = np.random.default_rng(5).uniform(-30, 30, (200_000, 2))
    scene = Scene(place, cKDTree(place), np.zeros(len(place)), np.zeros(len(place), dtype=np.int64))
    _build(scene, Ground(np.random.default_rng(6)), np.zeros(2), np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    half = np.array([rng.uniform(3, 20), rng.uniform(3, 10)])
    roof = place[scene.label == BUILDING]
    assert 60**2 * len(roof) / len(place) == pytest.approx(4 * half.prod(), rel=0.05)
    # Along its axes a rectangle of half sides a and b has the variances a^2 / 3 and b^2 / 3.
    np.testing.assert_allclose(
        np.linalg.eigvalsh(np.cov(roof.T)), np.sort(half) ** 2 / 3, rtol=0.05
    )


def test_shares_and_size() -> None:
    dataset = TerrainScenes(num_scenes=3)
    for data in dataset:
        share = torch.bincount(data.y, minlength=3) / data.num_nodes
        assert share[GROUND] > 0.5
        assert (share > 0.04).all()
        area = (data.pos[:, :2].max(0).values - data.pos[:, :2].min(0).values).prod()
        assert data.num_nodes / area == pytest.approx(DENSITY, rel=0.02)
    assert (dataset[0].num_nodes, dataset.num_classes) == (32_768, 3)
    assert dataset[0].pos.dtype == torch.float32


def test_height_alone_does_not_tell_the_class() -> None:
    # The best threshold on height over all scenes leaves many mistakes: more than a third of the
    # objects' share.
    dataset = TerrainScenes(num_points=8_192, num_scenes=4)
    height = torch.cat([data.pos[:, 2] for data in dataset])
    thing = (dataset.y != GROUND)[height.argsort()].float()
    wrong = (thing.cumsum(0) + (1 - thing).flip(0).cumsum(0).flip(0)).min() / len(thing)
    assert wrong > thing.mean() / 3


def test_blur() -> None:
    sharp, blurred = (draw_scene(5_000, noise, np.random.default_rng(3))[0] for noise in (0.0, 0.2))
    assert (blurred - sharp).std() == pytest.approx(0.2, rel=0.05)
