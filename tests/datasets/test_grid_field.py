"""GridField: a number tells its step and position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import GridField

# The numbers are 1000 t + 100 z + 10 y + x.
SCALE = np.array([1000.0, 100, 10, 1])
FIELD = np.moveaxis(np.indices((4, 2, 4, 5)), 0, -1) @ SCALE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "field.npy", FIELD)
    return tmp_path / "field.npy"


@pytest.mark.parametrize("stride", [1, (1, 2, 2), (2, 1, 3)])
@pytest.mark.parametrize("history", [1, 2])
def test_values_are_those_of_their_position_and_step(file: Path, stride, history: int) -> None:
    dataset = GridField(file, stride, history)
    for data in dataset:
        position = data.pos @ torch.tensor(SCALE[1:]).float()
        steps = torch.arange(history + 1) + data.time - history
        assert torch.equal(torch.cat([data.x, data.y], 1), position[:, None] + 1000 * steps)
        assert torch.equal(data.pos[0], data.offset[0].float())
    assert dataset.times == tuple(range(history, 4))
    assert len(dataset) == (4 - history) * np.prod(dataset.stride)


def test_interleaved_grids_join_neighbours_and_do_not_overlap(file: Path) -> None:
    dataset = GridField(file, (1, 2, 2), times=range(2))
    assert dataset.grid_shape == (2, 2, 2)
    pos = torch.cat([data.pos for data in dataset])
    assert len(pos) == len(pos.unique(dim=0)) == 32
    data, stride = dataset[1], torch.tensor(dataset.stride)
    step = (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).abs() / stride
    assert step.sum(1).eq(1).all()
    assert data.edge_index.shape == (2, 2 * 12)
    assert data.edge_index.data_ptr() == dataset[3].edge_index.data_ptr()
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.grid_shape.tolist() == [[2, 2, 2]] * 3
    assert batch.edge_index.max() == 23


@pytest.mark.usefixtures("double_default")
def test_numbered_arrays_are_steps_with_gaps(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.npz"
    np.savez(path, **{f"wind_{time:02}": np.full((3, 3), time) for time in (10, 2, 3, 4, 9)})
    dataset = GridField(path)
    assert dataset.times == (3, 4, 10)
    assert [(data.x[0].item(), data.y[0].item()) for data in dataset] == [(2, 3), (3, 4), (9, 10)]
    assert dataset[0].x.dtype == dataset[0].pos.dtype == torch.float32
    assert GridField(path, history=2).times == (4,)
    assert GridField(path, times={2, 3, 9}).times == (3,)
    np.savez(path, anything=FIELD)
    assert torch.equal(GridField(path)[1].y, GridField(file)[1].y)


def test_filters_and_transforms_see_the_grid(file: Path) -> None:
    dataset = GridField(
        file,
        pre_filter=lambda data: int(data.time) > 1,
        pre_transform=lambda data: data.update({"edge_index": data.edge_index[:, :2]}),
        transform=lambda data: data.update({"mark": True}),
    )
    assert len(dataset) == 2
    assert dataset[0].edge_index.shape == (2, 2)
    assert dataset[1].mark


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stride": (1, 2)}, ValueError, "`stride` must be an integer, or one for each of 3 axes"),
        ({"stride": 3}, ValueError, "`stride` must be at most the length of its axis"),
        ({"stride": (1, 1.5, 1)}, TypeError, "`stride` must be an integer"),
        ({"times": [0, 2]}, ValueError, "`times` must be with 2 steps in a row that are in the"),
        ({"times": 3}, TypeError, "`times` must be a container"),
        ({"history": 0}, ValueError, "`history` must be at least 1"),
    ],
)
def test_bad_arguments_are_errors(file: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        GridField(file, **options)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npy is missing"):
        GridField(file.with_name("nowhere.npy"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a_1": FIELD[0], "a_2": FIELD[1] * 1e39}, "`step 2` must be finite in float32"),
        ({"u_1": FIELD[0], "v_1": FIELD[0], "u_2": FIELD[1]}, "names of different steps"),
    ],
)
def test_values_and_names_that_do_not_fit_are_errors(arrays, message, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        GridField(tmp_path / "a.npz")
