"""Generated clouds of twelve parametric surfaces whose size does not show their class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_probability

from ._base import Folder, Options, SplitDataset
from ._surfaces import SURFACES, Surface, area_element

CANDIDATES = 8  # candidates per point
MAX_CUT = 0.3
FLOOR = 1e-12  # weight of hidden candidates, which come last


class PrimitiveShapes(SplitDataset):
    """Point clouds of parametric surfaces, generated from a seed.

    A cloud is drawn from its surface by area, with a density that varies by a factor of a few from
    one side to the other and up to 30 % cut away by a plane. It is then scaled to standard
    deviation 1 along each axis of the shape, so that size and aspect ratio do not tell the class,
    blurred, stretched differently along each axis, rotated and scaled as a whole by 1/2 to 2.
    Nothing is centred or normalised: transforms do that.

    Each example is ``Data(pos, y)``: ``pos`` float32 of shape [num_points, 3], without unit; ``y``
    long of shape [1]. The classes, in turn (example i is of class i mod 12): ellipsoid, torus,
    cylinder, cone, box, tetrahedron, helix, moebius, saddle, hyperboloid, spiral, trefoil.

    Cloud number j of a class depends on the seed, the split, the class and j only: the splits come
    from disjoint random streams, and a larger ``num_per_class`` extends a smaller one. The global
    random state is neither read nor changed. Generated data, no source to cite, same licence as the
    library.

    Args:
        root: folder of the cache; :obj:`None` generates the clouds in memory (a thousand of 1,024
            points in a few seconds) and writes nothing. (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        num_points: points per cloud. (default: :obj:`256`)
        num_per_class: clouds per class in this split. (default: :obj:`40`)
        noise: standard deviation of the blur, in standard deviations of the shape, in [0, 1).
            (default: :obj:`0.03`)
        seed: seed of all the draws, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if a number is out of range, or ``pre_filter`` keeps no cloud.

    Example:
        >>> from graphmask.datasets import PrimitiveShapes
        >>> dataset = PrimitiveShapes(train=True, num_points=64, num_per_class=2)
        >>> len(dataset), dataset.num_classes, dataset[1]
        (24, 12, Data(y=[1], pos=[64, 3]))
        >>> dataset.class_names[int(dataset[1].y)]
        'torus'
    """

    class_names = tuple(SURFACES)

    def __init__(
        self,
        root: Folder | None = None,
        train: bool = True,
        num_points: int = 256,
        num_per_class: int = 40,
        noise: float = 0.03,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.num_points = check_integer("num_points", num_points, 1)
        self.num_per_class = check_integer("num_per_class", num_per_class, 1)
        self.noise = check_probability("noise", noise)
        self.seed = check_integer("seed", seed, 0)
        super().__init__(
            root, train, f"{num_points}x{num_per_class}_noise{self.noise}_seed{seed}", **options
        )

    def build(self) -> Iterator[Data]:
        """Generate the clouds, one class after the other in turn."""
        for index in range(self.num_per_class):
            for label, surface in enumerate(SURFACES.values()):
                rng = np.random.default_rng([self.seed, int(self.train), label, index])
                pos = torch.from_numpy(draw_cloud(surface, self.num_points, self.noise, rng))
                yield Data(pos=pos, y=torch.tensor([label]))


def draw_cloud(
    surface: Surface, num_points: int, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw points of a surface in a random pose, float32 of shape [num_points, 3]."""
    points = _draw_points(surface, num_points, rng)
    points = (points - points.mean(0)) / (points.std(0) + FLOOR)
    points += noise * rng.standard_normal(points.shape)
    stretch = rng.uniform(0.6, 1.6, 3) * 2.0 ** rng.uniform(-1.0, 1.0)
    return (points * stretch @ _rotation(rng)).astype(np.float32)


def _draw_points(surface: Surface, num_points: int, rng: np.random.Generator) -> np.ndarray:
    u, v = rng.random((2, CANDIDATES * num_points))
    shape = rng.random(3)
    points = surface(u, v, shape)
    weight = area_element(surface, u, v, shape) * _density(points, rng) * _visible(points, rng)
    # The first arrivals of exponential clocks with these rates: a weighted draw without
    # replacement.
    arrival = rng.standard_exponential(len(weight)) / (weight + FLOOR)
    return points[np.argpartition(arrival, num_points - 1)[:num_points]]


def _density(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.uniform(0.0, 1.0) * points @ _direction(rng))


def _visible(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height = points @ _direction(rng)
    return height >= np.quantile(height, rng.uniform(0.0, MAX_CUT))


def _direction(rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(3)
    return normal / np.linalg.norm(normal)


def _rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    # A reflection would turn a helix into its mirror image.
    q[:, 0] *= np.linalg.det(q)
    return q
