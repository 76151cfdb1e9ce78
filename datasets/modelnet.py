"""ModelNet10 and ModelNet40 as point clouds, from meshes or from a file of voxels."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data, download_url, extract_zip

from graphmask._checks import check_integer, value_error

from ._base import Filter, Folder, SplitDataset, Transform, damaged
from ._meshes import read_off, sample_surface

VOXEL_FILE = "modelnet10_vox32_bits.npz"
GRID = (32, 32, 32)
URLS = {
    "10": "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    "40": "http://modelnet.cs.princeton.edu/ModelNet40.zip",
}
CLASSES = {
    "10": ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet"),
    "40": (
        "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain",
        "desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel",
        "monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool",
        "table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox",
    ),
}  # fmt: skip


class ModelNet(SplitDataset):
    """CAD models of household objects as point clouds, in the official train and test splits.

    Two sources, told apart by what `root` holds:

    * the file `modelnet10_vox32_bits.npz`: ModelNet10 as 32 x 32 x 32 occupancy grids, eight cells
      to a byte (arrays `X_train_bits` [3991, 4096], `y_train` [3991], `X_test_bits` [908, 4096],
      `y_test` [908]). The points are the occupied cells, `pos` their integer coordinates 0 to 31,
      in voxels. Empty grids are dropped: 3,964 train and 901 test examples, 62 of which equal a
      train example. A cloud has `num_points` points, or all of its cells if it has fewer (half of
      the clouds have less than about 2,000, one in twenty less than about 170, the smallest 1).
    * otherwise the meshes, ``raw/<class>/{train,test}/*.off`` as PyTorch Geometric's `ModelNet`
      lays them out, so a root that it filled is reused; they are downloaded if absent (ModelNet10:
      450 MB, 3,991 train and 908 test examples; ModelNet40: 2 GB, 9,843 and 2,468). The points are
      drawn by area, `num_points` per cloud, in the units of the mesh, which differ from one model
      to the other.

    Each example is ``Data(pos, y)``: `pos` float32 of shape [P, 3], `y` long of shape [1];
    `num_points=None` keeps all the cells, or all the vertices [V, 3] of the mesh with its `face`,
    long of shape [3, F]. Draws depend on the seed, the split and the example's place only; the
    global random state is neither read nor changed.

    Source: Z. Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015,
    https://modelnet.cs.princeton.edu. Its authors provide the models for academic use; they belong
    to their makers.

    Args:
        root: Folder of the voxel file, or of the meshes (another one for each `name`).
        name: ``"10"`` or ``"40"`` classes; the voxel file has 10.
        train: Whether this is the training split.
        num_points: Points per cloud, or None for all of them.
        seed: Seed of the drawn points, a non-negative integer.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the clouds are cached.
        pre_filter: Keeps the clouds it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        TypeError: If `train` is not a bool, or a number is not an integer.
        ValueError: If `name` is unknown, a number is out of range, a file is damaged or
            `pre_filter` keeps no cloud.
        FileNotFoundError: If a class has no mesh.
        ConnectionError: If the meshes cannot be downloaded.
        PermissionError: If the cache folder cannot be made.

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
        num_points: int | None = 1024,
        seed: int = 0,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if name not in CLASSES:
            raise value_error("name", 'one of "10", "40"', name)
        self.name, self.class_names = name, CLASSES[name]
        self.num_points = None if num_points is None else check_integer("num_points", num_points, 1)
        self.seed = check_integer("seed", seed, 0)
        self.voxel_file = Path(root).expanduser() / VOXEL_FILE
        super().__init__(
            root,
            train,
            f"{'voxels' if self.from_voxels else 'meshes'}{name}_{num_points or 'all'}_seed{seed}",
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def from_voxels(self) -> bool:
        """Whether the points are the cells of the voxel file."""
        return self.name == "10" and self.voxel_file.exists()

    @property
    def raw_dir(self) -> str:
        """The folder of the voxel file, or of the classes' meshes."""
        return self.root if self.from_voxels else os.path.join(self.root, "raw")

    @property
    def raw_file_names(self) -> list[str]:
        """The voxel file, or one folder per class."""
        return [VOXEL_FILE] if self.from_voxels else list(self.class_names)

    def download(self) -> None:
        """Fetch the meshes, and leave nothing half done if that fails."""
        url = URLS[self.name]
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            try:
                extract_zip(download_url(url, folder), folder)
                self._keep(os.path.join(folder, f"ModelNet{self.name}"))
            except (OSError, zipfile.BadZipFile) as error:
                raise ConnectionError(
                    f"The download of {url} failed ({error}): try again with a network, unpack that archive to "
                    f"{self.raw_dir}/<class>/{{train,test}}/*.off by hand, or put {VOXEL_FILE} into {self.root}"
                ) from error

    def _keep(self, folder: str) -> None:
        for name, path in zip(self.class_names, self.raw_paths, strict=True):
            # A class that is there stays as it is: a move would nest the new folder in it.
            if not os.path.exists(path):
                shutil.move(os.path.join(folder, name), path)

    def build(self) -> Iterator[Data]:
        """The clouds of this split in the order of the files."""
        return self._voxel_clouds() if self.from_voxels else self._mesh_clouds()

    def _voxel_clouds(self) -> Iterator[Data]:
        bits, labels = _read_voxels(self.voxel_file, self.split)
        for place in np.flatnonzero(bits.any(axis=1)).tolist():
            cells = np.argwhere(np.unpackbits(bits[place]).reshape(GRID)).astype(np.float32)
            if self.num_points is not None and len(cells) > self.num_points:
                cells = self._rng(place).permutation(cells)[: self.num_points]
            yield Data(pos=torch.from_numpy(cells), y=torch.tensor([int(labels[place])]))

    def _mesh_clouds(self) -> Iterator[Data]:
        files = [
            (label, path)
            for label, name in enumerate(self.class_names)
            for path in self._mesh_files(name)
        ]
        for place, (label, path) in enumerate(files):
            try:
                cloud = self._mesh_cloud(path, place)
            except ValueError as error:
                remedy = f"remove the folder {path.parents[1]} to have it downloaded again, or the file to do without"
                raise damaged(path, error, remedy) from error
            cloud.y = torch.tensor([label])
            yield cloud

    def _mesh_files(self, name: str) -> list[Path]:
        folder = Path(self.raw_dir, name, self.split)
        files = sorted(folder.glob("*.off"))
        if not files:
            raise FileNotFoundError(
                f"No .off file in {folder}: remove {folder.parent} to have it downloaded again"
            )
        return files

    def _mesh_cloud(self, path: Path, place: int) -> Data:
        pos, face = read_off(path)
        if self.num_points is None:
            return Data(pos=torch.from_numpy(pos), face=torch.from_numpy(face.T.copy()))
        return Data(
            pos=torch.from_numpy(sample_surface(pos, face, self.num_points, self._rng(place)))
        )

    def _rng(self, place: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(self.train), place])

    def __repr__(self) -> str:
        return f"ModelNet{self.name}({len(self)})"


def _read_voxels(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            bits, labels = arrays[f"X_{split}_bits"], arrays[f"y_{split}"]
        _check_voxels(bits, labels)
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise damaged(
            path, error, "restore the file, or remove it to have the meshes downloaded instead"
        ) from error
    return bits, labels


def _check_voxels(bits: np.ndarray, labels: np.ndarray) -> None:
    num_bytes = int(np.prod(GRID)) // 8
    if bits.dtype != np.uint8 or bits.shape != (len(labels), num_bytes):
        raise ValueError(
            f"expected uint8 bits of shape [{len(labels)}, {num_bytes}], got {bits.dtype} {bits.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES["10"]):
        raise ValueError(f"expected labels 0 to 9, got {labels.min()} to {labels.max()}")
