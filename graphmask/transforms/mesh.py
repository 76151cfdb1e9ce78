"""The graph of a triangle mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import remove_self_loops, to_undirected

from graphmask._checks import type_error, value_error
from graphmask.transforms._edges import check_weight_callable, write_edges
from graphmask.transforms._points import positions

MeshWeight: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


class MeshToGraph(BaseTransform):
    r"""The sides of the triangles ``data.face`` [3, F] as edges, each once in either direction, ordered by source.

    Writes ``edge_index`` [2, E] and, with ``weight``, ``edge_weight`` [E]; drops edge attributes
    and walks of an earlier graph. A face that names a vertex twice gives no self-loop. Works on
    batches, whose faces PyG renumbers.

    Cost: O(F log F) time, O(F) memory.

    Args:
        weight: Weight of an edge: ``EdgeLength()``, ``Cotangent()`` or a function of (pos, face,
            edge_index).
        remove_faces: Drop ``data.face`` afterwards.

    Raises:
        ValueError: ``pos`` missing, not float32 or float64, not [N, D], not finite; ``face``
            missing, not integers [3, F], or naming a vertex that does not exist; a weight that is
            not finite or not [E].

    Example:
        >>> data = Data(pos=torch.eye(3), face=torch.tensor([[0], [1], [2]]))
        >>> MeshToGraph()(data).edge_index
        tensor([[0, 0, 1, 1, 2, 2],
                [1, 2, 0, 2, 0, 1]])
    """

    def __init__(self, weight: MeshWeight | None = None, remove_faces: bool = False) -> None:
        check_weight_callable(weight)
        self.weight = weight
        self.remove_faces = remove_faces

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        pos = positions(data)
        face = check_face(data.face, pos).long()
        sides = torch.cat([face[:2], face[1:], face[::2]], dim=1)
        edge_index = to_undirected(remove_self_loops(sides)[0], num_nodes=pos.size(0))
        weight = None if self.weight is None else self.weight(pos, face, edge_index)
        if self.remove_faces:
            data.face = None
        return write_edges(data, edge_index, weight)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(weight={self.weight}, remove_faces={self.remove_faces})"


def check_face(face: Tensor | None, pos: Tensor) -> Tensor:
    """Vertex numbers [3, F] that exist."""
    if face is None:
        raise value_error(
            "face", "set: give the data its triangles, data.face of shape [3, F]", "data without it"
        )
    if not isinstance(face, Tensor):
        raise type_error("face", "a tensor [3, F]", face)
    if face.dim() != 2 or face.size(0) != 3 or face.is_floating_point() or face.dtype == torch.bool:
        raise value_error("face", "integers of shape [3, F] (transpose faces listed by row)", face)
    outside = (face < 0) | (face >= pos.size(0))
    if outside.any():
        raise value_error(
            "face",
            f"in 0 ... {pos.size(0) - 1}, the vertices of `pos`",
            f"a vertex {int(face[outside][0])}",
        )
    return face
