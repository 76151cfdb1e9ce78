from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import KITTIObjects


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for number, part in enumerate(
        ["train_set_1", "train_set_2", "train_set_3", "train_set_4", "val_set", "test_set"]
    ):
        made[f"{part}_points"] = rng.normal(3, 2, (number + 1, 16, 3)).astype(np.float32)
        made[f"{part}_label"] = (np.arange(number + 1) % 4).astype(np.uint8)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.savez(tmp_path / "kitti_objects4.npz", **arrays())
    return tmp_path


def test_splits_in_the_order_of_the_file(root: Path) -> None:
    sizes = {split: len(KITTIObjects(root, split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 10, "val": 5, "test": 6}
    dataset = KITTIObjects(root, unit_size=False)
    stored = arrays()
    for place, expected in enumerate([(1, 0), (2, 0), (2, 1), (3, 0)]):
        assert np.array_equal(
            dataset[place].pos.numpy(), stored[f"train_set_{expected[0]}_points"][expected[1]]
        )
        assert int(dataset[place].y) == expected[1] % 4
    assert dataset.num_classes == 4
    assert repr(dataset) == "KITTIObjects(10)"


def test_unit_size(root: Path) -> None:
    for metres, unit in zip(KITTIObjects(root, unit_size=False), KITTIObjects(root), strict=True):
        centred = metres.pos - metres.pos.mean(0)
        torch.testing.assert_close(unit.pos, centred / centred.norm(dim=1).max())
