"""Loaders of the training examples: seeded epochs, and one of several draws of an example."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch.utils.data import Dataset, DistributedSampler
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import graphmask as gm


class SeededEpochs(DistributedSampler):
    """Seeds order, augmentation and dropout of each epoch by the seed and the epoch's number.

    The trainer calls ``set_epoch`` before it fetches the first batch of an epoch, also after a
    resume.
    """

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        L.seed_everything(1_000_003 * self.seed + 1_009 * epoch + self.rank, verbose=False)


class Loaders(L.LightningDataModule):
    """Loaders of datasets or lists of ``Data``; validation data are optional."""

    def __init__(
        self,
        train: Dataset,
        val: Dataset | None,
        test: Dataset,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.train, self.val, self.test = train, val, test
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size
        sampler = SeededEpochs(self.train, world, self.trainer.global_rank, seed=self.seed)
        return self._loader(self.train, max(self.batch_size // world, 1), sampler=sampler)

    def val_dataloader(self) -> DataLoader | list[Any]:
        return [] if self.val is None else self._loader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test, self.batch_size)

    def _loader(self, data: Dataset, size: int, **options: Any) -> DataLoader:
        modules = self.trainer.lightning_module.modules()
        masks = [module for module in modules if isinstance(module, gm.masks.TopologicalMask)]
        # Batching of walks would count in the time of models that do not read them.
        reads_walks = any(mask.walk_demand for mask in masks)
        first = data[0][0] if isinstance(data[0], list) else data[0]
        unread = [] if reads_walks else gm.transforms.AddWalks.attributes(first)
        # Without its own generator a loader draws from the global one at each iteration.
        return DataLoader(data, size, exclude_keys=unread, generator=torch.Generator(), **options)


class PickDraw:
    """Transform that picks one of the draws of ``Variants``, by torch's global generator.

    Epochs are seeded, so that a run that resumes picks what it would have picked.
    """

    def __call__(self, data: Data) -> Data:
        draws = gm.transforms.all_variants(data)
        return draws[int(torch.randint(len(draws), ()))]
