from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import GitHub

N = 40


def features() -> dict[str, list[int]]:
    rng = np.random.default_rng(0)
    held = {
        str(node): rng.choice(60, size=1 + node % 5, replace=False).tolist() for node in range(N)
    }
    held["3"] = [4004, 0, 4004]  # a feature listed twice is set once
    del held["5"]
    return held


def write(root: Path, **replaced: str) -> Path:
    names = [f'{node},"a, {node}",{int(node % 4 == 1)}' for node in range(N)]
    files = {
        "edges.csv": "id_1,id_2\n" + "\n".join(f"{node},{node - 1}" for node in range(1, N)),
        "target.csv": "\n".join(["id,name,ml_target", *names]),
        "features.json": json.dumps(features()),
    } | replaced
    with zipfile.ZipFile(root / "git_web_ml.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"git_web_ml/musae_git_{name}", text)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def dense() -> np.ndarray:
    x = np.zeros((N, 4005), dtype=np.float32)
    for node, held in features().items():
        x[int(node), held] = 1
    return x


def test_the_graph(root: Path) -> None:
    dataset = GitHub(root, components=3)
    data = dataset[0]
    path = [[a, b] for a in range(N) for b in (a - 1, a + 1) if 0 <= b < N]
    assert data.edge_index.T.tolist() == path
    assert data.y.tolist() == [int(node % 4 == 1) for node in range(N)]
    assert dataset.num_classes == 2
    assert int(data.train_mask.sum()) == N // 2


def test_all_features_are_sparse(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.mktemp("cache")
    for _ in range(2):  # built, then cached
        x = GitHub(root, components=None, processed_root=cache)[0].x
        assert x.layout == torch.sparse_coo
        assert np.array_equal(x.to_dense().numpy(), dense())
    layer = torch.nn.Linear(4005, 2)
    layer(x).sum().backward()
    assert torch.equal(layer.weight.grad[0], torch.from_numpy(dense().sum(0)))


@pytest.mark.usefixtures("double_default")
def test_components_are_the_leading_singular_directions(root: Path) -> None:
    x = GitHub(root, components=4)[0].x
    values = np.linalg.svd(dense(), compute_uv=False)[:4]
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.norm(dim=0).numpy(), values, rtol=1e-4)
    np.testing.assert_allclose((x.T @ x).numpy(), np.diag(values**2), atol=1e-3)
    best = np.linalg.norm(
        dense() - (x @ torch.linalg.lstsq(x, torch.from_numpy(dense())).solution).numpy()
    )
    np.testing.assert_allclose(
        best, np.sqrt((np.linalg.svd(dense(), compute_uv=False)[4:] ** 2).sum()), rtol=1e-4
    )


@pytest.mark.parametrize(
    "replaced",
    [
        {"features.json": "{"},
        {"features.json": '{"0": [4005]}'},
        {"target.csv": "id,name,ml_target\n1,a,0"},
        {"target.csv": "id,name\n0,a"},
        {"edges.csv": f"id_1,id_2\n0,{N}"},
        {"edges.csv": "id_1,id_2"},
        {"edges.csv": "id_1,id_2\n0,x"},
    ],
)
def test_a_damaged_archive(tmp_path: Path, replaced: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"git_web_ml\.zip is damaged \(.*: restore the archive"):
        GitHub(write(tmp_path, **replaced))


def test_the_real_graph(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    data = GitHub(real_data("musae"), components=None, processed_root=tmp_path)[0]
    assert (data.num_nodes, data.num_edges, tuple(data.x.shape)) == (
        37_700,
        578_006,
        (37_700, 4_005),
    )
    assert int(data.edge_index[0].bincount().max()) == 9_458
    assert round(1 - float(data.y.float().mean()), 3) == 0.742
    assert data.is_undirected()
