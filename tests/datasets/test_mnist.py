from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import MNIST


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for split, size in (("train", 12), ("test", 5)):
        made[f"{split}_x"] = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        made[f"{split}_y"] = (np.arange(size) % 10).astype(np.uint8)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.savez(tmp_path / "mnist.npz", **arrays())
    return tmp_path


@pytest.mark.parametrize("patch", [1, 2, 4, 7, 28])
def test_patches_lie_where_their_positions_say(root: Path, patch: int) -> None:
    dataset = MNIST(root, train=False, patch=patch)
    image = arrays()["test_x"][3]
    data = dataset[3]
    assert dataset.grid_shape == (28 // patch, 28 // patch)
    assert data.grid_shape.tolist() == [list(dataset.grid_shape)]
    assert data.y.tolist() == [3]
    for (row, column), pixels in zip((patch * data.pos).long().tolist(), data.x, strict=True):
        expected = image[row : row + patch, column : column + patch].astype(np.float32) / 255
        assert torch.equal(pixels, torch.from_numpy(expected.ravel()))


@pytest.mark.parametrize(("neighbours", "reach"), [(4, 1.01), (8, 1.5)])
def test_edges_join_neighbours(root: Path, neighbours: int, reach: float) -> None:
    data = MNIST(root, patch=4, neighbours=neighbours)[0]
    near = torch.cdist(data.pos, data.pos)
    expected = ((near > 0) & (near < reach)).nonzero().T
    assert torch.equal(data.edge_index, expected)


def test_splits_and_order(root: Path) -> None:
    train, test = MNIST(root, patch=14), MNIST(root, train=False, patch=14)
    assert (len(train), len(test), train.num_classes) == (12, 5, 10)
    assert [int(data.y) for data in train] == [*range(10), 0, 1]
    assert not torch.equal(train[0].x, test[0].x)


def test_the_grid_is_shared_and_not_stored(root: Path) -> None:
    dataset = MNIST(root)
    assert dataset[0].edge_index.data_ptr() == dataset[1].edge_index.data_ptr()
    assert Path(dataset.processed_paths[0]).stat().st_size < 12 * 28 * 28 * 4 + 20_000


def test_filters_and_transforms(root: Path) -> None:
    def turned(data: object) -> object:
        data.edge_index = data.edge_index.flip(0)
        return data

    dataset = MNIST(
        root,
        patch=7,
        pre_filter=lambda data: int(data.y) < 2 and data.num_edges == 48,
        pre_transform=turned,
    )
    assert [int(data.y) for data in dataset] == [0, 1, 0, 1]
    plain = MNIST(root, train=False, patch=7)[0]
    assert torch.equal(dataset[0].edge_index, plain.edge_index.flip(0))
    assert torch.equal(dataset[0].pos, plain.pos)


def test_keras_names(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "mnist.npz",
        **{"_".join(reversed(name.split("_"))): value for name, value in arrays().items()},
    )
    assert len(MNIST(tmp_path, patch=14)) == 12


@pytest.mark.parametrize(("train", "size"), [(True, 60_000), (False, 10_000)])
def test_the_real_images(
    real_data: Callable[[str], Path], tmp_path: Path, train: bool, size: int
) -> None:
    folder = real_data("images")
    dataset = MNIST(folder, train=train, patch=4, processed_root=tmp_path)
    assert len(dataset) == size
    assert (dataset.y.bincount(minlength=10) > size / 12).all()
    with np.load(folder / "mnist.npz") as file:
        image = file["train_x" if train else "test_x"][-1]
    assert torch.equal(
        (255 * dataset[size - 1].x).sum(1).round().long().sum(), torch.tensor(int(image.sum()))
    )
