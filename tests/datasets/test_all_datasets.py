"""Generated datasets, the cache of those that read files, and errors: one row for each dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader

from graphmask.datasets import (
    MNIST,
    SHREC16,
    DigitsPointCloud,
    ElasticBody,
    GitHub,
    GridField,
    Heterophilous,
    ISPRSFilterTest,
    KITTIObjects,
    MeshNormals,
    Minesweeper,
    ModelNet,
    MoleculeNet,
    MotifDetection,
    PrimitiveShapes,
    ScanObjectNN,
    SDFMolecules,
    SemanticKITTI,
    ShapeFolder,
    TerrainScenes,
    TUText,
)

SMALL = {
    DigitsPointCloud: {},
    ElasticBody: {"layers": 2, "rows": 4, "columns": 4, "num_sequences": 2, "frames": 2},
    Minesweeper: {"size": 9},
    MotifDetection: {"num_pairs": 2},
    PrimitiveShapes: {"num_points": 32, "num_per_class": 1},
    TerrainScenes: {"num_points": 500, "num_scenes": 2},
}
# Arguments that lengthen a dataset.
LONGER = {
    ElasticBody: {"num_sequences": 3},
    MotifDetection: {"num_pairs": 3},
    PrimitiveShapes: {"num_per_class": 2},
    TerrainScenes: {"num_scenes": 3},
}


@pytest.fixture(params=SMALL, ids=lambda cls: cls.__name__)
def generated(request: pytest.FixtureRequest) -> type[InMemoryDataset]:
    return request.param


def same(first: InMemoryDataset, second: InMemoryDataset) -> bool:
    return all(
        torch.equal(value, b[key]) for a, b in zip(first, second, strict=True) for key, value in a
    )


@pytest.mark.usefixtures("double_default")
def test_generated_data_depend_on_seed_and_split_alone(generated: type[InMemoryDataset]) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    dataset = generated(**SMALL[generated])
    assert same(dataset, generated(**SMALL[generated]))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    floats = [value for data in dataset for _, value in data if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}
    if generated is not DigitsPointCloud:
        assert not same(dataset, generated(**SMALL[generated], seed=1))
    if generated is not Minesweeper:
        other = generated(**SMALL[generated], train=False)
        key = "x" if "pos" not in dataset[0] else "pos"
        assert not torch.equal(dataset[0][key], other[0][key])


@pytest.mark.parametrize("cls", LONGER, ids=lambda cls: cls.__name__)
def test_more_examples_extend_fewer(cls: type[InMemoryDataset]) -> None:
    few, many = cls(**SMALL[cls]), cls(**{**SMALL[cls], **LONGER[cls]})
    assert len(many) > len(few)
    assert same(few, many[: len(few)])


def test_cache_and_batches_of_generated_data(
    generated: type[InMemoryDataset], tmp_path: Path
) -> None:
    first = generated(tmp_path, **SMALL[generated])
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    second = generated(tmp_path, **SMALL[generated])
    assert Path(second.processed_paths[0]).stat().st_mtime_ns == stamp
    assert same(second, generated(**SMALL[generated]))
    batch = next(iter(DataLoader(second, batch_size=3)))
    assert batch.num_graphs == min(3, len(second))
    assert batch.num_nodes == sum(data.num_nodes for data in second[:3])


class Source(NamedTuple):
    """A dataset of one .npz file, the arrays of two examples, and how to open it."""

    cls: type[InMemoryDataset]
    file: str
    arrays: dict[str, Any]
    options: dict[str, Any] = {}  # noqa: RUF012

    def open(self, root: Path, **more: Any) -> InMemoryDataset:
        return self.cls(root, **self.options, **more)

    def write(self, root: Path, **changed: Any) -> None:
        arrays = {**self.arrays, **changed}
        kept = {name: array for name, array in arrays.items() if array is not None}
        np.savez(root / self.file, **kept)


IMAGES = np.zeros((2, 28, 28), np.uint8)
BITS = np.full((2, 4096), 255, np.uint8)
CLOUDS = np.random.default_rng(0).normal(size=(2, 8, 3))
MASKS = {f"{part}_masks": np.ones((10, 2), bool) for part in ("train", "val", "test")}
SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])
SOURCES = {
    "mnist": Source(
        MNIST,
        "mnist.npz",
        {"train_x": IMAGES, "train_y": np.arange(2), "test_x": IMAGES, "test_y": np.arange(2)},
        {"patch": 14},
    ),
    "heterophilous": Source(
        Heterophilous,
        "actor.npz",
        {"node_features": np.eye(2), "node_labels": [0, 1], "edges": [[0, 1]], **MASKS},
        {"name": "actor"},
    ),
    "modelnet": Source(
        ModelNet,
        "modelnet10_vox32_bits.npz",
        {"X_train_bits": BITS, "y_train": [0, 9], "X_test_bits": BITS, "y_test": [0, 9]},
        {"num_points": 50},
    ),
    "kitti": Source(
        KITTIObjects,
        "kitti_objects4.npz",
        {"val_set_points": CLOUDS, "val_set_label": [0, 3]},
        {"split": "val"},
    ),
    "meshes": Source(MeshNormals, "square.npz", {"v": SQUARE, "f": TRIANGLES}),
}
CACHED = [source for source in SOURCES.values() if source.cls is not MeshNormals]


@pytest.mark.usefixtures("double_default")
@pytest.mark.parametrize("source", CACHED, ids=lambda source: source.cls.__name__)
def test_the_cache_lies_outside_the_root_and_follows_settings(
    source: Source, tmp_path: Path
) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    root.mkdir()
    source.write(root)
    first = source.open(root, processed_root=cache)
    before = sorted(root.iterdir())
    (root / source.file).write_text("damaged")
    again = source.open(root, processed_root=cache)
    assert all(torch.equal(a.y, b.y) for a, b in zip(first, again, strict=True))
    assert sorted(root.iterdir()) == before
    floats = [
        value for _, value in again[0] if torch.is_tensor(value) and value.is_floating_point()
    ]
    assert {value.dtype for value in floats} == {torch.float32}
    assert next(iter(DataLoader(again, batch_size=2))).num_graphs == min(2, len(again))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\3\4 nothing"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.cls.__name__)
def test_a_file_of_something_else_is_named(source: Source, content: bytes, tmp_path: Path) -> None:
    (tmp_path / source.file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{source.file} is damaged \(.*: restore the file"):
        source.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "value", "problem"),
    [
        ("mnist", "train_y", None, "train_y"),
        ("mnist", "train_x", IMAGES[:, :27], "expected uint8 images"),
        ("mnist", "train_x", IMAGES.astype(np.float32), "expected uint8 images"),
        ("mnist", "train_y", np.array([0, 10]), "expected labels 0 to 9, got 0 to 10"),
        ("heterophilous", "edges", None, "edges"),
        ("heterophilous", "edges", [[0, 2]], "between nodes 0 to 1, got 0 to 2"),
        ("heterophilous", "edges", [[-1, 0]], "between nodes 0 to 1, got -1 to 0"),
        ("heterophilous", "edges", [[0, 1, 1]], "expected features"),
        ("heterophilous", "node_labels", np.arange(3), "expected features"),
        ("heterophilous", "val_masks", np.ones((9, 2), bool), "expected masks of shape"),
        ("heterophilous", "val_masks", np.ones((10, 2), np.int64), "expected masks of shape"),
        ("modelnet", "X_train_bits", None, "X_train_bits"),
        ("modelnet", "X_train_bits", BITS[:, :9], "expected uint8 bits of shape"),
        ("modelnet", "y_train", [0, 10], "expected labels 0 to 9, got 0 to 10"),
        ("kitti", "val_set_label", None, "val_set_label is not a file"),
        ("kitti", "val_set_label", [0], "labels of shape"),
        ("kitti", "val_set_label", [0, 4], "labels 0 to 4, expected 0 to 3"),
        ("kitti", "val_set_points", CLOUDS * np.nan, "NaN"),
        ("kitti", "val_set_points", CLOUDS[:, :, :2], "points of shape"),
        ("meshes", "f", None, "no face"),
        ("meshes", "f", TRIANGLES + 1, "faces name vertices 1 to 4 of 4"),
        ("meshes", "f", TRIANGLES[:, :2], "faces of shape"),
        ("meshes", "f", TRIANGLES.astype(float), "faces of dtype float64"),
        ("meshes", "v", SQUARE * np.nan, "NaN"),
        ("meshes", "v", SQUARE[:, :2], "points of shape"),
    ],
)
def test_damaged_arrays_are_named(
    name: str, key: str, value: object, problem: str, tmp_path: Path
) -> None:
    source = SOURCES[name]
    source.write(tmp_path, **{key: value})
    message = rf"{source.file} is damaged \(.*{problem}.*: restore the file"
    with pytest.raises(ValueError, match=message):
        source.open(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": np.ones((2, 2)), "b": np.ones((2, 2))},
        {"a1": np.ones((2, 2)), "a2": np.ones((2, 3))},
        {"a": np.array([[[1.0, np.nan]], [[1.0, 1.0]]])},
        {"a": np.array([["x", "y"]])},
        {"a": np.ones(3)},
    ],
)
def test_a_damaged_field(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=r"bad\.npz is damaged \(expected"):
        GridField(tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_an_archive_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "git_web_ml.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"git_web_ml\.zip is damaged"):
        GitHub(tmp_path)
    (tmp_path / "field.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"field\.npy is damaged"):
        GridField(tmp_path / "field.npy")


ERRORS = [
    (ElasticBody, {"layers": 0}, "`layers` must be"),
    (ElasticBody, {"rows": 2}, "`rows` must be"),
    (ElasticBody, {"columns": 2}, "`columns` must be"),
    (ElasticBody, {"num_sequences": 0}, "`num_sequences` must be"),
    (ElasticBody, {"frames": 0}, "`frames` must be"),
    (ElasticBody, {"steps": 0}, "`steps` must be"),
    (ElasticBody, {"strength": -0.1}, "`strength` must be"),
    (ElasticBody, {"strength": 0.5}, "`strength` must be"),
    (ElasticBody, {"seed": -1}, "`seed` must be"),
    (GitHub, {"components": 4005}, "`components` must be less than 4005, or None, got 4005"),
    (GitHub, {"components": 0}, "`components` must be at least 1, got 0"),
    (Heterophilous, {"name": "cora"}, "`name` must be one of actor, amazon_ratings, .*, got cora"),
    (Heterophilous, {"name": "actor", "split": 10}, "`split` must be at most 9, or None, got 10"),
    (ISPRSFilterTest, {"test_scan": "samp10"}, "`test_scan` must be one or several, not all, of"),
    (ISPRSFilterTest, {"test_scan": ()}, "`test_scan` must be one or several, not all, of samp11"),
    (ISPRSFilterTest, {"test_scan": ("samp11", "samp11")}, "`test_scan` must be one or several"),
    (ISPRSFilterTest, {"test_scan": ISPRSFilterTest.scans}, "`test_scan` must be one or several"),
    (ISPRSFilterTest, {"test_scan": ("samp11", "else")}, "`test_scan` must be one or several, not"),
    (KITTIObjects, {"split": "valid"}, '`split` must be one of "train", "val", "test", got valid'),
    (MeshNormals, {"hidden": 1.0}, "`hidden` must be in"),
    (MeshNormals, {"seed": -1}, "`seed` must be at least 0"),
    (Minesweeper, {"size": 1}, "`size` must be at least 2, got 1"),
    (Minesweeper, {"mines": 1.0}, "`mines` must be in"),
    (MNIST, {"patch": 3}, "`patch` must be a divisor of 28, got 3"),
    (MNIST, {"neighbours": 6}, "`neighbours` must be 4 or 8, got 6"),
    (ModelNet, {"name": "20"}, '`name` must be one of "10", "40", got 20'),
    (ModelNet, {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    (ModelNet, {"seed": -1}, "`seed` must be at least 0, got -1"),
    (MoleculeNet, {"name": "zinc"}, "one of esol, lipo, qm7, bace, bbbp, tox21, got zinc"),
    (MotifDetection, {"motif": "house"}, "`motif` must be one of caveman, cycle, .*, got house"),
    (MotifDetection, {"num_nodes": 9}, "`num_nodes` must be at least 10, got 9"),
    (PrimitiveShapes, {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    (PrimitiveShapes, {"num_per_class": 0}, "`num_per_class` must be at least 1, got 0"),
    (PrimitiveShapes, {"noise": -0.1}, r"`noise` must be in \[0, 1\)"),
    (PrimitiveShapes, {"noise": 1.0}, r"`noise` must be in \[0, 1\)"),
    (PrimitiveShapes, {"noise": float("nan")}, r"`noise` must be in \[0, 1\)"),
    (PrimitiveShapes, {"seed": -1}, "`seed` must be at least 0, got -1"),
    (ScanObjectNN, {"variant": "PB_T75"}, "`variant` must be one of None, 'PB_T25'"),
    (SemanticKITTI, {"split": "all"}, "`split` must be one of train, val, test, got all"),
    (ShapeFolder, {"test_share": 1}, r"`test_share` must be in \[0, 1\), got 1"),
    (ShapeFolder, {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    (ShapeFolder, {"attributes": ["colour"]}, "`attributes` must be some of normal, color, x"),
    (TerrainScenes, {"num_points": 0}, "`num_points` must be"),
    (TerrainScenes, {"num_scenes": 0}, "`num_scenes` must be"),
    (TerrainScenes, {"noise": -1.0}, "`noise` must be"),
    (TerrainScenes, {"seed": -1}, "`seed` must be"),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "options", "message"), ERRORS)
def test_bad_values(cls: type, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        cls(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (GitHub, {"seed": 0.5}, "`seed` must be an integer"),
        (Heterophilous, {"name": 3}, "`name` must be a string, got int"),
        (Heterophilous, {"name": "actor", "split": 1.0}, "`split` must be an integer, got float"),
        (KITTIObjects, {"unit_size": 1}, "`unit_size` must be a bool"),
        (Minesweeper, {"hidden": "all"}, "`hidden` must be a number"),
        (MotifDetection, {"train": "test"}, "`train` must be a bool"),
        (PrimitiveShapes, {"num_points": 8.0}, "`num_points` must be an integer, got float"),
        (ScanObjectNN, {"background": "no"}, "`background` must be a bool"),
        (SDFMolecules, {"targets": "energy"}, "`targets` must be a list of names"),
        (SHREC16, {"train": "test"}, "`train` must be a bool"),
    ],
)
def test_bad_types(cls: type, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        cls(tmp_path, **options)


@pytest.mark.parametrize(
    ("cls", "options"),
    [(ISPRSFilterTest, {}), (SemanticKITTI, {}), (ShapeFolder, {}), (SHREC16, {}),
     (KITTIObjects, {}), (ScanObjectNN, {}), (MeshNormals, {}), (TUText, {"name": "TINY"})],
)  # fmt: skip
def test_a_missing_root_is_named_and_not_made(cls: type, options: dict, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cls(tmp_path / "nowhere", **options)
    assert not (tmp_path / "nowhere").exists()
