"""Datasets that can download their files: only when asked, completely, and with clear errors."""

from __future__ import annotations

import inspect
import json
import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import pytest
import torch_geometric.datasets
from torch_geometric.data import InMemoryDataset

from graphmask import datasets
from graphmask.datasets import _raw_files, modelnet


class Source(NamedTuple):
    """How to open a dataset, and what its server sends for the name of a file."""

    open: Callable[..., InMemoryDataset]
    send: Callable[[Path], object]
    missing: str


def send_mnist(path: Path) -> None:
    images, labels = np.zeros((2, 28, 28), np.uint8), np.arange(2)
    np.savez(path, train_x=images, train_y=labels, test_x=images, test_y=labels)


def send_actor(path: Path) -> None:
    masks = {f"{part}_masks": np.ones((10, 2), bool) for part in ("train", "val", "test")}
    np.savez(path, node_features=np.eye(2), node_labels=np.arange(2), edges=[[0, 1]], **masks)


def send_github(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        folder = "git_web_ml/musae_git"
        archive.writestr(f"{folder}_edges.csv", "id_1,id_2\n0,1\n")
        archive.writestr(f"{folder}_target.csv", "id,name,ml_target\n0,a,1\n1,b,0\n")
        archive.writestr(f"{folder}_features.json", json.dumps({"0": [1], "1": [2]}))


def send_tiny(path: Path) -> None:
    text = "2\n1 0\n3 0\n1 1\n5 0\n"
    if path.name != "TINY.txt":
        text = f"{int('test' in path.name)}\n"
    path.write_text(text)


def send_meshes(path: Path) -> None:
    folder = path.with_suffix("")
    for name in modelnet.CLASSES["10"]:
        (folder / path.stem / name / "train").mkdir(parents=True)
        text = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
        (folder / path.stem / name / "train" / "a.off").write_text(text)
    shutil.make_archive(str(folder), "zip", folder)


SOURCES = {
    "mnist": Source(datasets.MNIST, send_mnist, r"mnist\.npz"),
    "heterophilous": Source(
        lambda root, **more: datasets.Heterophilous(root, "actor", **more),
        send_actor,
        r"actor\.npz",
    ),
    "github": Source(
        lambda root, **more: datasets.GitHub(root, components=1, **more),
        send_github,
        r"git_web_ml\.zip",
    ),
    "tu": Source(
        lambda root, **more: datasets.TUText(root, "TINY", **more), send_tiny, r"TINY\.txt.*others"
    ),
    "modelnet": Source(datasets.ModelNet, send_meshes, "bathtub, bed, chair"),
}
if find_spec("rdkit") is not None:
    SOURCES["molecules"] = Source(
        lambda root, **more: datasets.MoleculeNet(root, "esol", **more),
        lambda path: path.write_text("smiles,logSolubility\nC,1\n"),
        r"esol\.csv",
    )


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


def serve(monkeypatch: pytest.MonkeyPatch, send: Callable[[Path], object]) -> list[str]:
    urls = []

    def download(url: str, folder: str) -> str:
        urls.append(url)
        path = Path(folder) / url.rpartition("/")[2]
        send(path)
        return str(path)

    for module in (_raw_files, modelnet):
        monkeypatch.setattr(module, "download_url", download)
    return urls


def test_missing_files_are_named_and_nothing_is_written(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = serve(monkeypatch, source.send)
    message = rf"{source.missing}.* missing in the folder .*`download=True` to download .* http"
    with pytest.raises(FileNotFoundError, match=message):
        source.open(tmp_path / "new")
    assert not urls
    assert not (tmp_path / "new").exists()
    with pytest.raises(TypeError, match="`download` must be a bool"):
        source.open(tmp_path, download="yes")


def test_a_download_is_kept(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = serve(monkeypatch, source.send)
    assert len(source.open(tmp_path, download=True))
    count = len(urls)
    assert count
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("tmp")]
    source.open(tmp_path, force_reload=True)
    source.open(tmp_path, force_reload=True, download=True)
    assert len(urls) == count


@pytest.mark.parametrize("failure", [URLError("no network"), TimeoutError("too slow")])
def test_a_failed_download_leaves_nothing(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(_: Path) -> None:
        raise failure

    serve(monkeypatch, fail)
    with pytest.raises(ConnectionError, match=rf"failed \(.*{failure}.*try again with") as caught:
        source.open(tmp_path, download=True)
    assert caught.value.__cause__ is failure
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["GitHub", "ModelNet", "MoleculeNet"])
def test_arguments_begin_with_those_of_pyg(name: str) -> None:
    classes = getattr(datasets, name), getattr(torch_geometric.datasets, name)
    own, theirs = (list(inspect.signature(cls).parameters.values()) for cls in classes)
    for parameter, expected in zip(own, theirs, strict=False):
        assert (parameter.name, parameter.default) == (expected.name, expected.default)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in own[len(theirs) :])


def test_shared_names_are_those_above() -> None:
    shared = {name for name in dir(datasets) if hasattr(torch_geometric.datasets, name)}
    assert {name for name in shared if name[0].isupper()} == {"GitHub", "ModelNet", "MoleculeNet"}
