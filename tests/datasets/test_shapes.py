"""Datasets of meshes and clouds in files: ModelNet, SHREC16, MeshNormals and ShapeFolder."""

from __future__ import annotations

import os
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import SOURCES, TETRAHEDRON, write
from torch_geometric.loader import DataLoader

from graphmask.datasets import SHREC16, MeshNormals, ModelNet, ShapeFolder, modelnet
from graphmask.datasets.mesh_normals import vertex_normals
from graphmask.io import read_graph


@pytest.fixture
def voxels(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Five test grids with 40, 80, ..., 200 cells, and an empty one."""
    rng, grids = np.random.default_rng(0), np.zeros((6, 32**3), dtype=np.uint8)
    for index in range(5):
        grids[index, rng.choice(32**3, 40 * (index + 1), replace=False)] = 1
    bits, labels = np.packbits(grids, axis=1), np.arange(6, dtype=np.uint8)
    arrays = {"X_train_bits": bits, "y_train": labels, "X_test_bits": bits, "y_test": labels}
    write(tmp_path / "modelnet10_vox32_bits.npz", arrays)
    return tmp_path, grids.reshape(-1, 32, 32, 32)


def test_voxels_are_the_occupied_cells_or_some_of_them(voxels: tuple[Path, np.ndarray]) -> None:
    root, grids = voxels
    dataset = ModelNet(root, train=False, num_points=None)
    assert [data.num_nodes for data in dataset] == [40, 80, 120, 160, 200]
    assert [int(data.y) for data in dataset] == [0, 1, 2, 3, 4]
    assert dataset[0].pos.dtype == torch.float32
    drawn = ModelNet(root, train=False, num_points=100)
    assert [data.num_nodes for data in drawn] == [40, 80, 100, 100, 100]
    for data, sample, grid in zip(dataset, drawn, grids, strict=False):
        cells = np.argwhere(grid).tolist()
        assert sorted(data.pos.tolist()) == cells
        assert len(torch.unique(sample.pos, dim=0)) == sample.num_nodes
        assert all(cell in cells for cell in sample.pos.tolist())


def test_classes_of_modelnet_are_sorted_and_nested(voxels: tuple[Path, np.ndarray]) -> None:
    dataset = ModelNet(voxels[0])
    assert repr(dataset) == "ModelNet10(5)"
    assert dataset.num_classes == len(dataset.class_names) == 10
    assert len(modelnet.CLASSES["40"]) == len(set(modelnet.CLASSES["40"])) == 40
    assert set(modelnet.CLASSES["10"]) < set(modelnet.CLASSES["40"])
    assert all(list(names) == sorted(names) for names in modelnet.CLASSES.values())


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    return SOURCES["modelnet"].write(tmp_path)


@pytest.mark.usefixtures("double_default")
def test_points_are_drawn_on_the_surface_uniformly_by_area(meshes: Path) -> None:
    dataset = ModelNet(meshes, num_points=500)
    assert [int(data.y) for data in dataset] == [label for label in range(10) for _ in range(2)]
    pos = torch.stack([data.pos for data in dataset])
    assert pos.shape == (20, 500, 3)
    assert pos.dtype == torch.float32
    slanted = (pos.sum(-1) - 1).abs() < 1e-5
    assert ((pos.amin(-1).abs() < 1e-6) | slanted).all()
    assert pos.min() >= -1e-6
    # Sides of areas 1/2, 1/2, 1/2 and sqrt(3)/2; four standard errors of 10,000 draws.
    expected = 3**0.5 / (3 + 3**0.5)
    error = 4 * (expected * (1 - expected) / slanted.numel()) ** 0.5
    assert abs(slanted.double().mean() - expected) < error
    assert not torch.equal(pos[0], pos[1])
    again = ModelNet(meshes, num_points=500, force_reload=True)
    assert torch.equal(torch.stack([data.pos for data in again]), pos)
    assert len(ModelNet(meshes, train=False)) == 10


def test_meshes_are_read_without_num_points(meshes: Path) -> None:
    data = ModelNet(meshes)[0]
    assert data.pos.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert data.face.T.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    shutil.rmtree(meshes / "raw/desk/test")
    message = r"No \.off file in .*desk/test: remove it and download it again"
    with pytest.raises(FileNotFoundError, match=message):
        ModelNet(meshes, train=False)


@pytest.mark.usefixtures("double_default")
def test_meshes_of_shrec_are_read_vertex_by_vertex(tmp_path: Path) -> None:
    root = SOURCES["shrec16"].write(tmp_path)
    train, test = SHREC16(root), SHREC16(root, train=False)
    pos = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 207], [9, 9, 9]]
    assert test[2].pos.tolist() == pos
    assert test[2].face.T.tolist() == [[0, 1, 2], [3, 1, 4]]
    assert test[2].y.tolist() == [2]
    assert (len(train), len(test), train.num_classes) == (60, 30, 30)
    assert [int(data.y) for data in train] == [label for label in range(30) for _ in range(2)]
    assert [data.pos[4, 2].item() for data in train[:4]] == [10, 9, 110, 109]
    assert (train[0].pos.dtype, train[0].face.dtype) == (torch.float32, torch.long)
    (root / "cat").rename(root / "kitten")
    message = r"No \.obj file in .*cat/train: `root` must hold <class>"
    with pytest.raises(FileNotFoundError, match=message):
        SHREC16(root, force_reload=True)


CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float32)
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE_FACES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], dtype=np.int32)


def sphere(rings: int = 12, around: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere on a grid of angles, poles left open, faces turned outwards."""
    polar = np.repeat(np.pi * np.arange(1, rings + 1) / (rings + 1), around)
    turn = np.tile(2 * np.pi * np.arange(around) / around, rings)
    pos = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], 1)
    node = np.arange(rings * around).reshape(rings, around)
    a, b, c, d = node[:-1], node[1:], np.roll(node, -1, 1)[1:], np.roll(node, -1, 1)[:-1]
    return pos, np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    pos, face = sphere()
    write(tmp_path / "cube.npz", {"v": CUBE, "f": CUBE_FACES})
    write(tmp_path / "sphere.npz", {"v": 3 * pos + 5, "f": face})
    write(tmp_path / "tetrahedron.off", TETRAHEDRON)
    write(tmp_path / "SOURCE.md", "not a mesh")
    return tmp_path


