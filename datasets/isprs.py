"""The airborne laser scans of the ISPRS filter test, labelled ground or object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import value_error

from ._base import Options, SplitDataset
from ._meshes import read_lines, text_lines
from ._raw_files import Folder, check_folder, files_with, read_text, reading

PACKED = "isprs_filtertest_samples.npz"
LAYOUT = f"samp11.txt to samp71.txt, also in a folder `raw` or `Reference`, or the file {PACKED}"


class ISPRSFilterTest(SplitDataset):
    r"""15 whole airborne scans of 7,492 to 52,119 points, each labelled ground or object.

    The scans come from seven sites: 1 to 4 are urban (samp11 to samp42, about 0.67 points per
    square metre), 5 to 7 rural (samp51 to samp71, about 0.18). There is no official split: methods
    that learn leave one scan out, or all scans of a site, and average over the 15.

    Reads from ``root`` either the reference files of the test, one text file
    ``samp<site><number>.txt`` per scan with the columns x, y, z, class (0 ground, 1 object), or
    ``isprs_filtertest_samples.npz`` with arrays ``samp11_xyz`` [N, 3], ``samp11_ground`` [N] (1
    ground, 0 object) and so on.

    Each example is ``Data(pos, y, origin, name)``: ``pos`` float32 of shape [N, 3], metres east,
    north and up of the scan's mean point ``origin``, float64 of shape [1, 3]; ``y`` long of shape
    [N], 0 ground and 1 object; ``name`` such as ``"samp11"``. Points stay in the order of the file,
    also those that repeat another.

    Source: G. Sithole and G. Vosselman, "Experimental comparison of filter algorithms for
    bare-Earth extraction from airborne laser scanning point clouds", ISPRS Journal 59, 2004. The
    ITC in Enschede hands out the reference data, https://itc.nl/isprs/wgIII-3/filtertest/
    (``Reference.zip``); this class does not download them.

    Args:
        root: folder of the files.
        test_scan: name of the scan, or names of the scans, in the test split; all others are for
            training. (default: :obj:`"samp11"`)
        train: whether this is the training split. (default: :obj:`True`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if ``root`` or the file of a scan is missing.
        TypeError: if ``train`` is not a bool.
        ValueError: if a name in ``test_scan`` is unknown or twice there, or all are; a file is
            damaged; ``pre_filter`` keeps no scan.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import ISPRSFilterTest
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ISPRSFilterTest.scans:
        ...         with open(os.path.join(root, f"{name}.txt"), "w") as file:
        ...             _ = file.write("512000.0 5403000.0 300.0 0\n512002.0 5403000.0 310.0 1\n")
        ...     train = ISPRSFilterTest(root, ("samp11", "samp12"))
        ...     test = ISPRSFilterTest(root, ("samp11", "samp12"), train=False)
        >>> train, test, test[0].name, test[0].y.tolist(), test[0].pos[1].tolist()
        (ISPRSFilterTest(13), ISPRSFilterTest(2), 'samp11', [0, 1], [1.0, 0.0, 5.0])
    """

    class_names = ("ground", "object")
    scans = (
        "samp11", "samp12", "samp21", "samp22", "samp23", "samp24", "samp31", "samp41", "samp42",
        "samp51", "samp52", "samp53", "samp54", "samp61", "samp71",
    )  # fmt: skip

    def __init__(
        self,
        root: Folder,
        test_scan: str | Sequence[str] = "samp11",
        train: bool = True,
        **options: Unpack[Options],
    ) -> None:
        self.scan_folder = check_folder(root, LAYOUT)
        self.test_scans = self._check_scans(test_scan)
        settings = "without_" + "_".join(name.removeprefix("samp") for name in self.test_scans)
        super().__init__(root, train, settings, **options)

    @classmethod
    def _check_scans(cls, test_scan: str | Sequence[str]) -> tuple[str, ...]:
        names = (test_scan,) if isinstance(test_scan, str) else tuple(test_scan)
        proper = 0 < len(names) < len(cls.scans) and len(set(names)) == len(names)
        if not proper or not set(names) <= set(cls.scans):
            expected = f"one or several, not all, of {', '.join(cls.scans)}"
            raise value_error("test_scan", expected, test_scan)
        return tuple(name for name in cls.scans if name in names)

    @property
    def sources(self) -> Sequence[Path]:
        names = [name for name in self.scans if (name in self.test_scans) != self.train]
        paths = (self._find(name) for name in names)
        return tuple({path for path in paths if path is not None})

    def build(self) -> Iterator[Data]:
        """Yield the scans of this split."""
        for name in self.scans:
            if (name in self.test_scans) != self.train:
                yield scan_data(*self._read(name), name)

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read the positions float64 [N, 3] and classes int64 [N] of a scan."""
        path = self._find(name)
        if path is None:
            folder = self.scan_folder
            raise FileNotFoundError(f"No scan {name} in {folder}: `root` must hold {LAYOUT}")
        with reading(path, "restore the file from the reference data"):
            pos, label = _read_packed(path, name) if path.name == PACKED else _read_text(path)
            _check(pos, label)
        return pos, label.astype(np.int64)

    def _find(self, name: str) -> Path | None:
        """The file of a scan."""
        folder = self.scan_folder
        folders = (folder, folder / "raw", folder / "Reference")
        texts = [path for place in folders for path in files_with(place, ".txt")]
        paths = [path for path in texts if path.stem.lower() == name] + [folder / PACKED]
        return next((path for path in paths if path.exists()), None)


def scan_data(pos: np.ndarray, label: np.ndarray, name: str) -> Data:
    """Build the example of a scan."""
    # Metres in a national grid need double precision; distances from the mean do not.
    origin = pos.mean(0, keepdims=True)
    return Data(
        pos=torch.from_numpy((pos - origin).astype(np.float32)),
        y=torch.from_numpy(label),
        origin=torch.from_numpy(origin),
        name=name,
    )


def _read_text(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = read_lines(text_lines(read_text(path)))
    if table.shape[1] != 4:
        raise ValueError(f"{table.shape[1]} columns instead of x, y, z, class")
    return table[:, :3], table[:, 3]


def _read_packed(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    with open(path, "rb") as file, np.load(file) as arrays:
        origin = arrays[f"{name}_origin"] if f"{name}_origin" in arrays else np.zeros(3)
        is_ground = arrays[f"{name}_ground"].astype(np.float64)  # halves are refused later
        return arrays[f"{name}_xyz"].astype(np.float64) + origin, 1 - is_ground


def _check(pos: np.ndarray, label: np.ndarray) -> None:
    # Before the labels become integers: half a class must not become a whole one.
    if label.ndim != 1 or pos.shape != (len(label), 3) or not len(label):
        shapes = f"positions of shape {list(pos.shape)}, classes of shape {list(label.shape)}"
        raise ValueError(shapes)
    if not (np.abs(pos) <= np.finfo(np.float32).max / 2).all():
        raise ValueError("a position is NaN or infinite, or beyond single precision")
    if not np.isin(label, (0, 1)).all():
        raise ValueError("a class other than 0 and 1")
