"""MeshToGraph and the weights of mesh edges."""

import itertools
import math

import pytest
import torch
from torch_geometric.data import Data

from graphmask.transforms import Cotangent, EdgeLength, Gaussian, MeshToGraph

SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.float64)
TWO_TRIANGLES = torch.tensor([[0, 0], [1, 2], [2, 3]])


def grid_mesh(size, seed=0, dtype=torch.float64):
    """A flat triangulated square with shaken interior vertices, and a mask of those."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.cartesian_prod(torch.arange(size, dtype=dtype), torch.arange(size, dtype=dtype))
    interior = ((pos > 0) & (pos < size - 1)).all(dim=1)
    shift = 0.35 * (torch.rand(pos.shape, dtype=dtype, generator=generator) - 0.5)
    faces = []
    for a, b in itertools.product(range(size - 1), repeat=2):
        i = a * size + b
        faces += [(i, i + size, i + 1), (i + 1, i + size, i + size + 1)]
    return pos + shift * interior.unsqueeze(1), torch.tensor(faces).T, interior


def weights(pos, face, weight=None):
    """The edge index of a mesh, and its weights as a dense matrix."""
    out = MeshToGraph(weight=weight or Cotangent())(Data(pos=pos, face=face))
    dense = torch.zeros(len(pos), len(pos), dtype=out.edge_weight.dtype)
    return out.edge_index, dense.index_put(tuple(out.edge_index), out.edge_weight)


def test_every_edge_is_there_once_in_either_direction():
    pos, triangles, _ = grid_mesh(4)
    tetrahedra = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]).T
    repeated = torch.tensor([[0], [0], [2]])  # a vertex named twice gives no self-loop
    for face in (triangles, tetrahedra, repeated, torch.zeros(3, 0, dtype=torch.long)):
        data = Data(face=face, num_nodes=16)
        out = MeshToGraph()(data)
        edges = {(i, j) for t in face.T.tolist() for i, j in itertools.permutations(t, 2) if i != j}
        assert list(map(tuple, out.edge_index.T.tolist())) == sorted(edges)
        assert set(out.keys()) == {"edge_index", "num_nodes"}
        assert MeshToGraph(remove_faces=False)(data).face is data.face
    for weight in (EdgeLength(), Cotangent()):
        assert MeshToGraph(weight=weight)(Data(pos=pos, face=face)).edge_weight.shape == (0,)


def test_weight_as_first_argument_is_deprecated():
    data = Data(pos=SQUARE, face=TWO_TRIANGLES)
    with pytest.warns(DeprecationWarning, match="first argument of MeshToGraph is now"):
        out = MeshToGraph(EdgeLength())(data)
    assert "face" in out
    assert torch.equal(out.edge_weight, MeshToGraph(weight=EdgeLength())(data).edge_weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_functions_of_lengths(dtype):
    pos, face, _ = grid_mesh(4, dtype=dtype)
    (j, i), _ = weights(pos, face, EdgeLength())
    length = (pos[i] - pos[j]).norm(dim=1)
    for function, expected in (
        (None, length),
        (torch.reciprocal, 1 / length),
        (Gaussian(0.5), torch.exp(-2 * length**2)),
    ):
        out = MeshToGraph(weight=EdgeLength(function))(Data(pos=pos, face=face))
        torch.testing.assert_close(out.edge_weight, expected)


def test_cotangents_are_those_of_angles_of_45_90_and_more_degrees():
    """The diagonal of a square faces two right angles; its sides face one of 45 degrees each."""
    edge_index, weight = weights(SQUARE, TWO_TRIANGLES)
    sides = [[0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0.5, 0, 0.5, 0]]
    torch.testing.assert_close(weight, torch.tensor(sides, dtype=torch.float64))
    assert edge_index.size(1) == 10
    obtuse = torch.tensor([[0.0, 0.0], [4.0, 0.0], [2.0, 0.5], [2.0, -0.5]])
    _, weight = weights(obtuse, torch.tensor([[0, 0], [1, 1], [2, 3]]))
    assert weight[0, 1] < -1
    assert weight[0, 2] > 0
    # An edge of no triangle weighs nothing.
    edge_index = torch.tensor([[3, 1, 0], [1, 3, 1]])
    assert Cotangent()(SQUARE, TWO_TRIANGLES, edge_index).tolist() == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lift", [False, True])
def test_cotangents_equal_the_law_of_cosines(dtype, lift):
    pos, face, _ = grid_mesh(5, dtype=dtype)
    if lift:
        pos = torch.cat([pos, pos.prod(dim=1, keepdim=True).sin()], dim=1)
    expected, p = torch.zeros(len(pos), len(pos), dtype=torch.float64), pos.double()
    for triangle in face.T.tolist():
        for a, b, c in (triangle, triangle[1:] + triangle[:1], triangle[2:] + triangle[:2]):
            u, v, w = (p[b] - p[c]).norm(), (p[a] - p[c]).norm(), (p[a] - p[b]).norm()
            angle = math.acos((u * u + v * v - w * w) / (2 * u * v))
            expected[[a, b], [b, a]] += 0.5 / math.tan(angle)
    edge_index, weight = weights(pos, face)
    assert weight.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(weight.double(), expected, atol=tolerance, rtol=tolerance)
    # Neither the scale nor the order of faces and corners matters.
    order = torch.randperm(face.size(1), generator=torch.Generator().manual_seed(0))
    other_index, other = weights(pos * 1e-8, face.roll(1, 0).flip(0)[:, order])
    assert torch.equal(other_index, edge_index)
    torch.testing.assert_close(other, weight, atol=tolerance, rtol=tolerance)


def test_the_cotangent_laplacian_annihilates_linear_functions():
    """On a flat mesh, (D - W) f = 0 at interior vertices for every f linear in the coordinates."""
    pos, face, interior = grid_mesh(7)
    generator = torch.Generator().manual_seed(4)
    tilt = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
    flat = torch.cat([pos, torch.zeros(len(pos), 1, dtype=torch.float64)], dim=1) @ tilt + 2.0
    _, weight = weights(flat, face)
    laplacian = torch.diag(weight.sum(dim=1)) - weight
    functions = torch.cat([pos, flat, torch.ones(len(pos), 1, dtype=torch.float64)], dim=1)
    assert (laplacian @ functions)[interior].abs().max() < 1e-11
    assert (laplacian @ functions)[~interior].abs().max() > 0.1
    # sum_j w_ij |p_i - p_j|^2 over all pairs is four times the area: the Dirichlet energy of the
    # coordinates.
    energy = (weight * torch.cdist(flat, flat) ** 2).sum() / 4
    torch.testing.assert_close(energy, torch.tensor(36.0, dtype=torch.float64))


def test_derivatives_of_cotangents_are_finite_differences():
    pos, face, _ = grid_mesh(3)
    assert torch.autograd.gradcheck(lambda p: weights(p, face)[1], (pos.requires_grad_(),))


@pytest.mark.parametrize("bad", [[0, 0, 2], [3, 3, 3], [4, 5, 6], [5, 6, 7]])
def test_degenerate_triangles_are_an_error_or_skipped(bad):
    # Points of a line that float32 cannot place on it exactly: no area but that of rounding.
    line = torch.tensor([0.1, 0.2, 0.7, 0.9]).unsqueeze(1) * torch.tensor([0.3, 0.7, 1.1])
    pos = torch.cat([SQUARE, line]).float().requires_grad_()
    face = torch.cat([TWO_TRIANGLES, torch.tensor([bad]).T], dim=1)
    message = r"`face` must be triangles with an area .*got 1 without: faces \[2\]"
    with pytest.raises(ValueError, match=message):
        weights(pos, face)
    _, skipped = weights(pos, face, Cotangent(skip_degenerate=True))
    torch.testing.assert_close(skipped, weights(pos, TWO_TRIANGLES)[1])
    (grad,) = torch.autograd.grad(skipped.square().sum(), pos)
    assert grad.isfinite().all()
