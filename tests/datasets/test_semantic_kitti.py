from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import SemanticKITTI
from graphmask.transforms import KNNGraph


def write(points: Path, labels: Path | None, label: list[int], shift: float = 0) -> None:
    points.parent.mkdir(parents=True, exist_ok=True)
    table = np.arange(4 * len(label), dtype="<f4").reshape(-1, 4) + np.float32(shift)
    table.tofile(points)
    if labels is not None:
        labels.parent.mkdir(parents=True, exist_ok=True)
        np.array(label, dtype="<u4").tofile(labels)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    for number, name in enumerate(("b", "a", "c")):
        write(folder / f"{name}.bin", folder / f"{name}.label", [40, 10, 70], 100 * number)
    (folder / "other.npz").write_bytes(b"")
    return folder


@pytest.fixture
def official(tmp_path: Path) -> Path:
    folder = tmp_path / "kitti"
    for sequence in ("00", "03", "08", "11"):
        for number in (1, 0):
            part, scan = folder / "sequences" / sequence, f"{number:06d}"
            labels = None if sequence == "11" else part / "labels" / f"{scan}.label"
            write(part / "velodyne" / f"{scan}.bin", labels, [50, 0], 10 * int(sequence) + number)
    return folder


def test_columns_classes_and_objects(tmp_path: Path) -> None:
    write(tmp_path / "s.bin", tmp_path / "s.label", [(7 << 16) + 252, 48, 0xFFFF << 16 | 99])
    data = SemanticKITTI(tmp_path)[0]
    assert data.pos.tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    assert data.x.tolist() == [[3], [7], [11]]
    assert data.y.tolist() == [0, 10, -100]
    assert data.instance.tolist() == [7, 0, 65535]
    assert (data.pos.dtype, data.x.dtype, data.y.dtype, data.instance.dtype) == (
        *2 * [torch.float32],
        *2 * [torch.long],
    )


@pytest.mark.parametrize(
    ("label", "name"),
    [(10, "car"), (252, "car"), (11, "bicycle"), (15, "motorcycle"), (18, "truck"), (258, "truck"),
     (13, "other-vehicle"), (16, "other-vehicle"), (20, "other-vehicle"), (256, "other-vehicle"),
     (257, "other-vehicle"), (259, "other-vehicle"), (30, "person"), (254, "person"),
     (31, "bicyclist"), (253, "bicyclist"), (32, "motorcyclist"), (255, "motorcyclist"),
     (40, "road"), (60, "road"), (44, "parking"), (48, "sidewalk"), (49, "other-ground"),
     (50, "building"), (51, "fence"), (70, "vegetation"), (71, "trunk"), (72, "terrain"),
     (80, "pole"), (81, "traffic-sign"), (0, None), (1, None), (52, None), (99, None), (777, None)],
)  # fmt: skip
def test_the_map_of_the_benchmark(tmp_path: Path, label: int, name: str | None) -> None:
    write(tmp_path / "s.bin", tmp_path / "s.label", [label])
    found = int(SemanticKITTI(tmp_path)[0].y)
    assert (
        found == SemanticKITTI.ignore_index
        if name is None
        else SemanticKITTI.class_names[found] == name
    )


def test_pairs_in_a_folder(pairs: Path) -> None:
    dataset = SemanticKITTI(pairs)
    assert [data.name for data in dataset] == ["a", "b", "c"]
    assert [data.pos[0, 0].item() for data in dataset] == [100, 0, 200]
    assert (len(dataset), dataset.num_classes) == (3, 19)
    assert not (pairs / "processed").exists()
    message = r"`sequences` must be None, since .* has no folder `sequences`"
    with pytest.raises(ValueError, match=message):
        SemanticKITTI(pairs, sequences=["00"])


def test_official_layout_and_splits(official: Path) -> None:
    names = {
        split: [data.name for data in SemanticKITTI(official, split)]
        for split in ("train", "val", "test")
    }
    assert names["train"] == ["00/000000", "00/000001", "03/000000", "03/000001"]
    assert names["val"] == ["08/000000", "08/000001"]
    assert names["test"] == ["11/000000", "11/000001"]
    assert "y" not in SemanticKITTI(official, "test")[0]
    assert [data.pos[0, 0].item() for data in SemanticKITTI(official, sequences=["08", "03"])] == [
        80,
        81,
        30,
        31,
    ]
    moved = official.parent / "elsewhere" / "dataset"
    moved.parent.mkdir()
    official.rename(moved)
    assert len(SemanticKITTI(moved.parent, "val")) == 2


def test_graphs_are_built_once(pairs: Path, tmp_path: Path) -> None:
    built = []

    def build(data):
        built.append(data.name)
        return KNNGraph(k=2)(data)

    def open_it(unwanted="b", **more):
        return SemanticKITTI(
            pairs,
            processed_root=tmp_path / "cache",
            pre_transform=build,
            pre_filter=lambda data: data.name not in unwanted,
            **more,
        )

    dataset = open_it()
    assert [data.name for data in dataset] == built == ["a", "c"]
    assert dataset[0].num_edges == 6
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert (batch.num_nodes, batch.num_edges) == (6, 12)
    assert len(open_it()) == len(built) == 2
    assert [data.name for data in open_it("bc", force_reload=True)] == ["a"]
    assert built == ["a", "c", "a"]
    assert not (pairs / "processed").exists()


def test_what_is_missing(official: Path, pairs: Path, tmp_path: Path) -> None:
    message = r"root` must hold sequences/<00 to 21>/velodyne/\*\.bin"
    with pytest.raises(FileNotFoundError, match=message):
        SemanticKITTI(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(FileNotFoundError, match=r"No \.bin file in .*07"):
        SemanticKITTI(official, sequences=["07"])
    with pytest.raises(ValueError, match="`split` must be one of train, val, test, got all"):
        SemanticKITTI(official, "all")
    with pytest.raises(ValueError, match="`pre_filter` must be true for a scan"):
        SemanticKITTI(pairs, pre_filter=lambda _: False)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.bin", b"123"),
        ("a.bin", np.full(12, np.nan, "<f4").tobytes()),
        ("a.label", b"12345"),
        ("a.label", np.zeros(2, "<u4").tobytes()),
    ],
    ids=["cut off", "nan", "cut off labels", "fewer labels"],
)
def test_a_damaged_file(pairs: Path, file: str, content: bytes) -> None:
    (pairs / file).write_bytes(content)
    message = rf"{file} is damaged \(.*restore the file from the original data"
    with pytest.raises(ValueError, match=message):
        SemanticKITTI(pairs)[0]
