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
from ._files import REMEDY, check_attributes, is_shape, read_shape, sample, with_origins
from ._raw_files import Folder, check_bodies, check_folder, reading

SPLITS = ("train", "test")
LAYOUT = (
    "expected <class>/{train,test}/*, {train,test}/<class>/* or <class>/* "
    "with files such as .ply, .obj, .off or .xyz"
)


class ShapeFolder(SplitDataset):
    """The meshes and point clouds of a folder, with a class for each of its folders.

    Three layouts are recognised:

    * ``root/train/<class>/*`` and ``root/test/<class>/*``
    * ``root/<class>/train/*`` and ``root/<class>/test/*``
    * ``root/<class>/*``: a share ``test_share`` of the files of each class, at least one, drawn by
      ``seed``, is for testing.

    All files that :func:`read_shape` reads count, whether their endings are in capitals or not:
    .ply, .obj, .off, .stl, .glb, .las, .laz, .xyz, .pts, .npy and .npz. Other files, hidden ones, a
    folder ``processed`` (the cache) and folders ``val`` beside ``train`` and ``test`` are ignored.
    Each example is ``Data(pos, y, name)``: ``pos`` float32 of shape [P, 3] in the units of the
    file; ``y`` long of shape [1], the class in alphabetical order; ``name`` the path of the file in
    ``root``. Meshes also have ``face``, long of shape [3, F], unless points are drawn from them;
    all examples have an ``origin`` if one of the split needs it, see :func:`read_shape`.

    Two files of a folder whose names differ in their endings alone, such as ``a.off`` and
    ``a.ply``, are one body in two formats, which could be in both splits, and are an error.

    The cache is built again when a file is added, removed, or changed in size or date.

    Args:
        root: the folder.
        train: whether this is the training split. (default: :obj:`True`)
        num_points: points per shape: drawn by area from a mesh, without repetition from a cloud,
            which stays whole if it has fewer. :obj:`None` keeps all vertices, with their triangles,
            and all points. (default: :obj:`None`)
        attributes: further attributes to keep, of ``normal`` [P, 3], ``color`` [P, 3] and ``x`` [P,
            C]; every file must have it, and others are not read. Points drawn from a mesh have the
            means of its vertices. (default: :obj:`()`)
        color_range: the value of full colour, see :func:`read_shape`. (default: :obj:`None`, by the
            type of the numbers)
        transposed: of arrays that can be read both ways, see :func:`read_shape`. (default:
            :obj:`None`: these are an error)
        test_share: share of the files of each class that are for testing, in [0, 1), where there
            are no folders ``test``. (default: :obj:`0.2`)
        seed: seed of the draws, a non-negative integer. Points drawn depend on it and the file's
            name only. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if the folder is missing, has no class, or a class has no file to train
            or, where others have, to test.
        ImportError: if a file needs a package that is not installed (extras ``mesh``, ``scans``).
        TypeError: if ``train`` is not a bool, or a number is not one.
        ValueError: if there is one class only, a number is out of range, an attribute is unknown or
            missing or of another size than in the first file, a file cannot be read, a body is
            there in two formats, meshes and clouds are mixed without ``num_points``, or
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
        color_range: float | None = None,
        transposed: bool | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.num_points = check_optional("num_points", num_points, 1)
        self.attributes = check_attributes(attributes)
        self.color_range, self.transposed = color_range, transposed
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
        for name, value in (("color", color_range), ("transposed", transposed)):
            setting += "" if value is None else f"_{name}-{value}"
        checksum = _checksum(self.source_folder, self.files)
        super().__init__(root, train, f"{setting}_{checksum:08x}", **options)

    def build(self) -> Iterator[Data]:
        """Yield the shapes of this split, class by class."""
        return with_origins(self._shapes())

    def _shapes(self) -> Iterator[Data]:
        first: dict[str, tuple[Data, Path]] = {}
        for label, path in self.files:
            name = path.relative_to(self.source_folder).as_posix()
            data = read_shape(
                path,
                transposed=self.transposed,
                color_range=self.color_range,
                attributes=self.attributes,
            )
            self._check(data, path, first)
            example = self._example(data, path, name)
            yield example.update({"y": torch.tensor([label]), "name": name})

    def _check(self, data: Data, path: Path, first: dict[str, tuple[Data, Path]]) -> None:
        """Check a shape against the first mesh and the first cloud."""
        first.setdefault("cloud" if data.face is None else "mesh", (data, path))
        if self.num_points is None and len(first) > 1:
            expected = f"given, since {first['mesh'][1]} is a mesh and {first['cloud'][1]} a cloud"
            raise value_error("num_points", expected, None)
        other, other_path = next(iter(first.values()))
        for key in self.attributes:
            if (width := data[key].shape[1]) != (expected := other[key].shape[1]):
                got = f"{width} in {path} and {expected} in {other_path}"
                raise value_error("attributes", f"`{key}` of as many columns in every file", got)

    def _example(self, data: Data, path: Path, name: str) -> Data:
        keys = [key for key in ("pos", "origin", *self.attributes) if key in data]
        if self.num_points is None:
            keys += ["face"] * (data.face is not None)
            return Data(**{key: data[key] for key in keys})
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        if data.face is None:
            chosen = torch.from_numpy(rng.permutation(data.num_nodes)[: self.num_points])
            rows = {key: data[key][chosen] for key in keys if key != "origin"}
            return Data(**{**{key: data[key] for key in keys}, **rows})
        with reading(path, REMEDY):
            return sample(data, self.num_points, rng, self.attributes)


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
    # Archives from Macs hold a second folder beside that of the files.
    return {path.name: path for path in folders if path.name not in ("processed", "__MACOSX")}


def _shapes(folder: Path) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in paths if path.is_file() and path.name[0] != "." and is_shape(path)]
    check_bodies(paths)
    return paths


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
    has_test = any(splits["test"] for splits in files.values())
    for name, splits in files.items():
        train, test = len(splits["train"]), len(splits["test"])
        if not train or (has_test and not test):
            raise FileNotFoundError(
                f"The class {name!r} in {root} has no file to {'test' if train else 'train'} with, "
                f"and {train or test} for the other split: {LAYOUT}"
            )
    if len(files) < 2:
        raise ValueError(
            f"There is one class in {root}, {next(iter(files))!r}: a classifier needs two. "
            f"{LAYOUT.capitalize()}"
        )


def _checksum(root: Path, files: list[tuple[int, Path]]) -> int:
    stats = [(path.relative_to(root).as_posix(), path.stat()) for _, path in files]
    return zlib.crc32(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode())
