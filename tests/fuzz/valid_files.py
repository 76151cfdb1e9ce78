"""Small valid files of every reader, and how to read them."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import dataset_files
import laspy
import numpy as np
import torch
from scipy.sparse import coo_array, save_npz
from torch_geometric.data import Batch, Data

import graphmask as gm
from graphmask import datasets
from graphmask.io import read_graph

Read = Callable[[Path], Iterable[Data]]


class Reader(NamedTuple):
    """A function of the root that reads its files, and their contents by paths below the root."""

    read: Read
    files: dict[str, Any]


def _dataset(name: str, root: Path) -> Iterable[Data]:
    return list(dataset_files.SOURCES[name].open(root))  # type: ignore[arg-type]


def _graph(name: str, root: Path) -> Iterable[Data]:
    return [read_graph(root / name)]


def _shape(name: str, root: Path) -> Iterable[Data]:
    return [datasets.read_shape(root / name)]


def _table(name: str, root: Path) -> Iterable[Data]:
    return list(datasets.MoleculeCSV(root / name, processed_root=root / "cache"))


def _sdf(root: Path) -> Iterable[Data]:
    return list(datasets.SDFMolecules(root / "two.sdf", targets=["energy"]))


def _model(root: Path) -> Iterable[Data]:
    model = gm.nn.TopologicalTransformer.from_pretrained(root)
    x, edge_index = torch.ones(3, 3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    return [Data(edge_index=edge_index, x=model(x, edge_index).detach(), num_nodes=3)]


class _Cached(datasets.CachedDataset):
    def build(self) -> Iterable[Data]:
        yield Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        yield Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)


def _cache(root: Path) -> Iterable[Data]:
    return list(_Cached(root))  # type: ignore[arg-type]


def _walks(root: Path) -> Iterable[Data]:
    data = read_graph(root / "walks.pt")
    try:
        gm.Topology.from_data(data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"walks.pt: {error}") from error
    return [data]


_MONOXIDE = (
    "monoxide\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
    "    0.0000    0.0000    0.0000 C   0  0\n    0.0000    0.0000    1.1000 O   0  0\n"
    "  1  2  2  0\nM  END\n>  <energy>\n-113.3\n\n$$$$\n"
)
_GML = (
    'graph [\n  directed 0\n  node [\n    id 0\n    label "a"\n  ]\n  node [\n    id 1\n'
    '    label "b"\n  ]\n  node [\n    id 2\n    label "c"\n  ]\n  edge [\n    source 0\n'
    "    target 1\n    weight 0.5\n  ]\n  edge [\n    source 1\n    target 2\n"
    "    weight 2.0\n  ]\n]\n"
)
_GRAPHML = (
    "<?xml version='1.0' encoding='utf-8'?>\n"
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    '<key id="d0" for="edge" attr.name="weight" attr.type="double"/>\n'
    '<graph edgedefault="undirected">\n<node id="0"/>\n<node id="1"/>\n<node id="2"/>\n'
    '<edge source="0" target="1"><data key="d0">0.5</data></edge>\n'
    '<edge source="1" target="2"><data key="d0">2.0</data></edge>\n</graph>\n</graphml>\n'
)
_PLY = (
    "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    "property float z\n"
    "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    "0 0 0\n1 0 0\n0 1 0\n1 1 0.5\n3 0 1 2\n3 1 3 2\n"
)
_STL = (
    "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"
    "endloop\nendfacet\nendsolid a\n"
)
_CLOUD = "".join(f"{i / 7:.3f} {i * i % 5:.2f} {-i} {i % 3}\n" for i in range(9))


def _bytes(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _binary_ply() -> bytes:
    header = _PLY.partition("end_header\n")[0].replace("ascii", "binary_little_endian")
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]], "<f4").tobytes()
    faces = b"".join(b"\3" + np.array(face, "<i4").tobytes() for face in ((0, 1, 2), (1, 3, 2)))
    return (header + "end_header\n").encode() + points + faces


def _graph_with_walks() -> Data:
    data = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
    return gm.transforms.AddWalks(gm.walks.ResampledWalks(4, 2))(data)


def _batch() -> Batch:
    return Batch.from_data_list(
        [Data(edge_index=torch.eye(2).long(), num_nodes=2) for _ in range(2)]
    )


def _scan() -> laspy.LasData:
    """Points of a national grid, with colours."""
    scan = laspy.create(point_format=2)
    scan.header.offsets, scan.header.scales = [4e5, 5e6, 0], [0.001] * 3
    scan.x, scan.y, scan.z = (np.arange(4) + start for start in (4e5, 5e6, 3))
    scan.red = np.arange(4) * 9_000
    return scan


def _written(write: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that a function writes into a folder."""
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        write(Path(folder))
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _save_model(folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mask = gm.masks.PowerSeriesMask(2, 2)
        model = gm.nn.TopologicalTransformer(3, 4, 2, num_layers=1, heads=2, mask=mask)
    model.save_pretrained(folder)


ARRAYS: dict[str, dict[str, Any]] = {
    "graph.npz": {
        "edge_index": np.array([[0, 1, 2], [1, 2, 0]]),
        "pos": np.ones((3, 2)),
        "x": np.eye(3),
    },
    "edges.npz": {"edges": np.array([[0, 1], [1, 2]]), "edge_weight": np.ones(2)},
}
CLOUDS = {
    "cloud.xyz": _CLOUD,
    "cloud.pts": _CLOUD,
    "counted.pts": f"9\n{_CLOUD}",
    "cloud.npy": _bytes(lambda file: np.save(file, np.eye(5))),
}
SHAPES = CLOUDS | {
    "cube.off": dataset_files.TETRAHEDRON,
    "body.obj": dataset_files.OBJ.format(1),
    "mesh.ply": _PLY,
    "binary.ply": _binary_ply(),
    "mesh.stl": _STL,
    "mesh.npz": {"pos": dataset_files.SQUARE, "face": dataset_files.TRIANGLES},
    "coloured.off": "COFF\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 0 255 0 255\n0 1 0 0 0 9 255\n3 0 1 2\n",
    "scan.las": _bytes(lambda file: _scan().write(file)),
}
GRAPHS = ARRAYS | {
    "names.edgelist": "# friends\nann bob\nbob cyd\ncyd ann\n",
    "ids.txt": "0 1\n1 2\n2 3\n",
    "weights.csv": "source,target,weight\n0,1,0.5\n1,2,2.0\n2,0,1.0\n",
    "tabs.tsv": "0\t1\n1\t2\n",
    "excel.csv": "sep=;\nsource;target;weight\n0;1;0.5\n1;2;2.0\n",
    "r.txt": '"from" "to" "weight"\n"1" "a" "b" 0.5\n"2" "b" "c" 2.0\n',
    "gephi.csv": "Source,Target,Type,Id,Label,Weight\n1,2,Directed,0,,0.5\n2,3,Directed,1,,2.0\n",
    "graph.gml": _GML,
    "graph.graphml": _GRAPHML,
    "two.smi": "CCO ethanol\nC\n",
    "saved.pt": _bytes(
        lambda file: torch.save(Data(edge_index=torch.tensor([[0, 1], [1, 0]])), file)
    ),
    "batch.pt": _bytes(lambda file: torch.save(_batch(), file)),
    "matrix.mtx": "%%MatrixMarket matrix coordinate real general\n3 3 2\n1 2 0.5\n2 3 2.0\n",
    "matrix.npz": _bytes(lambda file: save_npz(file, coo_array(np.eye(3)))),
    "near.adjlist": "# nodes\n0 1 2\n1 2\n2\n",
    "networkx.edgelist": "0 1 {'weight': 0.5}\n1 2 {'weight': 2.0}\n",
    "packed.csv.gz": gzip.compress(b"0,1,0.5\n1,2,2.0\n"),
    "scan.bin": np.arange(44, dtype="<f4").tobytes(),
}


@cache
def readers() -> dict[str, Reader]:
    """All readers by name."""
    table = dataset_files.MOLECULES.encode()
    sources = dataset_files.SOURCES.items()
    return {
        **{name: Reader(partial(_dataset, name), source.files) for name, source in sources},
        **{f"shape-{n}": Reader(partial(_shape, n), {n: x}) for n, x in SHAPES.items()},
        **{f"graph-{n}": Reader(partial(_graph, n), {n: x}) for n, x in (GRAPHS | SHAPES).items()},
        "table": Reader(partial(_table, "table.csv"), {"table.csv": table}),
        "table-gz": Reader(partial(_table, "a.csv.gz"), {"a.csv.gz": gzip.compress(table)}),
        "sdf": Reader(_sdf, {"two.sdf": _MONOXIDE * 2}),
        "model": Reader(_model, _written(_save_model)),
        "cache": Reader(_cache, _written(_cache)),
        "walks": Reader(_walks, {"walks.pt": _bytes(lambda f: torch.save(_graph_with_walks(), f))}),
    }
