"""Graphs whose neighbours often differ in class, with the ten official splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected
from typing_extensions import Unpack

from graphmask._checks import check_integer, type_error, value_error
from graphmask._tables import to_float32, to_int64

from ._base import CachedDataset, Options, check_flag
from ._raw_files import Folder, find_files, reading

URL = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"
SPLITS = 10
NAMES = (
    "actor", "amazon_ratings", "chameleon", "chameleon_filtered", "minesweeper", "checks",
    "roman_empire", "squirrel", "squirrel_filtered", "tolokers",
)  # fmt: skip


class Heterophilous(CachedDataset):
    """One graph of the benchmark for graphs under heterophily: minesweeper, tolokers and others.

    Reads ``root/<name>.npz``, the file of the benchmark's own repository. PyG's
    ``HeterophilousGraphDataset`` downloads five of these graphs; this class reads ten, offline, and
    picks one of the splits. The graph is ``Data(x, edge_index, y, train_mask, val_mask,
    test_mask)``: ``x`` float32 of shape [N, C] and ``y`` long of shape [N] as in the file;
    ``edge_index`` long of shape [2, E], both directions of every edge exactly once, though the file
    holds only one; the masks bool of shape [N], those of one official split, or [N, 10] with all of
    them. Some nodes are in none.

    | name | N | edges | C | classes | the benchmark's score |
    |---|--:|--:|--:|--:|---|
    | minesweeper | 10,000 | 39,402 | 7 | 2 | ROC-AUC |
    | actor | 7,600 | 26,659 | 932 | 5 | accuracy |
    | chameleon_filtered | 890 | 8,854 | 2,325 | 5 | accuracy |
    | squirrel_filtered | 2,223 | 46,998 | 2,089 | 5 | accuracy |

    In ``minesweeper``, the names of ``x`` are: number of neighbouring mines unknown, 0, 1, 2, 3, 4,
    more. In ``filtered`` graphs, nodes that repeat others were removed, so that no test node has a
    twin among the training nodes.

    Source: O. Platonov et al., "A critical look at the evaluation of GNNs under heterophily: Are we
    really making progress?", ICLR 2023; MIT licence. The chameleon, squirrel and actor graphs are
    those of H. Pei et al., "Geom-GCN: Geometric graph convolutional networks", ICLR 2020.

    Args:
        root: folder of the file.
        name: name of the graph; also chameleon and squirrel with their duplicates, amazon_ratings,
            checks, roman_empire and tolokers.
        split: number of the official split, 0 to 9; :obj:`None` keeps all of them as columns, as
            PyG's class does. (default: :obj:`0`)
        download: whether to download the file if it is missing. (default: :obj:`False`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``name`` is no string or ``split`` no integer.
        ValueError: if ``name`` is not known, ``split`` out of range, the file is damaged or
            ``pre_filter`` drops the graph.
        FileNotFoundError: if the file is missing and ``download`` is false.
        ConnectionError: if the download fails.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import Heterophilous
        >>> arrays = {"edges": [[0, 1], [1, 2]], "node_labels": [0, 1, 0]}
        >>> arrays["node_features"] = np.eye(3, 7)
        >>> masks = {f"{part}_masks": np.ones([10, 3], bool) for part in ("train", "val", "test")}
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.savez(os.path.join(root, "minesweeper.npz"), **arrays, **masks)
        ...     dataset = Heterophilous(root, "minesweeper")
        >>> dataset, dataset[0].edge_index.tolist()
        (Heterophilous(), [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    def __init__(
        self,
        root: Folder,
        name: str,
        split: int | None = 0,
        *,
        download: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if not isinstance(name, str):
            raise type_error("name", "a string", name)
        self.name = name.lower().replace("-", "_")
        if self.name not in NAMES:
            raise value_error("name", f"one of {', '.join(NAMES)}", name)
        if split is not None and check_integer("split", split, 0) >= SPLITS:
            raise value_error("split", f"at most {SPLITS - 1}, or None", split)
        self.split = split
        (self.path,) = find_files(root, [f"{self.name}.npz"], URL, check_flag("download", download))
        super().__init__(root, f"{self.name}_split{'s' if split is None else split}", **options)

    @property
    def sources(self) -> Sequence[Path]:
        return (self.path,)

    def build(self) -> Iterator[Data]:
        """Yield the graph."""
        remedy = "restore the file, or remove it and pass `download=True`"
        with reading(self.path, remedy), open(self.path, "rb") as file, np.load(file) as arrays:
            graph = self._graph(arrays)
        yield graph

    def _graph(self, arrays: np.lib.npyio.NpzFile) -> Data:
        x = to_float32("node_features", arrays["node_features"])
        y = to_int64("node_labels", arrays["node_labels"])
        edges = torch.from_numpy(to_int64("edges", arrays["edges"])).T
        _check(x, y, edges)
        masks = {
            f"{part}_mask": self._mask(arrays[f"{part}_masks"], len(x))
            for part in ("train", "val", "test")
        }
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
        shapes = f"{x.shape}, {y.shape}, {edges.T.shape}"
        raise ValueError(f"expected features [N, C], labels [N], edges [E, 2], got {shapes}")
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < len(x):
        ids = f"{int(edges.min())} to {int(edges.max())}"
        raise ValueError(f"expected edges between nodes 0 to {len(x) - 1}, got {ids}")
