"""The graph of GitHub developers: 37,700 nodes, and hubs of thousands of neighbours."""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, value_error

from ._base import Filter, Folder, Transform, damaged
from ._graphs import OneFile, random_masks

NUM_FEATURES = 4005


class GitHub(OneFile):
    r"""The 37,700 GitHub developers of MUSAE.

    Who builds for the web, and who does machine learning?

    Read from ``root/git_web_ml.zip``, the original archive (2.4 MB), which is downloaded if there
    is none. Nodes are developers, edges (289,003) are mutual followers; the largest degree is
    9,458. The one graph is ``Data(x, edge_index, y, train_mask, val_mask, test_mask)``:
    `edge_index` long of shape [2, 578006], both directions; `y` long of shape [N], 1 for machine
    learning (25.8 %); the masks bool of shape [N], a random half to train, a quarter to validate,
    the rest to test: there is no official split.

    The archive has 4,005 binary features of a developer (place, stars, employer), 18 of them on
    average set, 604 MB as float32. Hence `x` holds either their first principal directions, or all
    of them as a sparse tensor:

    - ``components=128``: float32 of shape [N, 128], ``X V`` with the leading right singular vectors
      V of the binary matrix X, from scikit-learn's randomised ``TruncatedSVD`` with this `seed`. V
      is found without labels from all nodes, as usual in transductive learning.
    - ``components=None``: a sparse COO tensor [N, 4005] of ones, 5 MB, for ``torch.sparse.mm(x,
      weight)`` or ``nn.Linear``.

    Source: B. Rozemberczki, C. Allen and R. Sarkar, "Multi-scale attributed node embedding",
    Journal of Complex Networks, 2021; collected from GitHub's API in June 2019, published at SNAP
    for research.

    Args:
        root: Folder of the archive.
        components: Number of principal directions, at most 4,004; None for all features, sparse.
        seed: Seed of the masks and of the randomised decomposition, a non-negative integer.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the graph is cached.
        pre_filter: Keeps the graph if it returns True, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, the archive is damaged or `pre_filter` drops the
            graph.
        ConnectionError: If there is no archive and it cannot be downloaded.
        PermissionError: If the cache folder cannot be made.

    Example:
        >>> import os, tempfile, zipfile
        >>> from graphmask.datasets import GitHub
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with zipfile.ZipFile(os.path.join(root, "git_web_ml.zip"), "w") as archive:
        ...         archive.writestr("git_web_ml/musae_git_edges.csv", "id_1,id_2\n0,1\n")
        ...         archive.writestr("git_web_ml/musae_git_target.csv", "id,name,ml_target\n0,ada,1\n1,alan,0\n")
        ...         archive.writestr("git_web_ml/musae_git_features.json", '{"0": [5, 7], "1": [5]}')
        ...     data = GitHub(root, components=None)[0]
        >>> data.edge_index.tolist(), data.y.tolist(), data.x.to_dense().sum(1)
        ([[0, 1], [1, 0]], [1, 0], tensor([2., 1.]))
    """

    file = "git_web_ml.zip"
    url = f"https://snap.stanford.edu/data/{file}"
    class_names = ("web", "machine learning")

    def __init__(
        self,
        root: Folder,
        components: int | None = 128,
        seed: int = 0,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if components is not None and check_integer("components", components, 1) >= NUM_FEATURES:
            raise value_error("components", f"less than {NUM_FEATURES}, or None", components)
        self.components, self.seed = components, check_integer("seed", seed, 0)
        super().__init__(
            root,
            f"{'sparse' if components is None else f'svd{components}'}_seed{seed}",
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def num_classes(self) -> int:
        """Two."""
        return len(self.class_names)

    def build(self) -> Iterator[Data]:
        """The one graph."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                edges, labels, features = _read(archive)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise damaged(
                self.path, error, "restore the archive, or remove it to have it downloaded"
            ) from error
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
    """Edges [E, 2], labels [N] and binary features [N, 4005]."""
    labels = _table(archive, "target", ("id", "ml_target"))
    edges = _table(archive, "edges", ("id_1", "id_2"))
    if not np.array_equal(labels[:, 0], np.arange(len(labels))):
        raise ValueError("expected the targets of nodes 0, 1, 2 and so on")
    if not len(edges) or not 0 <= edges.min() <= edges.max() < len(labels):
        raise ValueError(f"expected edges between nodes 0 to {len(labels) - 1}")
    return (
        edges,
        labels[:, 1].copy(),
        _binary(json.loads(archive.read("git_web_ml/musae_git_features.json")), len(labels)),
    )


def _table(archive: zipfile.ZipFile, name: str, columns: tuple[str, str]) -> np.ndarray:
    with archive.open(f"git_web_ml/musae_git_{name}.csv") as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
        return np.array(
            [[int(row[column]) for column in columns] for row in rows], dtype=np.int64
        ).reshape(-1, 2)


def _binary(features: dict[str, list[int]], num_nodes: int) -> sp.csr_array:
    held = [np.unique(features.get(str(node), [])).astype(np.int64) for node in range(num_nodes)]
    row, column = (
        np.repeat(np.arange(num_nodes), [len(each) for each in held]),
        np.concatenate(held),
    )
    if len(column) and not 0 <= column.min() <= column.max() < NUM_FEATURES:
        raise ValueError(
            f"expected features 0 to {NUM_FEATURES - 1}, got {column.min()} to {column.max()}"
        )
    return sp.csr_array(
        (np.ones(len(row), dtype=np.float32), (row, column)), shape=(num_nodes, NUM_FEATURES)
    )
