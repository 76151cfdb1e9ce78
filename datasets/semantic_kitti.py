"""Laser scans of street scenes with a class for every point, read scan by scan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, Dataset

from graphmask._checks import value_error

from ._base import Filter, Folder, Transform, damaged

LAYOUT = "sequences/<00 to 21>/velodyne/*.bin with labels/*.label beside it, or pairs <name>.bin, <name>.label"
UNLABELLED = -100  # what torch's cross entropy ignores unless told otherwise
SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(f"{number}" for number in range(11, 22)),
}
# Label in the file -> class: the benchmark's map for single scans, one less, since its class 0 is
# what is not counted. Moving things count with those that stand; 0, 1 (outlier), 52 (other
# structure) and 99 (other object) do not count.
CLASS_OF = {
    10: 0, 11: 1, 13: 4, 15: 2, 16: 4, 18: 3, 20: 4, 30: 5, 31: 6, 32: 7, 40: 8, 44: 9, 48: 10, 49: 11, 50: 12, 51: 13,
    60: 8, 70: 14, 71: 15, 72: 16, 80: 17, 81: 18, 252: 0, 253: 6, 254: 5, 255: 7, 256: 4, 257: 4, 258: 3, 259: 4,
}  # fmt: skip


class SemanticKITTI(Dataset):
    r"""Scans of a rotating laser on a car, about 120,000 points each, with 19 classes.

    Whole scans, read when asked for.

    The classes: car, bicycle, motorcycle, truck, other-vehicle, person, bicyclist, motorcyclist,
    road, parking, sidewalk, other-ground, building, fence, vegetation, trunk, terrain, pole,
    traffic-sign. A label file holds one 32-bit integer per
    point: ``label & 0xffff`` is mapped by the benchmark's map for single scans (moving cars count
        as cars; buses and things on
    rails as other-vehicle; lane markings as road), ``label >> 16`` numbers the object. Points that
    the benchmark does not count have ``y = -100``, ``SemanticKITTI.ignore_index``, which
    ``torch.nn.CrossEntropyLoss()`` ignores as it is, and torchmetrics with ``ignore_index=-100``.

    Reads either the official layout, ``sequences/<00 to 21>/velodyne/<scan>.bin`` and
    ``labels/<scan>.label`` in `root` or in ``root/dataset``; or a folder of pairs ``<name>.bin``
    and ``<name>.label``, which are all one split.

    Each example is ``Data(x, pos, y, instance, name)``: `x` float32 of shape [N, 1], the strength
    of the echo, 0 to 1; `pos` float32 of shape [N, 3], metres to the front, the left and above the
    sensor; `y` and `instance` long of shape [N], absent where there is no label file; `name` such
    as ``"08/000123"``. Points stay in the order of the file, so that predictions can be handed in.

    Scans stay on disk: nothing is cached unless there is a `pre_transform` or a `pre_filter`, which
    then run once and write one file per scan.

    Source: J. Behley et al., "SemanticKITTI: A Dataset for Semantic Scene Understanding of LiDAR
    Sequences", ICCV 2019, http://semantic-kitti.org (CC BY-NC-SA 4.0), with the scans of A. Geiger
    et al., CVPR 2012. Nothing is downloaded here.

    Args:
        root: Folder of the scans.
        split: ``"train"`` (sequences 00 to 07, 09, 10), ``"val"`` (08) or ``"test"`` (11 to 21,
            labels not public); of these, the sequences that are there.
        sequences: Names of sequences such as ``"08"``, instead of a split.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once to each scan, which is then cached: the place for graphs and
            walks.
        pre_filter: Keeps the scans it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        FileNotFoundError: If there are no scans, or no files of a sequence that is asked for.
        ValueError: If `split` is unknown, sequences are asked of a folder of pairs, a file is
            damaged (at access), or `pre_filter` keeps no scan.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import SemanticKITTI
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.array([[1, 0, 0, 0.5], [2, 0, 0, 0.1]], dtype=np.float32).tofile(os.path.join(root, "000000.bin"))
        ...     np.array([252, 1 << 16], dtype=np.uint32).tofile(os.path.join(root, "000000.label"))
        ...     scan = SemanticKITTI(root)[0]
        >>> scan.y.tolist(), scan.instance.tolist(), scan.name
        ([0, -100], [0, 1], '000000')
    """

    class_names = (
        "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road", "parking",
        "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign",
    )  # fmt: skip
    ignore_index = UNLABELLED

    def __init__(
        self,
        root: Folder,
        split: str = "train",
        sequences: Sequence[str] | None = None,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise value_error("split", f"one of {', '.join(SPLITS)}", split)
        folder = Path(root).expanduser()
        self.scans = _find(folder, split, sequences)
        self.parts = "_".join(sequences) if sequences is not None else split
        self.cache = folder if processed_root is None else Path(processed_root).expanduser()
        super().__init__(
            str(folder), transform, pre_transform, pre_filter, force_reload=force_reload
        )
        self._files = sorted(Path(self.processed_dir).glob("scan_*.pt")) if self.has_process else []

    @property
    def num_classes(self) -> int:
        """19."""
        return len(self.class_names)

    @property
    def has_process(self) -> bool:
        """Whether there is something to cache."""
        return self.pre_transform is not None or self.pre_filter is not None

    @property
    def processed_dir(self) -> str:
        """The cache folder of this split."""
        return str(self.cache / "processed" / f"semantickitti_{self.parts}")

    @property
    def processed_file_names(self) -> list[str]:
        """Written last, when all scans are."""
        return ["complete.pt"]

    def process(self) -> None:
        """Write one file for each scan that `pre_filter` keeps."""
        for file in Path(self.processed_dir).glob("scan_*.pt"):
            file.unlink()
        kept = 0
        for number, scan in enumerate(self.scans):
            data = read_scan(*scan)
            if self.pre_filter is None or self.pre_filter(data):
                data = data if self.pre_transform is None else self.pre_transform(data)
                torch.save(data, os.path.join(self.processed_dir, f"scan_{number:06d}.pt"))
                kept += 1
        if not kept:
            raise value_error("pre_filter", "true for a scan", "no scan")
        torch.save(kept, self.processed_paths[0])

    def len(self) -> int:
        """The number of scans."""
        return len(self._files) if self.has_process else len(self.scans)

    def get(self, idx: int) -> Data:
        """A scan, before `transform`."""
        if not self.has_process:
            return read_scan(*self.scans[idx])
        return torch.load(self._files[idx], weights_only=False)


def read_scan(path: Path, labels: Path, name: str) -> Data:
    """The example of a file of points, with the labels of another where it exists."""
    points = _read(path, np.dtype("<f4"), 4).reshape(-1, 4)
    if not np.isfinite(points).all():
        raise damaged(path, "a value is NaN or infinite", "restore the file from the original data")
    data = Data(
        x=torch.from_numpy(points[:, 3:].copy()),
        pos=torch.from_numpy(points[:, :3].copy()),
        name=name,
    )
    if labels.exists():
        data.update(_labels(labels, len(points)))
    return data


def _labels(path: Path, count: int) -> dict[str, Any]:
    label = _read(path, np.dtype("<u4"), 1)
    if len(label) != count:
        raise damaged(
            path,
            f"{len(label)} labels for {count} points",
            "restore the file from the original data",
        )
    table = np.full(1 << 16, UNLABELLED)
    table[list(CLASS_OF)] = list(CLASS_OF.values())
    return {
        "y": torch.from_numpy(table[label & 0xFFFF]),
        "instance": torch.from_numpy((label >> 16).astype(np.int64)),
    }


def _read(path: Path, kind: np.dtype, columns: int) -> np.ndarray:
    if path.stat().st_size % (kind.itemsize * columns):
        raise damaged(
            path, f"{path.stat().st_size} bytes", "restore the file from the original data"
        )
    return np.fromfile(path, kind)


def _find(
    folder: Path, split: str, sequences: Sequence[str] | None
) -> list[tuple[Path, Path, str]]:
    """Files of points, files of labels and names."""
    official = [
        part for part in (folder / "sequences", folder / "dataset" / "sequences") if part.is_dir()
    ]
    if official:
        there = (
            [name for name in SPLITS[split] if (official[0] / name).is_dir()]
            if sequences is None
            else list(sequences)
        )
        found = [scan for name in there for scan in _sequence(official[0] / name)]
    elif sequences is not None:
        raise value_error(
            "sequences", f"None, since {folder} has no folder `sequences`", list(sequences)
        )
    else:
        found = [
            (path, path.with_suffix(".label"), path.stem) for path in sorted(folder.glob("*.bin"))
        ]
    if not found:
        raise FileNotFoundError(
            f"No scan of the split {split} in {folder}: `root` must hold {LAYOUT}"
        )
    return found


def _sequence(folder: Path) -> list[tuple[Path, Path, str]]:
    files = sorted((folder / "velodyne").glob("*.bin"))
    if not files:
        raise FileNotFoundError(f"No .bin file in {folder / 'velodyne'}: `root` must hold {LAYOUT}")
    return [
        (path, folder / "labels" / f"{path.stem}.label", f"{folder.name}/{path.stem}")
        for path in files
    ]
