from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import ModelNet, modelnet

TETRAHEDRON = """OFF
4 4 6
0 0 0
1 0 0
0 1 0
0 0 1
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""


def voxel_arrays() -> dict[str, np.ndarray]:
    """Ten train and five test grids with 40 to 400 cells each, and one empty grid in each split."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in (("train", 10), ("test", 5)):
        grids = np.zeros((size + 1, 32**3), dtype=np.uint8)
        for place in range(size):
            grids[place, rng.choice(32**3, 40 * (place + 1), replace=False)] = 1
        arrays[f"X_{split}_bits"] = np.packbits(grids, axis=1)
        arrays[f"y_{split}"] = np.arange(size + 1, dtype=np.uint8) % 10
    return arrays


@pytest.fixture
def voxel_root(tmp_path: Path) -> Path:
    np.savez(tmp_path / "modelnet10_vox32_bits.npz", **voxel_arrays())
    return tmp_path


@pytest.fixture
def mesh_root(tmp_path: Path) -> Path:
    write_meshes(tmp_path / "raw")
    return tmp_path


def write_meshes(raw: Path) -> None:
    for name in modelnet.CLASSES["10"]:
        for split, numbers in (("train", (1, 2)), ("test", (3,))):
            folder = raw / name / split
            folder.mkdir(parents=True)
            for number in numbers:
                (folder / f"{name}_000{number}.off").write_text(TETRAHEDRON)


def positions(dataset: ModelNet) -> list[torch.Tensor]:
    return [data.pos for data in dataset]


def same(first: ModelNet, second: ModelNet) -> bool:
    return all(torch.equal(a, b) for a, b in zip(positions(first), positions(second), strict=True))


def test_voxels_are_the_occupied_cells(voxel_root: Path) -> None:
    dataset = ModelNet(voxel_root, train=False, num_points=None)
    grids = np.unpackbits(voxel_arrays()["X_test_bits"], axis=1).reshape(-1, 32, 32, 32)
    assert [data.num_nodes for data in dataset] == [40, 80, 120, 160, 200]
    for data, grid in zip(dataset, grids[:5], strict=True):
        x, y, z = data.pos.long().T
        assert grid[x, y, z].all()
        assert data.pos.dtype == torch.float32
    assert [int(data.y) for data in dataset] == [0, 1, 2, 3, 4]


def test_voxels_are_drawn_without_repetition_up_to_num_points(voxel_root: Path) -> None:
    everything = ModelNet(voxel_root, num_points=None)
    dataset = ModelNet(voxel_root, num_points=100)
    assert [data.num_nodes for data in dataset] == [40, 80] + 8 * [100]
    for drawn, cells in zip(positions(dataset), positions(everything), strict=True):
        assert len(torch.unique(drawn, dim=0)) == len(drawn)
        assert set(map(tuple, drawn.tolist())) <= set(map(tuple, cells.tolist()))


def test_names_and_repr(voxel_root: Path) -> None:
    dataset = ModelNet(voxel_root)
    assert repr(dataset) == "ModelNet10(10)"
    assert dataset.num_classes == len(dataset.class_names) == 10
    assert len(modelnet.CLASSES["40"]) == len(set(modelnet.CLASSES["40"])) == 40
    assert set(modelnet.CLASSES["10"]) < set(modelnet.CLASSES["40"])
    assert all(list(names) == sorted(names) for names in modelnet.CLASSES.values())


@pytest.mark.usefixtures("double_default")
def test_meshes_are_drawn_on_their_surface(mesh_root: Path) -> None:
    dataset = ModelNet(mesh_root, num_points=500)
    assert len(dataset) == 20
    assert dataset[0].pos.shape == (500, 3)
    assert dataset[0].pos.dtype == torch.float32
    assert [int(data.y) for data in dataset] == [label for label in range(10) for _ in range(2)]
    for pos in positions(dataset):
        on_a_side = (pos.amin(1).abs() < 1e-6) | ((pos.sum(1) - 1).abs() < 1e-5)
        assert on_a_side.all()
        assert pos.min() >= -1e-6


