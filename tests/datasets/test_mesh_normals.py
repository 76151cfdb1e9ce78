from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import MeshNormals
from graphmask.datasets.mesh_normals import vertex_normals

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float32)
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE_FACES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], dtype=np.int32)
OFF = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def sphere(rings: int = 12, around: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere on a grid of angles, poles left open, faces turned outwards."""
    polar, turn = np.meshgrid(
        np.pi * np.arange(1, rings + 1) / (rings + 1),
        2 * np.pi * np.arange(around) / around,
        indexing="ij",
    )
    pos = np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1
    ).reshape(-1, 3)
    node = np.arange(rings * around).reshape(rings, around)
    a, b, c, d = node[:-1], node[1:], np.roll(node, -1, 1)[1:], np.roll(node, -1, 1)[:-1]
    return pos, np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.savez(tmp_path / "cube.npz", v=CUBE, f=CUBE_FACES)
    pos, face = sphere()
    np.savez(tmp_path / "sphere.npz", v=3 * pos + 5, f=face)
    (tmp_path / "tetrahedron.off").write_text(OFF)
    (tmp_path / "SOURCE.md").write_text("not a mesh")
    return tmp_path


def test_normals_of_a_sphere_are_its_points() -> None:
    pos, face = sphere()
    inner = slice(20, -20)  # at the open poles the triangles are all on one side
    assert ((vertex_normals(pos, face) * pos).sum(1)[inner] > 0.995).all()


def test_normals_are_weighted_by_area() -> None:
    pos = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]], dtype=float)
    normal = vertex_normals(pos, np.array([[0, 1, 2], [0, 2, 3]]))
    expected = np.array([[3, 0, 1], [0, 0, 1], [3, 0, 1], [1, 0, 0]]) / np.sqrt(
        [[10], [1], [10], [1]]
    )
    assert np.allclose(normal, expected)


@pytest.mark.skipif(find_spec("trimesh") is None, reason="the extra `mesh` is not installed")
def test_normals_agree_with_trimesh() -> None:
    import trimesh

    pos, face = sphere()
    mesh = trimesh.Trimesh(pos * [1, 2, 3], face, process=False)
    weighed = np.zeros_like(pos)
    for corners, normal, area in zip(face, mesh.face_normals, mesh.area_faces, strict=True):
        weighed[corners] += normal * area
    assert np.allclose(
        vertex_normals(mesh.vertices, face),
        weighed / np.linalg.norm(weighed, axis=1, keepdims=True),
    )


def test_fields(root: Path) -> None:
    dataset = MeshNormals(root)
    assert [data.name for data in dataset] == ["cube", "sphere", "tetrahedron"]
    cube, ball, _ = dataset
    assert torch.equal(cube.face.T, torch.from_numpy(CUBE_FACES).long())
    assert cube.edge_index.shape == (2, 2 * 18)
    torch.testing.assert_close(
        cube.edge_weight, (cube.pos[cube.edge_index[0]] - cube.pos[cube.edge_index[1]]).norm(dim=1)
    )
    torch.testing.assert_close(cube.pos.norm(dim=1), torch.ones(8))
    assert ball.pos.norm(dim=1).max() <= 1 + 1e-6
    assert ball.hidden.sum() == 192
    assert torch.equal(ball.known, ~ball.hidden)
    for data in dataset:
        torch.testing.assert_close(data.normal.norm(dim=1), torch.ones(data.num_nodes))


def test_isolated_vertices_are_dropped(tmp_path: Path) -> None:
    pos, face = (
        np.insert(CUBE, [0, 3], [9, 9, 9], axis=0),
        np.where(CUBE_FACES < 3, CUBE_FACES + 1, CUBE_FACES + 2),
    )
    np.savez(tmp_path / "holes.npz", v=pos, f=face)
    np.savez(tmp_path / "whole.npz", v=CUBE, f=CUBE_FACES)
    holes, whole = MeshNormals(tmp_path)
    assert torch.equal(holes.pos, whole.pos)
    assert torch.equal(holes.face, whole.face)


def test_a_vertex_without_a_normal_is_in_no_score(tmp_path: Path) -> None:
    flat = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [5, 5, 5], [6, 6, 6], [7, 7, 7]])
    np.savez(tmp_path / "mesh.npz", v=flat, f=np.array([[0, 1, 2], [1, 3, 2], [4, 5, 6]]))
    (data,) = MeshNormals(tmp_path, hidden=0.5)
    assert not (data.known | data.hidden)[4:].any()
    assert not data.normal[4:].any()
    assert data.hidden.sum() == data.known.sum() == 2


def test_what_is_hidden_depends_on_seed_and_name_alone(root: Path) -> None:
    everything, one = MeshNormals(root)[1], MeshNormals(root, names=["sphere"])[0]
    assert torch.equal(everything.hidden, one.hidden)
    assert not torch.equal(one.hidden, MeshNormals(root, names=["sphere"], seed=1)[0].hidden)
    assert MeshNormals(root, hidden=0)[1].known.all()


def test_nothing_there(tmp_path: Path, root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No mesh named dragon in"):
        MeshNormals(root, names=["cube", "dragon"])
    message = r"No mesh in .*nowhere: `root` must hold files that end in \.npz, \.off"
    with pytest.raises(FileNotFoundError, match=message):
        MeshNormals(tmp_path / "nowhere")
