from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import ScanObjectNN

h5py = pytest.importorskip("h5py")
LABELS = np.array([4, 0, 14])
FILES = {
    None: "objectdataset",
    "PB_T25": "objectdataset_augmented25_norot",
    "PB_T25_R": "objectdataset_augmented25rot",
    "PB_T50_R": "objectdataset_augmentedrot",
    "PB_T50_RS": "objectdataset_augmentedrot_scale75",
}


def points(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 2048, 3)).astype(np.float32)


def mask() -> np.ndarray:
    return np.where(np.arange(2048) % 3 == 0, -1, 7)[None].repeat(3, 0)


def write(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, folder in enumerate(("main_split", "main_split_nobg")):
        for part in ("training", "test"):
            for place, name in enumerate(FILES.values()):
                seed = 100 * number + 10 * place + (part == "test")
                write(
                    tmp_path / folder / f"{part}_{name}.h5",
                    data=points(seed),
                    label=LABELS,
                    mask=mask(),
                )
    return tmp_path


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("place", range(5))
def test_each_variant_is_its_file(root: Path, place: int, train: bool, background: bool) -> None:
    dataset = ScanObjectNN(root, list(FILES)[place], background, train)
    expected = points(100 * (not background) + 10 * place + (not train))
    assert np.array_equal(torch.stack([data.pos for data in dataset]).numpy(), expected)
    assert [int(data.y) for data in dataset] == LABELS.tolist()


def test_the_mask_tells_what_belongs_to_the_object(root: Path) -> None:
    data = ScanObjectNN(root)[0]
    assert data.foreground.dtype == torch.bool
    assert np.array_equal(data.foreground.numpy(), np.arange(2048) % 3 != 0)


def test_drawn_points(root: Path) -> None:
    everything, drawn = ScanObjectNN(root), ScanObjectNN(root, num_points=100)
    for whole, part in zip(everything, drawn, strict=True):
        place = {tuple(point): number for number, point in enumerate(whole.pos.tolist())}
        kept = [place[tuple(point)] for point in part.pos.tolist()]
        assert len(set(kept)) == 100
        assert torch.equal(part.foreground, whole.foreground[kept])
    torch.manual_seed(1)
    again = ScanObjectNN(root, num_points=100, force_reload=True)
    assert torch.equal(again[2].pos, drawn[2].pos)
    assert not torch.equal(ScanObjectNN(root, num_points=100, seed=1)[2].pos, drawn[2].pos)
    assert len(ScanObjectNN(root, num_points=9999)[0].pos) == 2048


def test_labels_of_shape_n_1(root: Path) -> None:
    write(
        root / "main_split/test_objectdataset.h5",
        data=points(0),
        label=LABELS[:, None],
        mask=mask(),
    )
    assert [int(data.y) for data in ScanObjectNN(root, train=False)] == LABELS.tolist()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": None}, "label"),
        ({"mask": None}, "mask"),
        ({"label": LABELS + 1}, "labels 1 to 15, expected 0 to 14"),
        ({"mask": mask()[:, :9]}, r"a mask of shape \[3, 9\]"),
        ({"data": points(0)[:, :, :2]}, "points of shape"),
        ({"data": points(0) * np.nan}, "NaN"),
    ],
)
def test_a_damaged_file(root: Path, change: dict, problem: str) -> None:
    arrays = {"data": points(0), "label": LABELS, "mask": mask(), **change}
    write(
        root / "main_split/test_objectdataset.h5",
        **{k: v for k, v in arrays.items() if v is not None},
    )
    with pytest.raises(ValueError, match=rf"test_objectdataset\.h5 is damaged \(.*{problem}"):
        ScanObjectNN(root, train=False)


def test_bad_arguments(root: Path) -> None:
    with pytest.raises(ValueError, match="`variant` must be one of None, 'PB_T25'"):
        ScanObjectNN(root, "PB_T75")
    with pytest.raises(TypeError, match="`background` must be a bool"):
        ScanObjectNN(root, background="no")
    (root / "main_split/test_objectdataset.h5").unlink()
    message = r"test_objectdataset\.h5 is missing: `root` must be the folder h5_files"
    with pytest.raises(FileNotFoundError, match=message):
        ScanObjectNN(root, train=False)


def test_without_h5py(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[scans\]"'):
        ScanObjectNN(root)
