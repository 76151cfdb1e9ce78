from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch_geometric.loader import DataLoader

from graphmask.datasets import DigitsPointCloud


def counts(dataset: DigitsPointCloud) -> torch.Tensor:
    return torch.bincount(torch.cat([data.y for data in dataset]), minlength=10)


@pytest.mark.parametrize(("train", "size"), [(True, 1437), (False, 360)])
def test_sizes_and_balance(train: bool, size: int) -> None:
    dataset = DigitsPointCloud(train=train)
    assert len(dataset) == size
    assert dataset.num_classes == len(dataset.class_names) == 10
    assert (counts(dataset) - size / 10).abs().max() < 4


@pytest.mark.parametrize(("train", "place"), [(True, 0), (True, 1436), (False, 0), (False, 359)])
def test_a_cloud_draws_its_image_upright(train: bool, place: int) -> None:
    data = DigitsPointCloud(train=train)[place]
    digits = load_digits()
    number = place if train else 1437 + place
    image = torch.zeros(8, 8)
    column, up = data.pos.long().T
    image[7 - up, column] = 16 * data.x[:, 0]
    assert torch.equal(image.double(), torch.from_numpy(digits.images[number]).double())
    assert data.y.tolist() == [digits.target[number]]


@pytest.mark.usefixtures("double_default")
def test_dtypes_and_ranges() -> None:
    for data in DigitsPointCloud(train=False):
        assert data.pos.dtype == data.x.dtype == torch.float32
        assert data.y.dtype == torch.long
        assert data.pos.shape == (data.num_nodes, 2)
        assert data.x.shape == (data.num_nodes, 1)
        assert 0 < data.x.min() <= data.x.max() <= 1
        assert 16 <= data.num_nodes <= 42


def test_cache_and_loader(tmp_path: Path) -> None:
    DigitsPointCloud(tmp_path, train=False)
    dataset = DigitsPointCloud(tmp_path, train=False)
    batch = next(iter(DataLoader(dataset, batch_size=7)))
    assert batch.num_graphs == 7
    assert torch.equal(batch.pos[batch.batch == 3], DigitsPointCloud(train=False)[3].pos)
