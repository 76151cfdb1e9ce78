"""Graphs of the TU collection in the text format of the GIN experiments, with their ten folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, value_error
from graphmask._tables import parse_number, read_text, to_float32

from ._base import CachedDataset, Options, check_flag
from ._files import warn_of_rounding
from ._raw_files import Folder, find_files, fingerprint, reading

_COMMIT = "50f504131ca66382f3f078ae98e59aa3ae35b795"
URL = f"https://raw.githubusercontent.com/muhanzhang/pytorch_DGCNN/{_COMMIT}/data"
FOLDS = range(1, 11)
REMEDY = "restore the file, or remove it and pass `download=True`"


class TUText(CachedDataset):
    r"""Small graphs with a class each, such as NCI1 or MUTAG, and the ten folds of the file.

    Reads ``root/<name>/<name>.txt``: the number of graphs; then for each a line ``nodes class`` and
    for each of its nodes a line ``tag degree neighbours``. Folds are lists of numbers of graphs in
    ``root/<name>/10fold_idx/{train,test}_idx-<k>.txt``. They are wrong for PyG's ``TUDataset``,
    whose order differs.

    Where that file is missing, reads the original layout of the collection, which has no folds,
    in ``root/<name>`` or its folder ``raw``: ``<name>_A.txt``, ``<name>_graph_indicator.txt`` and
    ``<name>_graph_labels.txt``, and where they exist ``<name>_node_labels.txt``, the tags, and
    ``<name>_node_attributes.txt``. An edge that they list twice, as those of IMDB-BINARY, is one
    edge, and loops are left out, as in PyG's ``TUDataset``.

    Each example is ``Data(x, edge_index, y, number)``: ``x`` float32 of shape [N, D + T], the D
    continuous features of the node that follow its neighbours, if any, as in PyG's ``TUDataset``
    before its tag as one of T columns, in ascending order of the tags of the whole file; where all
    nodes bear the same tag and have no features, as in IMDBBINARY, the degree, from 0 to the
    largest of the file, as one of the columns instead. ``edge_index`` holds each edge in both
    directions; ``y`` long of shape [1], from 0 in ascending order of the file's classes; ``number``
    long of shape [1], the place in the file.

    Args:
        root: folder that holds the folder ``name``.
        name: name of the collection, as in the name of the file.
        download: whether to download files that are missing. (default: :obj:`False`)
        **options: see :class:`~graphmask.datasets.CachedDataset`; without ``processed_root`` the
            file is read at every start and nothing is written.

    Raises:
        FileNotFoundError: if files are missing and ``download`` is false.
        ConnectionError: if a download fails.
        ValueError: if a file is damaged or ``pre_filter`` keeps no graph.

    Source: the format of K. Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019; the
    folds of M. Zhang et al., "An End-to-End Deep Learning Architecture for Graph Classification",
    AAAI 2018 (MIT licence); C. Morris et al., "TUDataset: A Collection of Benchmark Datasets for
    Learning with Graphs", 2020.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import TUText
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folds = os.path.join(root, "TINY", "10fold_idx")
        ...     os.makedirs(folds)
        ...     with open(os.path.join(root, "TINY", "TINY.txt"), "w") as file:
        ...         _ = file.write("2\n2 1\n0 1 1\n5 1 0\n1 0\n0 0\n")
        ...     for k in range(1, 11):
        ...         for part, number in (("train", 0), ("test", 1)):
        ...             with open(os.path.join(folds, f"{part}_idx-{k}.txt"), "w") as file:
        ...                 _ = file.write(f"{number}\n")
        ...     dataset = TUText(root, "TINY")
        >>> dataset[0]
        Data(x=[2, 2], edge_index=[2, 2], y=[1], number=[1])
        >>> dataset[0].x.tolist(), dataset.fold(1)
        ([[1.0, 0.0], [0.0, 1.0]], (tensor([0]), tensor([1])))
    """

    def __init__(
        self, root: Folder, name: str, *, download: bool = False, **options: Unpack[Options]
    ) -> None:
        self.name = name
        self._folds: list[Tensor] = []
        check_flag("download", download)
        folder = Path(root).expanduser() / name
        original = [folder / f"{name}_A.txt", folder / "raw" / f"{name}_A.txt"]
        if not (folder / f"{name}.txt").is_file() and (files := [*filter(Path.is_file, original)]):
            self.path = files[0]
            _check_files(self.path)
            contents = map(fingerprint, sorted(self.path.parent.glob(f"{name}_*.txt")))
            super().__init__(None, fingerprint(self.path, *contents), **options)
            return
        names = [f"10fold_idx/{part}_idx-{k}.txt" for k in FOLDS for part in ("train", "test")]
        self.path, *folds = find_files(
            folder,
            [f"{name}.txt", *names],
            f"{URL}/{name}",
            download,
        )
        self._folds = [_numbers(path) for path in folds]
        super().__init__(None, fingerprint(self.path), **options)

    def fold(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the indices of the training and the test graphs of fold k, from 1 to 10.

        They are ascending indices of this dataset, also after ``pre_filter`` and indexing. No
        training graphs are set apart to validate: choosing epochs or models by the test graphs
        would report the best of many draws.

        Raises:
            ValueError: if there is no such fold, as in the original layout.
        """
        if check_integer("k", k, 1) not in FOLDS:
            raise value_error("k", f"at most {FOLDS[-1]}", k)
        if not self._folds:
            raise ValueError(f"folds are those of {self.name}.txt: {self.path} has another order")
        numbers = self._data.number[torch.tensor(list(self.indices()), dtype=torch.long)]
        train, test = (
            torch.isin(numbers, fold).nonzero().flatten() for fold in self._folds[2 * k - 2 : 2 * k]
        )
        return train, test

    def build(self) -> Iterator[Data]:
        """Yield the graphs in the order of the file."""
        with reading(self.path, REMEDY):
            yield from _encode(_read(self.path) if self._folds else _read_original(self.path))


