"""Scenes of cables wound about each other, each of which is clicked once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_probability

from ._base import Folder, Options, SplitDataset

WAVES, RADIUS, TURNS = 2, 0.05, 2.0  # of the bundle, whose length is 1
FINE = 16  # samples of a cable per point


class TangledCables(SplitDataset):
    r"""Scenes of cables wound about each other: label every point from one click per cable.

    The middle of a bundle is a random smooth curve c of length 1, whose direction at t, from 0 to
    1, is

    .. math::
        c'(t) \propto \sum_{w=1}^{2} \frac{a_w \cos \pi w t + b_w \sin \pi w t}{w},
        \qquad a_w, b_w \sim N(0, I_3)

    Cable s of S winds about it twice, 1/20 away: :math:`p_s(t) = c(t) + \tfrac{1}{20} (\cos
    \varphi\, u + \sin \varphi\, v)` with :math:`\varphi = 2 \pi (2 t + s / S)` and u, v normal to
    the curve and turning with it no more than they must. Its points are evenly spaced along it and
    blurred, and one of them is clicked.

    The click that is nearest in space tells hardly more than chance, since the cables run side by
    side; of the edges to the four nearest neighbours about one in seventy joins two cables, enough
    that the click that is nearest along them is wrong for three points in ten.

    Each example is ``Data(x, pos, y)`` with its points in random order: ``x`` float32 of shape [N,
    num_cables], a one in column s at the clicked point of cable s and zeros elsewhere; ``pos``
    float32 of shape [N, 3], in lengths of the bundle; ``y`` long of shape [N], the cable of each
    point.

    Scene i depends on the seed, the split, the arguments of its size and i only, so that a larger
    ``num_scenes`` extends a smaller one. The global random state is neither read nor changed.
    Generated data, no source to cite, same licence as the library.

    Args:
        root: folder of the cache; :obj:`None` generates the scenes in memory (400 in two seconds)
            and writes nothing. (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        num_scenes: scenes in this split. (default: :obj:`320`)
        num_cables: S, cables in each scene. (default: :obj:`4`)
        points_per_cable: points of each cable. (default: :obj:`64`)
        noise: standard deviation of the blur, in lengths of the bundle, in [0, 1). (default:
            :obj:`0.002`)
        seed: seed of all the draws, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if a number is out of range, or ``pre_filter`` keeps no scene.

    Example:
        >>> from graphmask.datasets import TangledCables
        >>> dataset = TangledCables(num_scenes=2)
        >>> dataset[0], dataset.num_classes
        (Data(x=[256, 4], y=[256], pos=[256, 3]), 4)
        >>> dataset[0].x.sum(0).tolist(), dataset[0].y.bincount().tolist()
        ([1.0, 1.0, 1.0, 1.0], [64, 64, 64, 64])
    """

    def __init__(
        self,
        root: Folder | None = None,
        train: bool = True,
        num_scenes: int = 320,
        num_cables: int = 4,
        points_per_cable: int = 64,
        noise: float = 0.002,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.num_scenes = check_integer("num_scenes", num_scenes, 1)
        self.num_cables = check_integer("num_cables", num_cables, 1)
        self.points_per_cable = check_integer("points_per_cable", points_per_cable, 1)
        self.noise = check_probability("noise", noise)
        self.seed = check_integer("seed", seed, 0)
        size = f"{num_scenes}x{num_cables}x{points_per_cable}"
        super().__init__(root, train, f"{size}_noise{self.noise}_seed{seed}", **options)

    def build(self) -> Iterator[Data]:
        """Generate the scenes, one after the other."""
        for index in range(self.num_scenes):
            rng = np.random.default_rng([self.seed, int(self.train), index])
            yield self._scene(rng)

    def _scene(self, rng: np.random.Generator) -> Data:
        cables, points = self.num_cables, self.points_per_cable
        pos = draw_cables(cables, points, rng).reshape(-1, 3)
        pos += self.noise * rng.standard_normal(pos.shape)
        y = torch.arange(cables).repeat_interleave(points)
        clicked = torch.zeros(len(y), dtype=torch.bool)
        clicked[points * np.arange(cables) + rng.integers(0, points, cables)] = True
        order = torch.from_numpy(rng.permutation(len(y)))
        x = (one_hot(y, cables) * clicked.unsqueeze(1)).float()
        return Data(x=x[order], pos=torch.from_numpy(pos).float()[order], y=y[order])


def draw_cables(cables: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Draw evenly spaced points of cables about a random curve, ``[cables, points, 3]``."""
    t = np.linspace(0, 1, FINE * points)
    tangent = _draw_tangent(t, rng)
    curve = tangent.cumsum(0) / len(t)
    u = _transport(rng.standard_normal(3), tangent)
    v = np.cross(tangent, u)
    even = (np.arange(points) + 0.5) / points
    out = np.empty((cables, points, 3))
    for cable in range(cables):
        angle = 2 * np.pi * (TURNS * t + cable / cables)[:, np.newaxis]
        line = curve + RADIUS * (np.cos(angle) * u + np.sin(angle) * v)
        length = np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1).cumsum()
        for axis in range(3):
            out[cable, :, axis] = np.interp(even * length[-1], length, line[:, axis])
    return out


def _draw_tangent(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the direction of a smooth curve at every t, ``[T, 3]``."""
    wave = np.arange(1, WAVES + 1)
    phase = np.pi * t[:, np.newaxis] * wave
    a, b = rng.standard_normal((2, WAVES, 3)) / wave[:, np.newaxis]
    direction = np.cos(phase) @ a + np.sin(phase) @ b
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def _transport(start: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Return unit vectors normal to the curve, each the projection of the one before."""
    normals, normal = np.empty_like(tangent), start
    for i, axis in enumerate(tangent):
        normal = normal - (normal @ axis) * axis
        normals[i] = normal = normal / np.linalg.norm(normal)
    return normals
