"""The graph around a row as it is drawn: coordinates, edges or triangles, names, and the eye."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.decomposition import PCA
from torch import Tensor
from torch_geometric.data import Data

from .layout import lay_out

# Edges drawn at most, and nodes drawn at most beside those of the row.
_EDGES = 40_000
_POINTS = 60_000

# Distance of marks above surfaces, as a share of their extent.
_LIFT = 0.015

# Nodes up to which names are written beside them, and from which on a cloud is transparent.
_NAMED = 120
_DENSE = 5000

# A row of a cloud that reaches less far than this share of the extent is drawn with its
# neighbourhood alone, which is this many times as wide.
_CLOSE, _MARGIN = 0.08, 3.0


@dataclass(frozen=True)
class Scene:
    """A graph as it is drawn.

    Args:
        pos: ``[N, 2]`` or ``[N, 3]`` float32.
        edges: ``[E', 2]``, each once; empty where there are too many to see.
        face: ``[F, 3]`` triangles, or empty.
        names: of the nodes, or :obj:`None`.
        title: of the picture.
        laid_out: whether the coordinates were computed from the edges.
    """

    pos: np.ndarray
    edges: np.ndarray
    face: np.ndarray
    names: list[str] | None = None
    title: str = ""
    laid_out: bool = False

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.pos)

    @property
    def in_space(self) -> bool:
        """True if there are three coordinates."""
        return self.pos.shape[1] == 3

    @property
    def is_surface(self) -> bool:
        """True if there are triangles to colour."""
        return len(self.face) > 0 and self.in_space

    @property
    def is_labelled(self) -> bool:
        """True if names are written beside the nodes."""
        return self.names is not None and not self.in_space and self.num_nodes <= _NAMED

    @property
    def size(self) -> float:
        """Diameter of a node's dot."""
        return dot_size(self.num_nodes)

    @property
    def opacity(self) -> float:
        """Opacity of the background: a dense cloud would hide the row inside it."""
        return 0.3 if self.in_space and self.num_nodes > _DENSE else 1.0

    @property
    def up(self) -> tuple[float, float, float]:
        """The vertical axis: surfaces stand on their second axis, clouds on their third."""
        return (0.0, 1.0, 0.0) if self.is_surface else (0.0, 0.0, 1.0)

    @property
    def middle(self) -> np.ndarray:
        """``[D]``, the middle of the bounding box."""
        return (self.pos.max(0) + self.pos.min(0)) / 2

    @cached_property
    def diameter(self) -> float:
        """Length of the diagonal of the bounding box."""
        return float(np.linalg.norm(np.ptp(self.pos, axis=0))) or 1.0

    def eye_direction(self, node: int) -> np.ndarray:
        """The unit vector ``[3]`` towards the eye: on the side of the node, and a little above."""
        toward = self.pos[node] - self.middle
        lift = (0.35, 0.3, 0.45) if self.is_surface else (0.45, 0.45, 0.4)
        eye = toward / (np.linalg.norm(toward) or 1.0) + lift
        return eye / (np.linalg.norm(eye) or 1.0)

    def mark(self, node: int) -> np.ndarray:
        """``[D]`` where a node is marked: a little above a surface, which would hide the mark."""
        lift = _LIFT * self.diameter * self.eye_direction(node) if self.is_surface else 0.0
        return (self.pos[node] + lift).astype(np.float32)

    def silhouette(self, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth and size ``[N]`` of the nodes as the eye sees them.

        Depth is measured from the middle towards the eye, and size across the view, as the larger
        of the horizontal and the vertical distance from the middle.
        """
        right = np.cross(self.up, eye)
        right = right / (np.linalg.norm(right) or 1.0)
        offset = self.pos - self.middle
        across = offset @ np.stack([right, np.cross(eye, right)], 1)
        return offset @ eye, np.abs(across).max(1, initial=0.0)

    def closeup(self, node: int, weights: np.ndarray) -> float | None:
        """The radius to draw around the row of a cloud that would be a speck in the whole."""
        used = np.flatnonzero(weights)
        reach = np.linalg.norm(self.pos[used] - self.pos[node], axis=1).max(initial=0.0)
        is_speck = 0 < reach < _CLOSE * self.diameter and not self.is_surface
        return _MARGIN * float(reach) if is_speck else None

    def label(self, node: int) -> str:
        """The number of a node, with its name where it has another."""
        name = "" if self.names is None else self.names[node]
        return f"{node}" if name in ("", f"{node}") else f"{node} ({name})"

    def background(self) -> np.ndarray:
        """The nodes that are drawn beside those of the row: all, or a sample."""
        if self.num_nodes <= _POINTS:
            return np.arange(self.num_nodes)
        return np.sort(np.random.default_rng(0).choice(self.num_nodes, _POINTS, replace=False))


def make_scene(data: Data, title: str = "") -> Scene:
    """The scene of a graph; nodes without ``pos`` are laid out by ``graphmask.view.layout``.

    Cost: linear.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.view.scene import make_scene
        >>> scene = make_scene(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3))
        >>> scene.in_space, scene.edges.tolist()
        (False, [[0, 1], [1, 2]])
    """
    edge_index, face, pos = data.edge_index.cpu().numpy(), data.get("face"), data.get("pos")
    ends = np.sort(edge_index.T, axis=1)
    edges = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).astype(np.int32)
    return Scene(
        lay_out(edge_index, data.num_nodes) if pos is None else _flatten(pos),
        edges if len(edges) <= _EDGES else edges[:0],
        np.zeros((0, 3), np.int32) if face is None else face.cpu().numpy().T.astype(np.int32),
        data.get("node_name"),
        title,
        pos is None,
    )


def dot_size(count: int) -> float:
    """Diameter of the dots, smaller where there are many."""
    return float(np.clip(22 * max(count, 1) ** -0.22, 2.2, 13))


def _flatten(tensor: Tensor) -> np.ndarray:
    """Two or three coordinates: principal axes where there are more, zeros beside a single one."""
    pos = tensor.detach().cpu().double().numpy()
    if pos.shape[1] > 3:
        pos = PCA(3).fit_transform(pos)
    if pos.shape[1] == 1:
        pos = np.pad(pos, ((0, 0), (0, 1)))
    # Coordinates of surveys are far from their origin, where float32 is coarse.
    if len(pos) and np.abs(pos).max() > 1e3:
        pos = pos - (pos.max(0) + pos.min(0)) / 2
    return pos.astype(np.float32)
