from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import ISPRSFilterTest


def scan(number: int) -> str:
    """Two points of ground around an object, as far from the origin as national grids are."""
    rows = ("512000.0", "300.0 0"), ("512001.5", f"31{number % 10}.25 1"), ("512003.0", "300.0 0")
    return "".join(f"{east} 5403000.0 {rest}\n" for east, rest in rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(ISPRSFilterTest.scans):
        (folder / f"{name}.txt").write_text(scan(number))
    return folder


def packed(folder: Path, **replaced: np.ndarray) -> Path:
    arrays = {}
    for number, name in enumerate(ISPRSFilterTest.scans):
        table = np.array([line.split() for line in scan(number).splitlines()], dtype=np.float64)
        arrays[f"{name}_origin"] = table[0, :3]
        arrays[f"{name}_xyz"] = (table[:, :3] - table[0, :3]).astype(np.float32)
        arrays[f"{name}_ground"] = (1 - table[:, 3]).astype(np.uint8)
    folder.mkdir()
    np.savez(folder / "isprs_filtertest_samples.npz", **(arrays | replaced))
    return folder


def test_a_scan_is_read_as_it_is(root: Path) -> None:
    data = ISPRSFilterTest(root, "samp12", train=False)[0]
    assert data.name == "samp12"
    assert data.y.tolist() == [0, 1, 0]
    # Heights 300, 311.25, 300: their mean is 303.75. In single precision, eastings would round to
    # 1/32 m.
    assert data.pos.tolist() == [[-1.5, 0, -3.75], [0, 0, 7.5], [1.5, 0, -3.75]]
    assert data.origin.tolist() == [[512001.5, 5403000.0, 303.75]]
    assert (data.pos.dtype, data.y.dtype, data.origin.dtype) == (
        torch.float32,
        torch.long,
        torch.float64,
    )


def test_both_layouts_give_the_same(root: Path, tmp_path: Path) -> None:
    texts, arrays = (
        ISPRSFilterTest(folder, "samp71") for folder in (root, packed(tmp_path / "packed"))
    )
    for one, other in zip(texts, arrays, strict=True):
        assert one.name == other.name
        assert torch.equal(one.pos, other.pos)
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.origin, other.origin)


@pytest.mark.parametrize("folder", ["raw", "Reference"])
def test_folders_of_the_archive(root: Path, folder: str) -> None:
    (root / folder).mkdir()
    for file in root.glob("*.txt"):
        file.rename(root / folder / file.name)
    assert len(ISPRSFilterTest(root)) == 14


def test_every_scan_is_left_out_once(root: Path) -> None:
    for name in ISPRSFilterTest.scans:
        parts = [
            [data.name for data in ISPRSFilterTest(root, name, train)] for train in (True, False)
        ]
        assert parts[1] == [name]
        assert sorted(parts[0] + parts[1]) == sorted(ISPRSFilterTest.scans)


def test_what_is_missing(root: Path, tmp_path: Path) -> None:
    message = r"nowhere is missing: `root` must hold samp11\.txt to samp71\.txt"
    with pytest.raises(FileNotFoundError, match=message):
        ISPRSFilterTest(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (root / "samp31.txt").unlink()
    with pytest.raises(FileNotFoundError, match="No scan samp31 in"):
        ISPRSFilterTest(root)


@pytest.mark.parametrize(
    "text",
    ["", "1 2 3\n", "1 2 3 2\n", "1 2 nan 0\n", "1 2 3 0\n1 2 3\n", "x y z 0\n", "1 2 3 0.5\n"],
    ids=["empty", "three columns", "class 2", "nan", "ragged", "words", "half a class"],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_damaged_text(root: Path, text: str) -> None:
    (root / "samp42.txt").write_text(text)
    message = r"samp42\.txt is damaged \(.*restore the file from the reference data"
    with pytest.raises(ValueError, match=message):
        ISPRSFilterTest(root)


@pytest.mark.parametrize(
    "replaced",
    [
        {"samp42_ground": np.ones(2, np.uint8)},
        {"samp42_xyz": np.zeros((3, 2))},
        {"samp42_ground": np.array([0, 1, 7])},
    ],
    ids=["labels", "columns", "class"],
)
def test_a_damaged_archive(tmp_path: Path, replaced: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"samples\.npz is damaged"):
        ISPRSFilterTest(packed(tmp_path / "packed", **replaced))
