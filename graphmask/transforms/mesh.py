"""The graph of a mesh."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops, to_undirected

from graphmask._checks import type_error, value_error
from graphmask._settings import repr_of
from graphmask.transforms._batches import Transform
from graphmask.transforms._edges import check_weight_callable, write_edges
from graphmask.transforms._points import positions

MeshWeight: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


class MeshToGraph(Transform):
    r"""Write the sides of ``data.face [3, F]`` as edges, each once in either direction.

    Does what PyG's ``FaceToEdge`` does, tetrahedra ``[4, F]`` included, and weighs the edges.
    Writes ``edge_index [2, E]``, ordered by source, and, with ``weight``, ``edge_weight [E]``;
    drops edge attributes and walks of an earlier graph. A face that names a vertex twice gives no
    self-loop. Works on batches, whose faces PyG renumbers. ``data.pos`` is needed by weights alone.

    Cost: O(F log F) time, O(F) memory.

    Args:
        remove_faces: whether to drop ``data.face`` afterwards. (default: :obj:`True`)
        weight: ``EdgeLength()``, ``Cotangent()`` or another function of (pos, face, edge_index) to
            the weights of edges. (default: :obj:`None`, no weights)

    Raises:
        TypeError: if ``weight`` is not callable, or ``face`` is not a tensor.
        ValueError: if ``face`` is missing, not integers ``[3, F]`` or ``[4, F]``, or names a vertex
            that does not exist; with ``weight``, if ``pos`` is missing, not float32 or float64, not
            ``[N, D]`` or not finite, or a weight is not finite or not ``[E]``.

    Example:
        >>> data = Data(pos=torch.eye(3), face=torch.tensor([[0], [1], [2]]))
        >>> MeshToGraph()(data).edge_index
        tensor([[0, 0, 1, 1, 2, 2],
                [1, 2, 0, 2, 0, 1]])
    """

    def __init__(
        self, remove_faces: bool | MeshWeight = True, *, weight: MeshWeight | None = None
    ) -> None:
        if callable(remove_faces):
            warnings.warn(
                "the first argument of MeshToGraph is now `remove_faces`, as in PyG's FaceToEdge: "
                "pass the weight by its name, with remove_faces=False to keep the faces",
                DeprecationWarning,
                stacklevel=2,
            )
            weight, remove_faces = remove_faces, False
        check_weight_callable(weight)
        if not isinstance(remove_faces, bool):
            raise type_error("remove_faces", "a bool", remove_faces)
        self.remove_faces = remove_faces
        self.weight = weight

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        face = check_face(data).long()
        sides = torch.cat([face[[i, j]] for i, j in itertools.combinations(range(len(face)), 2)], 1)
        edge_index = to_undirected(remove_self_loops(sides)[0], num_nodes=data.num_nodes)
        weight = self.weight and self.weight(positions(data), face, edge_index)
        if self.remove_faces:
            data.face = None
        return write_edges(data, edge_index, weight)

    def __repr__(self) -> str:
        return repr_of(self)


def check_face(data: Data) -> Tensor:
    """Return the faces, checked."""
    face = data.face
    if face is None:
        expected = "set: give the data its triangles, data.face of shape [3, F]"
        raise value_error("face", expected, "data without it")
    if not isinstance(face, Tensor):
        raise type_error("face", "a tensor [3, F]", face)
    is_integer = not (face.is_floating_point() or face.is_complex() or face.dtype == torch.bool)
    if face.dim() != 2 or face.size(0) not in (3, 4) or not is_integer:
        expected = "integers of shape [3, F] or [4, F] (transpose faces listed by row)"
        raise value_error("face", expected, face)
    num_nodes = data.num_nodes
    outside = (face < 0) | (face >= num_nodes)
    if outside.any():
        expected = f"in 0 ... {num_nodes - 1}, the vertices of the data"
        raise value_error("face", expected, f"a vertex {int(face[outside][0])}")
    return face
