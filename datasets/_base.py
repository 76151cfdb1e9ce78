"""Bases of datasets: one cache folder per setting, and for many a train and a test split."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from torch_geometric.data import Data, InMemoryDataset
from typing_extensions import Unpack

from graphmask._checks import check_integer, type_error, value_error

from ._raw_files import Folder, damaged

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
        ValueError: if ``pre_filter`` keeps no example, or the cache is damaged.
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
        self.processed_root = _expand(root if processed_root is None else processed_root)
        super().__init__(
            _expand(root), transform, pre_transform, pre_filter, force_reload=force_reload
        )
        if self.processed_root is None:
            self.data, self.slices = self.collate(self.examples())
        else:
            self._load()

    @abstractmethod
    def build(self) -> Iterable[Data]:
        """Build the examples, before ``pre_filter`` and ``pre_transform``."""

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
        """The cache folder of this setting, with PyG's record of the ``pre_transform``."""
        name = "_".join(filter(None, (type(self).__name__.lower(), self.settings)))
        return os.path.join(self.processed_root or "", "processed", name)

    @property
    def processed_file_names(self) -> list[str]:
        """The file of the cache folder."""
        return ["data.pt"]

    def process(self) -> None:
        """Build the examples and cache them."""
        path = self.processed_paths[0]
        # Renamed when complete: neither an interrupted run nor another process may see half a
        # cache.
        temporary = f"{path}.{os.getpid()}"
        self.save(self.examples(), temporary)
        os.replace(temporary, path)

    def examples(self) -> list[Data]:
        """Return the examples after ``pre_filter`` and ``pre_transform``."""
        kept = [data for data in self.build() if self.pre_filter is None or self.pre_filter(data)]
        if not kept:
            raise value_error("pre_filter", f"true for an example{self._of_split}", "no example")
        return kept if self.pre_transform is None else [self.pre_transform(data) for data in kept]

    @property
    def _of_split(self) -> str:
        return ""

    def _process(self) -> None:
        try:
            os.makedirs(self.processed_dir, exist_ok=True)
        except OSError as error:
            raise PermissionError(
                f"The cache folder {self.processed_dir} cannot be made ({error}): pass a folder "
                "that can be written as `processed_root`, or as `root` of a generated dataset"
            ) from error
        super()._process()

    def _load(self) -> None:
        path = self.processed_paths[0]
        try:
            self.load(path)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise damaged(path, error, "pass `force_reload=True` to build it again") from error


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
