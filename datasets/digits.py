"""Scikit-learn's handwritten digits as clouds of inked pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch_geometric.data import Data
from typing_extensions import Unpack

from ._base import Folder, Options, SplitDataset

NUM_TRAIN = 1437


class DigitsPointCloud(SplitDataset):
    """The 1,797 handwritten digits of scikit-learn as clouds of 16 to 42 points in the plane.

    The points are the pixels with ink of an 8 x 8 image. Each example is ``Data(x, pos, y)``:
    ``pos`` float32 of shape [P, 2], in pixels, the first coordinate to the right and the second
    upwards, both 0 to 7; ``x`` float32 of shape [P, 1], the ink from 1/16 to 1; ``y`` long of shape
    [1], the digit.

    The original file holds no split: here the first 1,437 images in scikit-learn's order are for
    training and the last 360 for testing (141 to 146 and 33 to 37 of each digit). All of them come
    from the test part of the original data, by 13 writers.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0; the copy that
    scikit-learn contains, so nothing is downloaded.

    Args:
        root: folder of the cache; :obj:`None` keeps the clouds in memory and writes nothing.
            (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool.
        ValueError: if ``pre_filter`` keeps no cloud.

    Example:
        >>> from graphmask.datasets import DigitsPointCloud
        >>> dataset = DigitsPointCloud(train=False)
        >>> len(dataset), dataset.num_classes, dataset[0]
        (360, 10, Data(x=[33, 1], y=[1], pos=[33, 2]))
    """

    class_names = tuple("0123456789")

    def __init__(
        self, root: Folder | None = None, train: bool = True, **options: Unpack[Options]
    ) -> None:
        super().__init__(root, train, **options)

    def build(self) -> Iterator[Data]:
        """Yield the clouds in the order of the images."""
        digits = load_digits()
        chosen = slice(NUM_TRAIN) if self.train else slice(NUM_TRAIN, None)
        for image, label in zip(digits.images[chosen], digits.target[chosen], strict=True):
            yield _cloud(image, int(label))


def _cloud(image: np.ndarray, label: int) -> Data:
    row, column = image.nonzero()
    pos = np.stack([column, len(image) - 1 - row], axis=1).astype(np.float32)
    ink = (image[row, column, None] / 16).astype(np.float32)
    return Data(x=torch.from_numpy(ink), pos=torch.from_numpy(pos), y=torch.tensor([label]))