def test_normals_are_weighted_by_area() -> None:
    pos = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]], dtype=float)
    normal = vertex_normals(pos, np.array([[0, 1, 2], [0, 2, 3]]))
    expected = np.array([[3, 0, 1], [0, 0, 1], [3, 0, 1], [1, 0, 0]])
    assert np.allclose(normal, expected / np.sqrt([[10], [1], [10], [1]]))
    # Of a sphere they are its points; at the open poles the triangles are all on one side.
    pos, face = sphere()
    assert ((vertex_normals(pos, face) * pos).sum(1)[20:-20] > 0.995).all()


def test_fields_of_normals_have_lengths_and_hidden_vertices(normals: Path) -> None:
    dataset = MeshNormals(normals)
    assert [data.name for data in dataset] == ["cube", "sphere", "tetrahedron"]
    cube, ball, _ = dataset
    assert torch.equal(cube.face.T, torch.from_numpy(CUBE_FACES).long())
    assert cube.edge_index.shape == (2, 2 * 18)
    length = (cube.pos[cube.edge_index[0]] - cube.pos[cube.edge_index[1]]).norm(dim=1)
    torch.testing.assert_close(cube.edge_weight, length)
    torch.testing.assert_close(cube.pos.norm(dim=1), torch.ones(8))
    assert ball.pos.norm(dim=1).max() <= 1 + 1e-6
    assert ball.hidden.sum() == 192
    assert torch.equal(ball.known, ~ball.hidden)
    for data in dataset:
        torch.testing.assert_close(data.normal.norm(dim=1), torch.ones(data.num_nodes))


def test_vertices_of_no_face_are_dropped(tmp_path: Path) -> None:
    pos = np.insert(CUBE, [0, 3], [9, 9, 9], axis=0)
    face = np.where(CUBE_FACES < 3, CUBE_FACES + 1, CUBE_FACES + 2)
    write(tmp_path / "a.npz", {"v": pos, "f": face})
    write(tmp_path / "b.npz", {"v": CUBE, "f": CUBE_FACES})
    holes, cube = MeshNormals(tmp_path)
    assert torch.equal(holes.pos, cube.pos)
    assert torch.equal(holes.face, cube.face)


