"""Datasets of graphs: Heterophilous, Minesweeper, GitHub and TUText."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import SOURCES, TAGGED, github_files, tu_files, write
from scipy.ndimage import convolve
from torch_geometric.io import read_tu_data
from torch_geometric.loader import DataLoader

from graphmask.datasets import GitHub, Heterophilous, Minesweeper, TUText
from graphmask.datasets.minesweeper import random_masks


@pytest.mark.usefixtures("double_default")
def test_heterophilous_graphs_are_those_of_the_file_and_undirected(tmp_path: Path) -> None:
    dataset = Heterophilous(SOURCES["heterophilous"].write(tmp_path), "Actor")
    arrays, data = SOURCES["heterophilous"].files["actor.npz"], dataset[0]
    assert data.edge_index.T.tolist() == [[0, 1], [1, 0], [1, 2], [1, 3], [2, 1], [3, 1]]
    assert np.array_equal(data.x.numpy(), arrays["node_features"])
    assert data.x.dtype == torch.float32
    assert data.y.tolist() == [0, 2, 1, 0]
    assert (dataset.num_classes, dataset.num_features) == (3, 3)
    every = Heterophilous(tmp_path, "actor", split=None)[0]
    for name in ("train", "val", "test"):
        assert every[f"{name}_mask"].T.tolist() == arrays[f"{name}_masks"].tolist()
        for split in (0, 7):
            mask = Heterophilous(tmp_path, "actor", split)[0][f"{name}_mask"]
            assert torch.equal(every[f"{name}_mask"][:, split], mask)


def test_cells_show_the_number_of_mines_around() -> None:
    data = Minesweeper(size=30, mines=0.3, hidden=0.25)[0]
    kernel = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    count = convolve(data.y.numpy().reshape(30, 30), kernel, mode="constant").ravel()
    assert torch.equal(data.x.sum(1), torch.ones(900))
    shown = data.x[:, 0] == 0
    assert int(shown.sum()) == 675
    assert data.x.argmax(1)[shown].tolist() == (1 + np.minimum(count, 5))[shown.numpy()].tolist()
    assert count.max() > 5
    assert int(data.y.sum()) == 270


def test_cells_border_on_eight() -> None:
    data = Minesweeper(size=4)[0]
    degree = data.edge_index[0].bincount().view(4, 4).tolist()
    assert degree == [[3, 5, 5, 3], [5, 8, 8, 5], [5, 8, 8, 5], [3, 5, 5, 3]]
    assert (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).abs().amax(1).eq(1).all()
    assert data.grid_shape.tolist() == [[4, 4]]
    assert data.is_undirected()


@pytest.mark.parametrize("n", [4, 10, 103])
def test_masks_partition_the_nodes_by_the_generator(n: int) -> None:
    masks, again, other = (random_masks(n, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert list(masks) == ["train_mask", "val_mask", "test_mask"]
    assert torch.equal(torch.stack(list(masks.values())).sum(0), torch.ones(n, dtype=torch.long))
    assert [int(mask.sum()) for mask in masks.values()] == [n // 2, n // 4, n - n // 2 - n // 4]
    assert torch.equal(masks["train_mask"], again["train_mask"])
    assert n == 4 or not torch.equal(masks["train_mask"], other["train_mask"])


def github_features() -> dict[int, list[int]]:
    rng = np.random.default_rng(0)
    lists = {n: rng.choice(60, size=1 + n % 5, replace=False).tolist() for n in range(40) if n != 5}
    return lists | {3: [4004, 0, 4004]}  # a feature listed twice is set once


@pytest.fixture
def github(tmp_path: Path) -> Path:
    """A path of 40 nodes, of which one has no features."""
    edges = "id_1,id_2\n" + "\n".join(f"{node},{node - 1}" for node in range(1, 40))
    rows = [f'{node},"a, {node}",{int(node % 4 == 1)}' for node in range(40)]
    target = "\n".join(["id,name,ml_target", *rows])
    write(tmp_path / "git_web_ml.zip", github_files(edges, target, github_features()))
    return tmp_path


def dense_features() -> np.ndarray:
    x = np.zeros((40, 4005), dtype=np.float32)
    for node, columns in github_features().items():
        x[node, columns] = 1
    return x


def test_the_graph_of_github_is_that_of_its_tables(github: Path) -> None:
    dataset = GitHub(github, components=3)
    data = dataset[0]
    path = [[a, b] for a in range(40) for b in (a - 1, a + 1) if 0 <= b < 40]
    assert data.edge_index.T.tolist() == path
    assert data.y.tolist() == [int(node % 4 == 1) for node in range(40)]
    assert dataset.num_classes == 2
    assert int(data.train_mask.sum()) == 20


def test_all_features_of_github_are_sparse(github: Path) -> None:
    for _ in range(2):  # built, then cached
        x = GitHub(github, components=None)[0].x
        assert x.layout == torch.sparse_coo
        assert np.array_equal(x.to_dense().numpy(), dense_features())
    layer = torch.nn.Linear(4005, 2)
    layer(x).sum().backward()
    assert torch.equal(layer.weight.grad[0], torch.from_numpy(dense_features().sum(0)))


@pytest.mark.usefixtures("double_default")
def test_components_are_the_leading_singular_directions(github: Path) -> None:
    x, dense = GitHub(github, components=4)[0].x, dense_features()
    values = np.linalg.svd(dense, compute_uv=False)
    assert x.dtype == torch.float32
    np.testing.assert_allclose((x.T @ x).numpy(), np.diag(values[:4] ** 2), atol=1e-3)
    error = dense - (x @ torch.linalg.lstsq(x, torch.from_numpy(dense)).solution).numpy()
    best = np.sqrt((values[4:] ** 2).sum())
    np.testing.assert_allclose(np.linalg.norm(error), best, rtol=1e-4)


@pytest.fixture
def tu(tmp_path: Path) -> Path:
    return SOURCES["tu"].write(tmp_path)


def test_nodes_of_tu_graphs_have_their_tags_or_else_degrees(tu: Path, tmp_path: Path) -> None:
    dataset = TUText(tu, "TINY")
    assert (len(dataset), dataset.num_features, dataset.num_classes) == (3, 3, 2)
    path, pair, lone = dataset
    assert path.x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert sorted(path.edge_index.T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert pair.x.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert (lone.num_nodes, lone.num_edges) == (1, 0)
    assert [data.y.item() for data in dataset] == [1, 0, 1]
    plain = "2\n4 0\n0 3 1 2 3\n0 1 0\n0 1 0\n0 1 0\n2 1\n0 1 1\n0 1 0\n"
    for name, text in tu_files(plain, 2).items():
        write(tmp_path / "plain" / name, text)
    star, pair = TUText(tmp_path / "plain", "TINY")
    assert star.x.tolist() == [[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert pair.x.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]


def test_features_of_tu_nodes_come_before_their_tags(tu: Path) -> None:
    lines = TAGGED.splitlines()
    for number in (2, 3, 4, 6, 7, 9):
        lines[number] += f" {number}.5 -1e-1"
    (tu / "TINY" / "TINY.txt").write_text("\n".join(lines))
    path, pair, _ = TUText(tu, "TINY")
    assert path.x[:, 2:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(pair.x[:, :2], torch.tensor([[6.5, -0.1], [7.5, -0.1]]))
    # Where all tags are equal, features stand alone.
    alike = [line if line.count(" ") < 3 else "7" + line[1:] for line in lines]
    (tu / "TINY" / "TINY.txt").write_text("\n".join(alike))
    assert TUText(tu, "TINY")[0].x.shape == (3, 3)


ORIGINAL = {
    "A": "1, 2\n2, 1\n3,2\n2,3\n4,5\n5 4",
    "graph_indicator": "1\n1\n1\n2\n2\n3\n",
    "graph_labels": "4\n-1\n4\n",
    "node_labels": "7, 0\n8, 0\n7, 1\n8, 1\n9, 0\n8, 0\n",
    "node_attributes": "\n".join(f"{node}.5" for node in range(6)),
    "edge_labels": "0\n0\n1\n1\n0\n0\n",
}


def write_original(folder: Path, **changes: str) -> None:
    for name, text in {**ORIGINAL, **changes}.items():
        write(folder / "TINY" / "raw" / f"TINY_{name}.txt", text)


def test_the_original_layout_of_tu_graphs_is_read_as_by_pyg(tmp_path: Path) -> None:
    write_original(tmp_path, A=ORIGINAL["A"].replace("5 4", "5,4\n"), node_attributes="1.5\n" * 6)
    expected, slices, _ = read_tu_data(str(tmp_path / "TINY" / "raw"), "TINY")
    write_original(tmp_path, node_attributes="1.5\n" * 6)
    dataset = TUText(tmp_path, "TINY")
    assert torch.equal(torch.cat([data.x for data in dataset]), expected.x)
    assert [data.y.item() for data in dataset] == expected.y.tolist()
    assert [data.num_nodes for data in dataset] == slices["x"].diff().tolist()
    assert dataset[0].edge_index.T.tolist() == [[0, 1], [1, 0], [2, 1], [1, 2]]
    assert dataset[0].edge_attr.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert dataset[1].edge_index.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="folds are those of"):
        dataset.fold(1)
    before = dataset.processed_dir
    write_original(tmp_path)
    assert TUText(tmp_path, "TINY").processed_dir != before


def test_edges_that_the_original_layout_repeats_are_one_and_loops_none(tmp_path: Path) -> None:
    write_original(tmp_path)
    expected = [data.to_dict() for data in TUText(tmp_path, "TINY")]
    edges, labels = f"{ORIGINAL['A']}\n", ORIGINAL["edge_labels"]
    write_original(tmp_path, A=f"{edges}{edges}3,3\n", edge_labels=f"{labels}{labels}1\n")
    for data, simple in zip(TUText(tmp_path, "TINY"), expected, strict=True):
        assert all(torch.equal(data[name], value) for name, value in simple.items())


def test_a_collection_without_classes_is_named(tmp_path: Path) -> None:
    write_original(tmp_path, graph_attributes="0.5\n1.5\n2\n")
    (tmp_path / "TINY" / "raw" / "TINY_graph_labels.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"TINY_graph_labels\.txt is missing .* classes"):
        TUText(tmp_path, "TINY")


def test_features_that_single_precision_rounds_are_warned_of(tmp_path: Path) -> None:
    far = "".join(f"4649776.1{node}\n" for node in range(6))
    write_original(tmp_path, node_attributes=far)
    with pytest.warns(UserWarning, match=r"`TINY_node_attributes\.txt` is rounded by up to"):
        TUText(tmp_path, "TINY")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": "1,2\n", "edge_labels": "0\n"}, "an edge in one direction only"),
        ({"A": "1,7\n7,1\n"}, "edges of the nodes 1 to 7, expected 1 to 6"),
        ({"A": "0,1\n1,0\n"}, "edges of the nodes 0 to 1, expected 1 to 6"),
        ({"A": "1,4\n4,1\n", "edge_labels": "0\n0\n"}, "an edge between graphs"),
        ({"graph_indicator": "1\n2\n1\n2\n2\n3\n"}, "graph by graph, from 1 to 3"),
        ({"graph_labels": "4\n-1\n"}, "graph by graph, from 1 to 2"),
        ({"graph_labels": "4\n-1\n4\n4\n"}, "graph 4 of 4 has a class and no node"),
        ({"node_attributes": "1\n"}, "TINY_node_attributes.txt has 1 rows, expected 6"),
        ({"node_attributes": "1\n" * 5 + "1e39"}, "finite in float32"),
        ({"node_labels": "0.5\n" * 6}, "TINY_node_labels.txt has numbers that are not integers"),
    ],
)
def test_damaged_files_of_the_original_layout(changes: dict, message: str, tmp_path: Path) -> None:
    write_original(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        TUText(tmp_path, "TINY")


def test_folds_are_indices_of_the_examples_that_a_filter_keeps(tu: Path) -> None:
    dataset = TUText(tu, "TINY")
    for k, fold in ((1, [[0, 2], [1]]), (10, [[0, 2], [1]]), (3, [[1, 2], [0]])):
        assert [indices.tolist() for indices in dataset.fold(k)] == fold
    selected = dataset[torch.tensor([2, 1])]
    filtered = TUText(tu, "TINY", pre_filter=lambda data: data.num_nodes != 3)
    assert [indices.tolist() for indices in selected.fold(1)] == [[0], [1]]
    assert [indices.tolist() for indices in filtered.fold(1)] == [[1], [0]]
    for k in (0, 11):
        with pytest.raises(ValueError, match="`k` must be at"):
            dataset.fold(k)


def test_tu_graphs_are_batched_and_cached_by_the_file(tu: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    dataset = TUText(tu, "TINY", processed_root=cache)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.number.tolist() == [0, 1, 2]
    assert batch.edge_index.max() == 4
    again = TUText(tu, "TINY", processed_root=cache)
    assert torch.equal(again[1].x, dataset[1].x)
    assert torch.equal(again.fold(2)[0], dataset.fold(2)[0])
    (tu / "TINY" / "TINY.txt").write_text(TAGGED.replace("2 -1", "2 4"))
    assert TUText(tu, "TINY", processed_root=cache).num_classes == 1


def test_missing_folds_are_named(tu: Path) -> None:
    for k in (2, 7):
        (tu / "TINY" / "10fold_idx" / f"train_idx-{k}.txt").unlink()
    folds = r"10fold_idx/train_idx-2\.txt, 10fold_idx/train_idx-7\.txt"
    with pytest.raises(FileNotFoundError, match=rf"{folds} missing in the folder .*TINY"):
        TUText(tu, "TINY")
