"""The base class of datasets, on a dataset of four one-point clouds."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE, Compose

from graphmask._settings import describe_setting
from graphmask.datasets._base import SplitDataset, steps_of


class Points(SplitDataset):
    class_names = ("even", "odd")
    builds = 0

    def build(self) -> Iterator[Data]:
        type(self).builds += 1
        first = 0.0 if self.train else 10.0
        for index in range(4):
            yield Data(pos=torch.tensor([[first + index]]), y=torch.tensor([index % 2]))


@pytest.fixture(autouse=True)
def reset_builds() -> None:
    Points.builds = 0


def values(dataset: SplitDataset) -> list[float]:
    return [data.pos.item() for data in dataset]


def double(data: Data) -> Data:
    return Data(pos=2 * data.pos, y=data.y)


def add_one(data: Data) -> Data:
    return Data(pos=1 + data.pos, y=data.y)


def is_odd(data: Data) -> bool:
    return bool(data.y == 1)


def test_examples_are_built_once_for_each_split_and_setting(tmp_path: Path) -> None:
    for root in (tmp_path, str(tmp_path)):
        assert values(Points(root, True)) == [0, 1, 2, 3]
        assert values(Points(root, False)) == [10, 11, 12, 13]
        Points(root, True, "other")
    assert Points.builds == 3
    folders = {path.name for path in (tmp_path / "processed").iterdir()}
    assert folders == {"points_train", "points_test", "points_train_other"}
    names = {path.name for path in (tmp_path / "processed" / "points_train").iterdir()}
    assert names == {"data.pt"}
    Points(tmp_path, True, force_reload=True)
    assert Points.builds == 4


@pytest.mark.parametrize("has_root", [False, True])
def test_processed_root_takes_the_cache_out_of_the_root(tmp_path: Path, has_root: bool) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    root.mkdir()
    for _ in range(2):
        assert values(Points(root if has_root else None, True, processed_root=cache))[:2] == [0, 1]
    assert Points.builds == 1
    assert list(root.iterdir()) == []
    assert (cache / "processed" / "points_train" / "data.pt").exists()


def test_without_a_root_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values(Points(None, True)) == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_root", [False, True])
def test_filters_and_transforms_are_applied_in_their_order(tmp_path: Path, has_root: bool) -> None:
    root = tmp_path if has_root else None
    dataset = Points(root, True, transform=add_one, pre_transform=double, pre_filter=is_odd)
    assert values(dataset) == values(dataset) == [3, 7]
    dataset.transform = None
    assert values(dataset) == [2, 6]
    # Classes count without examples too.
    assert (dataset.num_classes, repr(dataset)) == (2, "Points(2)")
    assert values(Points(None, True, pre_filter=lambda data: data.pos.item() == 2)) == [2]


def test_another_pre_transform_warns_whatever_split_came_between(tmp_path: Path) -> None:
    Points(tmp_path, True)
    Points(tmp_path, False, pre_transform=double)
    with pytest.warns(UserWarning, match="pre_transform"):
        Points(tmp_path, True, pre_transform=double)


def test_a_filter_that_keeps_nothing_is_an_error() -> None:
    message = "`pre_filter` must be true for an example of the train split, got no example"
    with pytest.raises(ValueError, match=message):
        Points(None, True, pre_filter=lambda _: False)


def test_a_cache_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "processed").write_text("a file where the folder should be")
    message = r"cache folder .*points_train cannot be made .*`processed_root`"
    with pytest.raises(PermissionError, match=message):
        Points(tmp_path, True)


@pytest.mark.parametrize("size", [0, 100])
def test_a_truncated_cache_is_named_and_built_again_on_demand(tmp_path: Path, size: int) -> None:
    path = Path(Points(tmp_path, True).processed_paths[0])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"data\.pt is damaged .*`force_reload=True`"):
        Points(tmp_path, True)
    assert values(Points(tmp_path, True, force_reload=True)) == [0, 1, 2, 3]


def test_a_changed_number_in_a_cache_is_an_error(tmp_path: Path) -> None:
    path = Path(Points(tmp_path, True).processed_paths[0])
    numbers = torch.arange(4, dtype=torch.float32).numpy().tobytes()
    changed = torch.tensor([0.0, 1.0, 2.0, 4.0]).numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(numbers, changed))
    with pytest.raises(ValueError, match=r"data.pt is damaged .*checksum.*force_reload"):
        Points(tmp_path, True)


class Planted:
    """Runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["data.pt", "pre_transform.pt"])
