"""Fields on a regular grid that change in time: predict the next step from those before."""

from __future__ import annotations

import itertools
import re
import zipfile
import zlib
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, type_error, value_error

from ._base import CachedDataset, Filter, Folder, Transform, damaged
from ._grids import grid_edges, grid_positions

Frames = dict[int, np.ndarray]


class GridField(CachedDataset):
    """Steps of a field on a regular grid, such as the wind of a storm.

    Each node's next value, from its values until now.

    Read from one file of numpy: an array [T, n_1, ..., n_D] (``.npy``, or the only one of an
    ``.npz``) holds the steps 0 to T - 1; several arrays [n_1, ..., n_D] of an ``.npz`` hold one
    step each, the number at the end of its name, as in ``wind_02``, ``wind_03``. Runs of steps with
    gaps between are never joined.

    With a stride s of more than one, the grid is cut into its s^D interleaved coarser grids, of ``n
    // s`` places along each axis; every one makes an example of every step, so that little of the
    file is lost.

    Each example is ``Data(x, y, time, offset, edge_index, pos, grid_shape)`` with N nodes in
    row-major order: `x` float32 of shape [N, history], the values of the steps until now, the
    latest last; `y` float32 of shape [N, 1], those of the next step; `time` long of shape [1], the
    step of `y`; `offset` long of shape [1, D], the place of the first node in the full grid;
    `edge_index` long of shape [2, E], each node to its 2 D neighbours, both directions; `pos`
    float32 of shape [N, D], in cells of the full grid; `grid_shape` long of shape [1, D], for masks
    of grids. Values are those of the file, not scaled. Examples are in the order of time, then of
    offset. Without `pre_transform` all share `edge_index` and `grid_shape`; do not write to them in
    place.

    Nothing is written: the file is read at construction, and held as float32 once for `x` and once
    for `y`.

    Args:
        file: The file; its values must be finite.
        stride: Distance of neighbouring places in cells of the file, for all axes or for each.
        history: Number of steps in `x`.
        times: Steps to use: examples all of whose steps are in it (default: all), such as
            ``range(30, 34)``.
        transform: Applied at every access.
        pre_transform: Applied once, to each example.
        pre_filter: Keeps the examples it returns True for, applied before `pre_transform`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `stride` or `history` is not an integer, or `times` holds nothing.
        ValueError: If a number is out of range, the file is damaged or has no two steps in a row in
            `times`, or `pre_filter` keeps no example.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import GridField
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(os.path.join(folder, "heat.npy"), np.random.default_rng(0).random((4, 6, 8)))
        ...     dataset = GridField(os.path.join(folder, "heat.npy"), stride=2, history=2)
        >>> dataset, dataset.grid_shape, dataset.times
        (GridField(8), (3, 4), (2, 3))
        >>> dataset[0]
        Data(x=[12, 2], y=[12, 1], time=[1], offset=[1, 2], edge_index=[2, 34], grid_shape=[1, 2],
        pos=[12, 2])
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
        path = Path(file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f"The file {path} is missing: `file` must name a .npy or .npz file"
            )
        frames = {
            time: frame for time, frame in _read(path).items() if times is None or time in times
        }
        steps = [[now - back for back in range(-1, history)][::-1] for now in sorted(frames)]
        self._runs = [run for run in steps if all(time in frames for time in run)]
        if not self._runs:
            raise value_error(
                "times",
                f"with {history + 1} steps in a row that are in the file",
                f"the steps {sorted(frames)}",
            )
        self._frames: Frames | None = frames
        full = frames[self._runs[0][0]].shape
        self.stride = _check_stride(stride, full)
        self.grid_shape = tuple(size // step for size, step in zip(full, self.stride, strict=True))
        self._grid = {
            "edge_index": grid_edges(self.grid_shape),
            "grid_shape": torch.tensor([self.grid_shape]),
        }
        self._place = grid_positions(self.grid_shape) * torch.tensor(
            self.stride, dtype=torch.float32
        )
        super().__init__(
            None, transform=transform, pre_transform=pre_transform, pre_filter=pre_filter
        )
        self._frames = None  # the examples hold their values

    @property
    def times(self) -> tuple[int, ...]:
        """The steps that are predicted."""
        return tuple(run[-1] for run in self._runs)

    def build(self) -> Iterator[Data]:
        """The examples, by time, then offset."""
        assert self._frames is not None
        for run in self._runs:
            for offset in itertools.product(*map(range, self.stride)):
                values = torch.stack([self._coarse(self._frames[time], offset) for time in run], 1)
                held = {"time": torch.tensor([run[-1]]), "offset": torch.tensor([offset])}
                yield self._on_grid(Data(x=values[:, :-1], y=values[:, -1:], **held))

    def examples(self) -> list[Data]:
        """As of any dataset, but without a copy of the grid in each where nothing has changed it."""
        kept = super().examples()
        return (
            kept
            if self.pre_transform
            else [Data(x=d.x, y=d.y, time=d.time, offset=d.offset) for d in kept]
        )

    def get(self, idx: int) -> Data:
        """One example, on the shared grid."""
        data = super().get(idx)
        return data if self.pre_transform else self._on_grid(data)

    def _on_grid(self, data: Data) -> Data:
        return data.update({**self._grid, "pos": self._place + data.offset})

    def _coarse(self, frame: np.ndarray, offset: Sequence[int]) -> Tensor:
        """The values of one of the interleaved grids, in row-major order."""
        axes = zip(offset, self.stride, self.grid_shape, strict=True)
        chosen = frame[tuple(slice(first, step * size, step) for first, step, size in axes)]
        return torch.from_numpy(chosen.astype(np.float32).ravel())


def _check_stride(stride: int | Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    given = (stride,) * len(shape) if isinstance(stride, int) else tuple(stride)
    if len(given) != len(shape):
        raise value_error("stride", f"an integer, or one for each of {len(shape)} axes", stride)
    for step, size in zip(given, shape, strict=True):
        if check_integer("stride", step, 1) > size:
            raise value_error(
                "stride", f"at most the length of its axis, as of the shape {tuple(shape)}", stride
            )
    return given


def _read(path: Path) -> Frames:
    try:
        frames = _frames(path)
        _check(frames)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(
            path,
            error,
            "give numbers [T, n_1, ..., n_D], or arrays [n_1, ..., n_D] with numbered names",
        ) from error
    return frames


def _frames(path: Path) -> Frames:
    with open(path, "rb") as file:
        loaded = np.load(file)
        arrays = (
            {name: loaded[name] for name in loaded}
            if isinstance(loaded, np.lib.npyio.NpzFile)
            else {"": loaded}
        )
    if len(arrays) == 1:
        return dict(enumerate(next(iter(arrays.values()))))
    numbers = [re.search(r"\d+$", name) for name in arrays]
    if not all(numbers):
        raise ValueError(
            f"expected names that end in the number of a step, got {', '.join(arrays)}"
        )
    return {
        int(found.group()): array
        for found, array in zip(numbers, arrays.values(), strict=True)
        if found
    }


def _check(frames: Frames) -> None:
    shapes = {frame.shape for frame in frames.values()}
    if len(shapes) != 1 or not next(iter(shapes)):
        raise ValueError(f"expected steps of one shape, got {sorted(shapes)}")
    if not all(frame.dtype.kind in "fiu" and np.isfinite(frame).all() for frame in frames.values()):
        raise ValueError("expected finite numbers")
