"""Laser scans of street scenes with a class for every point, read one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from graphmask._checks import value_error

from ._base import Filter, Transform
from ._raw_files import Folder, damaged

REMEDY = "restore the file from the original data"
LAYOUT = (
    "sequences/<00 to 21>/velodyne/*.bin with labels/*.label beside it, "
    "or pairs <name>.bin, <name>.label"
)
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
    of the echo, 0 to 1; ``pos`` float32 of shape [N, 3], metres to the front, the left and above
    the sensor; ``y`` and ``instance`` long of shape [N], absent where there is no label file;
    ``name`` such as ``"08/000123"``. Points stay in the order of the file, so that predictions can
    be handed in.

    Scans stay on disk: nothing is cached unless there is a ``pre_transform`` or a ``pre_filter``,
    which then run once and write one file per scan.

    Source: J. Behley et al., "SemanticKITTI: A Dataset for Semantic Scene Understanding of LiDAR
    Sequences", ICCV 2019, http://semantic-kitti.org (CC BY-NC-SA 4.0), with the scans of A. Geiger
    et al., CVPR 2012. This class does not download them.

    Args:
        root: folder of the scans.
        split: ``"train"`` (sequences 00 to 07, 09, 10), ``"val"`` (08) or ``"test"`` (11 to 21,
            labels not public), as far as they exist. (default: :obj:`"train"`)
        sequences: names of sequences such as ``"08"``, instead of a split. (default: :obj:`None`)
        processed_root, transform, pre_filter, force_reload: see
            :class:`~graphmask.datasets.CachedDataset`.
        pre_transform: applied once to each scan, which is then cached, such as graphs and walks.
            (default: :obj:`None`)

    Raises:
        FileNotFoundError: if there are no scans, or no files of a sequence that is asked for.
        ValueError: if ``split`` is unknown, sequences are asked of a folder of pairs, a file is
            damaged (at access), or ``pre_filter`` keeps no scan.

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
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise value_error("split", f"one of {', '.join(SPLITS)}", split)
        folder = Path(root).expanduser()
        self.scans = _find_scans(folder, split, sequences)
        self.name = "_".join(sequences) if sequences is not None else split
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
        """True if there is something to cache."""
        return self.pre_transform is not None or self.pre_filter is not None

    @property
    def processed_dir(self) -> str:
        """The cache folder of this split."""
        return str(self.cache / "processed" / f"semantickitti_{self.name}")

    @property
    def processed_file_names(self) -> list[str]:
        """The file that is written last, after all scans."""
        return ["complete.pt"]

    def process(self) -> None:
        """Write one file for each scan that ``pre_filter`` keeps."""
        for file in Path(self.processed_dir).glob("scan_*.pt"):
            file.unlink()
        count = 0
        for index, scan in enumerate(self.scans):
            data = read_scan(*scan)
            if self.pre_filter is None or self.pre_filter(data):
                data = data if self.pre_transform is None else self.pre_transform(data)
                torch.save(data, os.path.join(self.processed_dir, f"scan_{index:06d}.pt"))
                count += 1
        if not count:
            raise value_error("pre_filter", "true for a scan", "no scan")
        torch.save(count, self.processed_paths[0])

    def len(self) -> int:
        """The number of scans."""
        return len(self._files) if self.has_process else len(self.scans)

    def get(self, idx: int) -> Data:
        """Return a scan, before ``transform``."""
        if not self.has_process:
            return read_scan(*self.scans[idx])
        return torch.load(self._files[idx], weights_only=False)


def read_scan(path: Path, labels: Path, name: str) -> Data:
    """Read the example of a file of points, with the labels of another where it exists."""
    points = _read(path, np.dtype("<f4"), 4).reshape(-1, 4)
    if not np.isfinite(points).all():
        raise damaged(path, "a value is NaN or infinite", REMEDY)
    x, pos = torch.from_numpy(points[:, 3:].copy()), torch.from_numpy(points[:, :3].copy())
    data = Data(x=x, pos=pos, name=name)
    return data.update(_labels(labels, len(points))) if labels.exists() else data


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


def _read(path: Path, dtype: np.dtype, columns: int) -> np.ndarray:
    size = path.stat().st_size
    if size % (dtype.itemsize * columns):
        raise damaged(path, f"{size} bytes", REMEDY)
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
        paths = sorted(folder.glob("*.bin"))
        scans = [(path, path.with_suffix(".label"), path.stem) for path in paths]
    else:
        names = sequences
        if names is None:
            names = [name for name in SPLITS[split] if (home / name).is_dir()]
        scans = [scan for name in names for scan in _sequence(home / name)]
    if not scans:
        raise FileNotFoundError(
            f"No scan of the split {split} in {folder}: `root` must hold {LAYOUT}"
        )
    return scans


def _sequence(folder: Path) -> list[tuple[Path, Path, str]]:
    files = sorted((folder / "velodyne").glob("*.bin"))
    if not files:
        raise FileNotFoundError(f"No .bin file in {folder / 'velodyne'}: `root` must hold {LAYOUT}")
    labels = folder / "labels"
    return [(path, labels / f"{path.stem}.label", f"{folder.name}/{path.stem}") for path in files]
