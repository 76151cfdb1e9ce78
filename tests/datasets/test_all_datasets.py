"""Generated datasets, and caches, damaged files and arguments of all datasets, a row for each."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_files import EXTRAS, H5, SOURCES, SQUARE, TETRAHEDRON, TRIANGLES, write
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from graphmask import datasets

SMALL = {
    "DigitsPointCloud": {},
    "ElasticBody": {"layers": 2, "rows": 4, "columns": 4, "num_sequences": 2, "frames": 2},
    "Minesweeper": {"size": 9},
    "MotifDetection": {"num_pairs": 2},
    "PrimitiveShapes": {"num_points": 32, "num_per_class": 1},
    "TangledCables": {"num_scenes": 2, "points_per_cable": 8},
    "TerrainScenes": {"num_points": 500, "num_scenes": 2},
}
# Arguments that lengthen a dataset.
LONGER = {
    "ElasticBody": {"num_sequences": 3},
    "MotifDetection": {"num_pairs": 3},
    "PrimitiveShapes": {"num_per_class": 2},
    "TangledCables": {"num_scenes": 3},
    "TerrainScenes": {"num_scenes": 3},
}


@pytest.fixture(params=SMALL)
def generated(request: pytest.FixtureRequest) -> str:
    return request.param


def generate(name: str, root: Path | None = None, **options: Any) -> InMemoryDataset:
    return getattr(datasets, name)(root, **{**SMALL[name], **options})


def same(first: InMemoryDataset, second: InMemoryDataset) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(value, b[key]) for a, b in pairs for key, value in a)


@pytest.mark.usefixtures("double_default")
def test_generated_data_depend_on_seed_and_split_alone(generated: str) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    dataset = generate(generated)
    assert same(dataset, generate(generated))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    floats = [value for data in dataset for _, value in data if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}
    assert generated == "DigitsPointCloud" or not same(dataset, generate(generated, seed=1))
    if generated != "Minesweeper":
        key = "x" if "pos" not in dataset[0] else "pos"
        assert not torch.equal(dataset[0][key], generate(generated, train=False)[0][key])


@pytest.mark.parametrize("name", LONGER)
def test_more_examples_extend_fewer(name: str) -> None:
    few, many = generate(name), generate(name, **LONGER[name])
    assert len(many) > len(few)
    assert same(few, many[: len(few)])


def test_generated_data_are_cached_and_batched(generated: str, tmp_path: Path) -> None:
    first = generate(generated, tmp_path)
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    second = generate(generated, tmp_path)
    assert Path(second.processed_paths[0]).stat().st_mtime_ns == stamp
    assert same(second, generate(generated))
    batch = next(iter(DataLoader(second, batch_size=3)))
    assert batch.num_graphs == min(3, len(second))
    assert batch.num_nodes == sum(data.num_nodes for data in second[:3])


def marked(name: str, *values: Any) -> Any:
    """A row of parameters that is skipped without the extra of its source."""
    extra = EXTRAS.get(name)
    missing = extra is not None and find_spec(extra) is None
    return pytest.param(name, *values, marks=[pytest.mark.skipif(missing, reason=f"no {extra}")])


@pytest.mark.usefixtures("double_default")
@pytest.mark.parametrize("name", ["mnist", "heterophilous", "voxels", "kitti-objects"])
def test_the_cache_lies_outside_the_root(name: str, tmp_path: Path) -> None:
    source, root, cache = SOURCES[name], tmp_path / "root", tmp_path / "cache"
    source.write(root)
    first = source.open(root, processed_root=cache)
    before = sorted(root.iterdir())
    again = source.open(root, processed_root=cache)
    assert all(torch.equal(a.y, b.y) for a, b in zip(first, again, strict=True))
    assert sorted(root.iterdir()) == before
    tensors = [value for _, value in again[0] if torch.is_tensor(value)]
    assert {value.dtype for value in tensors if value.is_floating_point()} == {torch.float32}
    assert next(iter(DataLoader(again, batch_size=2))).num_graphs == min(2, len(again))


# The other sources are not cached, or in a folder named by their content.
FILED = [
    name for name in SOURCES if name not in ("tu", "molecules", "esol", "mesh-normals", "field")
]


@pytest.mark.parametrize("name", [marked(name) for name in FILED])
def test_the_cache_sees_that_a_source_has_changed(name: str, tmp_path: Path) -> None:
    source, root, cache = SOURCES[name], tmp_path / "root", tmp_path / "cache"
    source.write(root)
    options = {"pre_transform": identity} if name == "semantic-kitti" else {}

    def built() -> int:
        dataset = source.open(root, processed_root=cache, **options)
        return Path(dataset.processed_paths[0]).stat().st_mtime_ns

    first = built()
    assert built() == first
    for path in root.rglob("*.*"):
        os.utime(path, ns=(0, 0))
    assert built() != first


def identity(data: Data) -> Data:
    return data


# Files of a user that are whole, but hold something else, are not called damaged.
UNREADABLE = "(is damaged|cannot be read)"
ONE_FILE = ("mnist", "heterophilous", "github", "kitti-objects", "mesh-normals", "voxels", "field")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\3\4 nothing"])
@pytest.mark.parametrize("name", ONE_FILE)
def test_a_file_of_another_format_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (file,) = SOURCES[name].files
    write(tmp_path / file, content)
    with pytest.raises(ValueError, match=rf"{file} {UNREADABLE} \(.*\)"):
        SOURCES[name].open(tmp_path)


# A source, an array of its only file, its damaged value (None if it is missing), and the problem.
IMAGES = SOURCES["mnist"].files["mnist.npz"]["train_x"]
CLOUDS = SOURCES["kitti-objects"].files["kitti_objects4.npz"]["val_set_points"]
ARRAYS = [
    ("mnist", "train_y", None, "train_y"),
    ("mnist", "train_x", IMAGES[:, :27], "expected uint8 images"),
    ("mnist", "train_x", IMAGES.astype(np.float32), "expected uint8 images"),
    ("mnist", "train_y", np.array([0, 1, 2, 3, 10]), "labels 0 to 10, expected 0 to 9"),
    ("heterophilous", "edges", None, "edges"),
    ("heterophilous", "edges", [[0, 4]], "between nodes 0 to 3, got 0 to 4"),
    ("heterophilous", "edges", [[-1, 0]], "between nodes 0 to 3, got -1 to 0"),
    ("heterophilous", "edges", [[0, 1, 1]], "expected features"),
    ("heterophilous", "node_labels", np.arange(3), "expected features"),
    ("heterophilous", "node_labels", np.full(4, 0.5), "`node_labels` must be integers"),
    ("heterophilous", "node_features", np.full((4, 3), 1e39), "finite in float32"),
    ("heterophilous", "val_masks", np.ones((9, 4), bool), "expected masks of shape"),
    ("heterophilous", "val_masks", np.ones((10, 4), np.int64), "expected masks of shape"),
    ("voxels", "X_train_bits", None, "X_train_bits"),
    ("voxels", "X_train_bits", np.ones((2, 9), np.uint8), "expected uint8 bits of shape"),
    ("voxels", "y_train", [0, np.nan], "`labels` must be integers"),
    ("voxels", "y_train", [[0], [1]], r"labels of shape \[2, 1\]"),
    ("mnist", "train_y", np.array([0, 1, 2, 3, 0.5]), "`labels` must be integers"),
    ("kitti-objects", "train_set_1_label", [0.5], "`labels` must be integers"),
    ("voxels", "y_train", [0, 10], "labels 0 to 10, expected 0 to 9"),
    ("kitti-objects", "train_set_1_label", None, "train_set_1_label is not a file"),
    ("kitti-objects", "train_set_1_label", [0, 1], "labels of shape"),
    ("kitti-objects", "train_set_1_label", [4], "labels 4 to 4, expected 0 to 3"),
    ("kitti-objects", "train_set_2_points", CLOUDS[:2] * np.nan, "NaN"),
    ("kitti-objects", "train_set_1_points", CLOUDS[:0], "labels of shape"),
    ("kitti-objects", "train_set_2_points", CLOUDS[:2, :, :2], "points of shape"),
    ("mesh-normals", "f", None, "no face"),
    ("mesh-normals", "f", TRIANGLES + 1, "faces name vertices 1 to 4 of 4"),
    ("mesh-normals", "f", TRIANGLES[:, :2], "faces of shape"),
    ("mesh-normals", "f", TRIANGLES.astype(float), "faces of dtype float64"),
    ("mesh-normals", "v", SQUARE * np.nan, "NaN"),
    ("mesh-normals", "v", SQUARE[:, :2], "points of shape"),
    ("field", "a2", np.ones((2, 3)), "expected"),
    ("field", "a2", np.array([[1.0, np.nan], [1.0, 1.0]]), "must be finite"),
    ("field", "a2", np.array([["x", "y"], ["x", "y"]]), "must be real numbers"),
    ("field", "b", np.ones((2, 2)), "expected"),
    ("isprs-arrays", "samp42_ground", np.ones(2, np.uint8), ""),
    ("isprs-arrays", "samp42_xyz", np.zeros((3, 2)), ""),
    ("isprs-arrays", "samp42_ground", np.array([0, 1, 7]), ""),
    ("github", "git_web_ml/musae_git_features.json", "{", ""),
    ("github", "git_web_ml/musae_git_features.json", '{"0": [4005]}', ""),
    ("github", "git_web_ml/musae_git_target.csv", "id,name,ml_target\n1,a,0", ""),
    ("github", "git_web_ml/musae_git_target.csv", "id,name\n0,a", ""),
    ("github", "git_web_ml/musae_git_edges.csv", "id_1,id_2\n0,2", ""),
    ("github", "git_web_ml/musae_git_edges.csv", "id_1,id_2", ""),
    ("github", "git_web_ml/musae_git_edges.csv", "id_1,id_2\n0,x", ""),
]


@pytest.mark.parametrize(("name", "key", "value", "problem"), ARRAYS)
def test_a_damaged_part_of_an_archive_is_named(
    name: str, key: str, value: object, problem: str, tmp_path: Path
) -> None:
    ((file, content),) = SOURCES[name].files.items()
    write(tmp_path / file, {**content, key: value})
    with pytest.raises(ValueError, match=rf"{file} {UNREADABLE} \(.*{problem}.*\)"):
        SOURCES[name].open(tmp_path)


OFF = "chair/train/chair_0010.off"
OBJ = "dog1/train/T9.obj"
TINY = "TINY.txt"
HEADER = "# Vertices: 3\n# Faces: 2\n"
SCANS = ("", "1 2 3\n", "1 2 3 2\n", "1 2 nan 0\n", "1 2 3 0\n1 2 3\n", "x y z 0\n", "1 2 3 .5\n")
DAMAGED = [
    marked("modelnet", OFF, "", "no OFF header"),
    marked("modelnet", OFF, "OFF", "no line after the header"),
    marked("modelnet", OFF, "OFF\n0 0 0\n", "no face"),
    marked("modelnet", OFF, "OFF\nfour 4 6\n", "line 2: 'four 4'"),
    marked("modelnet", OFF, TETRAHEDRON[:-16], "4 vertices and 4 faces announced, 6 lines found"),
    marked("modelnet", OFF, TETRAHEDRON[:-2], "line 10: a face announces 3 corners, got '3 1 2'"),
    marked(
        "modelnet", OFF, TETRAHEDRON[:-2] + "4\n", r"line 10: a face of the vertices \[1, 2, 4\]"
    ),
    marked(
        "modelnet",
        OFF,
        TETRAHEDRON.replace("1 0 0", "nan 0 0"),
        "a point is NaN or infinite.*in row 1",
    ),
    marked("modelnet", OFF, TETRAHEDRON.replace("1 0 0", "1 0"), "line 4: '1 0', expected 3"),
    marked("modelnet", OFF, TETRAHEDRON.replace("1", "0"), "its surface has no area"),
    marked("shrec16", OBJ, "v 0 0 0\nv 1 0 0\n", ""),
    marked("shrec16", OBJ, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n", ""),
    marked("shrec16", OBJ, HEADER + "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", ""),
    marked("shrec16", OBJ, "\0\1\2", ""),
    marked("tu", TINY, "", "list index out of range"),
    marked("tu", TINY, "1\n2 0\n0 1 1\n", "it ends early"),
    marked("tu", TINY, "1\n2 0\n0 2 1\n0 1 0\n", "degree is not the number of its neighbours"),
    marked("tu", TINY, "1\n2 0\n0 1 2\n0 1 0\n", "an edge to node 2, expected 0 to 1"),
    marked("tu", TINY, "1\n2 0\n0 1 1\n0 0\n", "one direction only"),
    marked("tu", TINY, "1\n1 0\nx 0\n", "invalid literal"),
    marked("tu", TINY, "1\n1 0\n0\n", "not enough values"),
    marked("tu", TINY, "1\n2 0\n0 1 1 .5\n0 1 0\n", "different numbers of features"),
    marked("tu", TINY, "1\n1 0\n0 0 1e39\n", "1e39 is not finite"),
    marked("tu", TINY, "1\n1 0\n0 0\n1 1\n", "1 graphs announced"),
    marked("tu", "10fold_idx/test_idx-4.txt", "one\n", ""),
    *(marked("isprs", "samp42.txt", text, "") for text in SCANS),
    marked("semantic-kitti", "a.bin", b"123", ""),
    marked("semantic-kitti", "a.bin", np.full(12, np.nan, "<f4").tobytes(), ""),
    marked("semantic-kitti", "a.label", b"12345", ""),
    marked("semantic-kitti", "a.label", np.zeros(2, "<u4").tobytes(), ""),
    *(
        marked("scan-object-nn", "main_split/training_objectdataset.h5", {**H5, **change}, problem)
        for change, problem in (
            ({"label": None}, "label"),
            ({"mask": None}, "mask"),
            ({"label": H5["label"] + 1}, "labels 1 to 15, expected 0 to 14"),
            ({"mask": H5["mask"][:, :9]}, r"a mask of shape \[3, 9\]"),
            ({"data": H5["data"][:, :, :2]}, "points of shape"),
            ({"data": H5["data"] * np.nan}, "NaN"),
        )
    ),
    marked("shapes", "pear/0.xyz", "1 2\n", "a table of shape"),
]


@pytest.mark.parametrize(("name", "file", "content", "problem"), DAMAGED)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_damaged_file_is_named(
    name: str, file: str, content: Any, problem: str, tmp_path: Path
) -> None:
    source = SOURCES[name]
    (path,) = (path for path in source.files if path.endswith(file))
    source.write(tmp_path)
    write(tmp_path / path, content)
    options = {"test_share": 0} if name == "shapes" else {}
    with pytest.raises(ValueError, match=rf"{file} {UNREADABLE} \(.*{problem}.*\)"):
        list(source.open(tmp_path, **options))


ERRORS = [
    ("ElasticBody", {"layers": 0}, "`layers` must be"),
    ("ElasticBody", {"rows": 2}, "`rows` must be"),
    ("ElasticBody", {"columns": 2}, "`columns` must be"),
    ("ElasticBody", {"num_sequences": 0}, "`num_sequences` must be"),
    ("ElasticBody", {"frames": 0}, "`frames` must be"),
    ("ElasticBody", {"steps": 0}, "`steps` must be"),
    ("ElasticBody", {"strength": 0.5}, "`strength` must be"),
    ("ElasticBody", {"seed": -1}, "`seed` must be"),
    ("GitHub", {"components": 4005}, "`components` must be less than 4005, or None, got 4005"),
    ("Heterophilous", {"name": "cora"}, "`name` must be one of actor, amazon_ratings, .*cora"),
    ("Heterophilous", {"name": "actor", "split": 10}, "`split` must be at most 9, or None, got 10"),
    ("ISPRSFilterTest", {"test_scan": "samp10"}, "`test_scan` must be one or several, not all, of"),
    ("ISPRSFilterTest", {"test_scan": ("samp11", "samp11")}, "`test_scan` must be one or several"),
    ("ISPRSFilterTest", {"test_scan": datasets.ISPRSFilterTest.scans}, "`test_scan` must be"),
    ("ISPRSFilterTest", {"test_scan": ("samp11", "else")}, "`test_scan` must be one or several"),
    ("KITTIObjects", {"split": "valid"}, '`split` must be one of "train", "val", "test", got'),
    ("MeshNormals", {"hidden": 1.0}, "`hidden` must be in"),
    ("MeshNormals", {"seed": -1}, "`seed` must be at least 0"),
    ("Minesweeper", {"size": 1}, "`size` must be at least 2, got 1"),
    ("Minesweeper", {"mines": 1.0}, "`mines` must be in"),
    ("MNIST", {"patch": 3}, "`patch` must be a divisor of 28, got 3"),
    ("MNIST", {"neighbours": 6}, "`neighbours` must be 4 or 8, got 6"),
    ("ModelNet", {"name": "20"}, '`name` must be one of "10", "40", got 20'),
    ("ModelNet", {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    ("ModelNet", {"seed": -1}, "`seed` must be at least 0, got -1"),
    ("MoleculeNet", {"name": "zinc"}, "one of esol, lipo, qm7, bace, bbbp, tox21, got zinc"),
    ("MotifDetection", {"motif": "house"}, "`motif` must be one of caveman, cycle, .*, got house"),
    ("MotifDetection", {"num_nodes": 9}, "`num_nodes` must be at least 10, got 9"),
    ("PrimitiveShapes", {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    ("PrimitiveShapes", {"num_per_class": 0}, "`num_per_class` must be at least 1, got 0"),
    ("PrimitiveShapes", {"noise": 1.0}, r"`noise` must be in \[0, 1\)"),
    ("PrimitiveShapes", {"noise": float("nan")}, r"`noise` must be in \[0, 1\)"),
    ("PrimitiveShapes", {"seed": -1}, "`seed` must be at least 0, got -1"),
    ("ScanObjectNN", {"variant": "PB_T75"}, "`variant` must be one of None, 'PB_T25'"),
    ("SemanticKITTI", {"split": "all"}, "`split` must be one of train, val, test, got all"),
    ("ShapeFolder", {"test_share": 1}, r"`test_share` must be in \[0, 1\), got 1"),
    ("ShapeFolder", {"num_points": 0}, "`num_points` must be at least 1, got 0"),
    ("ShapeFolder", {"attributes": ["colour"]}, "`attributes` must be some of normal, color, x"),
    ("TangledCables", {"num_cables": 0}, "`num_cables` must be at least 1, got 0"),
    ("TangledCables", {"points_per_cable": 0}, "`points_per_cable` must be at least 1, got 0"),
    ("TangledCables", {"noise": 1.0}, r"`noise` must be in \[0, 1\)"),
    ("TerrainScenes", {"num_points": 0}, "`num_points` must be"),
    ("TerrainScenes", {"num_scenes": 0}, "`num_scenes` must be"),
    ("TerrainScenes", {"noise": -1.0}, "`noise` must be"),
    ("TerrainScenes", {"seed": -1}, "`seed` must be"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), ERRORS)
def test_bad_values_are_errors_and_nothing_is_written(
    name: str, options: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(datasets, name)(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("GitHub", {"seed": 0.5}, "`seed` must be an integer"),
        ("Heterophilous", {"name": 3}, "`name` must be a string, got int"),
        ("Heterophilous", {"name": "actor", "split": 1.0}, "`split` must be an integer, got float"),
        ("Minesweeper", {"hidden": "all"}, "`hidden` must be a number"),
        ("MotifDetection", {"train": "test"}, "`train` must be a bool"),
        ("PrimitiveShapes", {"num_points": 8.0}, "`num_points` must be an integer, got float"),
        ("ScanObjectNN", {"background": "no"}, "`background` must be a bool"),
        ("SDFMolecules", {"targets": "energy"}, "`targets` must be a list of names"),
        ("SHREC16", {"train": "test"}, "`train` must be a bool, got str"),
        ("GitHub", {"download": "yes"}, "`download` must be a bool"),
    ],
)
def test_bad_types_are_errors(name: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        getattr(datasets, name)(tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [("ISPRSFilterTest", {}), ("SemanticKITTI", {}), ("ShapeFolder", {}), ("SHREC16", {}),
     ("KITTIObjects", {}), ("ScanObjectNN", {}), ("MeshNormals", {}), ("TUText", {"name": "TINY"})],
)  # fmt: skip
def test_a_missing_root_is_named_and_not_made(name: str, options: dict, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        getattr(datasets, name)(tmp_path / "nowhere", **options)
    assert not (tmp_path / "nowhere").exists()
