"""MNIST's handwritten digits as grid graphs of pixels or patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, value_error

from ._base import Options, SplitDataset, check_flag
from ._grids import grid_edges, grid_positions, without_grid
from ._raw_files import Folder, check_labels, find_files, reading

URL, FILE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets", "mnist.npz"
SIDE = 28


class MNIST(SplitDataset):
    """The 70,000 handwritten digits of MNIST as grid graphs, 60,000 to train and 10,000 to test.

    Reads ``root/mnist.npz``, which holds uint8 images [n, 28, 28] and labels [n] as ``train_x``,
    ``train_y``, ``test_x``, ``test_y``, or as Keras names them, ``x_train`` and so on. The order is
    that of the file; some files are sorted by class: shuffle before taking a subset. PyG's
    ``MNISTSuperpixels`` holds 75 superpixels of each image instead.

    Each example is ``Data(x, edge_index, y, pos, grid_shape)`` with P = (28 / patch)^2 nodes in
    row-major order: ``x`` float32 of shape [P, patch^2], the pixels of each patch from 0 to 1, row
    by row; ``pos`` float32 of shape [P, 2], row and column of the patch; ``edge_index`` long of
    shape [2, E], each patch to its 4 or 8 neighbours; ``y`` long of shape [1], the digit;
    ``grid_shape`` long of shape [1, 2]. Without ``pre_transform`` all examples share
    ``edge_index``, ``pos`` and ``grid_shape``, so that 60,000 of them are built in seconds; do not
    write to them in place.

    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE, 1998; CC BY-SA 3.0.

    Args:
        root: folder of the file.
        train: whether this is the training split. (default: :obj:`True`)
        patch: side of a patch in pixels, a divisor of 28; 1 makes a node of every pixel.
            (default: :obj:`1`)
        neighbours: 4 (left, right, up, down) or 8 (diagonals, too). (default: :obj:`4`)
        download: whether to download Keras's copy of the file (11 MB) if it is missing.
            (default: :obj:`False`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if ``patch`` is no divisor of 28, ``neighbours`` neither 4 nor 8, the file is
            damaged or ``pre_filter`` keeps no graph.
        FileNotFoundError: if the file is missing and ``download`` is false.
        ConnectionError: if the download fails.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import MNIST
        >>> image, label = np.zeros([2, 28, 28], dtype=np.uint8), np.array([3, 7], dtype=np.uint8)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = os.path.join(root, "mnist.npz")
        ...     np.savez(path, train_x=image, train_y=label, test_x=image, test_y=label)
        ...     dataset = MNIST(root, patch=4)
        >>> dataset, dataset.grid_shape, dataset[1].num_edges
        (MNIST(2), (7, 7), 168)
    """

    class_names = tuple("0123456789")

    def __init__(
        self,
        root: Folder,
        train: bool = True,
        patch: int = 1,
        neighbours: int = 4,
        *,
        download: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if SIDE % check_integer("patch", patch, 1):
            raise value_error("patch", f"a divisor of {SIDE}", patch)
        if neighbours not in (4, 8):
            raise value_error("neighbours", "4 or 8", neighbours)
        self.patch, self.neighbours = patch, neighbours
        (self.path,) = find_files(root, [FILE], URL, check_flag("download", download))
        self._grid = {
            "edge_index": grid_edges(self.grid_shape, neighbours == 8),
            "pos": grid_positions(self.grid_shape),
            "grid_shape": torch.tensor([self.grid_shape]),
        }
        super().__init__(root, train, f"patch{patch}_neighbours{neighbours}", **options)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return (SIDE // self.patch, SIDE // self.patch)

    @property
    def sources(self) -> Sequence[Path]:
        return (self.path,)

    def build(self) -> Iterator[Data]:
        """Yield the graphs of this split in the order of the file."""
        images, labels = _read(self.path, self.split)
        patches, digits = cut(images, self.patch), torch.from_numpy(labels.astype(np.int64))
        for x, y in zip(patches.unbind(), digits.split(1), strict=True):
            yield Data(x=x, y=y, **self._grid)

    def examples(self) -> list[Data]:
        """Return the examples, without the grid that they share if nothing changes it."""
        examples = super().examples()
        return examples if self.pre_transform else without_grid(examples, list(self._grid))

    def get(self, idx: int) -> Data:
        """Return one graph, on the shared grid."""
        data = super().get(idx)
        if self.pre_transform is None:
            data.update(self._grid)
        return data


def cut(images: np.ndarray, patch: int) -> Tensor:
    """Cut images [n, rows, columns] of uint8 into patches float32 [n, P, patch^2] from 0 to 1."""
    n, rows, columns = images.shape
    pixels = torch.from_numpy(images).view(n, rows // patch, patch, columns // patch, patch)
    return pixels.transpose(2, 3).reshape(n, -1, patch * patch) / torch.tensor(
        255.0, dtype=torch.float32
    )


def _read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    remedy = "restore the file, or remove it and pass `download=True`"
    with reading(path, remedy), open(path, "rb") as file, np.load(file) as arrays:
        names = (f"{split}_x", f"{split}_y")
        if names[0] not in arrays:
            names = (f"x_{split}", f"y_{split}")
        images, labels = (arrays[name] for name in names)
        if images.dtype != np.uint8 or images.shape != (len(labels), SIDE, SIDE):
            raise ValueError(
                f"expected uint8 images of shape [{len(labels)}, 28, 28], "
                f"got {images.dtype} {images.shape}"
            )
        labels = check_labels(labels, len(images), 10)
    return images, labels