def test_a_vertex_without_a_normal_is_in_no_score(tmp_path: Path) -> None:
    flat = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [5, 5, 5], [6, 6, 6], [7, 7, 7]]
    write(
        tmp_path / "a.npz", {"v": np.array(flat), "f": np.array([[0, 1, 2], [1, 3, 2], [4, 5, 6]])}
    )
    (data,) = MeshNormals(tmp_path, hidden=0.5)
    assert not (data.known | data.hidden)[4:].any()
    assert not data.normal[4:].any()
    assert data.hidden.sum() == data.known.sum() == 2


def test_hidden_vertices_depend_on_seed_and_name_alone(normals: Path) -> None:
    (one,) = MeshNormals(normals, names=["sphere"])
    assert torch.equal(MeshNormals(normals)[1].hidden, one.hidden)
    (other,) = MeshNormals(normals, names=["sphere"], seed=1)
    assert not torch.equal(one.hidden, other.hidden)
    assert MeshNormals(normals, hidden=0)[1].known.all()
    with pytest.raises(FileNotFoundError, match=r"No mesh named dragon in"):
        MeshNormals(normals, names=["cube", "dragon"])
    with pytest.raises(FileNotFoundError, match=r"No mesh in .*: `root` must hold files that end"):
        MeshNormals(normals / "nowhere")


