"""Datasets that can download their files: only when asked, completely, and with clear errors."""

from __future__ import annotations

import inspect
import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest
import torch_geometric.datasets
from dataset_files import SOURCES, Source, write

from graphmask import datasets
from graphmask.datasets import _raw_files, modelnet

# What the message of a missing file names.
MISSING = {
    "mnist": r"mnist\.npz",
    "heterophilous": r"actor\.npz",
    "github": r"git_web_ml\.zip",
    "tu": r"TINY\.txt.*others",
    "modelnet": "bathtub, bed, chair",
} | ({"esol": r"esol\.csv"} if find_spec("rdkit") else {})


def serve(monkeypatch: pytest.MonkeyPatch, send: Callable[[str, Path], object]) -> list[str]:
    """Replace the download by ``send(file name, folder)``; return the list of requested URLs."""
    urls = []

    def download(url: str, folder: str) -> str:
        urls.append(url)
        name = url.rpartition("/")[2]
        send(name, Path(folder))
        return str(Path(folder) / name)

    for module in (_raw_files, modelnet):
        monkeypatch.setattr(module, "download_url", download)
    return urls


def server_of(source: Source) -> Callable[[str, Path], object]:
    def send(name: str, folder: Path) -> None:
        if name.startswith("ModelNet"):
            for path, content in source.files.items():
                write(folder / "content" / path.replace("raw", "ModelNet10"), content)
            shutil.make_archive(str(folder / "ModelNet10"), "zip", folder / "content")
            shutil.rmtree(folder / "content")
        else:
            (content,) = (text for path, text in source.files.items() if path.endswith(name))
            write(folder / name, content)

    return send


@pytest.mark.parametrize("name", MISSING)
def test_missing_files_are_named_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = serve(monkeypatch, server_of(SOURCES[name]))
    remedy = "missing in the folder .*`download=True` to download .* http"
    with pytest.raises(FileNotFoundError, match=rf"{MISSING[name]}.* {remedy}"):
        SOURCES[name].open(tmp_path / "new")
    assert not urls
    assert not (tmp_path / "new").exists()
    with pytest.raises(TypeError, match="`download` must be a bool"):
        SOURCES[name].open(tmp_path, download="yes")


@pytest.mark.parametrize("name", MISSING)
def test_a_download_is_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = serve(monkeypatch, server_of(SOURCES[name]))
    assert len(SOURCES[name].open(tmp_path, download=True))
    count = len(urls)
    assert count
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("tmp")]
    for options in ({}, {"download": True}):
        SOURCES[name].open(tmp_path, force_reload=True, **options)
    assert len(urls) == count


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("failure", [URLError("no network"), TimeoutError("too slow")])
def test_a_failed_download_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object) -> None:
        raise failure

    serve(monkeypatch, fail)
    with pytest.raises(ConnectionError, match=rf"failed \(.*{failure}.*try again with") as caught:
        SOURCES[name].open(tmp_path, download=True)
    assert caught.value.__cause__ is failure
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_missing_class_of_modelnet_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCES["modelnet"]
    serve(monkeypatch, server_of(source))
    assert len(source.open(tmp_path, download=True)) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "processed"}
    shutil.rmtree(tmp_path / "raw/sofa")
    with pytest.raises(FileNotFoundError, match=r"sofa missing in the folder .*`download=True`"):
        source.open(tmp_path, num_points=9)
    assert len(source.open(tmp_path, num_points=9, download=True)) == 20
    for name in ("sofa", "bed"):
        assert {path.name for path in (tmp_path / "raw" / name).iterdir()} == {"train", "test"}
    shutil.rmtree(tmp_path / "raw/sofa")
    files = {path: text for path, text in source.files.items() if "sofa" not in path}
    serve(monkeypatch, server_of(source._replace(files=files)))
    with pytest.raises(ConnectionError, match="No such file"):
        source.open(tmp_path, num_points=10, download=True)


def test_arguments_begin_with_those_of_pyg() -> None:
    shared = {name for name in dir(datasets) if hasattr(torch_geometric.datasets, name)}
    shared = {name for name in shared if name[0].isupper()}
    assert shared == {"GitHub", "ModelNet", "MoleculeNet"}
    for name in shared:
        classes = getattr(datasets, name), getattr(torch_geometric.datasets, name)
        own, pyg = (list(inspect.signature(cls).parameters.values()) for cls in classes)
        for parameter, expected in zip(own, pyg, strict=False):
            assert (parameter.name, parameter.default) == (expected.name, expected.default)
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in own[len(pyg) :])


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt"])
def test_members_outside_of_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside.txt", "")
        archive.writestr(name, "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(zipfile.BadZipFile, match="lies outside of it"):
        _raw_files.extract(tmp_path / "a.zip", tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "folder"]
