"""MeshToGraph and the weights of mesh edges."""

import itertools
import math

import pytest
import torch
from torch_geometric.data import Data

from graphmask.transforms import Cotangent, EdgeLength, Gaussian, MeshToGraph

SQUARE = torch.tensor(
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64
)
TWO_TRIANGLES = torch.tensor([[0, 0], [1, 2], [2, 3]])


def grid_mesh(size, seed=0, dtype=torch.float64):
    """A flat triangulated square with shaken interior vertices, and a mask of those."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.cartesian_prod(torch.arange(size, dtype=dtype), torch.arange(size, dtype=dtype))
    interior = ((pos > 0) & (pos < size - 1)).all(dim=1)
    pos = pos + 0.35 * (
        torch.rand(pos.shape, dtype=dtype, generator=generator) - 0.5
    ) * interior.unsqueeze(1)
    faces = []
    for a, b in itertools.product(range(size - 1), repeat=2):
        i = a * size + b
        faces += [(i, i + size, i + 1), (i + 1, i + size, i + size + 1)]
    return pos, torch.tensor(faces).T, interior


def dense_cotangents(pos, face):
    """W by the law of cosines, triangle by triangle.

    Another route to the angles than the library's.
    """
    weight = torch.zeros(len(pos), len(pos), dtype=torch.float64)
    p = pos.double()
    for triangle in face.T.tolist():
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            a, b, c = (triangle[t] for t in (i, j, k))
            u, v, w = (p[b] - p[c]).norm(), (p[a] - p[c]).norm(), (p[a] - p[b]).norm()
            angle = math.acos((u * u + v * v - w * w) / (2 * u * v))
            weight[a, b] += 0.5 / math.tan(angle)
            weight[b, a] += 0.5 / math.tan(angle)
    return weight


def dense(data, num_nodes):
    weight = torch.zeros(num_nodes, num_nodes, dtype=data.edge_weight.dtype)
    return weight.index_put(tuple(data.edge_index), data.edge_weight)


def test_each_edge_once_in_either_direction():
    pos, face, _ = grid_mesh(4)
    data = Data(pos=pos, face=face)
    out = MeshToGraph()(data)
    expected = {(i, j) for t in face.T.tolist() for i, j in itertools.permutations(t, 2)}
    assert list(map(tuple, out.edge_index.T.tolist())) == sorted(expected)
    assert out.is_undirected()
    assert MeshToGraph(remove_faces=False)(data).face is data.face
    assert "edge_weight" not in out
    assert "edge_index" not in data


def test_meshes_of_the_tests_of_pyg_s_face_to_edge():
    data = MeshToGraph()(Data(face=torch.tensor([[0, 0], [1, 1], [2, 3]]), num_nodes=4))
    assert len(data) == 2
    assert data.num_nodes == 4
    neighbours = {0: [1, 2, 3], 1: [0, 2, 3], 2: [0, 1], 3: [0, 1]}
    assert data.edge_index.T.tolist() == [[i, j] for i, row in neighbours.items() for j in row]

    tetrahedra = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]).T
    data = MeshToGraph()(Data(face=tetrahedra, num_nodes=5))
    expected = [[i, j] for i, j in itertools.permutations(range(5), 2) if {i, j} != {0, 4}]
    assert data.edge_index.T.tolist() == expected


def test_weight_as_first_argument_is_deprecated():
    data = Data(pos=SQUARE, face=TWO_TRIANGLES)
    with pytest.warns(DeprecationWarning, match="first argument of MeshToGraph is now"):
        out = MeshToGraph(EdgeLength())(data)
    assert "face" in out
    assert torch.equal(out.edge_weight, MeshToGraph(weight=EdgeLength())(data).edge_weight)


def test_vertex_named_twice_gives_no_self_loop():
    out = MeshToGraph()(Data(pos=SQUARE, face=torch.tensor([[0], [0], [2]])))
    assert out.edge_index.tolist() == [[0, 2], [2, 0]]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_faces(n):
    for weight in (None, EdgeLength(), Cotangent()):
        out = MeshToGraph(weight=weight)(
            Data(pos=torch.rand(n, 3), face=torch.zeros(3, 0, dtype=torch.long))
        )
        assert out.edge_index.shape == (2, 0)
        assert weight is None or out.edge_weight.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_edge_lengths(dtype):
    pos, face, _ = grid_mesh(4, dtype=dtype)
    out = MeshToGraph(weight=EdgeLength())(Data(pos=pos, face=face))
    j, i = out.edge_index
    torch.testing.assert_close(out.edge_weight, (pos[i] - pos[j]).norm(dim=1))
    inverse = MeshToGraph(weight=EdgeLength(torch.reciprocal))(Data(pos=pos, face=face))
    torch.testing.assert_close(
        inverse.edge_weight * out.edge_weight, torch.ones_like(out.edge_weight)
    )
    falling = MeshToGraph(weight=EdgeLength(Gaussian(0.5)))(Data(pos=pos, face=face))
    torch.testing.assert_close(falling.edge_weight, torch.exp(-2 * out.edge_weight**2))


def test_cotangents_by_hand():
    """The diagonal of a square faces two right angles; its sides face one of 45 degrees each."""
    out = MeshToGraph(weight=Cotangent())(Data(pos=SQUARE, face=TWO_TRIANGLES))
    side, none = 0.5, 0.0
    expected = torch.tensor(
        [
            [none, side, none, side],
            [side, none, side, none],
            [none, side, none, side],
            [side, none, side, none],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(dense(out, 4), expected)
    assert out.edge_index.size(1) == 10


def test_cotangents_are_negative_across_obtuse_angles():
    pos = torch.tensor([[0.0, 0.0], [4.0, 0.0], [2.0, 0.5], [2.0, -0.5]])
    out = MeshToGraph(weight=Cotangent())(
        Data(pos=pos, face=torch.tensor([[0, 0], [1, 1], [2, 3]]))
    )
    assert dense(out, 4)[0, 1] < -1
    assert dense(out, 4)[0, 2] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lift", [False, True])
def test_cotangents_equal_the_law_of_cosines(dtype, lift):
    pos, face, _ = grid_mesh(5, dtype=dtype)
    if lift:
        pos = torch.cat([pos, pos.prod(dim=1, keepdim=True).sin()], dim=1)
    out = MeshToGraph(weight=Cotangent())(Data(pos=pos, face=face))
    assert out.edge_weight.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(
        dense(out, len(pos)).double(), dense_cotangents(pos, face), atol=tolerance, rtol=tolerance
    )


def test_cotangent_laplacian_annihilates_linear_functions():
    """On a flat mesh, (D - W) f = 0 at interior vertices for every f linear in the coordinates."""
    pos, face, interior = grid_mesh(7)
    tilt = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    )[0]
    flat = torch.cat([pos, torch.zeros(len(pos), 1, dtype=torch.float64)], dim=1) @ tilt + 2.0
    weight = dense(MeshToGraph(weight=Cotangent())(Data(pos=flat, face=face)), len(pos))
    laplacian = torch.diag(weight.sum(dim=1)) - weight
    functions = torch.cat([pos, flat, torch.ones(len(pos), 1, dtype=torch.float64)], dim=1)
    assert (laplacian @ functions)[interior].abs().max() < 1e-11
    assert (laplacian @ functions)[~interior].abs().max() > 0.1
    # sum_j w_ij |p_i - p_j|^2 over all pairs is four times the area: the Dirichlet energy of the
    # coordinates.
    energy = (weight * torch.cdist(flat, flat) ** 2).sum() / 4
    torch.testing.assert_close(energy, torch.tensor(36.0, dtype=torch.float64))


def test_cotangents_ignore_scale_rotation_and_listing():
    pos, face, _ = grid_mesh(5)
    out = MeshToGraph(weight=Cotangent())(Data(pos=pos, face=face))
    order = torch.randperm(face.size(1), generator=torch.Generator().manual_seed(0))
    other = MeshToGraph(weight=Cotangent())(
        Data(pos=pos * 1e-8, face=face.roll(1, 0).flip(0)[:, order])
    )
    assert torch.equal(other.edge_index, out.edge_index)
    torch.testing.assert_close(other.edge_weight, out.edge_weight)


def test_cotangent_gradient():
    pos, face, _ = grid_mesh(3)
    transform = MeshToGraph(weight=Cotangent())
    assert torch.autograd.gradcheck(
        lambda p: transform(Data(pos=p, face=face)).edge_weight, (pos.requires_grad_(),)
    )


@pytest.mark.parametrize("bad", [[0, 0, 2], [3, 3, 3], [4, 5, 6], [5, 6, 7]])
def test_degenerate_triangles(bad):
    # Points of a line that float32 cannot place on it exactly: no area but that of rounding.
    line = torch.tensor([0.1, 0.2, 0.7, 0.9]).unsqueeze(1) * torch.tensor([0.3, 0.7, 1.1])
    pos, face = (
        torch.cat([SQUARE, line]).float(),
        torch.cat([TWO_TRIANGLES, torch.tensor([bad]).T], dim=1),
    )
    message = r"`face` must be triangles with an area .*got 1 without: faces \[2\]"
    with pytest.raises(ValueError, match=message):
        MeshToGraph(weight=Cotangent())(Data(pos=pos, face=face))
    skipped = MeshToGraph(weight=Cotangent(skip_degenerate=True))(Data(pos=pos, face=face))
    sound = MeshToGraph(weight=Cotangent())(Data(pos=pos, face=TWO_TRIANGLES))
    torch.testing.assert_close(dense(skipped, 8), dense(sound, 8))
    assert skipped.edge_weight.isfinite().all()


def test_skipped_triangles_leave_finite_gradients():
    pos = SQUARE.clone().requires_grad_()
    face = torch.cat([TWO_TRIANGLES, torch.tensor([[0], [0], [2]])], dim=1)
    MeshToGraph(weight=Cotangent(skip_degenerate=True))(
        Data(pos=pos, face=face)
    ).edge_weight.sum().backward()
    assert pos.grad.isfinite().all()


def test_edge_without_triangle_weighs_nothing():
    edge_index = torch.tensor([[3, 1, 0], [1, 3, 1]])
    assert Cotangent()(SQUARE, TWO_TRIANGLES, edge_index).tolist() == [0.0, 0.0, 0.5]