class Collection(NamedTuple):
    """The graphs of a file: their classes and sizes, and their nodes and edges one after another.

    Tags are integers, a column for each kind; features are real numbers.
    """

    classes: np.ndarray
    sizes: np.ndarray
    tags: np.ndarray
    features: np.ndarray
    edges: np.ndarray
    edge_tags: np.ndarray
    edge_features: np.ndarray


def _numbers(path: Path) -> Tensor:
    with reading(path, REMEDY):
        return torch.tensor([int(line) for line in read_text(path).split()], dtype=torch.long)


def _read(path: Path) -> Collection:
    """Read the text format of the GIN experiments."""
    rows = [line.split() for line in read_text(path).splitlines()]
    classes, sizes, start = [], [], 1
    tags: list[int] = []
    features: list[list[float]] = []
    edges: list[tuple[int, int]] = []
    for _ in range(int(rows[0][0])):
        num_nodes, label = map(int, rows[start])
        nodes, offset = rows[start + 1 : start + 1 + num_nodes], len(tags)
        start += 1 + num_nodes
        if len(nodes) < num_nodes:
            raise ValueError("it ends early")
        for index, (tag, degree, *rest) in enumerate(nodes):
            neighbours = [int(node) for node in rest[: int(degree)]]
            if len(neighbours) != int(degree):
                raise ValueError("a node whose degree is not the number of its neighbours")
            if wrong := [node for node in neighbours if not 0 <= node < num_nodes]:
                raise ValueError(f"an edge to node {wrong[0]}, expected 0 to {num_nodes - 1}")
            edges += [(offset + node, offset + index) for node in neighbours]
            tags.append(int(tag))
            features.append([parse_number(cell) for cell in rest[int(degree) :]])
        classes.append(label)
        sizes.append(num_nodes)
    if any(rows[start:]):
        raise ValueError(f"{len(sizes)} graphs announced, and more lines than they have")
    if len({len(row) for row in features}) > 1:
        raise ValueError("nodes with different numbers of features, or of neighbours than degree")
    ends, none = np.array(edges, dtype=np.int64).reshape(-1, 2).T, np.empty((len(edges), 0))
    arrays = np.array(classes), np.array(sizes), np.array(tags)[:, None], np.array(features)
    return Collection(*arrays, ends, none, none)


def _check_files(path: Path) -> None:
    """The files that go with ``<name>_A.txt`` where graphs have classes."""
    for name in ("graph_indicator", "graph_labels"):
        file = path.with_name(path.name.replace("_A.txt", f"_{name}.txt"))
        if not file.is_file():
            raise FileNotFoundError(
                f"The file {file} is missing beside {path.name}: only collections whose graphs "
                "have classes are read"
            )


