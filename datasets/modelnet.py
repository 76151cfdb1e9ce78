"""ModelNet10 and ModelNet40 as point clouds, from meshes or from a file of voxels."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data, download_url

from graphmask._checks import check_integer, value_error

from ._base import Filter, SplitDataset, Transform, check_flag, check_optional
from ._files import mesh_data, sample, with_origins
from ._meshes import read_off
from ._raw_files import (
    Folder,
    check_labels,
    class_files,
    extract,
    files_of_classes,
    missing_files,
    reading,
)

VOXEL_FILE = "modelnet10_vox32_bits.npz"
GRID = (32, 32, 32)
URLS = {
    "10": "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    "40": "http://modelnet.cs.princeton.edu/ModelNet40.zip",
}
CLASSES = {
    "10": (
        "bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table",
        "toilet",
    ),
    "40": (
        "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair",
        "cone", "cup", "curtain", "desk", "door", "dresser", "flower_pot", "glass_box", "guitar",
        "keyboard", "lamp", "laptop", "mantel", "monitor", "night_stand", "person", "piano",
        "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table", "tent",
        "toilet", "tv_stand", "vase", "wardrobe", "xbox",
    ),
}  # fmt: skip


class ModelNet(SplitDataset):
    """CAD models of household objects as meshes or point clouds, in the official splits.

    Takes the arguments of PyG's ``ModelNet`` and returns its meshes; more arguments make clouds of
    them. Reads one of two sources in ``root``:

    * ``modelnet10_vox32_bits.npz``: ModelNet10 as 32 x 32 x 32 occupancy grids, eight cells to a
      byte (arrays ``X_train_bits`` [3991, 4096], ``y_train`` [3991], ``X_test_bits`` [908, 4096],
      ``y_test`` [908]). The points are the occupied cells, ``pos`` their integer coordinates 0 to
      31, in voxels. Empty grids are dropped: 3,964 train and 901 test examples, 62 of which equal a
      train example. A cloud has ``num_points`` points, or all of its cells if it has fewer (half of
      the clouds have less than about 2,000, one in twenty less than about 170, the smallest 1).
    * otherwise the meshes, ``raw/<class>/{train,test}/*.off`` as PyG's ``ModelNet`` lays them out
      (ModelNet10: 450 MB, 3,991 train and 908 test examples; ModelNet40: 2 GB, 9,843 and 2,468).
      ``num_points`` points are drawn by area, in the units of the mesh, which differ from one model
      to the other.

    Each example is ``Data(pos, y)``: ``pos`` float32 of shape [P, 3], ``y`` long of shape [1];
    ``num_points=None`` keeps all the cells, or all the vertices [V, 3] of the mesh with its
    ``face``, long of shape [3, F]; ``origin`` as in :func:`read_shape`. Draws depend on the seed,
    the split and the index of the example only; the global random state is neither read nor
    changed.

    Source: Z. Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015,
    https://modelnet.cs.princeton.edu. Its authors provide the models for academic use; they belong
    to their makers.

    Args:
        root: folder of the voxel file, or of the meshes (another one for each ``name``).
        name: ``"10"`` or ``"40"`` classes; the voxel file has 10. (default: :obj:`"10"`)
        train: whether this is the training split. (default: :obj:`True`)
        transform, pre_transform, pre_filter, force_reload, processed_root: see
            :class:`~graphmask.datasets.CachedDataset`.
        num_points: points per cloud; :obj:`None` for all of them. (default: :obj:`None`)
        seed: seed of the drawn points, a non-negative integer. (default: :obj:`0`)
        download: whether to download the meshes if they are missing. (default: :obj:`False`)

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if ``name`` is unknown, a number is out of range, a file is damaged or
            ``pre_filter`` keeps no cloud.
        FileNotFoundError: if meshes are missing and ``download`` is false, or a class has none.
        ConnectionError: if the download fails.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import ModelNet
        >>> bits = np.full([2, 4096], 255, dtype=np.uint8)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = os.path.join(root, "modelnet10_vox32_bits.npz")
        ...     np.savez(path, X_train_bits=bits, y_train=[0, 9], X_test_bits=bits, y_test=[0, 9])
        ...     dataset = ModelNet(root, num_points=64)
        >>> dataset, dataset[1], dataset.class_names[int(dataset[1].y)]
        (ModelNet10(2), Data(y=[1], pos=[64, 3]), 'toilet')
    """

    def __init__(
        self,
        root: Folder,
        name: str = "10",
        train: bool = True,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
        *,
        num_points: int | None = None,
        seed: int = 0,
        processed_root: Folder | None = None,
        download: bool = False,
    ) -> None:
        if name not in CLASSES:
            raise value_error("name", 'one of "10", "40"', name)
        self.name, self.class_names = name, CLASSES[name]
        self.num_points = check_optional("num_points", num_points, 1)
        self.seed = check_integer("seed", seed, 0)
        self.source_folder = Path(root).expanduser()
        check_flag("download", download)
        missing = [name for name in self.class_names if not (self._meshes / name).exists()]
        if missing and not self.from_voxels:
            self._download(missing, download)
        super().__init__(
            root,
            train,
            f"{'voxels' if self.from_voxels else 'meshes'}{name}_{num_points or 'all'}_seed{seed}",
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            processed_root=processed_root,
            force_reload=force_reload,
        )

    @property
    def from_voxels(self) -> bool:
        """True if the points are the cells of the voxel file."""
        return self.name == "10" and (self.source_folder / VOXEL_FILE).exists()

    @property
    def _meshes(self) -> Path:
        return self.source_folder / "raw"

    def _download(self, missing: list[str], download: bool) -> None:
        """Download the meshes of missing classes; a class that is there stays as it is."""
        url = URLS[self.name]
        if not download:
            raise missing_files(missing, self._meshes, url)
        try:
            self._meshes.mkdir(parents=True, exist_ok=True)
            # Moved when complete: an interrupted download must not leave half a class.
            with tempfile.TemporaryDirectory(dir=self.source_folder) as folder:
                extract(Path(download_url(url, folder)), Path(folder))
                for name in missing:
                    source = os.path.join(folder, f"ModelNet{self.name}", name)
                    shutil.move(source, self._meshes / name)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConnectionError(
                f"The download of {url} failed ({error}): try again with a network, unpack the "
                f"archive to {self._meshes}/<class>/{{train,test}}/*.off, or put {VOXEL_FILE} into "
                f"{self.source_folder}"
            ) from error

    @property
    def sources(self) -> Sequence[Path]:
        if self.from_voxels:
            return (self.source_folder / VOXEL_FILE,)
        return class_files(self._meshes, self.class_names, self.split, ".off")

    def build(self) -> Iterator[Data]:
        """Yield the examples of this split in the order of the files."""
        return self._voxel_clouds() if self.from_voxels else with_origins(self._mesh_clouds())

    def _voxel_clouds(self) -> Iterator[Data]:
        bits, labels = _read_voxels(self.source_folder / VOXEL_FILE, self.split)
        for index in np.flatnonzero(bits.any(axis=1)).tolist():
            cells = np.argwhere(np.unpackbits(bits[index]).reshape(GRID)).astype(np.float32)
            if self.num_points is not None and len(cells) > self.num_points:
                cells = self._rng(index).permutation(cells)[: self.num_points]
            yield Data(pos=torch.from_numpy(cells), y=torch.tensor([int(labels[index])]))

    def _mesh_clouds(self) -> Iterator[Data]:
        files = files_of_classes(
            self._meshes, self.class_names, self.split, ".off", "remove it and download it again"
        )
        for index, (label, path) in enumerate(files):
            remedy = f"remove the folder {path.parents[1]} and download it again, or only the file"
            with reading(path, remedy):
                cloud = self._mesh_cloud(path, index)
            cloud.y = torch.tensor([label])
            yield cloud

    def _mesh_cloud(self, path: Path, index: int) -> Data:
        mesh = mesh_data(read_off(path))
        return mesh if self.num_points is None else sample(mesh, self.num_points, self._rng(index))

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(self.train), index])

    def __repr__(self) -> str:
        return f"ModelNet{self.name}({len(self)})"


def _read_voxels(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    remedy = "restore the file, or remove it to read the meshes instead"
    num_bytes = int(np.prod(GRID)) // 8
    with reading(path, remedy), open(path, "rb") as file, np.load(file) as arrays:
        bits, labels = arrays[f"X_{split}_bits"], arrays[f"y_{split}"]
        if bits.dtype != np.uint8 or bits.shape != (len(labels), num_bytes):
            raise ValueError(
                f"expected uint8 bits of shape [{len(labels)}, {num_bytes}], "
                f"got {bits.dtype} {bits.shape}"
            )
        labels = check_labels(labels, len(bits), len(CLASSES["10"]))
    return bits, labels
