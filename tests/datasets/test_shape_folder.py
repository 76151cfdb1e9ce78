from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import ShapeFolder

TRIANGLE = "OFF\n3 1 0\n0 0 {z}\n1 0 {z}\n0 1 {z}\n3 0 1 2\n"


def write_cloud(path: Path, seed: int, size: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.random.default_rng(seed).random((size, 3)), fmt="%.6f")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten clouds of each of two classes, and files that are none."""
    folder = tmp_path / "mine"
    for label, name in enumerate(("pear", "apple")):
        for number in range(10):
            write_cloud(folder / name / f"{number}.xyz", 100 * label + number)
        (folder / name / "README.txt").write_text("made by hand")
        (folder / name / ".hidden.xyz").write_text("nothing")
    (folder / ".git").mkdir()
    return folder


def names(dataset: ShapeFolder) -> list[str]:
    return [data.name for data in dataset]


def test_a_folder_per_class_is_split_by_the_seed(root: Path) -> None:
    train, test = ShapeFolder(root), ShapeFolder(root, train=False)
    assert train.class_names == ("apple", "pear")
    assert torch.bincount(train.y).tolist() == [8, 8]
    assert torch.bincount(test.y).tolist() == [2, 2]
    assert sorted(names(train) + names(test)) == sorted(
        f"{name}/{k}.xyz" for name in ("apple", "pear") for k in range(10)
    )
    assert all(data.name.startswith(test.class_names[int(data.y)]) for data in test)
    assert names(ShapeFolder(root, train=False, seed=1)) != names(test)
    torch.manual_seed(1)
    assert names(ShapeFolder(root, train=False, force_reload=True)) == names(test)
    assert len(ShapeFolder(root, train=False, test_share=0.5)) == 10
    assert len(ShapeFolder(root, train=False, test_share=0.01)) == 2
    assert len(ShapeFolder(root, test_share=0)) == 20


@pytest.mark.parametrize("layout", ["{split}/{name}", "{name}/{split}"])
def test_folders_that_are_split(tmp_path: Path, layout: str) -> None:
    for seed, (name, split) in enumerate(
        (name, split) for name in ("b", "a") for split in ("train", "test")
    ):
        for number in range(3 if split == "train" else 1):
            write_cloud(
                tmp_path / layout.format(name=name, split=split) / f"{number}.xyz",
                10 * seed + number,
            )
    train, test = ShapeFolder(tmp_path), ShapeFolder(tmp_path, train=False)
    assert [int(data.y) for data in train] == [0, 0, 0, 1, 1, 1]
    assert names(test) == [layout.format(name=name, split="test") + "/0.xyz" for name in ("a", "b")]
    expected = np.loadtxt(tmp_path / test[1].name, dtype=np.float32)
    assert np.array_equal(test[1].pos.numpy(), expected)


def test_meshes_whole_and_as_points(tmp_path: Path) -> None:
    for name, z in (("low", 0), ("high", 5)):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.off").write_text(TRIANGLE.format(z=z))
    whole = ShapeFolder(tmp_path)
    assert whole[0].face.T.tolist() == [[0, 1, 2]]
    batch = next(iter(DataLoader(whole, batch_size=2)))
    assert batch.face.T.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert batch.name == [data.name for data in whole]
    drawn = ShapeFolder(tmp_path, num_points=50)
    assert drawn.class_names == ("high", "low")
    for data, z in zip(drawn, (5, 0), strict=True):
        assert data.pos.shape == (50, 3)
        assert data.face is None
        assert (data.pos[:, 2] == z).all()
        assert (data.pos[:, :2].sum(1) <= 1 + 1e-6).all()
    assert not torch.equal(drawn[0].pos[:, :2], drawn[1].pos[:, :2])


def test_points_of_clouds_and_their_attributes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, size in enumerate((30, 5)):
            pos = rng.random((size, 3)).astype(np.float32)
            np.savez(tmp_path / name / f"{number}.npz", points=pos, normals=-pos, x=pos[:, :1])
    sizes = []
    for train in (True, False):
        for data in ShapeFolder(
            tmp_path, train, num_points=10, attributes=("normal", "x"), test_share=0.5
        ):
            assert set(data.keys()) == {"pos", "normal", "x", "y", "name"}
            assert torch.equal(data.normal, -data.pos)
            assert torch.equal(data.x, data.pos[:, :1])
            assert len(torch.unique(data.pos, dim=0)) == len(data.pos)
            sizes.append(len(data.pos))
    assert sorted(sizes) == [5, 5, 10, 10]
    assert set(ShapeFolder(tmp_path)[0].keys()) == {"pos", "y", "name"}
    message = r"`attributes` must be of every file: .*\.npz has \['normal', 'pos', 'x'\], got"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(tmp_path, attributes="color")
    with pytest.raises(ValueError, match="`attributes` must be some of normal, color, x"):
        ShapeFolder(tmp_path, attributes=["colour"])


def test_the_cache_follows_the_files(root: Path) -> None:
    first = ShapeFolder(root)
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    assert Path(ShapeFolder(root).processed_paths[0]).stat().st_mtime_ns == stamp
    changed = root / first[0].name
    write_cloud(changed, 999)
    os.utime(changed, ns=(1, 1))
    assert not torch.equal(ShapeFolder(root)[0].pos, first[0].pos)
    write_cloud(root / "apple" / "new.xyz", 5)
    assert len(ShapeFolder(root)) + len(ShapeFolder(root, train=False)) == 21
    assert first.class_names == ShapeFolder(root).class_names


def test_a_damaged_file_is_named(root: Path) -> None:
    for number in range(10):
        (root / "pear" / f"{number}.xyz").write_text("1 2\n")
    message = r"pear/\d\.xyz is damaged \(.*restore the file, or remove it to do without"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(root)


def test_meshes_beside_clouds(root: Path) -> None:
    for number in range(10):
        (root / "pear" / f"{number}.xyz").rename(root / "pear" / f"{number}.off")
        (root / "pear" / f"{number}.off").write_text(TRIANGLE.format(z=0))
    with pytest.raises(
        ValueError,
        match=r"`num_points` must be given, since .*pear/\d\.off is a mesh .*apple/\d\.xyz a cloud",
    ):
        ShapeFolder(root)
    assert {data.num_nodes for data in ShapeFolder(root, num_points=20)} == {20}


def test_folders_without_shapes(root: Path, tmp_path: Path) -> None:
    message = r"nowhere is missing: `root` must hold shapes: expected <class>"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty" / "chairs").mkdir(parents=True)
    message = r"No shape in .*empty: expected <class>/\{train,test\}/\*"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(tmp_path / "empty")
    for path in list((root / "pear").glob("*.xyz"))[1:]:
        path.unlink()
    message = r"The class 'pear' in .* has no file to train with, and 1 to test"
    with pytest.raises(FileNotFoundError, match=message):
        ShapeFolder(root)
    shutil.rmtree(root / "pear")
    message = r"There is one class in .*mine, 'apple': a classifier needs two\. Expected <class>"
    with pytest.raises(ValueError, match=message):
        ShapeFolder(root)


def test_no_file_tests(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No class in .* has a file in test"):
        ShapeFolder(root, train=False, test_share=0)
