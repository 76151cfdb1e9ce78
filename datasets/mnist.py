"""MNIST's handwritten digits as grid graphs of pixels or patches."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, download_url

from graphmask._checks import check_integer, value_error

from ._base import Filter, Folder, SplitDataset, Transform, damaged
from ._grids import grid_edges, grid_positions

FILE = "mnist.npz"
URL = f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{FILE}"
SIDE = 28


class MNIST(SplitDataset):
    """The 70,000 handwritten digits of MNIST as grid graphs, in the official split.

    60,000 to train and 10,000 to test.

    Read from ``root/mnist.npz``, which holds uint8 images [n, 28, 28] and labels [n] as `train_x`,
    `train_y`, `test_x`, `test_y`, or as Keras names them, `x_train` and so on; Keras's copy (11 MB)
    is downloaded if there is none. The order is that of the file. In some files it is by class:
    shuffle before taking a part.

    Each example is ``Data(x, edge_index, y, pos, grid_shape)`` with P = (28 / patch)^2 nodes in
    row-major order: `x` float32 of shape [P, patch^2], the pixels of each patch from 0 to 1, row by
    row; `pos` float32 of shape [P, 2], row and column of the patch; `edge_index` long of shape [2,
    E], each patch to its 4 or 8 neighbours; `y` long of shape [1], the digit; `grid_shape` long of
    shape [1, 2]. Without `pre_transform` all examples share `edge_index`, `pos` and `grid_shape`,
    so that 60,000 of them are built in seconds; do not write to them in place.

    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE, 1998; CC BY-SA 3.0.

    Args:
        root: Folder of the file.
        train: Whether this is the training split.
        patch: Side of a patch in pixels, a divisor of 28; 1 makes a node of every pixel.
        neighbours: 4 (left, right, up, down) or 8 (diagonals, too).
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the graphs are cached; each then holds its own edges (48
            kB at `patch=1`).
        pre_filter: Keeps the graphs it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        TypeError: If `train` is not a bool, or a number is not an integer.
        ValueError: If `patch` is no divisor of 28, `neighbours` neither 4 nor 8, the file is
            damaged or `pre_filter` keeps no graph.
        ConnectionError: If there is no file and it cannot be downloaded.
        PermissionError: If the cache folder cannot be made.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import MNIST
        >>> image, label = np.zeros([2, 28, 28], dtype=np.uint8), np.array([3, 7], dtype=np.uint8)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.savez(os.path.join(root, "mnist.npz"), train_x=image, train_y=label, test_x=image, test_y=label)
        ...     dataset = MNIST(root, patch=4)
        >>> dataset, dataset.grid_shape, dataset[1]
        (MNIST(2), (7, 7), Data(x=[49, 16], y=[1], edge_index=[2, 168], pos=[49, 2], grid_shape=[1,
        2]))
    """

    class_names = tuple("0123456789")

    def __init__(
        self,
        root: Folder,
        train: bool = True,
        patch: int = 1,
        neighbours: int = 4,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if SIDE % check_integer("patch", patch, 1):
            raise value_error("patch", f"a divisor of {SIDE}", patch)
        if neighbours not in (4, 8):
            raise value_error("neighbours", "4 or 8", neighbours)
        self.patch, self.neighbours = patch, neighbours
        self._grid = {"edge_index": grid_edges(self.grid_shape, neighbours == 8)} | _coordinates(
            self.grid_shape
        )
        super().__init__(
            root,
            train,
            f"patch{patch}_neighbours{neighbours}",
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return (SIDE // self.patch, SIDE // self.patch)

    @property
    def raw_dir(self) -> str:
        """The root itself."""
        return self.root

    @property
    def raw_file_names(self) -> list[str]:
        """The one file."""
        return [FILE]

    def download(self) -> None:
        """Fetch the file, and leave nothing half done if that fails."""
        try:
            with tempfile.TemporaryDirectory(dir=self.root) as folder:
                os.replace(download_url(URL, folder), self.raw_paths[0])
        except OSError as error:
            raise ConnectionError(
                f"The download of {URL} failed ({error}): try again with a network, or put {FILE} into {self.root} by hand"
            ) from error

    def build(self) -> Iterator[Data]:
        """The graphs of this split in the order of the file."""
        images, labels = _read(Path(self.raw_paths[0]), self.split)
        patches, digits = cut(images, self.patch), torch.from_numpy(labels.astype(np.int64))
        for x, y in zip(patches.unbind(), digits.split(1), strict=True):
            yield Data(x=x, y=y, **self._grid)

    def examples(self) -> list[Data]:
        """As of any dataset, but without a copy of the grid in each where nothing has changed it."""
        kept = super().examples()
        return kept if self.pre_transform else [Data(x=data.x, y=data.y) for data in kept]

    def get(self, idx: int) -> Data:
        """One graph, on the shared grid."""
        data = super().get(idx)
        if self.pre_transform is None:
            data.update(self._grid)
        return data


def cut(images: np.ndarray, patch: int) -> Tensor:
    """Images [n, rows, columns] of uint8 as patches float32 [n, P, patch^2] between 0 and 1."""
    n, rows, columns = images.shape
    pixels = torch.from_numpy(images).view(n, rows // patch, patch, columns // patch, patch)
    return pixels.transpose(2, 3).reshape(n, -1, patch * patch) / torch.tensor(
        255.0, dtype=torch.float32
    )


def _coordinates(shape: tuple[int, int]) -> dict[str, Tensor]:
    return {"pos": grid_positions(shape), "grid_shape": torch.tensor([shape])}


def _read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            x, y = (
                (f"{split}_x", f"{split}_y")
                if f"{split}_x" in arrays
                else (f"x_{split}", f"y_{split}")
            )
            images, labels = arrays[x], arrays[y]
        _check(images, labels)
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
            path, error, "restore the file, or remove it to have it downloaded"
        ) from error
    return images, labels


def _check(images: np.ndarray, labels: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.shape != (len(labels), SIDE, SIDE):
        raise ValueError(
            f"expected uint8 images of shape [{len(labels)}, 28, 28], got {images.dtype} {images.shape}"
        )
    if len(labels) and (labels.min() < 0 or labels.max() > 9):
        raise ValueError(f"expected labels 0 to 9, got {labels.min()} to {labels.max()}")
