"""Generated landscapes seen from the air: hills, buildings and trees, each point labelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_number

from ._base import Folder, Options, SplitDataset

DENSITY = 0.5  # points per square metre
# Shares of the area under buildings and under trees, overlaps counted twice, and the mean square
# metres of one.
BUILT, MEAN_ROOF = 0.2, 300.0
WOODED, MEAN_CROWN = 0.2, 14.0
SEEN_THROUGH = 0.3  # share of the pulses that pass through a crown
GROUND, BUILDING, TREE = range(3)


class TerrainScenes(SplitDataset):
    r"""Airborne scans of generated landscapes: hills, houses with flat or pitched roofs, and trees.

    The ground is a sum of waves of random direction, 30 to 300 metres long, on a slope. Rectangular
    buildings, 6 to 40 metres long and 3 to 15 high, stand on it, level, in any direction; so do
    round trees, 2 to 6 metres wide and 3 to 18 high. Pulses fall straight down at random places,
    0.5 per square metre, and meet a roof, the crown of a tree, somewhere in its upper half, or the
    ground, also through a crown; each is then blurred. A point alone does not show its label: a
    roof may lie lower than a hill.

    Each example is ``Data(pos, y)``: ``pos`` float32 of shape [num_points, 3], metres east, north
    and up, centred in the plane; ``y`` long of shape [num_points], 0 ground, 1 building, 2 tree.
    Points come in random order.

    Scene number j depends on the seed, the split and j only: the splits come from disjoint random
    streams, and a larger ``num_scenes`` extends a smaller one. The global random state is neither
    read nor changed. Generated data, no source to cite, same licence as the library. It stands in
    where no real scans are at hand, and says nothing about real ones.

    Args:
        root: folder of the cache; :obj:`None` generates the scenes in memory (a scene of 32,768
            points in half a second) and writes nothing. (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        num_points: points per scene; its area grows with them. (default: :obj:`32768`)
        num_scenes: scenes in this split. (default: :obj:`8`)
        noise: standard deviation of the blur, in metres. (default: :obj:`0.05`)
        seed: seed of all the draws, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if a number is out of range, or ``pre_filter`` keeps no scene.

    Example:
        >>> from graphmask.datasets import TerrainScenes
        >>> scene = TerrainScenes(num_points=40_000, num_scenes=1)[0]
        >>> scene, sorted(set(scene.y.tolist()))
        (Data(y=[40000], pos=[40000, 3]), [0, 1, 2])
    """

    class_names = ("ground", "building", "tree")

    def __init__(
        self,
        root: Folder | None = None,
        train: bool = True,
        num_points: int = 32_768,
        num_scenes: int = 8,
        noise: float = 0.05,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.num_points = check_integer("num_points", num_points, 1)
        self.num_scenes = check_integer("num_scenes", num_scenes, 1)
        self.noise = check_number("noise", noise, 0)
        self.seed = check_integer("seed", seed, 0)
        super().__init__(
            root, train, f"{num_points}x{num_scenes}_noise{self.noise}_seed{seed}", **options
        )

    def build(self) -> Iterator[Data]:
        """Generate the scenes."""
        for index in range(self.num_scenes):
            rng = np.random.default_rng([self.seed, int(self.train), index])
            pos, label = draw_scene(self.num_points, self.noise, rng)
            yield Data(pos=torch.from_numpy(pos), y=torch.from_numpy(label))


def draw_scene(
    num_points: int, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions float32 [num_points, 3] and labels int64 [num_points] of a scene."""
    side = np.sqrt(num_points / DENSITY)
    plane = rng.uniform(-side / 2, side / 2, (num_points, 2))
    ground = Ground(rng)
    scene = Scene(plane, cKDTree(plane), ground(plane), np.full(num_points, GROUND))
    for _ in range(_count(WOODED * side**2 / MEAN_CROWN)):
        _plant(scene, ground, rng.uniform(-side / 2, side / 2, 2), rng)
    for _ in range(_count(BUILT * side**2 / MEAN_ROOF)):
        _build(scene, ground, rng.uniform(-side / 2, side / 2, 2), rng)
    pos = np.column_stack([plane, scene.height]) + noise * rng.standard_normal((num_points, 3))
    return pos.astype(np.float32), scene.label


class Scene(NamedTuple):
    """Points of a scene: plane [N, 2], its k-d tree, and heights [N] and labels [N] to write to."""

    plane: np.ndarray
    tree: cKDTree
    height: np.ndarray
    label: np.ndarray

    def near(self, foot: np.ndarray, reach: float) -> np.ndarray:
        """Return the points within reach of a foot."""
        return np.array(self.tree.query_ball_point(foot, reach), dtype=np.int64)


class Ground:
    """Heights of a landscape: a slope and twelve waves, higher where they are longer."""

    def __init__(self, rng: np.random.Generator) -> None:
        length = 30 * 10 ** rng.uniform(0, 1, 12)
        angle = rng.uniform(0, 2 * np.pi, 12)
        self.waves = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])
        self.shift = rng.uniform(0, 2 * np.pi, 12)
        self.height = rng.uniform(0, 0.02, 12) * length
        self.slope = rng.uniform(-0.1, 0.1, 2)

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        """Compute the heights [N] at points [N, 2] of the plane."""
        return plane @ self.slope + np.sin(plane @ self.waves + self.shift) @ self.height


def _plant(scene: Scene, ground: Ground, foot: np.ndarray, rng: np.random.Generator) -> None:
    width, top = rng.uniform(1, 3), rng.uniform(3, 18)
    under = scene.near(foot, width)
    hit = under[rng.random(len(under)) > SEEN_THROUGH]
    scene.height[hit] = ground(scene.plane[hit]) + top * rng.uniform(0.5, 1, len(hit))
    scene.label[hit] = TREE


def _build(scene: Scene, ground: Ground, foot: np.ndarray, rng: np.random.Generator) -> None:
    half = np.array([rng.uniform(3, 20), rng.uniform(3, 10)])
    angle, eaves = rng.uniform(0, np.pi), rng.uniform(3, 15)
    pitch = rng.choice([0.0, rng.uniform(0.2, 0.8)])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    near = scene.near(foot, float(np.linalg.norm(half)))
    inside = (scene.plane[near] - foot) @ rotation
    under = (np.abs(inside) < half).all(1)
    roof = eaves + pitch * (half[1] - np.abs(inside[under, 1]))
    scene.height[near[under]] = ground(foot[None])[0] + roof
    scene.label[near[under]] = BUILDING


def _count(mean: float) -> int:
    return max(round(mean), 1)
