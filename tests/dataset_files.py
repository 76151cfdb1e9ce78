"""The smallest files that each dataset reads, and how to open it.

The content of a file is a text, bytes, or a dictionary: of the arrays of an .npz or .h5 file, or of
the texts of a .zip file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch_geometric.data import InMemoryDataset

from graphmask import datasets
from graphmask.datasets import modelnet

TETRAHEDRON = "OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
# Vertex 3 repeats vertex 0 and vertex 5 is in no face: a reader that tidies up would drop both.
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 0\nv 0 0 {}\nv 9 9 9\nf 1 2 3\nf 4 2 5\n"
# A path of three nodes with tags 7, 2 and 7; a pair; a lone node.
TAGGED = "3\n3 4\n7 1 1\n2 2 0 2\n7 1 1\n2 -1\n2 1 1\n9 1 0\n1 4\n2 0\n"
MOLECULES = "celsius,smiles,toxic\n78.4,CCO,0\n80.1,c1ccccc1,1\n1465,[Na+].[Cl-],\n,C,NaN\n"
SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])


class Source(NamedTuple):
    """How to open a dataset, and its files by their paths below its root."""

    open: Callable[..., InMemoryDataset]
    files: dict[str, Any]

    def write(self, root: Path) -> Path:
        for name, content in self.files.items():
            write(root / name, content)
        return root


def write(path: Path, content: Any) -> None:
    """Write a file by the type of its content and the ending of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value for name, value in content.items() if value is not None})
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.update({name: value for name, value in content.items() if value is not None})


def isprs_scan(index: int) -> str:
    """Two points of ground around an object, as far from the origin as national grids are."""
    rows = ("512000.0", "300.0 0"), ("512001.5", f"31{index % 10}.25 1"), ("512003.0", "300.0 0")
    return "".join(f"{east} 5403000.0 {rest}\n" for east, rest in rows)


def isprs_arrays() -> dict[str, np.ndarray]:
    arrays = {}
    for index, name in enumerate(datasets.ISPRSFilterTest.scans):
        table = np.array([line.split() for line in isprs_scan(index).splitlines()], np.float64)
        arrays[f"{name}_origin"] = table[0, :3]
        arrays[f"{name}_xyz"] = (table[:, :3] - table[0, :3]).astype(np.float32)
        arrays[f"{name}_ground"] = (1 - table[:, 3]).astype(np.uint8)
    return arrays


def kitti_scan(labels: list[int], shift: float = 0) -> tuple[bytes, bytes]:
    """Points with the numbers 0, 1, ... as coordinates, plus a shift; and their labels."""
    table = np.arange(4 * len(labels), dtype="<f4") + np.float32(shift)
    return table.tobytes(), np.array(labels, "<u4").tobytes()


def tu_files(text: str, num_graphs: int) -> dict[str, str]:
    files = {"TINY/TINY.txt": text}
    for k in range(1, 11):
        train = [graph for graph in reversed(range(num_graphs)) if graph != k % num_graphs]
        files[f"TINY/10fold_idx/test_idx-{k}.txt"] = f"{k % num_graphs}\n"
        files[f"TINY/10fold_idx/train_idx-{k}.txt"] = "".join(f"{graph}\n" for graph in train)
    return files


def github_files(edges: str, target: str, features: dict) -> dict[str, str]:
    texts = {"edges.csv": edges, "target.csv": target, "features.json": json.dumps(features)}
    return {f"git_web_ml/musae_git_{name}": text for name, text in texts.items()}


def opener(name: str, *args: object, **defaults: object) -> Callable[..., InMemoryDataset]:
    """A function of the root and options that opens a dataset."""
    cls = getattr(datasets, name)
    return lambda root, **options: cls(root, *args, **{**defaults, **options})


def opener_of_file(name: str, file: str) -> Callable[..., InMemoryDataset]:
    return lambda root, **options: getattr(datasets, name)(root / file, **options)


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
MNIST = {"train_x": IMAGES, "train_y": np.array([0, 1, 2, 0, 9])}
MNIST |= {"test_x": IMAGES[::-1], "test_y": np.arange(5)}
ACTOR = {f"{name}_masks": RNG.random((10, 4)) < 0.5 for name in ("train", "val", "test")}
ACTOR |= {"node_features": RNG.random((4, 3), dtype=np.float32)}
ACTOR |= {"node_labels": np.array([0, 2, 1, 0]), "edges": [[0, 1], [3, 1], [1, 2], [1, 0]]}
KITTI = {}
for _size, _name in enumerate([*(f"train_set_{i}" for i in range(1, 5)), "val_set", "test_set"], 1):
    KITTI[f"{_name}_points"] = RNG.normal(3, 2, (_size, 16, 3)).astype(np.float32)
    KITTI[f"{_name}_label"] = np.arange(_size) % 4
