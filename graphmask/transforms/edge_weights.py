"""Edge weights from geometry: from distances, lengths and angles.

Weights of a point cloud are functions of the distances [E]; weights of a mesh are functions of
``(pos [N, D], face [3, F], edge_index [2, E])``, where ``edge_index`` holds each edge of the mesh
in both directions. Any callable of the same form can take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import to_double
from graphmask._settings import repr_of
from graphmask.transforms._points import check_length
from graphmask.transforms.neighbours import edge_distance


@dataclass(frozen=True)
class Gaussian:
    r"""Weigh a distance by a Gaussian.

    .. math:: w = \exp(-d^2 / (2\,\text{scale}^2))

    Args:
        scale: distance at which the weight is exp(-1/2).

    Raises:
        ValueError: if ``scale`` is not positive and finite.

    Example:
        >>> Gaussian(scale=2.0)(torch.tensor([0.0, 2.0]))
        tensor([1.0000, 0.6065])
    """

    scale: float

    def __post_init__(self) -> None:
        check_length("scale", self.scale)

    def __call__(self, distance: Tensor) -> Tensor:
        """Compute the weights of distances of any shape."""
        return torch.exp(-0.5 * (distance / self.scale).square())


@dataclass(frozen=True)
class EdgeLength:
    r"""Weigh a mesh edge by its length.

    .. math:: w_{ij} = f(\|p_i - p_j\|)

    With ``function=None`` the weight is the length itself, large where the vertices are far apart.
    Masks read weights as affinities, so give them a falling function:
    ``EdgeLength(torch.reciprocal)`` or ``EdgeLength(Gaussian(0.1))``.

    Args:
        function: f, from lengths ``[E]`` to weights ``[E]``. (default: :obj:`None`, the identity)

    Example:
        >>> pos, edge_index = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0], [1]])
        >>> EdgeLength(torch.reciprocal)(pos, torch.empty(3, 0, dtype=torch.long), edge_index)
        tensor([0.2000])
    """

    function: Callable[[Tensor], Tensor] | None = None

    def __call__(self, pos: Tensor, face: Tensor, edge_index: Tensor) -> Tensor:
        """Compute the weights ``[E]``."""
        length = edge_distance(pos, edge_index)
        return length if self.function is None else self.function(length)

    def __repr__(self) -> str:
        return repr_of(self, "function")


@dataclass(frozen=True)
class Cotangent:
    r"""Weigh a mesh edge by the angles that face it, as the finite-element Laplacian does.

    .. math:: w_{ij} = \tfrac12 \sum_{(i, j, k)} \cot \theta_k

    Summed over the triangles that hold the edge, theta_k the angle at the third corner: two
    triangles inside a surface, one at its border, more on a non-manifold edge; a triangle listed
    twice counts twice. Negative where the angles facing an edge sum to more than pi. Computed in
    float64, returned in the dtype of ``pos``; differentiable.

    Cost: O(E log E + F) time, O(E + F) memory.

    Args:
        skip_degenerate: whether a triangle without area, whose cotangents are infinite, adds
            nothing. (default: :obj:`False`)

    Raises:
        ValueError: if triangles have no area (up to the rounding of ``pos``: a height below eps
            times the longest side); faces are not triangles; coordinates are not in 2 or 3
            dimensions.

    Example:
        >>> pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # angles of 90, 45, 45 degrees
        >>> Cotangent()(pos, torch.tensor([[0], [1], [2]]), torch.tensor([[0, 1], [1, 2]]))
        tensor([0.5000, 0.0000])
    """

    skip_degenerate: bool = False

    def __call__(self, pos: Tensor, face: Tensor, edge_index: Tensor) -> Tensor:
        """Compute the weights ``[E]``, zero on an edge of no triangle."""
        if pos.size(1) not in (2, 3):
            raise value_error("pos", "of shape [N, 2] or [N, 3] for cotangents", pos)
        if face.size(0) != 3:
            raise value_error("face", "triangles [3, F] for cotangents", face)
        cotangent, is_flat = _corner_cotangents(pos, face)
        if is_flat.any() and not self.skip_degenerate:
            expected = "triangles with an area (or pass Cotangent(skip_degenerate=True))"
            first = is_flat.nonzero().squeeze(1)[:5].tolist()
            raise value_error(
                "face", expected, f"{int(is_flat.sum())} without: faces {first} first"
            )
        half = torch.where(is_flat, 0.0, 0.5 * cotangent)
        # The corners 0, 1, 2 face the edges (1, 2), (2, 0), (0, 1).
        weight = _sum_over_edges(half, face.roll(-1, 0), face.roll(1, 0), edge_index, pos.size(0))
        return weight.to(pos.dtype)


def _corner_cotangents(pos: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the cotangents ``[3, F]`` of angles, and which triangles ``[F]`` have no area."""
    corner = torch.nn.functional.pad(to_double(pos), (0, 3 - pos.size(1)))[face]  # [3, F, 3]
    left, right = corner.roll(-1, 0) - corner, corner.roll(1, 0) - corner
    area = torch.linalg.vector_norm(torch.linalg.cross(left[0], right[0]), dim=-1)  # twice the area
    longest = left.square().sum(-1).amax(0)
    is_flat = area <= torch.finfo(pos.dtype).eps * longest
    return (left * right).sum(-1) / torch.where(is_flat, 1.0, area), is_flat


def _sum_over_edges(
    value: Tensor, i: Tensor, j: Tensor, edge_index: Tensor, num_nodes: int
) -> Tensor:
    """Sum on each edge, in either direction, the values of the vertex pairs (i, j)."""
    key, order = (edge_index[0] * num_nodes + edge_index[1]).sort()
    pair = torch.cat([i * num_nodes + j, j * num_nodes + i]).flatten()
    value = torch.cat([value, value]).flatten()
    # A pair such as a vertex with itself is no edge.
    is_edge = torch.isin(pair, key)
    edge = order[torch.searchsorted(key, pair[is_edge])]
    return value.new_zeros(key.numel()).index_put((edge,), value[is_edge], accumulate=True)
