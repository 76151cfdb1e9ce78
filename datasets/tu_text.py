"""Graphs of the TU collection in the text format of the GIN experiments, with their ten folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, value_error

from ._base import CachedDataset, Options, check_flag
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

    Each example is ``Data(x, edge_index, y, number)``: ``x`` float32 of shape [N, T], the node's
    tag as one of T columns, in ascending order of the tags of the whole file; where all nodes bear
    the same tag, as in IMDBBINARY, the degree, from 0 to the largest of the file, as one of the
    columns instead. ``edge_index`` holds each edge in both directions; ``y`` long of shape [1],
    from 0 in ascending order of the file's classes; ``number`` long of shape [1], the place in the
    file.

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
        names = [f"10fold_idx/{part}_idx-{k}.txt" for k in FOLDS for part in ("train", "test")]
        self.path, *folds = find_files(
            Path(root) / name,
            [f"{name}.txt", *names],
            f"{URL}/{name}",
            check_flag("download", download),
        )
        self._folds = [_numbers(path) for path in folds]
        super().__init__(None, fingerprint(self.path), **options)

    def fold(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the indices of the training and the test graphs of fold k, from 1 to 10.

        They are ascending indices of this dataset, also after ``pre_filter`` and indexing. No
        training graphs are set apart to validate: choosing epochs or models by the test graphs
        would report the best of many draws.

        Raises:
            ValueError: if there is no such fold.
        """
        if check_integer("k", k, 1) not in FOLDS:
            raise value_error("k", f"at most {FOLDS[-1]}", k)
        numbers = self._data.number[torch.tensor(list(self.indices()), dtype=torch.long)]
        train, test = (
            torch.isin(numbers, fold).nonzero().flatten() for fold in self._folds[2 * k - 2 : 2 * k]
        )
        return train, test

    def build(self) -> Iterator[Data]:
        """Yield the graphs in the order of the file."""
        with reading(self.path, REMEDY):
            graphs = list(_parse(self.path))
        return _encode(graphs)


def _numbers(path: Path) -> Tensor:
    with reading(path, REMEDY):
        return torch.tensor([int(line) for line in path.read_text().split()], dtype=torch.long)


def _parse(path: Path) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the class, tags [N] and edges [2, E] of each graph."""
    rows = [[int(value) for value in line.split()] for line in path.read_text().splitlines()]
    start = 1
    for _ in range(rows[0][0]):
        num_nodes, label = rows[start]
        nodes = rows[start + 1 : start + 1 + num_nodes]
        start += 1 + num_nodes
        if len(nodes) < num_nodes:
            raise ValueError("it ends early")
        if any(len(node) != node[1] + 2 for node in nodes):
            raise ValueError("a node whose degree is not the number of its neighbours")
        pairs = [(other, index) for index, node in enumerate(nodes) for other in node[2:]]
        edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
            raise ValueError(f"an edge to node {edges.max()} of {num_nodes}")
        if set(pairs) != {(index, other) for other, index in pairs}:
            raise ValueError("an edge in one direction only")
        yield label, np.array([node[0] for node in nodes], dtype=np.int64), edges


def _encode(graphs: list[tuple[int, np.ndarray, np.ndarray]]) -> Iterator[Data]:
    """Number the classes from 0, and encode tags as columns; degrees where there is one tag."""
    classes = np.unique([label for label, _, _ in graphs])
    tags = np.unique(np.concatenate([tag for _, tag, _ in graphs]))
    degrees = [np.bincount(edges[1], minlength=len(tag)) for _, tag, edges in graphs]
    by_tag = len(tags) > 1
    columns = len(tags) if by_tag else 1 + max(int(degree.max(initial=0)) for degree in degrees)
    for number, ((label, tag, edges), degree) in enumerate(zip(graphs, degrees, strict=True)):
        column = torch.from_numpy(np.searchsorted(tags, tag) if by_tag else degree)
        yield Data(
            x=one_hot(column, columns).float(),
            edge_index=torch.from_numpy(edges.copy()),
            y=torch.tensor([int(np.searchsorted(classes, label))]),
            number=torch.tensor([number]),
        )
