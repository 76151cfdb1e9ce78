"""Scanned objects of real rooms: ScanObjectNN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, value_error
from graphmask.extras import require

from ._base import Options, SplitDataset, check_flag, check_optional
from ._files import local, with_origins
from ._raw_files import Folder, check_file, reading
from .kitti_objects import check_clouds

VARIANTS = {
    None: "objectdataset",
    "PB_T25": "objectdataset_augmented25_norot",
    "PB_T25_R": "objectdataset_augmented25rot",
    "PB_T50_R": "objectdataset_augmentedrot",
    "PB_T50_RS": "objectdataset_augmentedrot_scale75",
}
BACKGROUND = -1  # in the mask of the files


class ScanObjectNN(SplitDataset):
    """Objects of 15 classes cut out of scanned rooms, with clutter, holes and surroundings.

    Reads the official release, ``{main_split, main_split_nobg}/{training,
    test}_objectdataset*.h5`` with ``data`` [n, 2048, 3], ``label`` [n] and ``mask`` [n, 2048]. Each
    example is ``Data(pos, foreground, y)``: ``pos`` float32 of shape [P, 3], in the units of the
    file; ``foreground`` bool of shape [P], whether a point belongs to the object; ``y`` long of
    shape [1], see ``ScanObjectNN.class_names``.

    The paper's names: OBJ_ONLY is ``background=False``, OBJ_BG the default; the variants were moved
    by up to 25 or 50 % of the object's box (T25, T50), rotated (R) and scaled (S) before points
    were cut out, several times each. PB_T50_RS is the hardest and the one most reported. By the
    paper OBJ has 2,902 objects, four in five of them to train.

    Source: M. A. Uy et al., "Revisiting Point Cloud Classification: A New Benchmark Dataset and
    Classification Model on Real-World Data", ICCV 2019, https://hkust-vgd.github.io/scanobjectnn.
    Accept its terms of use there, unpack ``h5_files.zip`` and pass the folder ``h5_files``.

    Args:
        root: folder that holds ``main_split`` or ``main_split_nobg``.
        variant: :obj:`None` for the objects as they are, ``"PB_T25"``, ``"PB_T25_R"``,
            ``"PB_T50_R"`` or ``"PB_T50_RS"``. (default: :obj:`None`)
        background: whether points of the surroundings are in the cloud (``main_split``) or not
            (``main_split_nobg``). (default: :obj:`True`)
        train: whether this is the training split. (default: :obj:`True`)
        num_points: points per cloud, drawn without repetition; :obj:`None` for all 2,048.
            (default: :obj:`None`)
        seed: seed of the drawn points, a non-negative integer. A draw depends on it, the split and
            the example's place only. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if the file is missing.
        ImportError: if ``h5py`` is not installed (extra ``scans``) and the clouds are not cached
            yet.
        TypeError: if a flag is not a bool, or a number is not an integer.
        ValueError: if ``variant`` is unknown, a number is out of range, the file is damaged or
            ``pre_filter`` keeps no cloud.

    Example:
        >>> import os, tempfile
        >>> import h5py, numpy as np
        >>> from graphmask.datasets import ScanObjectNN
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = os.path.join(root, "main_split")
        ...     os.mkdir(folder)
        ...     with h5py.File(os.path.join(folder, "test_objectdataset.h5"), "w") as file:
        ...         file["data"], file["label"] = np.zeros([2, 9, 3]), [4, 0]
        ...         file["mask"] = np.full([2, 9], -1)
        ...     dataset = ScanObjectNN(root, train=False, num_points=8)
        >>> dataset, dataset[0], dataset.class_names[int(dataset[0].y)]
        (ScanObjectNN(2), Data(y=[1], pos=[8, 3], foreground=[8]), 'chair')
    """

    class_names = (
        "bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed",
        "pillow", "sink", "sofa", "toilet",
    )  # fmt: skip

    def __init__(
        self,
        root: Folder,
        variant: str | None = None,
        background: bool = True,
        train: bool = True,
        num_points: int | None = None,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        if variant not in VARIANTS:
            raise value_error("variant", f"one of {', '.join(map(repr, VARIANTS))}", variant)
        self.num_points = check_optional("num_points", num_points, 1)
        self.seed = check_integer("seed", seed, 0)
        folder = "main_split" if check_flag("background", background) else "main_split_nobg"
        part = "training" if check_flag("train", train) else "test"
        site = "https://hkust-vgd.github.io/scanobjectnn"
        hint = f": `root` must be the folder h5_files of the release, see {site}"
        self.file = check_file(Path(root) / folder / f"{part}_{VARIANTS[variant]}.h5", hint)
        super().__init__(
            root, train, f"{folder}_{variant}_{num_points or 'all'}_seed{seed}", **options
        )

    @property
    def sources(self) -> Sequence[Path]:
        return (self.file,)

    def build(self) -> Iterator[Data]:
        """Yield the clouds of this split in the order of the file."""
        return with_origins(self._clouds())

    def _clouds(self) -> Iterator[Data]:
        points, labels, foreground = _read(self.file)
        for index, label in enumerate(labels.tolist()):
            chosen = self._draw(index, points.shape[1])
            yield Data(
                **local(points[index, chosen]),
                foreground=torch.from_numpy(foreground[index, chosen]),
                y=torch.tensor([label]),
            )

    def _draw(self, index: int, size: int) -> np.ndarray:
        if self.num_points is None or self.num_points >= size:
            return np.arange(size)
        rng = np.random.default_rng([self.seed, int(self.train), index])
        return rng.permutation(size)[: self.num_points]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    h5py = require("h5py", extra="scans")
    with reading(path, "restore the file from the original data"), h5py.File(path, "r") as file:
        points, labels, mask = (np.asarray(file[name]) for name in ("data", "label", "mask"))
        labels = check_clouds(points, labels.reshape(-1), len(ScanObjectNN.class_names))
        if mask.shape != points.shape[:2]:
            shapes = f"{list(mask.shape)} beside points of shape {list(points.shape)}"
            raise ValueError(f"a mask of shape {shapes}")
    return points, labels, mask != BACKGROUND
