"""What datasets share: one cache folder per setting, and for many a train and a test split."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from torch_geometric.data import Data, InMemoryDataset

from graphmask._checks import type_error, value_error

Folder = str | os.PathLike[str]
Transform = Callable[[Data], Data]
Filter = Callable[[Data], bool]


class CachedDataset(InMemoryDataset, ABC):
    """A dataset in memory, cached on request: a subclass says how its examples are built.

    Args:
        root: Folder of the dataset; None keeps everything in memory and writes nothing.
        settings: Name of everything that the examples depend on; it names the cache folder, so that
            another setting never reads this one's examples.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the examples are cached.
        pre_filter: Keeps the examples it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        PermissionError: If the cache folder cannot be made.
        ValueError: If `pre_filter` keeps no example, or the cache is damaged.
    """

    def __init__(
        self,
        root: Folder | None,
        settings: str = "",
        *,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.settings = settings
        self.folder = None if root is None else _expand(root)
        self.processed_root = self.folder if processed_root is None else _expand(processed_root)
        super().__init__(
            self.folder, transform, pre_transform, pre_filter, force_reload=force_reload
        )
        if self.folder is None:
            self.data, self.slices = self.collate(self.examples())
        else:
            self._load()

    @abstractmethod
    def build(self) -> Iterable[Data]:
        """The examples, before `pre_filter` and `pre_transform`."""

    @property
    def has_process(self) -> bool:
        """Whether there is a folder to cache in."""
        return self.folder is not None

    @property
    def processed_dir(self) -> str:
        """The cache folder of this setting.

        PyG's record of the `pre_transform` lies beside its examples.
        """
        name = "_".join(filter(None, (type(self).__name__.lower(), self.settings)))
        return os.path.join(self.processed_root or "", "processed", name)

    @property
    def raw_file_names(self) -> list[str]:
        """The files that must be there: none."""
        return []

    @property
    def processed_file_names(self) -> list[str]:
        """The one file of the cache folder."""
        return ["data.pt"]

    def process(self) -> None:
        """Build the examples and cache them."""
        path = self.processed_paths[0]
        # Renamed when complete: neither an interrupted run nor another process may show half a
        # cache.
        part = f"{path}.{os.getpid()}"
        self.save(self.examples(), part)
        os.replace(part, path)

    def examples(self) -> list[Data]:
        """The examples after `pre_filter` and `pre_transform`."""
        kept = [data for data in self.build() if self.pre_filter is None or self.pre_filter(data)]
        if not kept:
            raise value_error("pre_filter", f"true for an example{self._of}", "no example")
        return kept if self.pre_transform is None else [self.pre_transform(data) for data in kept]

    @property
    def _of(self) -> str:
        """Which examples these are, for a message."""
        return ""

    def _process(self) -> None:
        try:
            os.makedirs(self.processed_dir, exist_ok=True)
        except OSError as error:
            raise PermissionError(
                f"The cache folder {self.processed_dir} cannot be made ({error}): "
                "pass a folder that can be written (`processed_root=` of datasets that read files, `root=` of others)"
            ) from error
        super()._process()

    def _load(self) -> None:
        path = self.processed_paths[0]
        try:
            self.load(path)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise damaged(path, error, "pass `force_reload=True` to build it again") from error


class SplitDataset(CachedDataset):
    """One split of a classification dataset: a subclass says how its examples are built.

    Args:
        root: Folder of the dataset; None keeps everything in memory and writes nothing.
        train: Whether this is the training split.
        settings: Name of everything else the examples depend on; it names the cache folder, so that
            another setting never reads this one's examples.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the examples are cached.
        pre_filter: Keeps the examples it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        PermissionError: If the cache folder cannot be made.
        TypeError: If `train` is not a bool.
        ValueError: If `pre_filter` keeps no example, or the cache is damaged.
    """

    class_names: tuple[str, ...]

    def __init__(
        self,
        root: Folder | None,
        train: bool,
        settings: str = "",
        *,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.train = check_flag("train", train)
        super().__init__(
            root,
            "_".join(filter(None, (self.split, settings))),
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def _of(self) -> str:
        return f" of the {self.split} split"

    @property
    def split(self) -> str:
        """The split's name: ``"train"`` or ``"test"``."""
        return "train" if self.train else "test"

    @property
    def num_classes(self) -> int:
        """The number of classes, whatever examples are left."""
        return len(self.class_names)


def check_flag(name: str, value: Any) -> bool:
    """A bool: ``train="test"`` must not load the training split."""
    if not isinstance(value, bool):
        raise type_error(name, "a bool", value)
    return value


def damaged(path: Folder, problem: object, remedy: str) -> ValueError:
    """The error for a file that is there but cannot be used."""
    return ValueError(f"The file {os.fspath(path)} is damaged ({problem}): {remedy}")


def _expand(folder: Folder) -> str:
    return os.path.expanduser(os.fspath(folder))
