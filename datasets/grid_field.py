"""Fields on a regular grid that change in time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask._tables import to_float32

from ._base import CachedDataset, Filter, Transform
from ._grids import grid_edges, grid_positions, without_grid
from ._raw_files import Folder, check_file, reading

Frames = dict[int, np.ndarray]


class GridField(CachedDataset):
    """Steps of a field on a regular grid, such as the wind of a storm, to predict the next step.

    Read from one file of numpy: an array [T, n_1, ..., n_D] (``.npy``, or the only one of an
    ``.npz``) holds the steps 0 to T - 1; several arrays [n_1, ..., n_D] of an ``.npz`` hold one
    step each, the number at the end of its name, as in ``wind_02``, ``wind_03``. Runs of steps with
    gaps between are never joined.

    With a stride s of more than one, the grid is cut into its s^D interleaved coarser grids, of ``n
    // s`` places along each axis; every one makes an example of every step, so that little of the
    file is lost.

    Each example is ``Data(x, y, time, offset, edge_index, pos, grid_shape)`` with N nodes in
    row-major order: ``x`` float32 of shape [N, history], the values of the steps until now, the
    latest last; ``y`` float32 of shape [N, 1], those of the next step; ``time`` long of shape [1],
    the step of ``y``; ``offset`` long of shape [1, D], the place of the first node in the full
    grid; ``edge_index`` long of shape [2, E], each node to its 2 D neighbours, both directions;
    ``pos`` float32 of shape [N, D], in cells of the full grid; ``grid_shape`` long of shape [1, D],
    for masks of grids. Values are those of the file, not scaled. Examples are in the order of time,
    then of offset. Without ``pre_transform`` all share ``edge_index`` and ``grid_shape``; do not
    write to them in place.

    Nothing is written: the file is read at construction, and held as float32 once for ``x`` and
    once for ``y``.

    Args:
        file: the file; its values must be finite.
        stride: distance of neighbouring places in cells of the file, for all axes or for each.
            (default: :obj:`1`)
        history: number of steps in ``x``. (default: :obj:`1`)
        times: steps to use: examples all of whose steps are in it (default: all), such as
            ``range(30, 34)``.
        transform, pre_transform, pre_filter: as in PyG's ``InMemoryDataset``.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: if ``stride`` or ``history`` is not an integer, or ``times`` holds nothing.
        ValueError: if a number is out of range, the file is damaged or has no two steps in a row in
            ``times``, or ``pre_filter`` keeps no example.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import GridField
        >>> heat = np.random.default_rng(0).random((4, 6, 8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(os.path.join(folder, "heat.npy"), heat)
        ...     dataset = GridField(os.path.join(folder, "heat.npy"), stride=2, history=2)
        >>> dataset, dataset.grid_shape, dataset.times
        (GridField(8), (3, 4), (2, 3))
        >>> dataset[0].x.shape, dataset[0].offset.tolist(), dataset[0].num_edges
        (torch.Size([12, 2]), [[0, 0]], 34)
    """

    def __init__(
        self,
        file: Folder,
        stride: int | Sequence[int] = 1,
        history: int = 1,
        times: Container[int] | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
    ) -> None:
        self.history = check_integer("history", history, 1)
        if times is not None and not hasattr(times, "__contains__"):
            raise type_error("times", "a container of steps, such as a range", times)
        frames = _read(check_file(file, ": `file` must name a .npy or .npz file"))
        frames = {time: frame for time, frame in frames.items() if times is None or time in times}
        runs = [range(now - history + 1, now + 2) for now in sorted(frames)]
        self._runs = [run for run in runs if all(time in frames for time in run)]
        if not self._runs:
            expected = f"with {history + 1} steps in a row that are in the file"
            raise value_error("times", expected, f"the steps {sorted(frames)}")
        self._frames: Frames | None = frames
        full = frames[self._runs[0][0]].shape
        self.stride = _check_stride(stride, full)
        self.grid_shape = tuple(size // step for size, step in zip(full, self.stride, strict=True))
        self._grid = {
            "edge_index": grid_edges(self.grid_shape),
            "grid_shape": torch.tensor([self.grid_shape]),
        }
        self._origin_pos = grid_positions(self.grid_shape) * torch.tensor(self.stride).float()
        super().__init__(
            None, transform=transform, pre_transform=pre_transform, pre_filter=pre_filter
        )
        self._frames = None  # the examples hold their values

    @property
    def times(self) -> tuple[int, ...]:
        """The steps that are predicted."""
        return tuple(run[-1] for run in self._runs)

    def build(self) -> Iterator[Data]:
        """Yield the examples by time, then offset."""
        assert self._frames is not None
        for run in self._runs:
            for offset in itertools.product(*map(range, self.stride)):
                values = torch.stack([self._coarse(self._frames[time], offset) for time in run], 1)
                time, at = torch.tensor([run[-1]]), torch.tensor([offset])
                data = Data(x=values[:, :-1], y=values[:, -1:], time=time, offset=at)
                yield self._on_grid(data)

    def examples(self) -> list[Data]:
        """Return the examples, without the grid that they share if nothing changes it."""
        examples = super().examples()
        return examples if self.pre_transform else without_grid(examples, [*self._grid, "pos"])

    def get(self, idx: int) -> Data:
        """Return one example, on the shared grid."""
        data = super().get(idx)
        return data if self.pre_transform else self._on_grid(data)

    def _on_grid(self, data: Data) -> Data:
        return data.update({**self._grid, "pos": self._origin_pos + data.offset})

    def _coarse(self, frame: np.ndarray, offset: Sequence[int]) -> Tensor:
        """Return the values of one of the interleaved grids, in row-major order."""
        axes = zip(offset, self.stride, self.grid_shape, strict=True)
        chosen = frame[tuple(slice(first, step * size, step) for first, step, size in axes)]
        return torch.from_numpy(chosen.flatten())


def _check_stride(stride: int | Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    steps = (stride,) * len(shape) if isinstance(stride, int) else tuple(stride)
    if len(steps) != len(shape):
        raise value_error("stride", f"an integer, or one for each of {len(shape)} axes", stride)
    for step, size in zip(steps, shape, strict=True):
        if check_integer("stride", step, 1) > size:
            expected = f"at most the length of its axis, as of the shape {tuple(shape)}"
            raise value_error("stride", expected, stride)
    return steps


def _read(path: Path) -> Frames:
    remedy = "give numbers [T, n_1, ..., n_D], or arrays [n_1, ..., n_D] with numbered names"
    with reading(path, remedy), open(path, "rb") as file:
        arrays = np.load(file)
        if isinstance(arrays, np.ndarray):
            frames = dict(enumerate(arrays))
        elif len(arrays) == 1:
            frames = dict(enumerate(next(iter(arrays.values()))))
        else:
            frames = {_step(name): array for name, array in arrays.items()}
            if len(frames) < len(arrays):
                names = ", ".join(list(arrays)[:5])
                raise ValueError(f"expected names of different steps, got {names}")
        shapes = {frame.shape for frame in frames.values()}
        if len(shapes) != 1 or not next(iter(shapes)):
            raise ValueError(f"expected steps of one shape, got {sorted(shapes)}")
        return {time: to_float32(f"step {time}", frame) for time, frame in frames.items()}


def _step(name: str) -> int:
    digits = re.search(r"\d+$", name)
    if digits is None:
        raise ValueError(f"expected names that end in the number of a step, got {name}")
    return int(digits.group())