def _read_original(path: Path) -> Collection:
    """Read the original layout of the collection: a file for each kind of rows."""

    def table(name: str, rows: int | None = None, real: bool = False) -> np.ndarray:
        file = path.with_name(path.name.replace("_A.txt", f"_{name}.txt"))
        if not file.is_file() and rows is not None:
            return np.empty((rows, 0))
        # Cells stand between commas, with or without blanks, or between blanks.
        lines = read_text(file).replace(",", " ").splitlines()
        values = np.loadtxt(lines, ndmin=2, comments=None) if any(lines) else np.empty((0, 1))
        if rows is not None and len(values) != rows:
            raise ValueError(f"{file.name} has {len(values)} rows, expected {rows}")
        if real:
            single = to_float32(file.name, values)
            warn_of_rounding(f"`{file.name}`", values, single)
            return single
        if (values != np.round(values)).any():
            raise ValueError(f"{file.name} has numbers that are not integers")
        return values.astype(np.int64)

    graph = table("graph_indicator")[:, 0] - 1
    classes = table("graph_labels")
    edges = table("A").reshape(-1, 2).T - 1
    if classes.shape[1] != 1 or (np.diff(graph, prepend=0, append=len(classes) - 1) < 0).any():
        raise ValueError(f"nodes must come graph by graph, from 1 to {len(classes)}")
    if len(empty := np.setdiff1d(np.arange(len(classes)), graph)):
        raise ValueError(f"graph {empty[0] + 1} of {len(classes)} has a class and no node")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(graph):
        ends = f"{edges.min() + 1} to {edges.max() + 1}"
        raise ValueError(f"edges of the nodes {ends}, expected 1 to {len(graph)}")
    if (graph[edges[0]] != graph[edges[1]]).any():
        raise ValueError("an edge between graphs")
    edge_tags = table("edge_labels", edges.shape[1])
    edge_features = table("edge_attributes", edges.shape[1], real=True)
    kept = _first_of_equals(edges, edge_tags, edge_features)
    return Collection(
        classes[:, 0],
        np.bincount(graph, minlength=len(classes)),
        table("node_labels", len(graph)),
        table("node_attributes", len(graph), real=True),
        edges[:, kept],
        edge_tags[kept],
        edge_features[kept],
    )


def _first_of_equals(edges: np.ndarray, *attributes: np.ndarray) -> np.ndarray:
    """Places of edges without loops, and without repetitions with the same attributes."""
    places = np.flatnonzero(edges[0] != edges[1])
    rows = np.column_stack([edges.T, *attributes])[places]
    return places[np.sort(np.unique(rows, axis=0, return_index=True)[1])]


def _encode(file: Collection) -> Iterator[Data]:
    """Number the classes from 0, and encode tags as columns; degrees where they tell nothing."""
    edges, graph = file.edges, np.repeat(np.arange(len(file.sizes)), file.sizes)
    forward, backward = (np.unique(ends, axis=1) for ends in (edges, edges[::-1]))
    if not np.array_equal(forward, backward):
        raise ValueError("an edge in one direction only")
    tags = file.tags
    if not file.features.shape[1] and not any(len(set(column)) > 1 for column in tags.T):
        tags = np.bincount(edges[1], minlength=len(graph))[:, None]
        x = one_hot(torch.from_numpy(tags[:, 0])).float()
    else:
        x = _columns(file.features, tags)
    edge_attr = _columns(file.edge_features, file.edge_tags)
    y = torch.from_numpy(np.unique(file.classes, return_inverse=True)[1])
    order = np.argsort(graph[edges[0]], kind="stable")
    counts = np.bincount(graph[edges[0]], minlength=len(file.sizes)).tolist()
    starts = np.cumsum(file.sizes) - file.sizes
    local = torch.from_numpy(edges - starts[graph[edges[0]]])[:, order]
    parts = x.split(file.sizes.tolist()), local.split(counts, 1), edge_attr[order].split(counts)
    for number, (nodes, ends, attr) in enumerate(zip(*parts, strict=True)):
        data = Data(x=nodes.clone(), edge_index=ends.clone(), y=y[number : number + 1].clone())
        data.number = torch.tensor([number])
        if attr.shape[1]:
            data.edge_attr = attr.clone()
        yield data


def _columns(features: np.ndarray, tags: np.ndarray) -> Tensor:
    """Features ``[N, D]``, and the columns of each kind of tags."""
    columns = [torch.from_numpy(features.astype(np.float32))]
    for tag in tags.T:
        columns.append(one_hot(torch.from_numpy(np.unique(tag, return_inverse=True)[1])).float())
    return torch.cat(columns, 1)
