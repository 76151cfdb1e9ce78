"""Bases of datasets: one cache folder per setting, and for many a train and a test split."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import torch
from torch_geometric.data import Data, HeteroData, InMemoryDataset
from typing_extensions import Unpack

from graphmask._checks import check_integer, type_error, value_error
from graphmask._settings import describe_setting

from ._raw_files import READ_ERRORS, Folder, damaged, write_aside

_KINDS: dict[str, Any] = {"Data": Data, "HeteroData": HeteroData}

Transform = Callable[[Data], Data]
Filter = Callable[[Data], bool]


class Options(TypedDict, total=False):
    """Keyword arguments of all datasets, see :class:`CachedDataset`."""

    transform: Transform | None
    pre_transform: Transform | None
    pre_filter: Filter | None
    processed_root: Folder | None
    force_reload: bool


class CachedDataset(InMemoryDataset, ABC):
    """A dataset in memory with a cache on disk; subclasses build its examples.

    Args:
        root: folder of the dataset; :obj:`None` if it has none.
        settings: name of everything that the examples depend on. It names the cache folder, so that
            another setting never reads these examples. (default: :obj:`""`)
        transform: applied at every access. (default: :obj:`None`)
        pre_transform: applied once, before the examples are cached. (default: :obj:`None`)
        pre_filter: keeps the examples for which it returns true, applied before ``pre_transform``.
            (default: :obj:`None`)
        processed_root: folder of the cache, for a ``root`` that cannot be written. (default:
            ``root``; without either nothing is cached)
        force_reload: whether to build again what the cache already has. (default: :obj:`False`)

    Raises:
        PermissionError: if the cache folder cannot be made.
        TypeError: if an example holds what a cache of tensors, numbers and texts cannot.
        ValueError: if ``pre_filter`` keeps no example, or the cache is damaged.

    The cache is built again when one of the files that it was read from is added, removed, or
    changed in size or date; without any of them it stays. It is one file, written aside and moved
    to its place when it is complete, so that a run that is killed leaves none, and processes that
    build it at once do not disturb each other. No code in it is run: it is read as tensors alone.
    """

    class_names: tuple[str, ...] = ()

    def __init__(
        self,
        root: Folder | None,
        settings: str = "",
        *,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        processed_root: Folder | None = None,
        force_reload: bool = False,
    ) -> None:
        self.settings = settings
        self._record: dict[str, Any] | None = None
        self.processed_root = _expand(root if processed_root is None else processed_root)
        super().__init__(
            _expand(root), transform, pre_transform, pre_filter, force_reload=force_reload
        )
        if self.processed_root is None:
            self.data, self.slices = self.collate(self.examples())
        elif self._record is not None:
            self.data, self.slices = unpack(self._record), self._record["slices"]
            self._record = None

    @abstractmethod
    def build(self) -> Iterable[Data]:
        """Build the examples, before ``pre_filter`` and ``pre_transform``."""

    @property
    def sources(self) -> Sequence[Path]:
        """The files that examples are read from, unless ``settings`` name their content."""
        return ()

    @property
    def num_classes(self) -> int:
        """The number of classes, also of those without an example."""
        return len(self.class_names) or super().num_classes

    @property
    def has_process(self) -> bool:
        """True if there is a folder to cache in."""
        return self.processed_root is not None

    @property
    def processed_dir(self) -> str:
        """The cache folder of this setting."""
        name = "_".join(filter(None, (type(self).__name__.lower(), self.settings)))
        return os.path.join(self.processed_root or "", "processed", name)

    @property
    def processed_file_names(self) -> list[str]:
        """The file of the cache folder."""
        return ["data.pt"]

    def process(self) -> None:
        """Build the examples and cache them."""
        steps = steps_of(self)  # before generators in them go on
        stamps = stamps_of(self.sources)  # before they change
        data, slices = self.collate(self.examples())
        record = {"steps": steps, "sources": stamps, "slices": _plain(slices), **pack(data)}
        write_record(Path(self.processed_paths[0]), record)

    def examples(self) -> list[Data]:
        """Return the examples after ``pre_filter`` and ``pre_transform``."""
        built = list(self.build())
        if not built:
            raise ValueError(f"the data of {type(self).__name__} hold no example{self._of_split}")
        kept = [data for data in built if self.pre_filter is None or self.pre_filter(data)]
        if not kept:
            raise value_error("pre_filter", f"true for an example{self._of_split}", "no example")
        return kept if self.pre_transform is None else [self.pre_transform(data) for data in kept]

    @property
    def _of_split(self) -> str:
        return ""

    def _process(self) -> None:
        make_cache(self.processed_dir)
        path = Path(self.processed_paths[0])
        if self.force_reload or not path.exists():
            self.process()
        elif self._is_current(record := read_record(path)):
            self._record = record
            warn_of_other_steps(self, record["steps"])
            return
        else:
            self.process()
        self._record = read_record(path)

    def _is_current(self, record: Any) -> bool:
        """False for a cache of an earlier version of this library, or of other files."""
        return isinstance(record, dict) and has_stamps(self.sources, record.get("sources"))


def _plain(slices: Any) -> Any:
    """Turn nested dictionaries of any kind into plain ones, which can be read back."""
    return {k: _plain(v) for k, v in slices.items()} if isinstance(slices, dict) else slices


def pack(data: Data | HeteroData) -> dict[str, Any]:
    """Turn an example into a dictionary that is read back without running code."""
    kind = type(data).__name__
    if _KINDS.get(kind) is not type(data):
        raise type_error("pre_transform", f"a function to {' or '.join(_KINDS)}", data)
    return {"kind": kind, "data": data.to_dict()}


def unpack(record: dict[str, Any]) -> Any:
    """Return the example that :func:`pack` was given."""
    return _KINDS[record["kind"]].from_dict(record["data"])


def stamps_of(paths: Sequence[Path]) -> dict[str, list[int]]:
    """Sizes and dates of files by their paths from the folder that holds all of them."""
    home = os.path.commonpath([path.parent.absolute() for path in paths]) if paths else ""
    stats = {path.absolute().relative_to(home).as_posix(): path.stat() for path in paths}
    return {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}


def has_stamps(paths: Sequence[Path], stamps: dict[str, list[int]] | None) -> bool:
    """True if files, where there are any, are those of the stamps."""
    return not paths or stamps_of(paths) == stamps


def make_cache(folder: str) -> Path:
    """Make a cache folder, if need be.

    Raises:
        PermissionError: if it cannot be made.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"The cache folder {folder} cannot be made ({error}): pass a folder that can be "
            "written as `processed_root`, or as `root` of a generated dataset"
        ) from error
    return Path(folder)


