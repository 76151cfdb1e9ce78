from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from graphmask.datasets import SHREC16

# Vertex 3 repeats vertex 0 and vertex 5 is in no face: a reader that tidies up would drop both.
MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 0\nv 0 0 {}\nv 9 9 9\nf 1 2 3\nf 4 2 5\n"
needs_trimesh = pytest.mark.skipif(
    find_spec("trimesh") is None, reason="the extra `mesh` is not installed"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shrec_16"
    for label, name in enumerate(SHREC16.class_names):
        for split, numbers in (("train", (10, 9)), ("test", (7,))):
            (folder / name / split).mkdir(parents=True)
            for number in numbers:
                (folder / name / split / f"T{number}.obj").write_text(
                    MESH.format(100 * label + number)
                )
    return folder


@needs_trimesh
def test_meshes_are_kept_as_they_are(root: Path) -> None:
    data = SHREC16(root, train=False)[2]
    assert data.pos.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 207], [9, 9, 9]]
    assert data.face.T.tolist() == [[0, 1, 2], [3, 1, 4]]
    assert data.y.tolist() == [2]


@needs_trimesh
@pytest.mark.usefixtures("double_default")
def test_splits_classes_and_dtypes(root: Path) -> None:
    train, test = SHREC16(root), SHREC16(root, train=False)
    assert (len(train), len(test), train.num_classes) == (60, 30, 30)
    assert [int(data.y) for data in train] == [label for label in range(30) for _ in range(2)]
    height = [[data.pos[4, 2].item() for data in split] for split in (train, test)]
    assert not set(height[0]) & set(height[1])
    assert height[0][:2] == [10, 9]
    assert train[0].pos.dtype == torch.float32
    assert train[0].face.dtype == torch.long


def test_a_missing_class(root: Path) -> None:
    (root / "cat").rename(root / "kitten")
    message = r"No \.obj file in .*cat/train: `root` must hold <class>"
    with pytest.raises(FileNotFoundError, match=message):
        SHREC16(root)


@needs_trimesh
@pytest.mark.parametrize(
    "text",
    [
        "v 0 0 0\nv 1 0 0\n",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n",
        "# Vertices: 3\n# Faces: 2\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "\0\1\2",
    ],
)
def test_a_damaged_mesh(root: Path, text: str) -> None:
    (root / "dog1/train/T9.obj").write_text(text)
    with pytest.raises(ValueError, match=r"dog1/train/T9\.obj is damaged \(.*restore the file"):
        SHREC16(root)
