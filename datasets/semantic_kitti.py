"""Laser scans of street scenes with a class for every point, read one by one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from graphmask._checks import value_error

from ._base import (
    Filter,
    Transform,
    check_optional,
    has_stamps,
    make_cache,
    pack,
    read_record,
    stamps_of,
    steps_of,
    unpack,
    warn_of_other_steps,
    write_record,
)
from ._raw_files import Folder, damaged, files_with

REMEDY = "restore the file from the original data"
LAYOUT = (
    "sequences/<00 to 21>/velodyne/*.bin with labels/*.label beside it, "
    "or pairs <name>.bin, <name>.label"
)
# Numbers of a point in common scans: positions alone, with a strength, and with a laser, time or
# colours.
_WIDTHS = (3, 4, 5, 6)
# Sizes of numbers in metres: those of float64 or integers, read as float32, lie beyond.
_LEAST, _GREATEST = 1e-30, 1e12
UNLABELLED = -100  # ignored by torch's cross entropy by default
SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(map(str, range(11, 22))),
}
# Label in the file -> class: the benchmark's map for single scans, less one, since its class 0 is
# not scored. Moving things have the class of those that stand. The labels 0, 1 (outlier), 52
# (other structure) and 99 (other object) are not scored.
CLASS_OF = {
    10: 0, 11: 1, 13: 4, 15: 2, 16: 4, 18: 3, 20: 4, 30: 5, 31: 6, 32: 7, 40: 8, 44: 9, 48: 10,
    49: 11, 50: 12, 51: 13, 60: 8, 70: 14, 71: 15, 72: 16, 80: 17, 81: 18, 252: 0, 253: 6, 254: 5,
    255: 7, 256: 4, 257: 4, 258: 3, 259: 4,
}  # fmt: skip


class SemanticKITTI(Dataset):
    r"""Scans of a rotating laser on a car, about 120,000 points each, with 19 classes.

    A label file holds one 32-bit integer per point: ``label & 0xffff`` is mapped by the benchmark's
    map for single scans to ``SemanticKITTI.class_names`` (moving cars count as cars; buses and
    things on rails as other-vehicle; lane markings as road), ``label >> 16`` numbers the object.
    Points that the benchmark does not count have ``y = -100``, ``SemanticKITTI.ignore_index``,
    which ``torch.nn.CrossEntropyLoss()`` ignores by default, and torchmetrics with
    ``ignore_index=-100``.

    Reads either the official layout, ``sequences/<00 to 21>/velodyne/<scan>.bin`` and
    ``labels/<scan>.label`` in ``root`` or in ``root/dataset``; or a folder of pairs ``<name>.bin``
    and ``<name>.label``, which are all one split.

    Each example is ``Data(x, pos, y, instance, name)``: ``x`` float32 of shape [N, 1], the strength
    of the echo, 0 to 1, and further columns; ``pos`` float32 of shape [N, 3], metres to the front,
    the left and above the sensor; ``y`` and ``instance`` long of shape [N], absent where there is
    no label file; ``name`` such as ``"08/000123"``. Points stay in the order of the file, so that
    predictions can be handed in.

    Scans stay on disk: nothing is cached unless there is a ``pre_transform`` or a ``pre_filter``,
    which then run once and write one file per scan, and at last the list of them: a run that is
    killed before is repeated.

    Source: J. Behley et al., "SemanticKITTI: A Dataset for Semantic Scene Understanding of LiDAR
    Sequences", ICCV 2019, http://semantic-kitti.org (CC BY-NC-SA 4.0), with the scans of A. Geiger
    et al., CVPR 2012. This class does not download them.

    Args:
        root: folder of the scans.
        split: ``"train"`` (sequences 00 to 07, 09, 10), ``"val"`` (08) or ``"test"`` (11 to 21,
            labels not public), as far as they exist. (default: :obj:`"train"`)
        sequences: names of sequences such as ``"08"``, instead of a split. (default: :obj:`None`)
        columns: numbers of each point in a file, such as 5 in scans of nuScenes, whose last is the
            number of the laser. (default: :obj:`None`: 4, where labels, the size of the file or
            the strengths leave no doubt)
        processed_root, transform, pre_filter, force_reload: see
            :class:`~graphmask.datasets.CachedDataset`.
        pre_transform: applied once to each scan, which is then cached, such as graphs and walks.
            (default: :obj:`None`)

    Raises:
        FileNotFoundError: if there are no scans, or no files of a sequence that is asked for, or
            some scans have labels and some have not.
        ValueError: if ``split`` is unknown, sequences are asked of a folder of pairs, a file is
            damaged or may have other columns (at access), or ``pre_filter`` keeps no scan.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import SemanticKITTI
        >>> points = np.array([[1, 0, 0, 0.5], [2, 0, 0, 0.1]], dtype=np.float32)
        >>> labels = np.array([252, 1 << 16], dtype=np.uint32)
        >>> with tempfile.TemporaryDirectory() as root:
        ...     points.tofile(os.path.join(root, "000000.bin"))
        ...     labels.tofile(os.path.join(root, "000000.label"))
        ...     scan = SemanticKITTI(root)[0]
        >>> scan.y.tolist(), scan.instance.tolist(), scan.name
        ([0, -100], [0, 1], '000000')
    """

    class_names = (
        "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist",
        "motorcyclist", "road", "parking", "sidewalk", "other-ground", "building", "fence",
        "vegetation", "trunk", "terrain", "pole", "traffic-sign",
    )  # fmt: skip
    ignore_index = UNLABELLED

    def __init__(
        self,
        root: Folder,
        split: str = "train",
        sequences: Sequence[str] | None = None,
        *,
        columns: int | None = None,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise value_error("split", f"one of {', '.join(SPLITS)}", split)
        folder = Path(root).expanduser()
        self.columns = check_optional("columns", columns, 3)
        self.scans = _find_scans(folder, split, sequences)
        self._files: list[Path] = []
        self.name = "_".join(sequences) if sequences is not None else split
        self.cache = folder if processed_root is None else Path(processed_root).expanduser()
        super().__init__(
            str(folder), transform, pre_transform, pre_filter, force_reload=force_reload
        )

    @property
    def num_classes(self) -> int:
        """19."""
        return len(self.class_names)

    @property
    def has_process(self) -> bool:
        """True if there is something to cache."""
        return self.pre_transform is not None or self.pre_filter is not None

    @property
    def processed_dir(self) -> str:
        """The cache folder of this split."""
        columns = "" if self.columns in (None, 4) else f"_{self.columns}"
        return str(self.cache / "processed" / f"semantickitti_{self.name}{columns}")

    @property
    def processed_file_names(self) -> list[str]:
        """The list of the files, written when they are complete."""
        return ["scans.pt"]

    def _process(self) -> None:
        folder, path = make_cache(self.processed_dir), Path(self.processed_paths[0])
        names = [name for *_, name in self.scans]
        is_stale = self.force_reload or not path.exists()
        found = None if is_stale else read_record(path)
        found = found if isinstance(found, dict) else {}
        is_same = has_stamps(self._sources, found.get("sources"))
        if found.get("scans") != names or not is_same:
            self.process()
        record = read_record(path)
        warn_of_other_steps(self, record["steps"])
        self._files = [folder / name for name in record["files"]]

    def process(self) -> None:
        """Write one file for each scan that ``pre_filter`` keeps, and the list of them."""
        folder, steps, files = Path(self.processed_dir), steps_of(self), []
        stamps = stamps_of(self._sources)
        Path(self.processed_paths[0]).unlink(missing_ok=True)
        # Another process may write scans of other steps.
        mark = f"{zlib.crc32(repr(steps).encode()):08x}"
        for index, scan in enumerate(self.scans):
            data = read_scan(*scan, self.columns)
            if self.pre_filter is None or self.pre_filter(data):
                data = data if self.pre_transform is None else self.pre_transform(data)
                files.append(f"scan_{index:06d}_{mark}.pt")
                write_record(folder / files[-1], pack(data))
        if not files:
            raise value_error("pre_filter", "true for a scan", "no scan")
        names = [name for *_, name in self.scans]
        record = {"steps": steps, "sources": stamps, "files": files, "scans": names}
        write_record(Path(self.processed_paths[0]), record)
        for path in set(folder.glob("scan_*.pt")) - {folder / name for name in files}:
            path.unlink(missing_ok=True)

    @property
    def _sources(self) -> list[Path]:
        return [path for *paths, _ in self.scans for path in paths if path.exists()]

    def len(self) -> int:
        """The number of scans."""
        return len(self._files) if self.has_process else len(self.scans)

    def get(self, idx: int) -> Data:
        """Return a scan, before ``transform``."""
        if not self.has_process:
            return read_scan(*self.scans[idx], self.columns)
        return unpack(read_record(self._files[idx]))


def read_scan(path: Path, labels: Path, name: str, columns: int | None = None) -> Data:
    """Read the example of a file of points, with the labels of another where it exists."""
    points = read_points(path, columns, labels.exists())
    x, pos = torch.from_numpy(points[:, 3:].copy()), torch.from_numpy(points[:, :3].copy())
    data = Data(x=x, pos=pos, name=name)
    return data.update(_labels(labels, len(points))) if labels.exists() else data


def read_points(path: Path, columns: int | None = None, is_counted: bool = False) -> np.ndarray:
    """Read the rows of a scan, float32 of shape [N, columns].

    Args:
        path: of the file.
        columns: numbers of each point. (default: :obj:`None`, 4)
        is_counted: whether the number of points is known from elsewhere. Otherwise the file must
            hold the strengths of KITTI, hundredths from 0 to 1, or be of a size that 4 columns
            alone explain, unless ``columns`` are given.

    Raises:
        ValueError: if the file is empty, does not hold whole rows of finite numbers, may have
            other columns, or numbers of another type.
    """
    values = _read(path, np.dtype("<f4"), columns)
    if not len(values):
        raise damaged(path, "it is empty", REMEDY)
    beginning = values[:1024].tobytes()
    if beginning.isascii() and b"\0" not in beginning:
        raise ValueError(f"The file {path} holds a text, expected float32 numbers")
    if columns is None:
        _check_layout(path, values, is_counted)
    if not np.isfinite(values).all():
        raise damaged(path, "a value is NaN or infinite", REMEDY)
    sizes = np.abs(values[values != 0])
    if len(sizes) and (sizes.min() < _LEAST or sizes.max() > _GREATEST):
        numbers = f"{sizes.min():.3g} to {sizes.max():.3g}"
        raise ValueError(
            f"The file {path} holds no float32 of metres, whose sizes would be {numbers}: convert "
            "float64 or integers to float32"
        )
    return values.reshape(-1, columns or 4)


def _check_layout(path: Path, values: np.ndarray, is_counted: bool) -> None:
    """Check that a file cannot but hold x, y, z and a strength for each point."""
    widths = [width for width in _WIDTHS if not len(values) % width]
    if not widths:
        raise damaged(path, f"{4 * len(values)} bytes, expected 4 float32 per point", REMEDY)
    remedy = (
        "pass `columns=`, the numbers of each point (4 in scans of KITTI, 5 in those of nuScenes)"
    )
    strength = values[3::4]
    if 4 in widths and not is_counted and strength.min() < 0:
        raise ValueError(
            f"The file {path} does not hold x, y, z and a strength: that of point "
            f"{strength.argmin()} is {strength.min():.3g}; {remedy}"
        )
    is_clear = is_counted or widths == [4] or _are_strengths(strength)
    if 4 not in widths or not is_clear:
        counts = " or ".join(map(str, widths))
        raise ValueError(f"The file {path} holds rows of {counts} numbers by its size: {remedy}")


def _are_strengths(values: np.ndarray) -> bool:
    """True for hundredths from 0 to 1 that are no whole numbers alone, as in scans of KITTI."""
    hundredths = 100 * values.astype(np.float64)
    is_rounded = np.abs(hundredths - hundredths.round()).max() < 1e-4
    return bool(is_rounded and values.max() <= 1 and (values != values.round()).any())


def _labels(path: Path, num_points: int) -> dict[str, Tensor]:
    label = _read(path, np.dtype("<u4"), 1)
    if len(label) != num_points:
        raise damaged(path, f"{len(label)} labels for {num_points} points", REMEDY)
    table = np.full(1 << 16, UNLABELLED)
    table[list(CLASS_OF)] = list(CLASS_OF.values())
    return {
        "y": torch.from_numpy(table[label & 0xFFFF]),
        "instance": torch.from_numpy((label >> 16).astype(np.int64)),
    }


def _read(path: Path, dtype: np.dtype, columns: int | None) -> np.ndarray:
    size = path.stat().st_size
    if size % (dtype.itemsize * (columns or 1)):
        kind = f"{columns or 4} {dtype.name} per point"
        raise damaged(path, f"{size} bytes, expected {kind}", REMEDY)
    return np.fromfile(path, dtype)


def _find_scans(
    folder: Path, split: str, sequences: Sequence[str] | None
) -> list[tuple[Path, Path, str]]:
    """Return files of points, files of labels and names."""
    homes = [folder / "sequences", folder / "dataset" / "sequences"]
    home = next((home for home in homes if home.is_dir()), None)
    if home is None:
        if sequences is not None:
            expected = f"None, since {folder} has no folder `sequences`"
            raise value_error("sequences", expected, list(sequences))
        scans = _pairs(folder, folder, "")
    else:
        names = sequences
        if names is None:
            names = [name for name in SPLITS[split] if (home / name).is_dir()]
        scans = [scan for name in names for scan in _sequence(home / name)]
    if not scans:
        raise FileNotFoundError(
            f"No scan of the split {split} in {folder}: `root` must hold {LAYOUT}"
        )
    labels = [path for _, path, _ in scans if not path.exists()]
    if 0 < len(labels) < len(scans):
        raise FileNotFoundError(
            f"{labels[0]} is missing: {len(labels)} of {len(scans)} scans have no labels"
        )
    return scans


def _sequence(folder: Path) -> list[tuple[Path, Path, str]]:
    scans = _pairs(folder / "velodyne", folder / "labels", f"{folder.name}/")
    if not scans:
        raise FileNotFoundError(f"No .bin file in {folder / 'velodyne'}: `root` must hold {LAYOUT}")
    return scans


def _pairs(folder: Path, labels: Path, prefix: str) -> list[tuple[Path, Path, str]]:
    by_name = {path.stem: path for path in files_with(labels, ".label")}
    return [
        (path, by_name.get(path.stem, labels / f"{path.stem}.label"), prefix + path.stem)
        for path in files_with(folder, ".bin")
    ]
