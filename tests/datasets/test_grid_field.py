from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import GridField

# The value tells step and place: 1000 t + 100 z + 10 y + x.
FIELD = (
    1000 * np.arange(4)[:, None, None, None]
    + 100 * np.arange(2)[:, None, None]
    + 10 * np.arange(4)[:, None]
    + np.arange(5)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "field.npy", FIELD.astype(np.float64))
    return tmp_path / "field.npy"


@pytest.mark.parametrize("stride", [1, (1, 2, 2), (2, 1, 3)])
@pytest.mark.parametrize("history", [1, 2])
def test_values_belong_to_their_place_and_step(
    file: Path, stride: int | tuple[int, ...], history: int
) -> None:
    dataset = GridField(file, stride, history)
    scale = torch.tensor([100.0, 10, 1])
    for data in dataset:
        where = data.pos @ scale
        steps = torch.arange(history + 1) + data.time - history
        assert torch.equal(torch.cat([data.x, data.y], 1), where[:, None] + 1000 * steps)
        assert torch.equal(data.pos[0], data.offset[0].float())
    assert dataset.times == tuple(range(history, 4))
    assert len(dataset) == (4 - history) * np.prod(dataset.stride)


def test_interleaved_grids_do_not_overlap(file: Path) -> None:
    dataset = GridField(file, (1, 2, 2), times=range(2))
    assert dataset.grid_shape == (2, 2, 2)
    places = torch.cat([data.pos for data in dataset])
    assert len(places) == 32
    assert len(places.unique(dim=0)) == 32


def test_edges_join_neighbours_of_the_coarse_grid(file: Path) -> None:
    dataset = GridField(file, (1, 2, 2))
    data = dataset[1]
    step = (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).abs() / torch.tensor(
        dataset.stride
    )
    assert step.sum(1).eq(1).all()
    assert data.edge_index.shape == (2, 2 * 12)


@pytest.mark.usefixtures("double_default")
def test_numbered_arrays_are_steps_with_gaps(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "runs.npz",
        **{f"wind_{time:02}": np.full((3, 3), time) for time in (10, 2, 3, 4, 9)},
    )
    dataset = GridField(tmp_path / "runs.npz")
    assert dataset.times == (3, 4, 10)
    assert [(data.x[0].item(), data.y[0].item()) for data in dataset] == [(2, 3), (3, 4), (9, 10)]
    assert dataset[0].x.dtype == dataset[0].pos.dtype == torch.float32
    assert GridField(tmp_path / "runs.npz", history=2).times == (4,)
    assert GridField(tmp_path / "runs.npz", times={2, 3, 9}).times == (3,)


def test_the_only_array_of_an_npz(file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "field.npz", anything=FIELD)
    assert torch.equal(GridField(tmp_path / "field.npz")[1].y, GridField(file)[1].y)


def test_the_grid_is_shared(file: Path) -> None:
    dataset = GridField(file, (1, 2, 2))
    assert dataset[0].edge_index.data_ptr() == dataset[3].edge_index.data_ptr()
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.grid_shape.tolist() == [[2, 2, 2]] * 3
    assert batch.edge_index.max() == 23


def test_filters_and_transforms(file: Path) -> None:
    dataset = GridField(
        file,
        pre_filter=lambda data: int(data.time) > 1,
        pre_transform=lambda data: data.update({"edge_index": data.edge_index[:, :2]}),
        transform=lambda data: data.update({"seen": True}),
    )
    assert len(dataset) == 2
    assert dataset[0].edge_index.shape == (2, 2)
    assert dataset[1].seen


def test_arguments(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npy is missing"):
        GridField(file.with_name("nowhere.npy"))
    with pytest.raises(ValueError, match="`stride` must be an integer, or one for each of 3 axes"):
        GridField(file, (1, 2))
    with pytest.raises(ValueError, match="`stride` must be at most the length of its axis"):
        GridField(file, 3)
    with pytest.raises(TypeError, match="`stride` must be an integer"):
        GridField(file, (1, 1.5, 1))
    message = "`times` must be with 2 steps in a row that are in the file"
    with pytest.raises(ValueError, match=message):
        GridField(file, times=[0, 2])
    with pytest.raises(ValueError, match="`history` must be at least 1"):
        GridField(file, history=0)
    with pytest.raises(TypeError, match="`times` must be a container"):
        GridField(file, times=3)
