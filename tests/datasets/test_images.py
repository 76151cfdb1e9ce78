"""Digits and MNIST draw their images upright; grids are those of networkx."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from dataset_files import SOURCES
from sklearn.datasets import load_digits
from torch_geometric.data import Data

from graphmask.datasets import MNIST, DigitsPointCloud
from graphmask.datasets._grids import grid_edges, grid_positions


@pytest.mark.parametrize(("train", "size"), [(True, 1437), (False, 360)])
def test_digits_have_sizes_and_balanced_classes(train: bool, size: int) -> None:
    dataset = DigitsPointCloud(train=train)
    assert len(dataset) == size
    assert dataset.num_classes == len(dataset.class_names) == 10
    counts = torch.bincount(torch.cat([data.y for data in dataset]), minlength=10)
    assert (counts - size / 10).abs().max() < 4


@pytest.mark.parametrize(("train", "index"), [(True, 0), (True, 1436), (False, 0), (False, 359)])
def test_a_cloud_draws_its_digit_upright(train: bool, index: int) -> None:
    data = DigitsPointCloud(train=train)[index]
    digits = load_digits()
    index = index if train else 1437 + index
    image = torch.zeros(8, 8)
    column, up = data.pos.long().T
    image[7 - up, column] = 16 * data.x[:, 0]
    assert torch.equal(image.double(), torch.from_numpy(digits.images[index]).double())
    assert data.y.tolist() == [digits.target[index]]


@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 4), (3, 2, 4), (2, 2, 2, 3)])
def test_neighbours_on_each_axis_are_the_grid_of_networkx(shape: tuple[int, ...]) -> None:
    grid = nx.convert_node_labels_to_integers(nx.grid_graph(shape[::-1]), ordering="sorted")
    expected = sorted([a, b] for edge in grid.edges for a, b in (edge, edge[::-1]))
    assert grid_edges(shape).T.tolist() == expected
    assert grid_positions(shape).tolist() == np.argwhere(np.ones(shape)).tolist()


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 4)])
def test_diagonal_neighbours_differ_by_one_in_the_largest_coordinate(shape) -> None:
    pos = grid_positions(shape)
    distance = torch.cdist(pos, pos, p=float("inf"))
    assert torch.equal(grid_edges(shape, diagonals=True), (distance == 1).nonzero().T)


ARRAYS = SOURCES["mnist"].files["mnist.npz"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return SOURCES["mnist"].write(tmp_path)


@pytest.mark.parametrize("patch", [1, 2, 4, 7, 28])
def test_patches_lie_where_their_positions_say(root: Path, patch: int) -> None:
    dataset = MNIST(root, train=False, patch=patch)
    image, data = ARRAYS["test_x"][3], dataset[3]
    assert dataset.grid_shape == (28 // patch, 28 // patch)
    assert data.grid_shape.tolist() == [list(dataset.grid_shape)]
    assert data.y.tolist() == [3]
    for (row, column), pixels in zip((patch * data.pos).long().tolist(), data.x, strict=True):
        expected = image[row : row + patch, column : column + patch].astype(np.float32) / 255
        assert torch.equal(pixels, torch.from_numpy(expected.ravel()))


@pytest.mark.parametrize(("neighbours", "radius"), [(4, 1.01), (8, 1.5)])
def test_edges_of_images_join_neighbours(root: Path, neighbours: int, radius: float) -> None:
    data = MNIST(root, patch=4, neighbours=neighbours)[0]
    distance = torch.cdist(data.pos, data.pos)
    expected = ((distance > 0) & (distance < radius)).nonzero().T
    assert torch.equal(data.edge_index, expected)


def test_the_grid_is_shared_and_not_stored(root: Path) -> None:
    dataset = MNIST(root)
    assert [int(data.y) for data in dataset] == ARRAYS["train_y"].tolist()
    assert dataset[0].edge_index.data_ptr() == dataset[1].edge_index.data_ptr()
    assert Path(dataset.processed_paths[0]).stat().st_size < 5 * 28 * 28 * 4 + 20_000


def test_filters_and_transforms_see_the_grid(root: Path) -> None:
    def reverse(data: Data) -> Data:
        return data.update({"edge_index": data.edge_index.flip(0)})

    def is_small(data: Data) -> bool:
        return int(data.y) < 2 and data.num_edges == 48

    dataset = MNIST(root, patch=7, pre_filter=is_small, pre_transform=reverse)
    assert [int(data.y) for data in dataset] == [0, 1, 0]
    plain = MNIST(root, train=False, patch=7)[0]
    assert torch.equal(dataset[0].edge_index, plain.edge_index.flip(0))
    assert torch.equal(dataset[0].pos, plain.pos)


def test_arrays_may_have_the_names_of_keras(tmp_path: Path) -> None:
    renamed = {"_".join(reversed(name.split("_"))): value for name, value in ARRAYS.items()}
    np.savez(tmp_path / "mnist.npz", **renamed)
    assert len(MNIST(tmp_path, patch=14)) == 5
