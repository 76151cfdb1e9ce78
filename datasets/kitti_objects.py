"""Road users cut out of KITTI's street scans, in four classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import value_error
from graphmask.transforms import UnitSphere

from ._base import Options, SplitDataset, check_flag
from ._files import local, with_origins
from ._raw_files import Folder, check_file, check_labels, reading

FILE = "kitti_objects4.npz"
PARTS = {
    "train": tuple(f"train_set_{i}" for i in range(1, 5)),
    "val": ("val_set",),
    "test": ("test_set",),
}


class KITTIObjects(SplitDataset):
    """Point clouds of single road users, cut out of the laser scans of a driving car.

    Reads ``kitti_objects4.npz``, arrays ``train_set_1_points`` [n, 128, 3] and
    ``train_set_1_label`` [n] to ``train_set_4``, ``val_set`` and ``test_set``: 2,048 clouds to
    train, 512 to validate and 660 to test. Each example is ``Data(pos, y)``: ``pos`` float32 of
    shape [128, 3]; ``y`` long of shape [1]. The classes: cyclist, car, pedestrian, misc.

    Clouds are stored in metres, where their size nearly tells the class: a pedestrian reaches 0.7
    to 1.1 m from its centre, a cyclist 0.9 to 1.4 m, a car 1.6 to 3.3 m (5 % to 95 % of the
    clouds). ``unit_size`` therefore centres each cloud and scales it into the unit sphere, so that
    its shape must tell.

    Source: objects of A. Geiger et al., "Are we ready for Autonomous Driving? The KITTI Vision
    Benchmark Suite", CVPR 2012, http://www.cvlibs.net/datasets/kitti, CC BY-NC-SA 3.0, as cropped
    and split in https://github.com/ChristianLarsson91/ExjobbNew (no licence stated), whose six .h5
    files are packed into one.

    Args:
        root: folder of the file.
        split: ``"train"``, ``"val"`` or ``"test"``. (default: :obj:`"train"`)
        unit_size: whether clouds are centred and scaled into the unit sphere, or left in metres.
            (default: :obj:`True`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if the file is missing.
        TypeError: if ``unit_size`` is not a bool.
        ValueError: if ``split`` is unknown, the file is damaged or ``pre_filter`` keeps no cloud.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import KITTIObjects
        >>> points = np.random.default_rng(0).normal(size=(4, 128, 3)).astype(np.float32)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = os.path.join(root, "kitti_objects4.npz")
        ...     np.savez(path, test_set_points=points, test_set_label=[0, 1, 2, 3])
        ...     dataset = KITTIObjects(root, split="test")
        >>> dataset, dataset[1], dataset.class_names[int(dataset[1].y)]
        (KITTIObjects(4), Data(y=[1], pos=[128, 3]), 'car')
    """

    class_names = ("cyclist", "car", "pedestrian", "misc")

    def __init__(
        self, root: Folder, split: str = "train", unit_size: bool = True, **options: Unpack[Options]
    ) -> None:
        if split not in PARTS:
            raise value_error("split", 'one of "train", "val", "test"', split)
        self._split, self.unit_size = split, check_flag("unit_size", unit_size)
        self.file = check_file(Path(root) / FILE, f": `root` must hold {FILE}")
        super().__init__(root, split == "train", "unit" if unit_size else "metres", **options)

    @property
    def split(self) -> str:
        """The name of the split."""
        return self._split

    @property
    def sources(self) -> Sequence[Path]:
        return (self.file,)

    def build(self) -> Iterator[Data]:
        """Yield the clouds of this split in the order of the file."""
        return with_origins(self._clouds())

    def _clouds(self) -> Iterator[Data]:
        scale = UnitSphere()
        for name in PARTS[self.split]:
            points, labels = _read(self.file, name)
            for cloud, label in zip(points, labels, strict=True):
                data = Data(**local(cloud), y=torch.tensor([int(label)]))
                if self.unit_size:
                    data = scale(data)
                    data.pop("origin", None)
                yield data


def _read(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    with reading(path, "restore the file"), open(path, "rb") as file, np.load(file) as arrays:
        points, labels = arrays[f"{name}_points"], arrays[f"{name}_label"]
        labels = check_clouds(points, labels, len(KITTIObjects.class_names))
    return points, labels


def check_clouds(points: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Check finite clouds [n, P, 3] and return their labels [n]."""
    if points.ndim != 3 or points.shape[2] != 3 or labels.shape != points.shape[:1]:
        raise ValueError(
            f"points of shape {list(points.shape)} and labels of shape {list(labels.shape)}"
        )
    if not points.size:
        raise ValueError("no cloud, or clouds without points")
    if points.dtype.kind not in "iuf":
        raise ValueError(f"points of dtype {points.dtype}")
    if not (np.abs(points) <= np.finfo(np.float32).max).all():
        raise ValueError("a point is NaN or infinite, or beyond single precision")
    return check_labels(labels, len(points), num_classes)
