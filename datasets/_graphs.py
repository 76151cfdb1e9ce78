"""What datasets of one large graph share.

Masks of a random split, and files that are fetched where there are none.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import download_url

from ._base import CachedDataset

PARTS = ("train", "val", "test")


def random_masks(num_nodes: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Masks of half the nodes, drawn at random, to train, a quarter to validate and the rest to test."""
    order = rng.permutation(num_nodes)
    masks = {}
    for part, chosen in zip(
        PARTS, np.split(order, [num_nodes // 2, num_nodes // 2 + num_nodes // 4]), strict=True
    ):
        mask = torch.zeros(num_nodes, dtype=torch.bool)
        mask[torch.from_numpy(chosen)] = True
        masks[f"{part}_mask"] = mask
    return masks


class OneFile(CachedDataset):
    """A dataset in one file of its root, fetched from ``url`` where it is absent.

    A subclass names both, and builds.
    """

    file: str
    url: str

    @property
    def raw_dir(self) -> str:
        """The root itself."""
        return self.root

    @property
    def raw_file_names(self) -> list[str]:
        """The one file."""
        return [self.file]

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(self.raw_paths[0])

    def download(self) -> None:
        """Fetch the file, and leave nothing half done if that fails."""
        try:
            with tempfile.TemporaryDirectory(dir=self.root) as folder:
                os.replace(download_url(self.url, folder), self.path)
        except OSError as error:
            raise ConnectionError(
                f"The download of {self.url} failed ({error}): "
                f"try again with a network, or put {self.file} into {self.root} by hand"
            ) from error