def test_no_code_in_a_cache_is_run(tmp_path: Path, name: str) -> None:
    folder = Path(Points(tmp_path, True).processed_dir)
    torch.save(Planted(tmp_path / "ran"), folder / name)
    if name == "data.pt":
        with pytest.raises(ValueError, match=r"data\.pt is damaged .*`force_reload=True`"):
            Points(tmp_path, True)
    assert values(Points(tmp_path, True, force_reload=name == "data.pt")) == [0, 1, 2, 3]
    assert not (tmp_path / "ran").exists()


def test_what_a_cache_cannot_hold_is_an_error(tmp_path: Path) -> None:
    def add(data: Data) -> Data:
        return Data(pos=data.pos, path=tmp_path)

    with pytest.raises(TypeError, match=r"`pre_transform` must be .* which a cache can hold, got"):
        Points(tmp_path, True, pre_transform=add)
    assert not list(Path(tmp_path, "processed").rglob("*.*"))


def test_a_cache_of_an_earlier_version_is_built_again(tmp_path: Path) -> None:
    dataset = Points(tmp_path, True)
    Points.save(list(dataset), dataset.processed_paths[0])
    assert values(Points(tmp_path, True)) == [0, 1, 2, 3]
    assert Points.builds == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("place", ["transform 0", "transform 3", "fsync", "replace"])
def test_a_killed_build_leaves_no_cache(tmp_path: Path, place: str) -> None:
    """The process is killed at an example, before the file is on the disk, or before it moves."""
    process = os.fork()
    if not process:

        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def transform(data: Data) -> Data:
            return die() if place == f"transform {int(data.pos)}" else data

        setattr(os, place, die)
        Points(tmp_path, True, pre_transform=transform)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
    assert not list(tmp_path.rglob("data.pt"))
    assert values(Points(tmp_path, True)) == [0, 1, 2, 3]