FLAT = "OFF\n3 1 0\n0 0 {z}\n1 0 {z}\n0 1 {z}\n3 0 1 2\n"


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Ten clouds of each of two classes, and files that are none."""
    root = SOURCES["shapes"].write(tmp_path / "mine")
    write(root / "pear" / "README.txt", "not a shape")
    write(root / "pear" / ".hidden.xyz", "nothing")
    (root / ".git").mkdir()
    return root


def names(dataset: ShapeFolder) -> list[str]:
    return [data.name for data in dataset]


def test_a_folder_per_class_is_split_by_the_seed(shapes: Path) -> None:
    train, test = ShapeFolder(shapes), ShapeFolder(shapes, train=False)
    assert train.class_names == ("apple", "pear")
    assert torch.bincount(train.y).tolist() == [8, 8]
    assert torch.bincount(test.y).tolist() == [2, 2]
    assert sorted(names(train) + names(test)) == sorted(SOURCES["shapes"].files)
    assert all(data.name.startswith(test.class_names[int(data.y)]) for data in test)
    assert names(ShapeFolder(shapes, train=False, seed=1)) != names(test)
    torch.manual_seed(1)
    assert names(ShapeFolder(shapes, train=False, force_reload=True)) == names(test)
    for share, size in ((0.5, 10), (0.01, 2)):
        assert len(ShapeFolder(shapes, train=False, test_share=share)) == size
    assert len(ShapeFolder(shapes, test_share=0)) == 20
    with pytest.raises(FileNotFoundError, match=r"No class in .* has a file in test"):
        ShapeFolder(shapes, train=False, test_share=0)


@pytest.mark.parametrize("layout", ["{split}/{name}", "{name}/{split}"])
def test_folders_of_splits_are_kept(shapes: Path, tmp_path: Path, layout: str) -> None:
    root, files = tmp_path / "split", iter(shapes.rglob("[0-9]*.xyz"))
    for name in ("b", "a"):
        for split, size in (("train", 3), ("test", 1)):
            for index in range(size):
                path = root / layout.format(name=name, split=split) / f"{index}.xyz"
                write(path, next(files).read_text())
    train, test = ShapeFolder(root), ShapeFolder(root, train=False)
    assert [int(data.y) for data in train] == [0, 0, 0, 1, 1, 1]
    assert names(test) == [layout.format(name=name, split="test") + "/0.xyz" for name in ("a", "b")]
    expected = np.loadtxt(root / test[1].name, dtype=np.float32)
    assert np.array_equal(test[1].pos.numpy(), expected)


def test_meshes_are_batched_or_drawn_as_points(tmp_path: Path) -> None:
    for name, z in (("low", 0), ("high", 5)):
        for index in range(2):
            write(tmp_path / name / f"{index}.off", FLAT.format(z=z))
    dataset = ShapeFolder(tmp_path)
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert batch.face.T.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert batch.name == names(dataset)
    drawn = ShapeFolder(tmp_path, num_points=50)
    assert drawn.class_names == ("high", "low")
    for data, z in zip(drawn, (5, 0), strict=True):
        assert data.pos.shape == (50, 3)
        assert data.face is None
        assert (data.pos[:, 2] == z).all()
        assert (data.pos[:, :2].sum(1) <= 1 + 1e-6).all()
    assert not torch.equal(drawn[0].pos[:, :2], drawn[1].pos[:, :2])


def test_attributes_follow_the_points_that_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for index, size in enumerate((30, 5)):
            pos = rng.random((size, 3)).astype(np.float32)
            arrays = {"points": pos, "normals": -pos, "x": pos[:, :1]}
            write(tmp_path / name / f"{index}.npz", arrays)
    options = {"num_points": 10, "attributes": ("normal", "x"), "test_share": 0.5}
    graphs = [data for train in (True, False) for data in ShapeFolder(tmp_path, train, **options)]
    assert sorted(len(data.pos) for data in graphs) == [5, 5, 10, 10]
    for data in graphs:
        assert set(data.keys()) == {"pos", "normal", "x", "y", "name"}
        assert torch.equal(data.normal, -data.pos)
        assert torch.equal(data.x, data.pos[:, :1])
        assert len(torch.unique(data.pos, dim=0)) == len(data.pos)
    assert set(ShapeFolder(tmp_path)[0].keys()) == {"pos", "y", "name"}
    message = r"`attributes` must be some that the file .*\.npz has, got \['color'\]"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(tmp_path, attributes="color")


def test_attributes_that_nobody_asks_for_are_not_checked(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [9, 0, 0], [0, 0, 90]])
    for name in ("a", "b"):
        write(tmp_path / name / "0.npz", {"points": CUBE[:3], "x": [[np.nan]] * 3, "rgb": colours})
    (data, _) = ShapeFolder(tmp_path, test_share=0)
    assert set(data.keys()) == {"pos", "y", "name"}
    for name in ("x", "color"):
        with pytest.raises(ValueError, match=rf"`{name}` is NaN|colours up to 90 of unknown range"):
            ShapeFolder(tmp_path, attributes=name, test_share=0)
    options = {"attributes": "color", "test_share": 0, "color_range": 90}
    (data, _) = ShapeFolder(tmp_path, **options)
    torch.testing.assert_close(data.color, torch.from_numpy(colours / 90).float())
    path = tmp_path / "a" / "0.npz"
    with pytest.raises(ValueError, match="colours up to 90 of unknown range: pass `color_range`"):
        read_graph(path)
    assert "x" not in read_graph(path, attributes=())
    torch.testing.assert_close(
        read_graph(path, attributes="color", color_range=90).color, data.color
    )


def test_points_of_a_mesh_have_the_means_of_its_vertices(tmp_path: Path) -> None:
    for index, name in product(range(2), ("a", "b")):
        arrays = {"pos": CUBE, "face": CUBE_FACES, "color": CUBE.astype(np.uint8) * 255}
        arrays |= {"normal": np.tile([[0.0, 0, 2]], (8, 1)), "x": 2 * CUBE}
        write(tmp_path / name / f"{index}.npz", arrays)
    for data in ShapeFolder(tmp_path, num_points=30, attributes=("normal", "color", "x")):
        torch.testing.assert_close(data.color, data.pos)
        torch.testing.assert_close(data.x, 2 * data.pos)
        torch.testing.assert_close(data.normal, torch.tensor([[0.0, 0.0, 1.0]]).expand(30, 3))


def test_features_of_other_widths_are_an_error(shapes: Path) -> None:
    for index, path in enumerate(sorted((shapes / "pear").glob("[0-9].xyz"))):
        path.write_text("0 0 0 1\n" if index else "0 0 0 1 2\n")
    for path in sorted((shapes / "apple").glob("[0-9].xyz")):
        path.write_text("0 0 0 1\n")
    with pytest.raises(ValueError, match="`attributes` must be `x` of as many columns in every"):
        ShapeFolder(shapes, attributes="x", test_share=0)


def test_all_shapes_have_an_origin_if_one_has(shapes: Path) -> None:
    assert "origin" not in ShapeFolder(shapes)[0]
    write(shapes / "pear" / "0.xyz", "500000.123 4649776.123 1\n500001.123 4649777.123 1\n")
    dataset = ShapeFolder(shapes, test_share=0, num_points=2)
    origins = {data.name: data.origin.tolist()[0] for data in dataset}
    assert origins.pop("pear/0.xyz") == [500000.623, 4649776.623, 1]
    assert set(map(tuple, origins.values())) == {(0, 0, 0)}
    assert next(iter(DataLoader(dataset, batch_size=20))).origin.shape == (20, 3)


@pytest.mark.parametrize("twin", ["0.off", "0.XYZ"])
def test_a_body_in_two_formats_is_an_error(shapes: Path, normals: Path, twin: str) -> None:
    write(shapes / "pear" / twin, FLAT.format(z=0))
    with pytest.raises(ValueError, match=r"0\.\w+ and 0\.\w+ are one body in two formats"):
        ShapeFolder(shapes)
    write(normals / "cube.off", TETRAHEDRON)
    with pytest.raises(ValueError, match=r"cube\.\w+ and cube\.\w+ are one body in two formats"):
        MeshNormals(normals)


def test_endings_in_capitals_count(shapes: Path, normals: Path) -> None:
    for path in sorted(shapes.rglob("[0-5].xyz")):
        path.rename(path.with_suffix(".XYZ"))
    assert len(ShapeFolder(shapes, test_share=0)) == 20
    (normals / "cube.npz").rename(normals / "cube.NPZ")
    (normals / "tetrahedron.off").rename(normals / "tetrahedron.Off")
    write(normals / "._sphere.npz", "of another system")
    assert [data.name for data in MeshNormals(normals)] == ["cube", "sphere", "tetrahedron"]


def test_a_class_without_a_test_file_is_an_error(shapes: Path, tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("test", "a")):
        write(tmp_path / "split" / split / name / "0.xyz", "0 0 0\n1 1 1\n")
    with pytest.raises(FileNotFoundError, match=r"The class 'b' in .* has no file to test with"):
        ShapeFolder(tmp_path / "split")


def test_what_macs_add_to_archives_is_no_class(shapes: Path) -> None:
    (shapes / "__MACOSX" / "._a").mkdir(parents=True)
    assert "__MACOSX" not in ShapeFolder(shapes).class_names


def test_the_cache_follows_the_files(shapes: Path) -> None:
    first = ShapeFolder(shapes)
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    assert Path(ShapeFolder(shapes).processed_paths[0]).stat().st_mtime_ns == stamp
    changed = shapes / first[0].name
    changed.write_text("0 0 0\n" + changed.read_text())
    os.utime(changed, ns=(1, 1))
    assert ShapeFolder(shapes)[0].num_nodes == 21
    write(shapes / "apple" / "new.xyz", "0 0 0\n1 1 1\n")
    assert len(ShapeFolder(shapes)) + len(ShapeFolder(shapes, train=False)) == 21


def test_meshes_beside_clouds_are_drawn_as_points(shapes: Path) -> None:
    for path in (shapes / "pear").glob("[0-9].xyz"):
        path.unlink()
        write(path.with_suffix(".off"), FLAT.format(z=0))
    message = r"`num_points` must be given, since .*pear/\d\.off is a mesh .*apple/\d\.xyz a cloud"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(shapes)
    assert {data.num_nodes for data in ShapeFolder(shapes, num_points=20)} == {20}


def test_folders_without_shapes_or_classes_are_named(shapes: Path, tmp_path: Path) -> None:
    message = r"nowhere is missing: `root` must hold shapes: expected <class>"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(tmp_path / "nowhere")
    (tmp_path / "empty" / "chairs").mkdir(parents=True)
    message = r"No shape in .*empty: expected <class>/\{train,test\}/\*"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(tmp_path / "empty")
    for path in list((shapes / "pear").glob("[0-9].xyz"))[1:]:
        path.unlink()
    message = r"The class 'pear' in .* has no file to train with, and 1 for the other split"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(shapes)
    shutil.rmtree(shapes / "pear")
    message = r"There is one class in .*mine, 'apple': a classifier needs two\. Expected <class>"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(shapes)
