"""Heat kernel signatures of meshes and graphs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from torch_geometric.data import Data
from torch_geometric.transforms.add_positional_encoding import add_node_attr

from graphmask._checks import check_integer, type_error, value_error
from graphmask._settings import repr_of
from graphmask.topology import Topology
from graphmask.transforms._batches import Transform
from graphmask.transforms._graph_alone import topology_alone, write_encoding
from graphmask.transforms._points import positions
from graphmask.transforms.mesh import check_face

Array = NDArray[np.float64]

# Components of at most this many vertices are solved as dense matrices.
_SMALL = 512

# The shift of the eigenvalue problem, in units of a typical diagonal entry: below zero, where the
# matrix is positive definite.
_SHIFT = -1e-8


class HeatKernelSignature(Transform):
    r"""Add the heat kernel signature: how much heat is left at a vertex after times t.

    .. math:: \text{HKS}_i(t) = \sum_k e^{-\lambda_k t} \varphi_k(i)^2, \qquad
        L \varphi_k = \lambda_k M \varphi_k, \quad \varphi_k^T M \varphi_l = \delta_{kl}

    It is the same in every pose, for every order of vertices, and when a surface bends without
    stretching; small times see details, large ones the whole shape. Where data have triangles
    (``data.face [3, F]``), L is the cotangent Laplacian and M the lumped mass, a third of the areas
    of the triangles at each vertex. Else L = D - A is the Laplacian of the graph, with
    ``edge_weight`` if there are weights and both directions averaged, and M = I.

    All modes of eigenvalue 0 are summed, one per connected component, and the ``k`` smallest
    eigenvalues above. Times are spaced by equal factors from :math:`4 \ln 10 / \lambda_{\max}` to
    :math:`4 \ln 10 / \lambda_{\min}` of these, for each graph by itself: what the sum leaves out
    counts for less than 1e-4 of it per mode. Graphs of ``data.batch`` are solved one by one, as if
    alone.

    The signature of a graph belongs to it, as :class:`~graphmask.transforms.AddWalkEncoding` does:
    ``encoded_graph_hks``, named after ``attr_name``, holds its identity.

    A triangle without area adds nothing. A vertex without any area, such as one of no triangle, has
    the value 0, since heat needs a mass; a node without edges keeps its heat.

    Args:
        num_times: T. (default: :obj:`16`)
        k: number of eigenvalues above 0, fewer where there are fewer. (default: :obj:`64`)
        scale_invariant: whether to multiply by the area of the surface (or the number of nodes): as
            if it had the area 1, so that its size does not matter. (default: :obj:`True`)
        attr_name: the attribute to write, ``[N, T]``; :obj:`None` appends to ``x``. (default:
            :obj:`"hks"`)

    Raises:
        TypeError: if an argument or ``face`` has a wrong type.
        ValueError: if T or k is below 1; if faces are not triangles or join graphs of a batch; if
            ``pos`` is missing beside faces, not float32 or float64, not ``[N, 2]`` or ``[N, 3]`` or
            not finite; without faces, if data have no edges, or weights that are negative.

    Cost: a sparse factorisation and about 2k solves by the Lanczos method per component, O(N k^2)
    time and O(N k) memory on surfaces; once per shape as ``pre_transform``.

    Source: Sun, Ovsjanikov and Guibas, "A Concise and Provably Informative Multi-Scale Signature
    Based on Heat Diffusion" (SGP 2009), with its range of times, section 5.

    Example:
        >>> import torch
        >>> corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> face = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2], [2, 3, 3, 3]])
        >>> hks = HeatKernelSignature(num_times=4)
        >>> signature = hks(Data(pos=corners, face=face)).hks
        >>> bigger_and_turned = hks(Data(pos=7 * corners.flip(1), face=face)).hks
        >>> signature.shape, torch.allclose(signature, bigger_and_turned, atol=1e-5)
        (torch.Size([4, 4]), True)
    """

    def __init__(
        self,
        num_times: int = 16,
        k: int = 64,
        scale_invariant: bool = True,
        attr_name: str | None = "hks",
    ) -> None:
        self.num_times = check_integer("num_times", num_times, 1)
        self.k = check_integer("k", k, 1)
        if not isinstance(scale_invariant, bool):
            raise type_error("scale_invariant", "a bool", scale_invariant)
        self.scale_invariant, self.attr_name = scale_invariant, attr_name

    def forward(self, data: Data) -> Data:
        """Write the signature."""
        if not isinstance(data, Data):
            raise type_error("data", "a torch_geometric.data.Data", data)
        topology = topology_alone(data) if data.face is None else None
        if topology is None:
            dtype, shape = positions(data).dtype, _shape_of_mesh(data)
        else:
            dtype, shape = torch.get_default_dtype(), _shape_of_graph(topology)
        batch = data.batch
        graph = np.zeros(len(shape.mass), int) if batch is None else batch.cpu().numpy()
        signature = np.zeros((len(graph), self.num_times))
        for number in np.unique(graph):
            nodes = np.flatnonzero(graph == number)
            signature[nodes] = self._signature(shape.select(nodes))
        value = torch.from_numpy(signature.astype(str(dtype).removeprefix("torch.")))
        if topology is None:
            return add_node_attr(data, value.to(data.face.device), self.attr_name)
        return write_encoding(data, value.to(topology.device), self.attr_name, topology)

    def _signature(self, shape: _Shape) -> Array:
        """``[N, T]``, of one graph."""
        parts = [_solve(shape.select(nodes), self.k) for nodes in shape.components()]
        values = np.sort(np.concatenate([[], *(part.value for part in parts)]))[: self.k]
        # Without an edge there is no time at which anything happens.
        first, last = (values[0], values[-1]) if len(values) else (1.0, 1.0)
        times = 4 * math.log(10) * np.geomspace(1 / last, 1 / first, self.num_times)
        signature = np.zeros((len(shape.mass), self.num_times))
        for nodes, part in zip(shape.components(), parts, strict=True):
            used = part.value <= last
            decay = np.exp(-part.value[used, None] * times)
            signature[nodes] = 1 / shape.mass[nodes].sum() + part.square[:, used] @ decay
        return signature * (shape.mass.sum() if self.scale_invariant else 1.0)

    def __repr__(self) -> str:
        return repr_of(self, "num_times", "k")


class _Shape(NamedTuple):
    """A surface or a graph: its Laplacian ``[N, N]``, masses ``[N]`` and what is joined."""

    laplacian: csr_matrix
    mass: Array
    joined: csr_matrix

    def select(self, nodes: NDArray[np.int64]) -> _Shape:
        """The part of some nodes."""
        return _Shape(
            self.laplacian[nodes][:, nodes], self.mass[nodes], self.joined[nodes][:, nodes]
        )

    def components(self) -> list[NDArray[np.int64]]:
        """The nodes of each connected component that has a mass."""
        count, label = connected_components(self.joined, directed=False)
        order = np.argsort(label, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])
        return [nodes for nodes in parts if len(nodes) and self.mass[nodes[0]] > 0]


class _Modes(NamedTuple):
    """Eigenvalues above 0 ``[k]``, rising, and the squares of eigenfunctions ``[N, k]``."""

    value: Array
    square: Array


def _solve(shape: _Shape, k: int) -> _Modes:
    """The modes of a connected shape of the ``k`` smallest eigenvalues above 0."""
    size, root = len(shape.mass), np.sqrt(shape.mass)
    k = min(k, size - 1)
    if k == 0:
        return _Modes(np.zeros(0), np.zeros((size, 0)))
    matrix = diags(1 / root) @ shape.laplacian @ diags(1 / root)
    if size <= _SMALL or k + 1 > size // 2:
        value, vector = eigh(matrix.toarray(), subset_by_index=(1, k))
    else:
        # A start of no symmetry, the same in every run, so that no mode is missed.
        start = np.random.default_rng(0).standard_normal(size)
        shift = _SHIFT * float(np.median(matrix.diagonal()))
        value, vector = eigsh(matrix.tocsc(), k + 1, sigma=shift, v0=start)
        order = np.argsort(value)[1:]
        value, vector = value[order], vector[:, order]
    # Parts that next to nothing joins have an eigenvalue of next to nothing, up to rounding.
    floor = np.finfo(float).eps * float(matrix.diagonal().max())
    return _Modes(np.maximum(value, floor), vector**2 / shape.mass[:, None])


def _shape_of_mesh(data: Data) -> _Shape:
    pos, face = positions(data), check_face(data).long()
    if face.shape[0] != 3:
        raise value_error("face", "triangles [3, F]", face)
    if pos.shape[1] not in (2, 3):
        raise value_error("pos", "of shape [N, 2] or [N, 3]", pos)
    if data.batch is not None and bool((data.batch[face] != data.batch[face[0]]).any()):
        raise value_error("face", "triangles within graphs of the batch", "some that join two")
    point = np.pad(pos.detach().cpu().numpy().astype(float), ((0, 0), (0, 3 - pos.shape[1])))
    corner = face.cpu().numpy()
    left = point[np.roll(corner, -1, 0)] - point[corner]
    right = point[np.roll(corner, 1, 0)] - point[corner]
    double_area = np.linalg.norm(np.cross(left[0], right[0]), axis=-1)
    longest = (left**2).sum(-1).max(0, initial=0.0)
    # The height is above the rounding of the longest side.
    keep = double_area > torch.finfo(pos.dtype).eps * longest
    corner, double_area = corner[:, keep], double_area[keep]
    half = (left * right).sum(-1)[:, keep] / double_area / 2
    size = len(point)
    # The corners 0, 1, 2 face the edges (1, 2), (2, 0), (0, 1).
    i, j = np.roll(corner, -1, 0).ravel(), np.roll(corner, 1, 0).ravel()
    weight = csr_matrix((half.ravel(), (i, j)), (size, size))
    joined = csr_matrix((np.ones(len(i)), (i, j)), (size, size))
    mass: Array = np.bincount(corner.ravel(), np.tile(double_area / 6, 3), size).astype(float)
    return _Shape(_laplacian(weight), mass, joined)


def _shape_of_graph(topology: Topology) -> _Shape:
    if not topology.nonnegative:
        raise value_error("edge_weight", "non-negative for a Laplacian", topology.edge_weight)
    pattern, weight = topology.adjacency(None)
    parts = (weight.detach(), pattern.col, pattern.rowptr)
    value, col, ptr = (tensor.cpu().numpy() for tensor in parts)
    adjacency = csr_matrix((value.astype(float), col, ptr), pattern.shape)
    adjacency.eliminate_zeros()
    return _Shape(_laplacian(adjacency / 2), np.ones(topology.num_nodes), adjacency)


def _laplacian(weight: csr_matrix) -> csr_matrix:
    """D - W of W = weight + its transpose; a self-loop adds nothing."""
    both = weight + weight.T
    return csr_matrix(diags(np.asarray(both.sum(1)).ravel()) - both)
