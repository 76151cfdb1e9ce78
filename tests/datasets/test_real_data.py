"""The published files have their published sizes; run where GRAPHMASK_DATA names their folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.utils import contains_self_loops

from graphmask.datasets import (
    MNIST,
    SHREC16,
    GitHub,
    GridField,
    Heterophilous,
    ISPRSFilterTest,
    KITTIObjects,
    MeshNormals,
    Minesweeper,
    ModelNet,
    MoleculeNet,
    SDFMolecules,
    SemanticKITTI,
    TUText,
    scaffold_split,
)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    def folder(name: str) -> Path:
        root = os.environ.get("GRAPHMASK_DATA")
        if root is None or not (Path(root) / name).exists():
            pytest.skip(f"real data: set GRAPHMASK_DATA to the folder that holds {name}")
        return Path(root) / name

    return folder


# Class, folder and options of a dataset; counts of its examples, all nodes, all edges, features and
# classes.
SIZES = [
    (GitHub, "musae", {"components": None}, (1, 37_700, 578_006, 4_005, 2)),
    (Heterophilous, "heterophilous", {"name": "minesweeper"}, (1, 10_000, 78_804, 7, 2)),
    (Heterophilous, "heterophilous", {"name": "actor"}, (1, 7_600, 53_318, 932, 5)),
    (Heterophilous, "heterophilous", {"name": "chameleon_filtered"}, (1, 890, 17_708, 2_325, 5)),
    (Heterophilous, "heterophilous", {"name": "squirrel_filtered"}, (1, 2_223, 93_996, 2_089, 5)),
    (KITTIObjects, "kitti_objects4", {"split": "train"}, (2048, 262_144, 0, 0, 4)),
    (KITTIObjects, "kitti_objects4", {"split": "val"}, (512, 65_536, 0, 0, 4)),
    (KITTIObjects, "kitti_objects4", {"split": "test"}, (660, 84_480, 0, 0, 4)),
    (MNIST, "images", {"patch": 14}, (60_000, 240_000, 480_000, 196, 10)),
    (MNIST, "images", {"patch": 14, "train": False}, (10_000, 40_000, 80_000, 196, 10)),
    (TUText, "tu_graphs", {"name": "MUTAG"}, (188, 3_371, 7_442, 7, 2)),
    (TUText, "tu_graphs", {"name": "IMDBBINARY"}, (1000, 19_773, 193_062, 136, 2)),
    (TUText, "tu_graphs", {"name": "PROTEINS"}, (1113, 43_471, 162_088, 3, 2)),
    (SHREC16, "shrec16", {}, (480, 120_938, 0, 0, 30)),
    (SHREC16, "shrec16", {"train": False}, (120, 30_238, 0, 0, 30)),
    (ModelNet, "modelnet10_voxels", {"num_points": 1}, (3964, 3964, 0, 0, 10)),
    (ModelNet, "modelnet10_voxels", {"num_points": 1, "train": False}, (901, 901, 0, 0, 10)),
]


@pytest.mark.parametrize(("cls", "folder", "options", "sizes"), SIZES)
def test_sizes_are_those_published(real_data, tmp_path, cls, folder, options, sizes) -> None:
    dataset = cls(real_data(folder), processed_root=tmp_path, **options)
    counts = (sum(getattr(data, f"num_{name}") for data in dataset) for name in ("nodes", "edges"))
    assert (len(dataset), *counts, dataset.num_features, dataset.num_classes) == sizes
    for data in dataset[:100]:
        assert not data.num_edges or data.is_undirected()
        assert not data.num_edges or not contains_self_loops(data.edge_index)


def test_generated_boards_follow_the_published_one(real_data, tmp_path: Path) -> None:
    """Mines, hidden cells and masks are as many."""
    real = Heterophilous(real_data("heterophilous"), "minesweeper", processed_root=tmp_path)[0]
    generated = Minesweeper()[0]
    assert torch.equal(real.edge_index, generated.edge_index)
    assert int(real.y.sum()) == int(generated.y.sum())
    assert int(real.x[:, 0].sum()) == int(generated.x[:, 0].sum())
    for part in ("train_mask", "val_mask", "test_mask"):
        assert int(real[part].sum()) == int(generated[part].sum())
    assert not (real.train_mask & real.test_mask).any()


@pytest.mark.parametrize(("name", "tested"), [("MUTAG", 180), ("IMDBBINARY", 1000)])
def test_folds_part_all_graphs(real_data, name: str, tested: int) -> None:
    dataset = TUText(real_data("tu_graphs"), name)
    folds = [dataset.fold(k) for k in range(1, 11)]
    for fold in folds:
        assert sorted(torch.cat(fold).tolist()) == list(range(len(dataset)))
    assert len(set(torch.cat([test for _, test in folds]).tolist())) == tested


@pytest.mark.parametrize(
    ("name", "molecules", "missing"), [("esol", 1128, 0), ("bace", 1513, 0), ("tox21", 7823, 0.17)]
)
def test_molecules_and_their_scaffold_split(real_data, name, molecules, missing) -> None:
    pytest.importorskip("rdkit")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="8 molecules of .*tox21")
        dataset = MoleculeNet(real_data("molecules/moleculenet"), name)
    assert len(dataset) == molecules
    y = dataset._data.y
    assert float(y.isnan().float().mean()) == pytest.approx(missing, abs=0.005)
    assert not dataset.classification or set(y[~y.isnan()].tolist()) == {0, 1}
    parts = scaffold_split(dataset)
    assert sorted(torch.cat(parts).tolist()) == list(range(molecules))
    shares = [len(part) / molecules for part in parts]
    assert shares == [pytest.approx(share, abs=0.01) for share in (0.8, 0.1, 0.1)]


def test_bonds_of_an_sdf_file_have_the_lengths_of_bonds(real_data) -> None:
    pytest.importorskip("rdkit")
    path = real_data("molecules/sdf") / "gdb1k.sdf"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="9 molecules of .*gdb1k")
        dataset = SDFMolecules(path)
    assert len(dataset) == 991
    data = dataset[0]
    rows = [line.split()[:3] for line in path.read_text().splitlines()[4:9]]
    assert np.array_equal(data.pos.numpy(), np.array(rows, dtype=np.float32))
    length = (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).norm(dim=1)
    assert 1 < length.min() < length.max() < 1.7


def test_grids_of_the_storm_are_slices_of_its_file(real_data) -> None:
    path = real_data("isabel") / "isabel_velmag_f16.npz"
    dataset = GridField(path, stride=5)
    assert dataset.times == (3, 4, 5, 31, 32, 33, 46, 47, 48)
    assert (dataset.grid_shape, len(dataset)) == ((5, 25, 25), 9 * 125)
    with np.load(path) as arrays:
        expected = arrays["isabel_31"][2::5, 1::5, 4::5]
    selected = dataset[(dataset.time == 31) & (dataset.offset == torch.tensor([2, 1, 4])).all(1)]
    assert len(selected) == 1
    assert np.array_equal(selected[0].y.numpy().ravel(), expected.astype(np.float32).ravel())


def test_laser_scans_have_their_published_sizes_and_places(real_data, tmp_path: Path) -> None:
    folder = real_data("lidar")
    dataset = ISPRSFilterTest(folder, "samp12", processed_root=tmp_path)
    assert len(dataset) == 14
    assert sum(data.num_nodes for data in dataset) == 384_955 - 52_119
    (data,) = ISPRSFilterTest(folder, "samp12", False, processed_root=tmp_path)
    with np.load(folder / "isprs_filtertest_samples.npz") as arrays:
        assert np.array_equal(data.y.numpy() == 0, arrays["samp12_ground"] == 1)
        pos = data.pos.double().numpy() + data.origin.numpy()
        assert np.abs(pos - arrays["samp12_xyz"] - arrays["samp12_origin"]).max() < 1e-4
    # Objects stand on the ground.
    assert data.pos[data.y == 1, 2].median() > data.pos[data.y == 0, 2].median()


def test_the_scan_of_a_street_has_its_cars(real_data) -> None:
    (scan,) = SemanticKITTI(real_data("lidar"))
    assert (scan.num_nodes, scan.name) == (123_389, "semantickitti_000000")
    # Counted in the file: 544 cars stand and 990 move; labels 0, 1, 52 and 99 do not count.
    counts = torch.bincount(scan.y[scan.y >= 0], minlength=19)
    assert (counts[0], counts[8]) == (544 + 990, 20_975)
    assert (scan.y == -100).sum() == 4_458 + 5 + 809 + 1_652
    assert counts.sum() + (scan.y == -100).sum() == scan.num_nodes
    assert 0 <= scan.x.min() <= scan.x.max() <= 1


def test_classes_have_their_published_counts(real_data, tmp_path: Path) -> None:
    for split, counts in (("train", [512] * 4), ("test", [160, 160, 160, 180])):
        dataset = KITTIObjects(real_data("kitti_objects4"), split, processed_root=tmp_path)
        assert torch.bincount(dataset.y).tolist() == counts
    graph = GitHub(real_data("musae"), components=None, processed_root=tmp_path)[0]
    assert int(graph.edge_index[0].bincount().max()) == 9_458
    assert round(1 - float(graph.y.float().mean()), 3) == 0.742


def test_vertices_of_no_face_are_dropped_from_the_bunny(real_data) -> None:
    bunny, cow = MeshNormals(real_data("meshes"), names=["aj_stanford-bunny", "igl_cow"])
    assert (bunny.num_nodes, cow.num_nodes) == (35_947 - 1_113, 2_762)
    assert abs(bunny.hidden.double().mean() - 0.8) < 1e-3