def steps_of(dataset: Any) -> dict[str, str]:
    """Print what is applied to the examples before they are cached, the same in every process."""
    steps = {name: getattr(dataset, name) for name in ("pre_transform", "pre_filter")}
    return {name: describe_setting(step) for name, step in steps.items()}


def warn_of_other_steps(dataset: Any, steps: dict[str, str]) -> None:
    """Warn where a cache was made with other steps than the dataset has."""
    for name, step in steps_of(dataset).items():
        if step != steps[name]:
            warnings.warn(
                f"the `{name}` of the cache {dataset.processed_dir} is {steps[name]}, not {step}: "
                "pass `force_reload=True` to build it again",
                stacklevel=5,
            )


def write_record(path: Path, record: Any) -> None:
    """Write a cache of tensors, numbers and texts, whole or not at all.

    Raises:
        TypeError: if something in it could only be read by running code.
    """

    def write(file: BinaryIO) -> None:
        torch.save(record, file)
        file.flush()
        try:
            torch.load(file.name, weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            (problem, *_) = re.findall(r"GLOBAL (\S+)", str(error)) or [str(error)]
            expected = "a function to data of tensors, numbers and texts, which a cache can hold"
            raise TypeError(f"`pre_transform` must be {expected}, got {problem}") from error

    write_aside(path, write)


def read_record(path: Path) -> Any:
    """Read a cache without running code in it.

    Raises:
        ValueError: if it is damaged, or holds more than tensors, numbers and texts.
    """
    try:
        # torch does not compare checksums.
        with zipfile.ZipFile(path) as file:
            if (member := file.testzip()) is not None:
                raise ValueError(f"the checksum of {member} differs")
        return torch.load(path, weights_only=True)
    except (*READ_ERRORS, pickle.UnpicklingError) as error:
        remedy = "pass `force_reload=True` to build it again"
        raise damaged(path, str(error).partition("\n")[0], remedy) from error


class SplitDataset(CachedDataset):
    """One split of a classification dataset; subclasses build its examples.

    Args:
        root: folder of the dataset; :obj:`None` if it has none.
        train: whether this is the training split.
        settings: name of everything else that the examples depend on. (default: :obj:`""`)
        **options: see :class:`CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool.
        ValueError: as :class:`CachedDataset`.
    """

    def __init__(
        self, root: Folder | None, train: bool, settings: str = "", **options: Unpack[Options]
    ) -> None:
        self.train = check_flag("train", train)
        super().__init__(root, "_".join(filter(None, (self.split, settings))), **options)

    @property
    def split(self) -> str:
        """The name of the split, ``"train"`` or ``"test"``."""
        return "train" if self.train else "test"

    @property
    def _of_split(self) -> str:
        return f" of the {self.split} split"


def check_flag(name: str, value: Any) -> bool:
    """Check a bool, so that ``train="test"`` does not load the training split."""
    if not isinstance(value, bool):
        raise type_error(name, "a bool", value)
    return value


def check_optional(name: str, value: int | None, low: int) -> int | None:
    """Check an integer that may be left out."""
    return None if value is None else check_integer(name, value, low)


def _expand(folder: Folder | None) -> str | None:
    return None if folder is None else os.path.expanduser(os.fspath(folder))