BITS, ENDS = np.full((2, 4096), 255, np.uint8), [0, 9]
VOXELS = {"X_train_bits": BITS, "y_train": ENDS, "X_test_bits": BITS, "y_test": ENDS}
H5 = {
    "data": RNG.normal(size=(3, 2048, 3)).astype(np.float32),
    "label": np.array([4, 0, 14]),
    "mask": np.where(np.arange(2048) % 3 == 0, -1, 7)[None].repeat(3, 0),
}
GITHUB = github_files("id_1,id_2\n0,1\n", "id,name,ml_target\n0,a,1\n1,b,0\n", {"0": [1], "1": [2]})
SPLITS = ("train", 10), ("train", 9), ("test", 7)
OFF_FILES = {
    f"raw/{name}/{split}/{name}_{index:04}.off": TETRAHEDRON
    for name, (split, index) in product(modelnet.CLASSES["10"], SPLITS)
}
OBJ_FILES = {
    f"{name}/{split}/T{index}.obj": OBJ.format(100 * label + index)
    for (label, name), (split, index) in product(enumerate(datasets.SHREC16.class_names), SPLITS)
}
XYZ_FILES = {
    f"{name}/{index}.xyz": "\n".join(" ".join(map(str, row)) for row in RNG.random((20, 3)))
    for name, index in product(("pear", "apple"), range(10))
}
SCANS = {}
for _shift, _name in enumerate("bac"):
    SCANS[f"{_name}.bin"], SCANS[f"{_name}.label"] = kitti_scan([40, 10, 70], 100 * _shift)
ISPRS = {f"{name}.txt": isprs_scan(i) for i, name in enumerate(datasets.ISPRSFilterTest.scans)}

SOURCES = {
    "mnist": Source(opener("MNIST", patch=14), {"mnist.npz": MNIST}),
    "heterophilous": Source(opener("Heterophilous", "actor"), {"actor.npz": ACTOR}),
    "github": Source(opener("GitHub", components=1), {"git_web_ml.zip": GITHUB}),
    "tu": Source(opener("TUText", "TINY"), tu_files(TAGGED, 3)),
    "kitti-objects": Source(datasets.KITTIObjects, {"kitti_objects4.npz": KITTI}),
    "mesh-normals": Source(datasets.MeshNormals, {"square.npz": {"v": SQUARE, "f": TRIANGLES}}),
    "voxels": Source(opener("ModelNet", num_points=50), {"modelnet10_vox32_bits.npz": VOXELS}),
    "modelnet": Source(opener("ModelNet", num_points=8), OFF_FILES),
    "shrec16": Source(datasets.SHREC16, OBJ_FILES),
    "shapes": Source(datasets.ShapeFolder, XYZ_FILES),
    "isprs": Source(datasets.ISPRSFilterTest, ISPRS),
    "isprs-arrays": Source(
        datasets.ISPRSFilterTest, {"isprs_filtertest_samples.npz": isprs_arrays()}
    ),
    "semantic-kitti": Source(datasets.SemanticKITTI, SCANS),
    "scan-object-nn": Source(
        datasets.ScanObjectNN,
        {f"main_split/{split}_objectdataset.h5": H5 for split in ("training", "test")},
    ),
    "molecules": Source(opener_of_file("MoleculeCSV", "table.csv"), {"table.csv": MOLECULES}),
    "esol": Source(opener("MoleculeNet", "esol"), {"esol.csv": "smiles,logSolubility\nC,1\n"}),
    "field": Source(
        opener_of_file("GridField", "field.npz"),
        {"field.npz": {"a1": np.ones((2, 2)), "a2": np.ones((2, 2))}},
    ),
}
# The extra that a source needs.
EXTRAS = {"scan-object-nn": "h5py", "molecules": "rdkit", "esol": "rdkit"}
