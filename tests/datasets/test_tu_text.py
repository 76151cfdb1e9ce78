from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import TUText

# A path of three nodes with tags 7, 2 and 7; a pair; a lone node.
TAGGED = "3\n3 4\n7 1 1\n2 2 0 2\n7 1 1\n2 -1\n2 1 1\n9 1 0\n1 4\n2 0\n"
PLAIN = "2\n4 0\n0 3 1 2 3\n0 1 0\n0 1 0\n0 1 0\n2 1\n0 1 1\n0 1 0\n"


def write(root: Path, text: str, graphs: int) -> Path:
    folds = root / "TINY" / "10fold_idx"
    folds.mkdir(parents=True)
    (root / "TINY" / "TINY.txt").write_text(text)
    for k in range(1, 11):
        test = k % graphs
        (folds / f"test_idx-{k}.txt").write_text(f"{test}\n")
        (folds / f"train_idx-{k}.txt").write_text(
            "".join(f"{g}\n" for g in reversed(range(graphs)) if g != test)
        )
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, TAGGED, 3)


def test_tags_classes_and_edges(root: Path) -> None:
    dataset = TUText(root, "TINY")
    assert (len(dataset), dataset.num_features, dataset.num_classes) == (3, 3, 2)
    path, pair, lone = dataset
    assert path.x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert sorted(path.edge_index.T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert pair.x.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert (lone.num_nodes, lone.num_edges) == (1, 0)
    assert [data.y.item() for data in dataset] == [1, 0, 1]


def test_degrees_where_there_are_no_tags(tmp_path: Path) -> None:
    star, pair = TUText(write(tmp_path, PLAIN, 2), "TINY")
    assert star.x.tolist() == [[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert pair.x.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]


def test_folds_are_indices_of_what_is_left(root: Path) -> None:
    dataset = TUText(root, "TINY")
    assert [part.tolist() for part in dataset.fold(1)] == [[0, 2], [1]]
    assert [part.tolist() for part in dataset.fold(10)] == [[0, 2], [1]]
    assert [part.tolist() for part in dataset.fold(3)] == [[1, 2], [0]]
    edges = TUText(root, "TINY", pre_filter=lambda data: data.num_nodes != 3)
    assert [part.tolist() for part in edges.fold(1)] == [[1], [0]]
    assert [part.tolist() for part in dataset[torch.tensor([2, 1])].fold(1)] == [[0], [1]]


@pytest.mark.parametrize("k", [0, 11])
def test_there_are_ten_folds(root: Path, k: int) -> None:
    with pytest.raises(ValueError, match="`k` must be at"):
        TUText(root, "TINY").fold(k)


def test_loader_and_cache(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    dataset = TUText(root, "TINY", processed_root=cache)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.number.tolist() == [0, 1, 2]
    assert batch.edge_index.max() == 4
    again = TUText(root, "TINY", processed_root=cache)
    assert torch.equal(again[1].x, dataset[1].x)
    assert torch.equal(again.fold(2)[0], dataset.fold(2)[0])
    (root / "TINY" / "TINY.txt").write_text(TAGGED.replace("2 -1", "2 4"))
    assert TUText(root, "TINY", processed_root=cache).num_classes == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "list index out of range"),
        ("1\n2 0\n0 1 1\n", "it ends early"),
        ("1\n2 0\n0 2 1\n0 1 0\n", "degree is not the number of its neighbours"),
        ("1\n2 0\n0 1 2\n0 1 0\n", "an edge to node 2 of 2"),
        ("1\n2 0\n0 1 1\n0 0\n", "one direction only"),
        ("1\n1 0\nx 0\n", "invalid literal"),
        ("1\n1 0\n0\n", "list index out of range"),
    ],
)
def test_a_damaged_file(root: Path, text: str, problem: str) -> None:
    (root / "TINY" / "TINY.txt").write_text(text)
    message = rf"TINY\.txt is damaged \(.*({problem}).*restore the file"
    with pytest.raises(ValueError, match=message):
        TUText(root, "TINY")


def test_a_damaged_fold(root: Path) -> None:
    (root / "TINY" / "10fold_idx" / "test_idx-4.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"test_idx-4\.txt is damaged"):
        TUText(root, "TINY")


def test_missing_folds_are_named(root: Path) -> None:
    for k in (2, 7):
        (root / "TINY" / "10fold_idx" / f"train_idx-{k}.txt").unlink()
    message = (
        r"10fold_idx/train_idx-2\.txt, 10fold_idx/train_idx-7\.txt missing in the folder .*TINY"
    )
    with pytest.raises(FileNotFoundError, match=message):
        TUText(root, "TINY")


@pytest.mark.parametrize(
    ("name", "graphs", "columns", "tested"),
    [("MUTAG", 188, 7, 180), ("IMDBBINARY", 1000, 136, 1000), ("PROTEINS", 1113, 3, 1110)],
)
def test_the_real_graphs(
    real_data: Callable[[str], Path], name: str, graphs: int, columns: int, tested: int
) -> None:
    dataset = TUText(real_data("tu_graphs"), name)
    assert (len(dataset), dataset.num_features, dataset.num_classes) == (graphs, columns, 2)
    folds = [dataset.fold(k) for k in range(1, 11)]
    for train, test in folds:
        assert sorted(torch.cat([train, test]).tolist()) == list(range(graphs))
    assert len(set(torch.cat([test for _, test in folds]).tolist())) == tested
    assert all((data.x.sum(1) == 1).all() and data.is_undirected() for data in dataset[:100])