def test_mesh_draws_are_uniform_by_area(mesh_root: Path) -> None:
    pos = torch.cat(positions(ModelNet(mesh_root, num_points=500)))
    slanted = ((pos.sum(1) - 1).abs() < 1e-5).double().mean()
    # Sides of areas 1/2, 1/2, 1/2 and sqrt(3)/2; four standard errors of 10,000 draws.
    expected = 3**0.5 / (3 + 3**0.5)
    assert abs(slanted - expected) < 4 * (expected * (1 - expected) / len(pos)) ** 0.5


def test_mesh_draws_differ_from_mesh_to_mesh_and_repeat(mesh_root: Path) -> None:
    first = ModelNet(mesh_root, num_points=20)
    assert not torch.equal(first[0].pos, first[1].pos)
    assert same(first, ModelNet(mesh_root, num_points=20, force_reload=True))
    assert len(ModelNet(mesh_root, train=False)) == 10


def test_meshes_whole(mesh_root: Path) -> None:
    data = ModelNet(mesh_root)[0]
    assert data.pos.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert data.face.T.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    "text",
    [
        "OFF4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3",
        "OFF\n\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n\n4 0 1 2 3 255 0 0\n",
    ],
)
def test_off_files_of_other_habits(mesh_root: Path, text: str) -> None:
    (mesh_root / "raw/bathtub/train/bathtub_0001.off").write_text(text)
    assert ModelNet(mesh_root)[0].face.T.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no OFF header"),
        ("OFF", "no line after the header"),
        ("OFF\n0 0 0\n", "no face"),
        ("OFF\nfour 4 6\n", "invalid literal"),
        (
            TETRAHEDRON[: TETRAHEDRON.index("3 0 3 2")],
            "4 vertices and 4 faces announced, 6 lines found",
        ),
        (TETRAHEDRON[:-2], "a face announces 3 corners and has 2"),
        (TETRAHEDRON.replace("3 1 2 3", "3 1 2 4"), "faces name vertices 0 to 4 of 4"),
        (TETRAHEDRON.replace("1 0 0", "nan 0 0"), "a vertex is NaN or infinite"),
        (TETRAHEDRON.replace("1 0 0", "1 0"), "inhomogeneous"),
        (TETRAHEDRON.replace("1", "0"), "its surface has no area"),
    ],
)
def test_a_damaged_mesh(mesh_root: Path, text: str, problem: str) -> None:
    (mesh_root / "raw/chair/train/chair_0002.off").write_text(text)
    message = rf"chair_0002\.off is damaged \(.*{problem}.*remove the folder .*chair"
    with pytest.raises(ValueError, match=message):
        ModelNet(mesh_root, num_points=8)


def test_a_class_without_meshes(mesh_root: Path) -> None:
    shutil.rmtree(mesh_root / "raw/desk/test")
    message = r"No \.off file in .*desk/test: remove it and download it again"
    with pytest.raises(FileNotFoundError, match=message):
        ModelNet(mesh_root, train=False)


def test_a_download_is_unpacked_as_pyg_does(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path_factory.mktemp("source")
    write_meshes(source / "ModelNet10")

    def copy(_: str, folder: str) -> str:
        return shutil.make_archive(str(Path(folder) / "ModelNet10"), "zip", source)

    monkeypatch.setattr(modelnet, "download_url", copy)
    assert len(ModelNet(tmp_path, num_points=8, download=True)) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "processed"}
    shutil.rmtree(tmp_path / "raw/sofa")
    with pytest.raises(
        FileNotFoundError, match=r"sofa missing in the folder .*raw: .*`download=True`"
    ):
        ModelNet(tmp_path, num_points=9)
    assert len(ModelNet(tmp_path, num_points=9, download=True)) == 20
    for name in ("sofa", "bed"):
        assert {path.name for path in (tmp_path / "raw" / name).iterdir()} == {"train", "test"}
    shutil.rmtree(tmp_path / "raw/sofa")
    shutil.rmtree(source / "ModelNet10/sofa")
    with pytest.raises(ConnectionError, match="No such file"):
        ModelNet(tmp_path, download=True)
