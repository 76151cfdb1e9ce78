"""What is drawn around a row: places of the nodes, edges or triangles, names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch_geometric.data import Data

from .layout import lay_out

# Edges that are drawn at most, and nodes that are drawn beside those of the row.
_EDGES = 40_000
POINTS = 60_000

# How far marks lie above surfaces, as a share of their extent; and nodes whose names are written
# beside them.
_LIFT = 0.007
_NAMED = 120

# Nodes from which on a cloud is drawn as haze.
_DENSE = 5000


@dataclass(frozen=True)
class Scene:
    """A graph as it is drawn.

    Args:
        pos: ``[N, 2]`` or ``[N, 3]`` float32.
        edges: ``[E', 2]``, each once; none where there are too many to see.
        face: ``[F, 3]`` triangles, or none.
        names: of the nodes, or :obj:`None`.
        title: of the picture.
        placed: whether the places were made up, since the graph had none.
    """

    pos: np.ndarray
    edges: np.ndarray
    face: np.ndarray
    names: list[str] | None = None
    title: str = ""
    placed: bool = False

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.pos)

    @property
    def in_space(self) -> bool:
        """Whether there are three coordinates."""
        return self.pos.shape[1] == 3

    @property
    def is_surface(self) -> bool:
        """Whether there are triangles to colour."""
        return len(self.face) > 0 and self.in_space

    @property
    def is_labelled(self) -> bool:
        """Whether names are written beside the nodes."""
        return self.names is not None and not self.in_space and self.num_nodes <= _NAMED

    @property
    def size(self) -> float:
        """Of a node's dot."""
        return size_of_dots(self.num_nodes)

    @cached_property
    def pins(self) -> np.ndarray:
        """``[N, D]`` where a chosen node is marked.

        A little above surfaces, which would hide the mark.
        """
        if not self.is_surface:
            return self.pos
        corners = self.pos[self.face]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        # Triangles that turn the other way enclose a negative volume.
        if (
            np.einsum(
                "fd,fd->",
                (corners[:, 0] - self.pos.mean(0)).astype(np.float64),
                across.astype(np.float64),
            )
            < 0
        ):
            across = -across
        normal = np.zeros_like(self.pos)
        for corner in range(3):
            np.add.at(normal, self.face[:, corner], across)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        return (self.pos + _LIFT * np.linalg.norm(np.ptp(self.pos, axis=0)) * normal).astype(
            np.float32
        )

    def seen_from(self, node: int) -> np.ndarray:
        """The direction ``[3]`` of the eye: on the node's side, and a little above."""
        toward = self.pos[node] - (self.pos.max(0) + self.pos.min(0)) / 2
        toward = toward / (np.linalg.norm(toward) or 1.0)
        eye = toward + (
            np.array([0.35, 0.3, 0.45]) if self.is_surface else np.array([0.45, 0.45, 0.4])
        )
        return eye / (np.linalg.norm(eye) or 1.0)

    def reach(self, node: int, weights: np.ndarray) -> float:
        """How far from a node the entries of its row lie, as a share of the extent of the whole."""
        used = np.flatnonzero(weights)
        away = np.linalg.norm(self.pos[used] - self.pos[node], axis=1).max(initial=0.0)
        return (
            float(away / (np.linalg.norm(np.ptp(self.pos, axis=0)) or 1.0))
            if self.num_nodes
            else 0.0
        )

    def near(self, node: int, reach: float) -> np.ndarray:
        """``[N]`` truth values: who is within that share of the whole extent."""
        return np.linalg.norm(self.pos - self.pos[node], axis=1) <= reach * np.linalg.norm(
            np.ptp(self.pos, axis=0)
        )

    def call(self, node: int) -> str:
        """The number of a node, with its name where it has another."""
        name = "" if self.names is None else self.names[node]
        return f"{node}" if name in ("", f"{node}") else f"{node} ({name})"

    @property
    def haze(self) -> float:
        """The opacity of the background: clouds of many nodes would hide the row inside them."""
        return 0.3 if self.in_space and self.num_nodes > _DENSE else 1.0

    def shown(self) -> np.ndarray:
        """The nodes of the background: all, or some of them."""
        if self.num_nodes <= POINTS:
            return np.arange(self.num_nodes)
        return np.sort(np.random.default_rng(0).choice(self.num_nodes, POINTS, replace=False))


def make_scene(data: Data, title: str = "") -> Scene:
    """The scene of a graph; nodes without ``pos`` get places, see :func:`~graphmask.view.layout.lay_out`.

    Cost: linear.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> scene = make_scene(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3))
        >>> scene.in_space, scene.edges.tolist()
        (False, [[0, 1], [1, 2]])
    """
    edge_index, face = data.edge_index.cpu().numpy(), data.get("face")
    pos = data.get("pos")
    places = (
        lay_out(edge_index, data.num_nodes) if pos is None else _flatten(pos.detach().cpu().numpy())
    )
    triangles = (
        np.zeros((0, 3), np.int32) if face is None else face.cpu().numpy().T.astype(np.int32)
    )
    names = data.get("node_name")
    return Scene(places, _lines(edge_index), triangles, names, title, pos is None)


def size_of_dots(number: int) -> float:
    """Smaller where there are many."""
    return float(np.clip(22 * max(number, 1) ** -0.22, 2.2, 13))


def _lines(edge_index: np.ndarray) -> np.ndarray:
    ends = np.sort(edge_index.T, axis=1)
    lines = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).astype(np.int32)
    return lines if len(lines) <= _EDGES else np.zeros((0, 2), np.int32)


def _flatten(pos: np.ndarray) -> np.ndarray:
    """Two or three coordinates: main axes where there are more, zeros beside a single one."""
    pos = np.asarray(pos, dtype=np.float64)
    if pos.shape[1] > 3:
        centred = pos - pos.mean(0)
        pos = centred @ np.linalg.svd(centred.T @ centred)[0][:, :3]
    if pos.shape[1] == 1:
        pos = np.pad(pos, ((0, 0), (0, 1)))
    # Coordinates of surveys are far from their origin, where float32 is coarse.
    middle = (pos.max(0) + pos.min(0)) / 2 if len(pos) and np.abs(pos).max() > 1e3 else 0.0
    return (pos - middle).astype(np.float32)
