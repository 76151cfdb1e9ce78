"""Graphs whose neighbours often differ in class, with the ten official splits."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, type_error, value_error

from ._base import Filter, Folder, Transform, damaged
from ._graphs import PARTS, OneFile

URL = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"
SPLITS = 10
NAMES = (
    "actor", "amazon_ratings", "chameleon", "chameleon_filtered", "minesweeper", "checks", "roman_empire", "squirrel",
    "squirrel_filtered", "tolokers",
)  # fmt: skip


class Heterophilous(OneFile):
    """One graph of the benchmark for graphs under heterophily.

    Minesweeper, roman_empire, tolokers and others.

    Read from ``root/<name>.npz``, the file of the benchmark's own repository, which is downloaded
    if there is none. The one graph is ``Data(x, edge_index, y, train_mask, val_mask, test_mask)``:
    `x` float32 of shape [N, C] and `y` long of shape [N] as in the file; `edge_index` long of shape
    [2, E], both directions of every edge exactly once, though the file holds only one; the masks
    bool of shape [N], those of one official split, or [N, 10] with all of them. They may leave
    nodes out.

    | name | N | edges | C | classes | the benchmark's score |
    |---|--:|--:|--:|--:|---|
    | minesweeper | 10,000 | 39,402 | 7 | 2 | ROC-AUC |
    | actor | 7,600 | 26,659 | 932 | 5 | accuracy |
    | chameleon_filtered | 890 | 8,854 | 2,325 | 5 | accuracy |
    | squirrel_filtered | 2,223 | 46,998 | 2,089 | 5 | accuracy |

    In ``minesweeper``, the names of `x` are: number of neighbouring mines unknown, 0, 1, 2, 3, 4,
    more. ``filtered`` says that nodes which repeat others were removed, so that no test node has a
    twin to learn from.

    Source: O. Platonov et al., "A critical look at the evaluation of GNNs under heterophily: Are we
    really making progress?", ICLR 2023; MIT licence. The chameleon, squirrel and actor graphs are
    those of H. Pei et al., "Geom-GCN: Geometric graph convolutional networks", ICLR 2020.

    Args:
        root: Folder of the file.
        name: Name of the graph; also chameleon and squirrel with their duplicates, amazon_ratings,
            checks, roman_empire and tolokers.
        split: Number of the official split, 0 to 9; None keeps all of them as columns, as PyG's
            class does.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the graph is cached.
        pre_filter: Keeps the graph if it returns True, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        TypeError: If `name` is no string or `split` no integer.
        ValueError: If `name` is not known, `split` out of range, the file is damaged or
            `pre_filter` drops the graph.
        ConnectionError: If there is no file and it cannot be downloaded.
        PermissionError: If the cache folder cannot be made.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import Heterophilous
        >>> masks = {f"{part}_masks": np.ones([10, 3], dtype=bool) for part in ("train", "val", "test")}
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.savez(
        ...         os.path.join(root, "minesweeper.npz"), edges=np.array([[0, 1], [1, 2]]), node_labels=np.array([0, 1, 0]),
        ...         node_features=np.eye(3, 7, dtype=np.float32), **masks,
        ...     )
        ...     dataset = Heterophilous(root, "minesweeper")
        >>> dataset, dataset[0].edge_index.tolist()
        (Heterophilous(), [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    def __init__(
        self,
        root: Folder,
        name: str,
        split: int | None = 0,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if not isinstance(name, str):
            raise type_error("name", "a string", name)
        self.name = name.lower().replace("-", "_")
        if self.name not in NAMES:
            raise value_error("name", f"one of {', '.join(NAMES)}", name)
        if split is not None and check_integer("split", split, 0) >= SPLITS:
            raise value_error("split", f"at most {SPLITS - 1}, or None", split)
        self.split, self.file = split, f"{self.name}.npz"
        self.url = f"{URL}/{self.file}"
        super().__init__(
            root,
            f"{self.name}_split{'s' if split is None else split}",
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    def build(self) -> Iterator[Data]:
        """The one graph."""
        try:
            with open(self.path, "rb") as file, np.load(file) as arrays:
                yield self._graph(arrays)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise damaged(
                self.path, error, "restore the file, or remove it to have it downloaded"
            ) from error

    def _graph(self, arrays: np.lib.npyio.NpzFile) -> Data:
        x, y = arrays["node_features"].astype(np.float32), arrays["node_labels"].astype(np.int64)
        edges = torch.from_numpy(arrays["edges"].astype(np.int64)).T
        _check(x, y, edges)
        masks = {f"{part}_mask": self._mask(arrays[f"{part}_masks"], len(x)) for part in PARTS}
        both = to_undirected(edges, num_nodes=len(x))
        return Data(x=torch.from_numpy(x), edge_index=both, y=torch.from_numpy(y), **masks)

    def _mask(self, masks: np.ndarray, num_nodes: int) -> Tensor:
        if masks.dtype != bool or masks.shape != (SPLITS, num_nodes):
            raise ValueError(
                f"expected masks of shape [{SPLITS}, {num_nodes}], got {masks.dtype} {masks.shape}"
            )
        return torch.from_numpy(masks.T.copy() if self.split is None else masks[self.split])


def _check(x: np.ndarray, y: np.ndarray, edges: Tensor) -> None:
    if x.ndim != 2 or y.shape != (len(x),) or edges.shape[:1] != (2,):
        raise ValueError(
            f"expected features [N, C], labels [N], edges [E, 2], got {x.shape}, {y.shape}, {edges.T.shape}"
        )
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < len(x):
        raise ValueError(
            f"expected edges between nodes 0 to {len(x) - 1}, got {int(edges.min())} to {int(edges.max())}"
        )
