"""The graph around a row as it is drawn: coordinates, edges or triangles, names, and the view."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import value_error
from graphmask._precision import to_double

from ._layout import lay_out
from ._rows import Row

# Colours of nodes with weight 0, of edges, and of the node of the row.
PLAIN, EDGE, CHOSEN = "#b9bac4", "#d3d4dc", "#0a7d57"

# Edges drawn at most, and nodes drawn at most beside those of the row.
_EDGES, _POINTS = 40_000, 60_000

# Nodes up to which names are written beside them, and from which on a cloud is transparent.
_NAMED, _DENSE = 120, 5000

# A row of a cloud that reaches less far than this share of the diameter is drawn with its
# neighbourhood alone, which is this many times as wide.
_CLOSE, _MARGIN = 0.08, 3.0


class Scene:
    """A graph as it is drawn; nodes without ``pos`` are laid out."""

    def __init__(self, data: Data, title: str = "") -> None:
        if not data.num_nodes:
            raise value_error("data", "a graph with nodes", data)
        edge_index, face, pos = data.edge_index.cpu().numpy(), data.get("face"), data.get("pos")
        ends = np.sort(edge_index.T, axis=1)
        edges = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).astype(np.int32)
        self.title, self.names, self.laid_out = title, data.get("node_name"), pos is None
        self.pos = lay_out(edge_index, data.num_nodes) if pos is None else _reduce(pos)
        self.edges = edges if len(edges) <= _EDGES else edges[:0]
        self.face = np.zeros((0, 3)) if face is None else face.cpu().numpy().T.astype(np.int32)
        self.num_nodes, self.in_space = len(self.pos), self.pos.shape[1] == 3
        self.is_surface = self.in_space and len(self.face) > 0
        is_small = not self.in_space and self.num_nodes <= _NAMED
        self.is_labelled = self.names is not None and is_small
        # A dense cloud would hide the row inside it.
        self.opacity = 0.3 if self.in_space and self.num_nodes > _DENSE else 1.0
        # The vertical axis: surfaces stand on their second axis, clouds on their third.
        self.up = 1 if self.is_surface else 2
        low, high = self.pos.min(0), self.pos.max(0)
        self.center, self.diameter = (low + high) / 2, float(np.linalg.norm(high - low)) or 1.0

    def eye(self, node: int) -> np.ndarray:
        """The unit vector ``[3]`` towards the eye: on the side of the node, and a little above."""
        toward = self.pos[node] - self.center
        eye = toward / (np.linalg.norm(toward) or 1.0) + 0.4
        return eye / (np.linalg.norm(eye) or 1.0)

    def mark(self, node: int) -> np.ndarray:
        """``[D]`` where a node is marked: a little above a surface, which would hide the mark."""
        lift = 0.015 * self.diameter * self.eye(node) if self.is_surface else 0.0
        return (self.pos[node] + lift).astype(np.float32)

    def view(self, row: Row) -> tuple[np.ndarray, float]:
        """Center and radius of the ball to show: all, or the surroundings of a speck in a cloud."""
        reach = np.linalg.norm(self.pos[row.others] - self.pos[row.node], axis=1).max(initial=0.0)
        if self.is_surface or not 0 < reach < _CLOSE * self.diameter:
            return self.center, self.diameter / 2
        return self.pos[row.node], _MARGIN * float(reach)

    def edge_path(self, edges: np.ndarray) -> np.ndarray:
        """``[3 E', D]``, edges as one line, whose segments are separated by NaN."""
        ends = self.pos[edges]
        gap = np.full_like(ends[:, :1], np.nan)
        return np.concatenate([ends, gap], 1).reshape(-1, self.pos.shape[1])

    def label(self, node: int) -> str:
        """The number of a node, with its name where it has another."""
        name = "" if self.names is None else self.names[node]
        return f"{node}" if name in ("", f"{node}") else f"{node} ({name})"

    def background(self) -> np.ndarray:
        """The nodes that are drawn beside those of the row: all, or a sample."""
        if self.num_nodes <= _POINTS:
            return np.arange(self.num_nodes)
        return np.sort(np.random.default_rng(0).choice(self.num_nodes, _POINTS, replace=False))


def dot_size(count: int) -> float:
    """Diameter of the dots, smaller where there are many."""
    return float(np.clip(22 * max(count, 1) ** -0.22, 2.2, 13))


def _reduce(tensor: Tensor) -> np.ndarray:
    """Two or three coordinates: principal axes where there are more, zeros beside a single one."""
    pos = to_double(tensor.detach().cpu()).numpy()
    if pos.shape[1] > 3:
        pos = PCA(3).fit_transform(pos)
    pos = np.pad(pos, ((0, 0), (0, max(0, 2 - pos.shape[1]))))
    # Coordinates of surveys are far from their origin, where float32 is coarse.
    if np.abs(pos).max(initial=0.0) > 1e3:
        pos = pos - (pos.max(0) + pos.min(0)) / 2
    return pos.astype(np.float32)
