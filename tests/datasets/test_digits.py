from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

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
