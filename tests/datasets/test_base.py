"""The base class of datasets, on a dataset of four one-point clouds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from graphmask.datasets._base import SplitDataset


class Points(SplitDataset):
    class_names = ("even", "odd")
    builds = 0

    def build(self) -> Iterator[Data]:
        type(self).builds += 1
        first = 0.0 if self.train else 10.0
        for index in range(4):
            yield Data(pos=torch.tensor([[first + index]]), y=torch.tensor([index % 2]))


@pytest.fixture(autouse=True)
def no_builds():
    Points.builds = 0


def values(dataset: SplitDataset) -> list[float]:
    return [data.pos.item() for data in dataset]


def double(data: Data) -> Data:
    return Data(pos=2 * data.pos, y=data.y)


def add_one(data: Data) -> Data:
    return Data(pos=1 + data.pos, y=data.y)


def is_odd(data: Data) -> bool:
    return bool(data.y == 1)


def test_processed_root_alone_is_a_cache(tmp_path: Path) -> None:
    for _ in range(2):
        assert values(Points(None, True, processed_root=tmp_path)) == [0, 1, 2, 3]
    assert Points.builds == 1


def test_without_a_root_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values(Points(None, True)) == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_read_by_the_second_construction(tmp_path: Path) -> None:
    first, second = Points(tmp_path, True), Points(str(tmp_path), True)
    assert values(first) == values(second) == [0, 1, 2, 3]
    assert Points.builds == 1


def test_force_reload_builds_again(tmp_path: Path) -> None:
    Points(tmp_path, True)
    Points(tmp_path, True, force_reload=True)
    assert Points.builds == 2


def test_splits_and_settings_have_caches_of_their_own(tmp_path: Path) -> None:
    assert values(Points(tmp_path, True)) == [0, 1, 2, 3]
    assert values(Points(tmp_path, False)) == [10, 11, 12, 13]
    Points(tmp_path, True, "other")
    assert Points.builds == 3
    folders = {path.name for path in (tmp_path / "processed").iterdir()}
    assert folders == {"points_train", "points_test", "points_train_other"}


def test_processed_root_takes_the_cache_out_of_the_root(tmp_path: Path) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    root.mkdir()
    Points(root, True, processed_root=cache)
    assert list(root.iterdir()) == []
    assert (cache / "processed" / "points_train" / "data.pt").exists()


def test_nothing_but_the_cache_stays_in_its_folder(tmp_path: Path) -> None:
    Points(tmp_path, True)
    names = {path.name for path in (tmp_path / "processed" / "points_train").iterdir()}
    assert names == {"data.pt", "pre_filter.pt", "pre_transform.pt"}


@pytest.mark.parametrize("has_root", [False, True])
def test_transforms_and_filter(tmp_path: Path, has_root: bool) -> None:
    root = tmp_path if has_root else None
    dataset = Points(root, True, transform=add_one, pre_transform=double, pre_filter=is_odd)
    assert values(dataset) == [3, 7]
    assert values(dataset) == [3, 7]
    dataset.transform = None
    assert values(dataset) == [2, 6]


def test_another_pre_transform_warns_whatever_split_came_between(tmp_path: Path) -> None:
    Points(tmp_path, True)
    Points(tmp_path, False, pre_transform=double)
    with pytest.warns(UserWarning, match="pre_transform"):
        Points(tmp_path, True, pre_transform=double)


def test_num_classes_does_not_depend_on_the_examples_left() -> None:
    dataset = Points(None, True, transform=add_one, pre_filter=lambda data: not is_odd(data))
    assert dataset.num_classes == 2
    assert repr(dataset) == "Points(2)"


def test_one_example_left() -> None:
    dataset = Points(None, True, pre_filter=lambda data: data.pos.item() == 2)
    assert len(dataset) == 1
    assert values(dataset) == [2]


def test_pickles() -> None:
    dataset = Points(None, True)
    assert values(pickle.loads(pickle.dumps(dataset))) == values(dataset)


def test_a_filter_that_keeps_nothing() -> None:
    message = "`pre_filter` must be true for an example of the train split, got no example"
    with pytest.raises(ValueError, match=message):
        Points(None, True, pre_filter=lambda _: False)


def test_train_is_a_bool() -> None:
    with pytest.raises(TypeError, match="`train` must be a bool, got str"):
        Points(None, "test")


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "processed").write_text("a file where the folder should be")
    message = r"cache folder .*points_train cannot be made .*`processed_root`"
    with pytest.raises(PermissionError, match=message):
        Points(tmp_path, True)


@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_cache(tmp_path: Path, keep: int) -> None:
    path = Path(Points(tmp_path, True).processed_paths[0])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"data\.pt is damaged .*`force_reload=True`"):
        Points(tmp_path, True)
    assert values(Points(tmp_path, True, force_reload=True)) == [0, 1, 2, 3]


def test_a_failed_build_leaves_no_cache(tmp_path: Path) -> None:
    def fail(_: Data) -> Data:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Points(tmp_path, True, pre_transform=fail)
    assert values(Points(tmp_path, True)) == [0, 1, 2, 3]
