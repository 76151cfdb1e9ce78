"""A folder of one's own: files of shapes, sorted into folders by class."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphmask._checks import check_integer, check_number, value_error

from ._base import Filter, Folder, SplitDataset, Transform, damaged
from ._files import is_shape, read_shape
from ._meshes import sample_surface

SPLITS = ("train", "test")
EXPECTED = "expected <class>/{train,test}/*, {train,test}/<class>/* or <class>/* with files such as .ply, .obj, .off or .xyz"
ATTRIBUTES = ("normal", "color", "x")


class ShapeFolder(SplitDataset):
    """The meshes and point clouds of a folder, whose classes are the names of its folders.

    Three layouts, told apart by what is there:

    * ``root/train/<class>/*`` and ``root/test/<class>/*``
    * ``root/<class>/train/*`` and ``root/<class>/test/*``
    * ``root/<class>/*``: of each class a share `test_share` of the files, at least one, drawn by
      `seed`, tests.

    Files are all that :func:`read_shape` reads: with `trimesh` .ply, .obj, .stl, .glb; .off, .xyz,
    .pts, .npy and .npz. Other files, hidden ones, a folder `processed` (the cache) and folders
    `val` beside `train` and `test` are passed over. Each example is ``Data(pos, y, name)``: `pos`
    float32 of shape [P, 3] in the units of the file; `y` long of shape [1], the class in
    alphabetical order; `name` the path of the file in `root`. Meshes also have `face`, long of
    shape [3, F], unless points are drawn from them.

    The cache is built anew when a file is added, removed, or changed in size or date.

    Args:
        root: The folder.
        train: Whether this is the training split.
        num_points: Points per shape: drawn by area from a mesh, without repetition from a cloud,
            which stays whole if it has fewer. :obj:`None` keeps all vertices, with their triangles,
            and all points.
        attributes: What else to keep of `normal` [P, 3], `color` [P, 3] and `x` [P, C]; every file
            must have it.
        test_share: Share of the files of each class that test where folders do not tell, in [0, 1).
        seed: Seed of the draws, a non-negative integer. Points drawn depend on it and the file's
            name only.
        processed_root: Folder of the cache (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the shapes are cached.
        pre_filter: Keeps the shapes it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        FileNotFoundError: If the folder is missing, has no class, or a class has no file to train
            or to test.
        ImportError: If a file needs `trimesh`, which is not installed (extra `mesh`).
        PermissionError: If the cache folder cannot be made.
        TypeError: If `train` is not a bool, or a number is not one.
        ValueError: If there is one class only, a number is out of range, an attribute is unknown or
            missing, a file is damaged, meshes and clouds are mixed without `num_points`, or
            `pre_filter` keeps no shape.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import ShapeFolder
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("apple", "pear"):
        ...         os.mkdir(os.path.join(root, name))
        ...         for number in range(5):
        ...             np.savetxt(os.path.join(root, name, f"{number}.xyz"), np.random.default_rng(number).random((20, 3)))
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
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.num_points = None if num_points is None else check_integer("num_points", num_points, 1)
        self.attributes = _check_attributes(attributes, num_points)
        self.test_share, self.seed = (
            check_number("test_share", test_share, 0, 1),
            check_integer("seed", seed, 0),
        )
        top = Path(root).expanduser()
        by_class = _files_of_classes(top, self.test_share, self.seed)
        self.class_names = tuple(by_class)
        split = "train" if train else "test"
        self.files = [
            (label, path) for label, files in enumerate(by_class.values()) for path in files[split]
        ]
        if not self.files:
            raise FileNotFoundError(f"No class in {root} has a file in {split}: {EXPECTED}")
        asked = f"{num_points or 'all'}_{'-'.join(self.attributes)}_{test_share}_{seed}"
        super().__init__(
            root,
            train,
            f"{asked}_{_fingerprint(top, self.files):08x}",
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    def build(self) -> Iterator[Data]:
        """The shapes of this split, class by class."""
        first: tuple[Path, bool] | None = None
        for label, path in self.files:
            data, name = read_shape(path), path.relative_to(Path(self.root)).as_posix()
            is_mesh = data.face is not None
            first = first or (path, is_mesh)
            if self.num_points is None and is_mesh != first[1]:
                mesh, cloud = (path, first[0]) if is_mesh else (first[0], path)
                raise value_error(
                    "num_points", f"given, since {mesh} is a mesh and {cloud} a cloud", None
                )
            yield self._example(data, path, name).update({"y": torch.tensor([label]), "name": name})

    def _example(self, data: Data, path: Path, name: str) -> Data:
        if missing := [each for each in self.attributes if each not in data]:
            raise value_error(
                "attributes", f"of every file: {path} has {sorted(data.keys())}", missing
            )
        if self.num_points is None:
            return Data(
                **{key: data[key] for key in ("pos", "face", *self.attributes) if key in data}
            )
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        if data.face is None:
            kept = torch.from_numpy(rng.permutation(data.num_nodes)[: self.num_points])
            return Data(**{key: data[key][kept] for key in ("pos", *self.attributes)})
        try:
            drawn = sample_surface(data.pos.numpy(), data.face.numpy().T, self.num_points, rng)
        except ValueError as error:
            raise damaged(path, error, "restore the file, or remove it to do without") from error
        return Data(pos=torch.from_numpy(drawn))


def _check_attributes(attributes: Sequence[str], num_points: int | None) -> tuple[str, ...]:
    chosen = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    if unknown := [name for name in chosen if name not in ATTRIBUTES]:
        raise value_error("attributes", f"some of {', '.join(ATTRIBUTES)}", unknown)
    return chosen


def _files_of_classes(root: Path, test_share: float, seed: int) -> dict[str, dict[str, list[Path]]]:
    """For each class its files to train and to test."""
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} is missing: {EXPECTED}")
    folders = _folders(root)
    if set(SPLITS) <= folders.keys():
        names = sorted({name for split in SPLITS for name in _folders(folders[split])})
        found = {
            name: {split: _shapes(folders[split] / name) for split in SPLITS} for name in names
        }
    elif any((folder / split).is_dir() for folder in folders.values() for split in SPLITS):
        found = {
            name: {split: _shapes(folder / split) for split in SPLITS}
            for name, folder in folders.items()
        }
    else:
        found = {
            name: _drawn(name, _shapes(folder), test_share, seed)
            for name, folder in folders.items()
        }
    _check_classes(root, found)
    return found


def _folders(root: Path) -> dict[str, Path]:
    return {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name[0] != "." and path.name != "processed"
    }


def _shapes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name[0] != "." and is_shape(path)
    )


def _drawn(name: str, files: list[Path], share: float, seed: int) -> dict[str, list[Path]]:
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(len(files))
    tests = set(order[: max(round(share * len(files)), 1)].tolist()) if share else set()
    return {
        "train": [path for place, path in enumerate(files) if place not in tests],
        "test": [path for place, path in enumerate(files) if place in tests],
    }


def _check_classes(root: Path, found: dict[str, dict[str, list[Path]]]) -> None:
    if not any(files for splits in found.values() for files in splits.values()):
        raise FileNotFoundError(f"No shape in {root}: {EXPECTED}")
    for name, splits in found.items():
        if not splits["train"]:
            counted = sum(map(len, splits.values()))
            raise FileNotFoundError(
                f"The class {name!r} in {root} has no file to train with, and {counted} to test: {EXPECTED}"
            )
    if len(found) < 2:
        raise ValueError(
            f"There is one class in {root}, {next(iter(found))!r}: to classify takes two. {EXPECTED.capitalize()}"
        )


def _fingerprint(root: Path, files: list[tuple[int, Path]]) -> int:
    facts = [
        (path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for _, path in files
    ]
    return zlib.crc32(repr(facts).encode())
