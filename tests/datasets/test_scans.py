"""Laser scans: ISPRSFilterTest, SemanticKITTI, KITTIObjects and ScanObjectNN."""

from __future__ import annotations

import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import H5, SOURCES, kitti_scan, write
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from graphmask.datasets import ISPRSFilterTest, KITTIObjects, ScanObjectNN, SemanticKITTI
from graphmask.io import read_graph
from graphmask.transforms import KNNGraph


@pytest.fixture
def isprs(tmp_path: Path) -> Path:
    return SOURCES["isprs"].write(tmp_path / "scans")


def test_both_layouts_of_isprs_give_the_scan_about_its_mean(isprs: Path, tmp_path: Path) -> None:
    for folder in (isprs, SOURCES["isprs-arrays"].write(tmp_path / "arrays")):
        (data,) = ISPRSFilterTest(folder, "samp12", train=False)
        assert data.name == "samp12"
        assert data.y.tolist() == [0, 1, 0]
        # Heights 300, 311.25, 300: their mean is 303.75. In single precision, eastings would round
        # to 1/32 m.
        assert data.pos.tolist() == [[-1.5, 0, -3.75], [0, 0, 7.5], [1.5, 0, -3.75]]
        assert data.origin.tolist() == [[512001.5, 5403000.0, 303.75]]
        assert (data.pos.dtype, data.y.dtype) == (torch.float32, torch.long)
        assert data.origin.dtype == torch.float64


def test_one_scan_tests_and_the_others_train(isprs: Path) -> None:
    for name in ISPRSFilterTest.scans:
        train, test = (
            [data.name for data in ISPRSFilterTest(isprs, name, split)] for split in (True, False)
        )
        assert test == [name]
        assert sorted(train + test) == sorted(ISPRSFilterTest.scans)


@pytest.mark.parametrize("folder", ["raw", "Reference"])
def test_scans_may_lie_in_folders_of_the_archive(isprs: Path, folder: str) -> None:
    (isprs / folder).mkdir()
    for file in isprs.glob("*.txt"):
        file.rename(isprs / folder / file.name)
    assert len(ISPRSFilterTest(isprs)) == 14
    (isprs / folder / "samp31.txt").unlink()
    with pytest.raises(FileNotFoundError, match="No scan samp31 in"):
        ISPRSFilterTest(isprs, force_reload=True)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    root = SOURCES["semantic-kitti"].write(tmp_path / "pairs")
    (root / "other.npz").write_bytes(b"")
    return root


def write_pair(points: Path, labels: Path, classes: list[int], shift: float = 0) -> None:
    for path, content in zip((points, labels), kitti_scan(classes, shift), strict=True):
        write(path, content)


def test_columns_classes_and_objects_of_a_scan(tmp_path: Path) -> None:
    write_pair(tmp_path / "s.bin", tmp_path / "s.label", [(7 << 16) + 252, 48, 0xFFFF << 16 | 99])
    data = SemanticKITTI(tmp_path)[0]
    assert data.pos.tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    assert data.x.tolist() == [[3], [7], [11]]
    assert data.y.tolist() == [0, 10, -100]
    assert data.instance.tolist() == [7, 0, 65535]
    assert data.pos.dtype == data.x.dtype == torch.float32
    assert data.y.dtype == data.instance.dtype == torch.long


CLASSES = {
    "car": [10, 252], "bicycle": [11], "motorcycle": [15], "truck": [18, 258],
    "other-vehicle": [13, 16, 20, 256, 257, 259], "person": [30, 254], "bicyclist": [31, 253],
    "motorcyclist": [32, 255], "road": [40, 60], "parking": [44], "sidewalk": [48],
    "other-ground": [49], "building": [50], "fence": [51], "vegetation": [70], "trunk": [71],
    "terrain": [72], "pole": [80], "traffic-sign": [81],
}  # fmt: skip


def test_labels_are_mapped_to_the_classes_of_the_benchmark(tmp_path: Path) -> None:
    labels = [label for group in CLASSES.values() for label in group]
    write_pair(tmp_path / "s.bin", tmp_path / "s.label", [*labels, 0, 1, 52, 99, 777])
    classes = SemanticKITTI(tmp_path)[0].y.tolist()
    names = [name for name, group in CLASSES.items() for _ in group]
    assert [SemanticKITTI.class_names[index] for index in classes[:-5]] == names
    assert classes[-5:] == [SemanticKITTI.ignore_index] * 5


def test_scans_in_a_folder_are_read_in_the_order_of_names(pairs: Path) -> None:
    dataset = SemanticKITTI(pairs)
    assert [data.name for data in dataset] == ["a", "b", "c"]
    assert [data.pos[0, 0].item() for data in dataset] == [100, 0, 200]
    assert (len(dataset), dataset.num_classes) == (3, 19)
    assert not (pairs / "processed").exists()
    with pytest.raises(ValueError, match=r"`sequences` must be None, since .* has no folder"):
        SemanticKITTI(pairs, sequences=["00"])
    with pytest.raises(ValueError, match="`pre_filter` must be true for a scan"):
        SemanticKITTI(pairs, pre_filter=lambda _: False)