class Scale:
    """A transform that does not print its setting."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, data: Data) -> Data:
        return Data(pos=self.factor * data.pos, y=data.y)


class Learned(torch.nn.Module):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((200,), float(factor)))

    def forward(self, data: Data) -> Data:
        return Data(pos=self.weight.detach()[0] * data.pos, y=data.y)


def closure(factor: int) -> Callable[[Data], Data]:
    return lambda data: Scale(factor)(data)


def nested(setting: dict[str, int]) -> Callable[[Data], Data]:
    return lambda data: (lambda: Scale(setting["factor"])(data))()


SETTINGS: dict[str, Callable[[int], Any]] = {
    "attribute": Scale,
    "bound method": lambda factor: Scale(factor).__call__,
    "closure": closure,
    "closure of a dictionary": lambda factor: nested({"factor": factor}),
    "composed": lambda factor: Compose([closure(factor)]),
    "keyword": lambda factor: partial(lambda data, factor: Scale(factor)(data), factor=factor),
    "library": lambda factor: AddRandomWalkPE(factor),
    "weight": Learned,
}


@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS)
def test_steps_of_other_settings_are_told_apart(make: Callable[[int], Any]) -> None:
    texts = [
        steps_of(SimpleNamespace(pre_transform=make(factor), pre_filter=None))["pre_transform"]
        for factor in (2, 2, 3)
    ]
    assert texts[0] == texts[1] != texts[2]


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor: int) -> None:
        self.factor = factor


VALUES: dict[str, Callable[[int], Any]] = {
    "path": lambda k: Path(f"{k}.csv"),
    "tuple": lambda k: (k, "a"),
    "list": lambda k: [k],
    "set": lambda k: {f"{k}", *"abcdef"},
    "dictionary": lambda k: {"factor": k},
    "array": lambda k: np.full(3, k),
    "tensor": lambda k: torch.full((200,), k),
    "graph": lambda k: Data(x=torch.full((2, 1), k)),
    "type": lambda k: (torch.int32, torch.int64)[k % 2],
    "generator": lambda k: torch.Generator().manual_seed(k),
    "numpy's generator": np.random.default_rng,
    "Python's generator": random.Random,
    "slots": lambda k: (Slotted(k),),
    "slice": slice,
    "options": lambda k: Namespace(factor=k, rate=0.1),
    "sparse": lambda k: coo_array(([k], ([0], [1]))),
    "deque": lambda k: deque([k]),
    "date": lambda k: date(2000, 1, k),
    "decimal": Decimal,
    "pattern": lambda k: re.compile(f"{k}"),
}


def reads_global(value: Any) -> Callable[[Data], Any]:
    names = {"VALUE": value}
    exec("def read(data):\n    return data, VALUE", names)
    return names["read"]


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("place", [lambda v: lambda data: (data, v), reads_global, Scale])
def test_what_functions_read_is_told_apart(place: Callable, make: Callable[[int], Any]) -> None:
    texts = [re.sub("<.*?>", "", describe_setting(place(make(k)))) for k in (2, 2, 3)]
    assert texts[0] == texts[1] != texts[2]


class Options:
    """Settings, and an object that changes by itself."""

    def __init__(self, factor: int) -> None:
        self.factor, self.calls = factor, [object()]


def test_attributes_that_functions_read_are_told_apart() -> None:
    def place(options: Any) -> Callable[[Data], Any]:
        return lambda data: (data, options.factor)

    for make in (Options, lambda k: SimpleNamespace(factor=Options(k))):
        texts = [describe_setting(place(make(k))) for k in (2, 2, 3)]
        assert texts[0] == texts[1] != texts[2]
    names = {"OPTIONS": Options(2)}
    exec("def read(data):\n    return data, OPTIONS.factor", names)
    before = describe_setting(names["read"])
    names["OPTIONS"].calls.append(1)  # which the function does not read
    assert describe_setting(names["read"]) == before
    names["OPTIONS"].factor = 3
    assert describe_setting(names["read"]) != before


def test_lists_that_a_function_adds_to_are_no_setting() -> None:
    seen: list[Data] = []

    def transform(data: Data) -> Data:
        seen.append(data)
        return data

    before = describe_setting(transform)
    transform(Data())
    assert describe_setting(transform) == before


@pytest.mark.slow
def test_settings_print_the_same_in_every_process() -> None:
    """Sets of texts have another order in each, and objects another address."""
    code = (
        "from graphmask._settings import describe_setting as d; o = object(); "
        "print(d(set('abcdef')), d(lambda x: x in {'a', 'b', 'c'}), d((o,)), d(lambda: (o,)))"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    ]
    assert texts[0] == texts[1]


def test_functions_of_other_code_are_told_apart(tmp_path: Path) -> None:
    texts = [
        describe_setting(function)
        for function in (
            lambda data: data,
            lambda data: Data(pos=data.pos),
            lambda data: (lambda: Data(pos=2 * data.pos))(),
            lambda data: (lambda: Data(pos=3 * data.pos))(),
            lambda data, *, factor=2: factor,
            lambda data, *, factor=3: factor,
            lambda data: double(data),
            lambda data: add_one(data),
        )
    ]
    assert len(set(texts)) == len(texts)
    Points(tmp_path, True, pre_transform=lambda data: data)
    with pytest.warns(UserWarning, match="pre_transform"):
        Points(tmp_path, True, pre_transform=lambda data: Data(pos=3 * data.pos, y=data.y))


def test_a_cache_of_another_checksum_is_damaged(tmp_path: Path) -> None:
    path = Path(Points(tmp_path, True).processed_paths[0])
    content = path.read_bytes()
    value = torch.tensor([2.0]).numpy().tobytes()
    path.write_bytes(content.replace(value, torch.tensor([9.0]).numpy().tobytes(), 1))
    with pytest.raises(ValueError, match=r"data\.pt is damaged .*checksum"):
        Points(tmp_path, True)


def test_a_setting_that_holds_itself_is_printed() -> None:
    scale = Scale(2)
    scale.factor = [scale, Scale]
    assert "..." in describe_setting(scale)


def test_a_failed_build_leaves_no_cache(tmp_path: Path) -> None:
    def fail(_: Data) -> Data:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Points(tmp_path, True, pre_transform=fail)
    assert values(Points(tmp_path, True)) == [0, 1, 2, 3]
