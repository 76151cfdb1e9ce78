"""Graphs of the TU collection in the text format of the GIN experiments, with their ten folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error

from ._base import CachedDataset, Filter, Folder, Transform, damaged
from ._raw_files import fetched, fingerprint

URL = "https://raw.githubusercontent.com/muhanzhang/pytorch_DGCNN/50f504131ca66382f3f078ae98e59aa3ae35b795/data"
FOLDS = 10
REMEDY = "restore the file, or remove it to have it downloaded"


class TUText(CachedDataset):
    r"""Small graphs with a class each, such as NCI1, PROTEINS, IMDBBINARY or MUTAG, and the ten folds that belong to the file.

    Reads ``root/<name>/<name>.txt``: the number of graphs; then for each a line ``nodes class`` and
    for each of its nodes a line ``tag degree neighbours``. Folds are lists of numbers of graphs in
    ``root/<name>/10fold_idx/{train,test}_idx-<k>.txt``, and serve no other copy of the collection,
    whose order differs.

    Each example is ``Data(x, edge_index, y, number)``: `x` float32 of shape [N, T], the node's tag
    as one of T columns, in ascending order of the tags of the whole file; where all nodes bear the
    same tag, as in IMDBBINARY, the degree, from 0 to the largest of the file, as one of the columns
    instead. `edge_index` holds each edge in both directions; `y` long of shape [1], from 0 in
    ascending order of the file's classes; `number` long of shape [1], the place in the file.

    Args:
        root: Folder that holds the folder `name`; files that are not there are downloaded.
        name: Of the collection, as in the name of the file.
        processed_root: Folder of a cache, which the content of the file names; None reads the file
            at every start and writes nothing.
        transform: Applied at every access.
        pre_transform: Applied once, such as ``AddWalks``.
        pre_filter: Keeps the graphs it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        ConnectionError: If a file is missing and cannot be downloaded.
        PermissionError: If the cache folder cannot be made.
        ValueError: If a file is damaged or `pre_filter` keeps no graph.

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
        >>> dataset[0], dataset[0].x.tolist(), dataset.fold(1)
        (Data(x=[2, 2], edge_index=[2, 2], y=[1], number=[1]), [[1.0, 0.0], [0.0, 1.0]],
        (tensor([0]), tensor([1])))
    """

    def __init__(
        self,
        root: Folder,
        name: str,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.name, self.home = name, Path(root).expanduser() / name
        self.path = self._file(f"{name}.txt")
        folds = [
            [self._file(f"10fold_idx/{part}_idx-{k}.txt") for part in ("train", "test")]
            for k in range(1, FOLDS + 1)
        ]
        self._folds = [[_numbers(path) for path in paths] for paths in folds]
        super().__init__(
            processed_root,
            fingerprint(self.path),
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    def fold(self, k: int) -> tuple[Tensor, Tensor]:
        """Indices of the graphs that train and of those that test in fold k, from 1 to 10, each ascending.

        They are indices of this dataset, whatever `pre_filter` and indexing left of the file. No
        part of the training graphs
        is set apart to validate: choosing epochs or models by the test graphs would report the best
        of many draws.

        Raises:
            ValueError: If there is no such fold.
        """
        if check_integer("k", k, 1) > FOLDS:
            raise value_error("k", f"at most {FOLDS}", k)
        numbers = self._data.number[torch.tensor(list(self.indices()), dtype=torch.long)]
        train, test = (torch.isin(numbers, part).nonzero().flatten() for part in self._folds[k - 1])
        return train, test

    def build(self) -> Iterator[Data]:
        """The graphs in the order of the file."""
        try:
            graphs = list(_parse(self.path))
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            raise damaged(self.path, str(error) or "it ends early", REMEDY) from error
        return _encoded(graphs)

    def _file(self, name: str) -> Path:
        return fetched(self.home / name, f"{URL}/{self.name}/{name}")


def _numbers(path: Path) -> Tensor:
    try:
        return torch.tensor([int(line) for line in path.read_text().split()], dtype=torch.long)
    except (OSError, ValueError) as error:
        raise damaged(path, error, REMEDY) from error


def _parse(path: Path) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Class, tags [N] and edges [2, E] of each graph."""
    lines = iter(path.read_text().splitlines())
    for _ in range(int(next(lines))):
        nodes, label = (int(value) for value in next(lines).split())
        rows = [[int(value) for value in next(lines).split()] for _ in range(nodes)]
        if any(len(row) != row[1] + 2 for row in rows):
            raise ValueError("a node whose degree is not the number of its neighbours")
        pairs = [(other, node) for node, row in enumerate(rows) for other in row[2:]]
        edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        if edges.size and (edges.min() < 0 or edges.max() >= nodes):
            raise ValueError(f"an edge to node {edges.max()} of {nodes}")
        if set(pairs) != {(node, other) for other, node in pairs}:
            raise ValueError("an edge in one direction only")
        yield label, np.array([row[0] for row in rows], dtype=np.int64), edges


def _encoded(graphs: list[tuple[int, np.ndarray, np.ndarray]]) -> Iterator[Data]:
    """Classes from 0, tags as columns; degrees where there is but one tag."""
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