def test_the_official_layout_has_its_splits(tmp_path: Path) -> None:
    root = tmp_path / "kitti"
    for sequence, scan in product(("00", "03", "08", "11"), (1, 0)):
        folder, name = root / "sequences" / sequence, f"{scan:06d}"
        labels = folder / "labels" / f"{name}.label"
        write_pair(folder / f"velodyne/{name}.bin", labels, [50, 0], 10 * int(sequence) + scan)
        if sequence == "11":
            labels.unlink()
    for split, sequences in (("train", ("00", "03")), ("val", ("08",)), ("test", ("11",))):
        names = [f"{sequence}/{scan:06d}" for sequence in sequences for scan in (0, 1)]
        assert [data.name for data in SemanticKITTI(root, split)] == names
    assert "y" not in SemanticKITTI(root, "test")[0]
    selected = SemanticKITTI(root, sequences=["08", "03"])
    assert [data.pos[0, 0].item() for data in selected] == [80, 81, 30, 31]
    with pytest.raises(FileNotFoundError, match=r"No \.bin file in .*07"):
        SemanticKITTI(root, sequences=["07"])
    (tmp_path / "elsewhere").mkdir()
    root.rename(tmp_path / "elsewhere" / "dataset")
    assert len(SemanticKITTI(tmp_path / "elsewhere", "val")) == 2


def test_graphs_of_scans_are_built_once(pairs: Path, tmp_path: Path) -> None:
    built = []

    def build(data: Data) -> Data:
        built.append(data.name)
        return KNNGraph(k=2)(data)

    def scans(without: str = "b", **options: bool) -> SemanticKITTI:
        options |= {"processed_root": tmp_path / "cache", "pre_transform": build}
        return SemanticKITTI(pairs, pre_filter=lambda data: data.name not in without, **options)

    dataset = scans()
    assert [data.name for data in dataset] == built == ["a", "c"]
    assert dataset[0].num_edges == 6
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert (batch.num_nodes, batch.num_edges) == (6, 12)
    assert len(scans()) == len(built) == 2
    assert [data.name for data in scans("bc", force_reload=True)] == ["a"]
    assert built == ["a", "c", "a"]
    assert not (pairs / "processed").exists()


def test_scans_of_a_killed_run_are_not_trusted(pairs: Path, tmp_path: Path) -> None:
    def fail(data: Data) -> Data:
        if data.name == "b":
            raise RuntimeError("no")
        return Data(pos=data.pos - 1000, name=data.name)

    options = {"processed_root": tmp_path / "cache", "pre_filter": lambda data: data.name != "c"}
    with pytest.raises(RuntimeError, match="no"):
        SemanticKITTI(pairs, pre_transform=fail, **options)
    assert [data.pos[0, 0].item() for data in SemanticKITTI(pairs, **options)] == [100, 0]
    for ending in ("bin", "label"):
        shutil.copy(pairs / f"a.{ending}", pairs / f"d.{ending}")
    assert [data.name for data in SemanticKITTI(pairs, **options)] == ["a", "b", "d"]
    with pytest.warns(UserWarning, match="`pre_filter` of the cache"):
        SemanticKITTI(pairs, processed_root=tmp_path / "cache", pre_filter=len)


def test_the_cache_of_an_earlier_version_is_made_again(pairs: Path) -> None:
    first = SemanticKITTI(pairs, pre_filter=len)
    torch.save(2, first.processed_paths[0])
    assert len(SemanticKITTI(pairs, pre_filter=len)) == len(first)


def test_other_numbers_are_not_taken_for_strengths(tmp_path: Path) -> None:
    np.linspace(-9, 9, 24, dtype="<f4").tofile(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"a\.bin does not hold x, y, z and a strength: that of"):
        SemanticKITTI(tmp_path)[0]


def test_a_text_is_no_scan(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"404: no such scan on this host.\n" * 4)
    with pytest.raises(ValueError, match=r"a\.bin holds a text, expected float32"):
        read_graph(tmp_path / "a.bin", columns=4)


def test_rows_of_five_numbers_are_not_taken_for_four(tmp_path: Path) -> None:
    table = np.random.default_rng(0).random((8, 5)).astype("<f4") * 50
    table[:, 4] = np.arange(8)
    table.tofile(tmp_path / "a.bin")
    with pytest.raises(
        ValueError, match=r"a\.bin holds rows of 4 or 5 numbers by its size: pass `columns=`"
    ):
        SemanticKITTI(tmp_path)[0]
    data = SemanticKITTI(tmp_path, columns=5)[0]
    assert np.array_equal(torch.cat([data.pos, data.x], 1), table)


@pytest.mark.parametrize("columns", [3, 5, 6])
def test_positive_numbers_of_other_columns_ask_for_an_argument(
    columns: int, tmp_path: Path
) -> None:
    table = np.random.default_rng(0).random((8, columns)).astype("<f4")
    table.tofile(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"a\.bin holds rows of .* by its size: pass `columns=`"):
        SemanticKITTI(tmp_path)[0]
    with pytest.raises(ValueError, match=r"a\.bin holds rows of .* by its size: pass `columns=`"):
        read_graph(tmp_path / "a.bin")
    graph = read_graph(tmp_path / "a.bin", columns=columns)
    assert np.array_equal(graph.pos, table[:, :3])
    assert ("x" in graph) == (columns > 3)


