"""Graphs that are cut into parts, on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmask._atomic import write_text
from graphmask._checks import value_error
from graphmask._shards import sha256

from ._files import damaged, map_tensors

FORMAT = 1
MANIFEST = "manifest.json"
GRAPH = "graph.safetensors"


class GraphShards:
    """A graph that :func:`shard` has cut into parts.

    Args:
        folder: where it is; ``~`` expands.
        manifest: what the manifest says, of a graph that is not visible yet. (default:
            :obj:`None`, read from the folder)

    Attributes:
        num_nodes: N.
        num_edges: E.
        num_graphs: B.
        starts: first node of each part, in the order of parts, and N.
        cut: share of edges between parts.
        halo: copies of nodes that parts need for one hop, all parts together, per node.
        imbalance: nodes of the largest part, in those of the mean.

    Raises:
        FileNotFoundError: for a folder without graph.
        ValueError: for a damaged manifest.
    """

    def __init__(self, folder: str | Path, manifest: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder).expanduser().absolute()
        path = self.folder / MANIFEST
        if manifest is None and not path.exists():
            raise FileNotFoundError(f"{self.folder} holds no {MANIFEST}: `shard` writes it")
        try:
            if manifest is None:
                manifest = json.loads(path.read_text(encoding="utf-8"))
            known = manifest["format"] == FORMAT
            self.owner: str = manifest["owner"]
            self.files: dict[str, Any] = manifest["files"]
            self.walks: list[dict[str, Any]] = manifest["walks"]
            self.walk_files: str | None = manifest["walk_files"]
            self.values: dict[str, Any] = manifest["values"]
            self.lists: list[str] = manifest.get("lists", [])
            self.num_edges, self.num_graphs = manifest["edges"], manifest["graphs"]
            self.cut: float = manifest["cut"]
            self.halo: float = manifest["halo"]
            self.imbalance: float = manifest["imbalance"]
            self.starts = torch.tensor(manifest["starts"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, str(error)) from error
        if not known:
            raise damaged(path, f"it is no manifest of format {FORMAT}")
        self.manifest: dict[str, Any] = manifest
        self._open: dict[str, dict[str, Tensor]] = {}

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return len(self.starts) - 1

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.starts[-1])

    def part(self, index: int) -> dict[str, Tensor]:
        """Map the tensors of a part into memory, without its walks."""
        return self._map(part_name(index))

    def walks_of(self, index: int) -> dict[str, Tensor]:
        """Map the tensors of the walks of a part into memory."""
        if self.walk_files is None:
            return {}
        return self._map(walks_name(self.walk_files, index))

    def graph(self) -> dict[str, Tensor]:
        """Tensors that belong neither to nodes nor to edges."""
        return self._map(GRAPH)

    def verify(self, index: int) -> None:
        """Compare the checksum of a part.

        Raises:
            ValueError: for a part whose content is another.
        """
        _ = self.part(index), self.walks_of(index)
        names = [part_name(index)]
        if self.walk_files is not None:
            names.append(walks_name(self.walk_files, index))
        for name in names:
            if sha256(self.folder / name) != self.files[name]:
                raise damaged(self.folder / name, "its checksum differs")

    def close(self, parts: Iterable[int]) -> None:
        """Forget the tensors of some parts, which are mapped again where they are read."""
        for index in parts:
            self._open.pop(part_name(index), None)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}

    def _map(self, name: str) -> dict[str, Tensor]:
        if name not in self._open:
            self._open[name] = map_tensors(self.folder / name, self.owner)
        return self._open[name]

    def __repr__(self) -> str:
        sizes = f"num_nodes={self.num_nodes}, num_edges={self.num_edges}"
        cost = f"cut={self.cut:.2g}, halo={self.halo:.2g}, imbalance={self.imbalance:.3g}"
        return f"GraphShards({sizes}, num_parts={self.num_parts}, {cost})"


def check_kind(folder: Path) -> None:
    """Check that a manifest in the folder, if there is one, is that of a graph.

    Raises:
        ValueError: for one that something else has, such as :func:`graphmask.prepare`.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # none, or a damaged one
    if isinstance(manifest, dict) and ("format" not in manifest or "plan" in manifest):
        found = f"{folder}, whose {MANIFEST} is of something else"
        raise value_error("folder", "empty, or one of `shard`", found)


def part_name(index: int) -> str:
    """The file of a part."""
    return f"part-{index:06d}.safetensors"


def walks_name(tag: str, index: int) -> str:
    """The file of the walks of a part; ``tag`` tells draws apart."""
    return f"walks-{tag}-{index:06d}.safetensors"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Make a graph visible, whose files are complete, and remove files of former ones."""
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    for path in [*folder.glob("part-*.safetensors"), *folder.glob("walks-*.safetensors")]:
        if path.name not in manifest["files"]:
            path.unlink(missing_ok=True)
