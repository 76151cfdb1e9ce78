from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.utils import contains_self_loops, is_undirected

from graphmask.datasets import Heterophilous

EDGES = [[0, 1], [3, 1], [1, 2], [1, 0]]  # the last one repeats the first, turned


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {f"{part}_masks": rng.random((10, 4)) < 0.5 for part in ("train", "val", "test")}
    return made | {
        "node_features": rng.random((4, 3), dtype=np.float32),
        "node_labels": np.array([0, 2, 1, 0]),
        "edges": np.array(EDGES),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.savez(tmp_path / "actor.npz", **arrays())
    return tmp_path


def test_every_edge_goes_both_ways_once(root: Path) -> None:
    data = Heterophilous(root, "actor")[0]
    assert data.edge_index.T.tolist() == [[0, 1], [1, 0], [1, 2], [1, 3], [2, 1], [3, 1]]


@pytest.mark.usefixtures("double_default")
def test_features_and_labels_are_those_of_the_file(root: Path) -> None:
    dataset = Heterophilous(root, "Actor")
    assert np.array_equal(dataset[0].x.numpy(), arrays()["node_features"])
    assert dataset[0].x.dtype == torch.float32
    assert dataset[0].y.tolist() == [0, 2, 1, 0]
    assert (dataset.num_classes, dataset.num_features) == (3, 3)


@pytest.mark.parametrize("split", [0, 7])
def test_one_split_and_all_of_them(root: Path, split: int) -> None:
    one, every = Heterophilous(root, "actor", split)[0], Heterophilous(root, "actor", split=None)[0]
    for part in ("train", "val", "test"):
        mask = one[f"{part}_mask"]
        assert mask.tolist() == arrays()[f"{part}_masks"][split].tolist()
        assert torch.equal(every[f"{part}_mask"][:, split], mask)
        assert every[f"{part}_mask"].shape == (4, 10)


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes"),
    [("minesweeper", 10_000, 39_402, 7, 2), ("actor", 7_600, 26_659, 932, 5),
     ("chameleon_filtered", 890, 8_854, 2_325, 5), ("squirrel_filtered", 2_223, 46_998, 2_089, 5)],
)  # fmt: skip
def test_the_real_graphs(real_data, tmp_path, name, nodes, edges, features, classes) -> None:
    dataset = Heterophilous(real_data("heterophilous"), name, processed_root=tmp_path)
    data = dataset[0]
    assert (data.num_nodes, data.num_edges) == (nodes, 2 * edges)
    assert (data.num_features, dataset.num_classes) == (features, classes)
    assert is_undirected(data.edge_index)
    assert not contains_self_loops(data.edge_index)
    assert not (data.train_mask & data.test_mask).any()
