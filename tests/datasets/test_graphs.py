"""Random splits, and files that are fetched where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphmask.datasets import _graphs
from graphmask.datasets._graphs import OneFile, random_masks


class Letters(OneFile):
    file, url = "letters.txt", "https://example.org/letters.txt"

    def build(self) -> Iterator[Data]:
        yield Data(x=torch.tensor([[float(ord(letter))] for letter in self.path.read_text()]))


@pytest.mark.parametrize("n", [4, 10, 103])
def test_masks_part_the_nodes(n: int) -> None:
    masks = random_masks(n, np.random.default_rng(0))
    assert list(masks) == ["train_mask", "val_mask", "test_mask"]
    assert torch.equal(torch.stack(list(masks.values())).sum(0), torch.ones(n, dtype=torch.long))
    assert [int(mask.sum()) for mask in masks.values()] == [n // 2, n // 4, n - n // 2 - n // 4]


def test_masks_follow_the_generator() -> None:
    first, same, other = (
        random_masks(50, np.random.default_rng(seed))["val_mask"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_file_that_is_there_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_graphs, "download_url", pytest.fail)
    (tmp_path / "letters.txt").write_text("ab")
    assert Letters(tmp_path)[0].x.tolist() == [[97], [98]]


def test_a_file_that_is_absent_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(url: str, folder: str) -> str:
        path = Path(folder) / Path(url).name
        path.write_text("a")
        return str(path)

    monkeypatch.setattr(_graphs, "download_url", write)
    assert Letters(tmp_path)[0].x.tolist() == [[97]]
    assert {path.name for path in tmp_path.iterdir()} == {"letters.txt", "processed"}


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> str:
        raise URLError("no network")

    monkeypatch.setattr(_graphs, "download_url", fail)
    with pytest.raises(ConnectionError, match=r"no network.*or put letters\.txt into .* by hand"):
        Letters(tmp_path)
    assert list(tmp_path.iterdir()) == []
