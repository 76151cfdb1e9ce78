"""The graph of GitHub developers: 37,700 nodes, and hubs of thousands of neighbours."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, value_error
from graphmask._tables import decode, read_rows

from ._base import CachedDataset, Filter, Transform, check_flag, check_optional
from ._raw_files import Folder, find_files, reading
from .minesweeper import random_masks

URL, FILE = "https://snap.stanford.edu/data", "git_web_ml.zip"
NUM_FEATURES = 4005


class GitHub(CachedDataset):
    r"""The 37,700 GitHub developers of MUSAE, who build for the web or do machine learning.

    Takes the arguments of PyG's ``GitHub``, whose file holds features of 128 dimensions and no
    masks. This class reads the original archive (2.4 MB), ``root/git_web_ml.zip``. Nodes are
    developers, edges (289,003) are mutual followers; the largest degree is 9,458. The one graph is
    ``Data(x, edge_index, y, train_mask, val_mask, test_mask)``: ``edge_index`` long of shape [2,
    578006], both directions; ``y`` long of shape [N], 1 for machine learning (25.8 %); the masks
    bool of shape [N], a random half to train, a quarter to validate, the rest to test: there is no
    official split.

    The archive has 4,005 binary features of a developer (place, stars, employer), 18 of them on
    average set, 604 MB as float32. Hence ``x`` holds either their first principal directions, or
    all of them as a sparse tensor:

    - ``components=128``: float32 of shape [N, 128], ``X V`` with the leading right singular vectors
      V of the binary matrix X, from scikit-learn's randomised ``TruncatedSVD`` with this ``seed``.
      V is found without labels from all nodes, as usual in transductive learning.
    - ``components=None``: a sparse COO tensor [N, 4005] of ones, 5 MB, for ``torch.sparse.mm(x,
      weight)`` or ``nn.Linear``.

    Source: B. Rozemberczki, C. Allen and R. Sarkar, "Multi-scale attributed node embedding",
    Journal of Complex Networks, 2021; collected from GitHub's API in June 2019, published at SNAP
    for research.

    Args:
        root: folder of the archive.
        transform, pre_transform, force_reload: see :class:`~graphmask.datasets.CachedDataset`.
        components: number of principal directions, at most 4,004; :obj:`None` for all features,
            sparse. (default: :obj:`128`)
        seed: seed of the masks and of the randomised decomposition, a non-negative integer.
            (default: :obj:`0`)
        pre_filter, processed_root: see :class:`~graphmask.datasets.CachedDataset`.
        download: whether to download the archive if it is missing. (default: :obj:`False`)

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range, the archive is damaged or ``pre_filter`` drops the
            graph.
        FileNotFoundError: if the archive is missing and ``download`` is false.
        ConnectionError: if the download fails.

    Example:
        >>> import os, tempfile, zipfile
        >>> from graphmask.datasets import GitHub
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with zipfile.ZipFile(os.path.join(root, "git_web_ml.zip"), "w") as archive:
        ...         archive.writestr("git_web_ml/musae_git_edges.csv", "id_1,id_2\n0,1\n")
        ...         targets = "id,name,ml_target\n0,ada,1\n1,alan,0\n"
        ...         archive.writestr("git_web_ml/musae_git_target.csv", targets)
        ...         features = '{"0": [5, 7], "1": [5]}'
        ...         archive.writestr("git_web_ml/musae_git_features.json", features)
        ...     data = GitHub(root, components=None)[0]
        >>> data.edge_index.tolist(), data.y.tolist(), data.x.to_dense().sum(1)
        ([[0, 1], [1, 0]], [1, 0], tensor([2., 1.]))
    """

    class_names = ("web", "machine learning")

    def __init__(
        self,
        root: Folder,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        force_reload: bool = False,
        *,
        components: int | None = 128,
        seed: int = 0,
        pre_filter: Filter | None = None,
        processed_root: Folder | None = None,
        download: bool = False,
    ) -> None:
        self.components = check_optional("components", components, 1)
        if components is not None and components >= NUM_FEATURES:
            raise value_error("components", f"less than {NUM_FEATURES}, or None", components)
        self.seed = check_integer("seed", seed, 0)
        (self.path,) = find_files(root, [FILE], URL, check_flag("download", download))
        super().__init__(
            root,
            f"{'sparse' if components is None else f'svd{components}'}_seed{seed}",
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            processed_root=processed_root,
            force_reload=force_reload,
        )

    @property
    def sources(self) -> Sequence[Path]:
        return (self.path,)

    def build(self) -> Iterator[Data]:
        """Yield the graph."""
        remedy = "restore the archive, or remove it and pass `download=True`"
        with reading(self.path, remedy), zipfile.ZipFile(self.path) as archive:
            edges, labels, features = _read(archive)
        masks = random_masks(len(labels), np.random.default_rng(self.seed))
        both = to_undirected(torch.from_numpy(edges).T, num_nodes=len(labels))
        yield Data(x=self._features(features), edge_index=both, y=torch.from_numpy(labels), **masks)

    def _features(self, features: sp.csr_array) -> Tensor:
        if self.components is not None:
            reduced = TruncatedSVD(self.components, random_state=self.seed).fit_transform(
                sp.csr_matrix(features)
            )
            return torch.from_numpy(reduced.astype(np.float32))
        entries = features.tocoo()
        index = torch.from_numpy(np.stack(entries.coords).astype(np.int64))
        ones = torch.from_numpy(entries.data)
        return torch.sparse_coo_tensor(
            index, ones, entries.shape, check_invariants=True, is_coalesced=True
        )


def _read(archive: zipfile.ZipFile) -> tuple[np.ndarray, np.ndarray, sp.csr_array]:
    """Read edges [E, 2], labels [N] and binary features [N, 4005]."""
    labels = _table(archive, "target", ("id", "ml_target"))
    edges = _table(archive, "edges", ("id_1", "id_2"))
    if not np.array_equal(labels[:, 0], np.arange(len(labels))):
        raise ValueError("expected the targets of nodes 0, 1, 2 and so on")
    if not len(edges) or not 0 <= edges.min() <= edges.max() < len(labels):
        raise ValueError(f"expected edges between nodes 0 to {len(labels) - 1}")
    features = json.loads(archive.read("git_web_ml/musae_git_features.json"))
    return edges, labels[:, 1].copy(), _binary(features, len(labels))


def _table(archive: zipfile.ZipFile, name: str, columns: tuple[str, str]) -> np.ndarray:
    header, *rows = read_rows(decode(archive.read(f"git_web_ml/musae_git_{name}.csv")), ",")
    places = [header.cells.index(column) for column in columns]
    table = [[int(row.cells[place]) for place in places] for row in rows]
    return np.array(table, dtype=np.int64).reshape(-1, 2)


def _binary(features: dict[str, list[int]], num_nodes: int) -> sp.csr_array:
    columns = [np.unique(features.get(str(node), [])).astype(np.int64) for node in range(num_nodes)]
    row = np.repeat(np.arange(num_nodes), [len(column) for column in columns])
    column = np.concatenate(columns)
    if len(column) and not 0 <= column.min() <= column.max() < NUM_FEATURES:
        raise ValueError(
            f"expected features 0 to {NUM_FEATURES - 1}, got {column.min()} to {column.max()}"
        )
    ones = np.ones(len(row), dtype=np.float32)
    return sp.csr_array((ones, (row, column)), shape=(num_nodes, NUM_FEATURES))
