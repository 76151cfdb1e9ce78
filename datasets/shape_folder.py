"""Your own files of shapes, sorted into folders by class."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_number, value_error

from ._base import Options, SplitDataset, check_flag, check_optional
from ._files import is_shape, read_shape
from ._meshes import sample_surface
from ._raw_files import Folder, check_folder, reading

SPLITS = ("train", "test")
LAYOUT = (
    "expected <class>/{train,test}/*, {train,test}/<class>/* or <class>/* "
    "with files such as .ply, .obj, .off or .xyz"
)
ATTRIBUTES = ("normal", "color", "x")


class ShapeFolder(SplitDataset):
    """The meshes and point clouds of a folder, with a class for each of its folders.

    Three layouts are recognised:

    * ``root/train/<class>/*`` and ``root/test/<class>/*``
    * ``root/<class>/train/*`` and ``root/<class>/test/*``
    * ``root/<class>/*``: a share ``test_share`` of the files of each class, at least one, drawn by
      ``seed``, is for testing.

    All files that :func:`read_shape` reads count: with ``trimesh`` .ply, .obj, .stl, .glb; .off,
    .xyz, .pts, .npy and .npz. Other files, hidden ones, a folder ``processed`` (the cache) and
    folders ``val`` beside ``train`` and ``test`` are ignored. Each example is ``Data(pos, y,
    name)``: ``pos`` float32 of shape [P, 3] in the units of the file; ``y`` long of shape [1], the
    class in alphabetical order; ``name`` the path of the file in ``root``. Meshes also have
    ``face``, long of shape [3, F], unless points are drawn from them.

    The cache is built again when a file is added, removed, or changed in size or date.

    Args:
        root: the folder.
        train: whether this is the training split. (default: :obj:`True`)
        num_points: points per shape: drawn by area from a mesh, without repetition from a cloud,
            which stays whole if it has fewer. :obj:`None` keeps all vertices, with their triangles,
            and all points. (default: :obj:`None`)
        attributes: further attributes to keep, of ``normal`` [P, 3], ``color`` [P, 3] and ``x`` [P,
            C]; every file must have it. (default: :obj:`()`)
        test_share: share of the files of each class that are for testing, in [0, 1), where there
            are no folders ``test``. (default: :obj:`0.2`)
        seed: seed of the draws, a non-negative integer. Points drawn depend on it and the file's
            name only. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if the folder is missing, has no class, or a class has no file to train
            or to test.
        ImportError: if a file needs ``trimesh``, which is not installed (extra ``mesh``).
        TypeError: if ``train`` is not a bool, or a number is not one.
        ValueError: if there is one class only, a number is out of range, an attribute is unknown or
            missing, a file is damaged, meshes and clouds are mixed without ``num_points``, or
            ``pre_filter`` keeps no shape.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import ShapeFolder
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("apple", "pear"):
        ...         os.mkdir(os.path.join(root, name))
        ...         for seed in range(5):
        ...             points = np.random.default_rng(seed).random((20, 3))
        ...             np.savetxt(os.path.join(root, name, f"{seed}.xyz"), points)
        ...     train, test = ShapeFolder(root), ShapeFolder(root, train=False)
        >>> len(train), len(test), train.class_names, test[0].pos.shape
        (8, 2, ('apple', 'pear'), torch.Size([20, 3]))
    """

    def __init__(
        self,
        root: Folder,
        train: bool = True,
        num_points: int | None = None,
        attributes: Sequence[str] = (),
        test_share: float = 0.2,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.num_points = check_optional("num_points", num_points, 1)
        self.attributes = _check_attributes(attributes)
        self.test_share = check_number("test_share", test_share, 0, 1)
        self.seed = check_integer("seed", seed, 0)
        self.source_folder = check_folder(root, "shapes: " + LAYOUT)
        by_class = _files_of_classes(self.source_folder, self.test_share, self.seed)
        self.class_names = tuple(by_class)
        split = "train" if check_flag("train", train) else "test"
        self.files = [
            (label, path) for label, files in enumerate(by_class.values()) for path in files[split]
        ]
        if not self.files:
            raise FileNotFoundError(f"No class in {root} has a file in {split}: {LAYOUT}")
        setting = f"{num_points or 'all'}_{'-'.join(self.attributes)}_{test_share}_{seed}"
        checksum = _checksum(self.source_folder, self.files)
        super().__init__(root, train, f"{setting}_{checksum:08x}", **options)

    def build(self) -> Iterator[Data]:
        """Yield the shapes of this split, class by class."""
        meshes: list[Path] = []
        clouds: list[Path] = []
        for label, path in self.files:
            data, name = read_shape(path), path.relative_to(self.source_folder).as_posix()
            (clouds if data.face is None else meshes).append(path)
            if self.num_points is None and meshes and clouds:
                expected = f"given, since {meshes[0]} is a mesh and {clouds[0]} a cloud"
                raise value_error("num_points", expected, None)
            yield self._example(data, path, name).update({"y": torch.tensor([label]), "name": name})

    def _example(self, data: Data, path: Path, name: str) -> Data:
        if missing := [key for key in self.attributes if key not in data]:
            expected = f"of every file: {path} has {sorted(data.keys())}"
            raise value_error("attributes", expected, missing)
        if self.num_points is None:
            keys = [key for key in ("pos", "face", *self.attributes) if key in data]
            return Data(**{key: data[key] for key in keys})
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        if data.face is None:
            chosen = torch.from_numpy(rng.permutation(data.num_nodes)[: self.num_points])
            return Data(**{key: data[key][chosen] for key in ("pos", *self.attributes)})
        with reading(path, "restore the file, or remove it to do without"):
            drawn = sample_surface(data.pos.numpy(), data.face.numpy().T, self.num_points, rng)
        return Data(pos=torch.from_numpy(drawn))


def _check_attributes(attributes: Sequence[str]) -> tuple[str, ...]:
    names = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    if unknown := [name for name in names if name not in ATTRIBUTES]:
        raise value_error("attributes", f"some of {', '.join(ATTRIBUTES)}", unknown)
    return names


def _files_of_classes(root: Path, test_share: float, seed: int) -> dict[str, dict[str, list[Path]]]:
    """Return the training and test files of each class."""
    folders = _folders(root)
    if set(SPLITS) <= folders.keys():
        names = sorted({name for split in SPLITS for name in _folders(folders[split])})
        files = {
            name: {split: _shapes(folders[split] / name) for split in SPLITS} for name in names
        }
    elif any((folder / split).is_dir() for folder in folders.values() for split in SPLITS):
        files = {
            name: {split: _shapes(folder / split) for split in SPLITS}
            for name, folder in folders.items()
        }
    else:
        files = {
            name: _draw_split(name, _shapes(folder), test_share, seed)
            for name, folder in folders.items()
        }
    _check_classes(root, files)
    return files


def _folders(root: Path) -> dict[str, Path]:
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."]
    return {path.name: path for path in folders if path.name != "processed"}


def _shapes(folder: Path) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.is_file() and path.name[0] != "." and is_shape(path)]


def _draw_split(name: str, files: list[Path], share: float, seed: int) -> dict[str, list[Path]]:
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(len(files))
    test = set(order[: max(round(share * len(files)), 1)].tolist()) if share else set()
    return {
        "train": [path for index, path in enumerate(files) if index not in test],
        "test": [path for index, path in enumerate(files) if index in test],
    }


def _check_classes(root: Path, files: dict[str, dict[str, list[Path]]]) -> None:
    if not any(paths for splits in files.values() for paths in splits.values()):
        raise FileNotFoundError(f"No shape in {root}: {LAYOUT}")
    for name, splits in files.items():
        if not splits["train"]:
            raise FileNotFoundError(
                f"The class {name!r} in {root} has no file to train with, and "
                f"{len(splits['test'])} to test: {LAYOUT}"
            )
    if len(files) < 2:
        raise ValueError(
            f"There is one class in {root}, {next(iter(files))!r}: a classifier needs two. "
            f"{LAYOUT.capitalize()}"
        )


def _checksum(root: Path, files: list[tuple[int, Path]]) -> int:
    stats = [(path.relative_to(root).as_posix(), path.stat()) for _, path in files]
    return zlib.crc32(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode())