@pytest.mark.parametrize("dtype", ["f8", "i4"])
def test_scans_of_other_numbers_than_float32_are_refused(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).uniform(0, 50, (8, 4)).astype(dtype)
    values.tofile(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"a\.bin holds no float32 of metres, .*: convert float64"):
        read_graph(tmp_path / "a.bin")


def test_the_strengths_of_kitti_leave_no_doubt(tmp_path: Path) -> None:
    table = np.random.default_rng(0).random((15, 4)).astype("<f4")
    table[:, 3] = table[:, 3].round(2)
    table.tofile(tmp_path / "a.bin")
    assert np.array_equal(read_graph(tmp_path / "a.bin").x, table[:, 3:])
    assert np.array_equal(SemanticKITTI(tmp_path)[0].x, table[:, 3:])


def test_scans_with_and_without_labels_are_an_error(pairs: Path) -> None:
    (pairs / "b.label").rename(pairs / "b.LABEL")
    (pairs / "c.bin").rename(pairs / "c.BIN")
    assert len([data.y for data in SemanticKITTI(pairs)]) == 3
    (pairs / "b.LABEL").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"b\.label is missing: 1 of 3 scans have no labels"
    ):
        SemanticKITTI(pairs)


def test_splits_of_kitti_objects_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    root = SOURCES["kitti-objects"].write(tmp_path)
    sizes = {split: len(KITTIObjects(root, split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 10, "val": 5, "test": 6}
    dataset = KITTIObjects(root, unit_size=False)
    arrays = SOURCES["kitti-objects"].files["kitti_objects4.npz"]
    for data, (group, index) in zip(dataset, [(1, 0), (2, 0), (2, 1), (3, 0)], strict=False):
        assert np.array_equal(data.pos.numpy(), arrays[f"train_set_{group}_points"][index])
        assert int(data.y) == index % 4
    assert dataset.num_classes == 4
    for metres, unit in zip(dataset, KITTIObjects(root), strict=True):
        centred = metres.pos - metres.pos.mean(0)
        torch.testing.assert_close(unit.pos, centred / centred.norm(dim=1).max())


FILES = {
    None: "objectdataset",
    "PB_T25": "objectdataset_augmented25_norot",
    "PB_T25_R": "objectdataset_augmented25rot",
    "PB_T50_R": "objectdataset_augmentedrot",
    "PB_T50_RS": "objectdataset_augmentedrot_scale75",
}


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    pytest.importorskip("h5py")
    return SOURCES["scan-object-nn"].write(tmp_path)


def test_every_variant_of_scan_object_nn_is_a_file(objects: Path) -> None:
    for (variant, file), background, train in product(FILES.items(), (True, False), (True, False)):
        shift = len(file) + 100 * background + 200 * train
        folder = "main_split" if background else "main_split_nobg"
        name = f"{'training' if train else 'test'}_{file}.h5"
        write(objects / folder / name, {**H5, "data": H5["data"] + shift})
        dataset = ScanObjectNN(objects, variant, background, train, force_reload=True)
        pos = torch.stack([data.pos for data in dataset]).numpy()
        assert np.array_equal(pos, (H5["data"] + shift).astype(np.float32))
        assert [int(data.y) for data in dataset] == H5["label"].tolist()
    (objects / "main_split/test_objectdataset.h5").unlink()
    message = r"test_objectdataset\.h5 is missing: `root` must be the folder h5_files"
    with pytest.raises(FileNotFoundError, match=message):
        ScanObjectNN(objects, train=False, force_reload=True)


def test_points_are_drawn_with_the_mask_of_the_object(objects: Path) -> None:
    scans, drawn = ScanObjectNN(objects), ScanObjectNN(objects, num_points=100)
    assert scans[0].foreground.tolist() == [index % 3 != 0 for index in range(2048)]
    for scan, sample in zip(scans, drawn, strict=True):
        rows = {tuple(point): index for index, point in enumerate(scan.pos.tolist())}
        nodes = [rows[tuple(point)] for point in sample.pos.tolist()]
        assert len(set(nodes)) == 100
        assert torch.equal(sample.foreground, scan.foreground[nodes])
    torch.manual_seed(1)
    again = ScanObjectNN(objects, num_points=100, force_reload=True)
    assert torch.equal(again[2].pos, drawn[2].pos)
    assert not torch.equal(ScanObjectNN(objects, num_points=100, seed=1)[2].pos, drawn[2].pos)
    assert len(ScanObjectNN(objects, num_points=9999)[0].pos) == 2048


def test_labels_may_have_a_second_axis(objects: Path) -> None:
    write(objects / "main_split/test_objectdataset.h5", {**H5, "label": H5["label"][:, None]})
    assert [int(data.y) for data in ScanObjectNN(objects, train=False)] == H5["label"].tolist()


def test_without_h5py_the_extra_is_named(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[scans\]"'):
        ScanObjectNN(objects)
