"""Triangle meshes whose vertex normals are hidden at most vertices."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphmask._checks import check_integer, check_probability
from graphmask.transforms import EdgeLength, MeshToGraph, UnitSphere

from ._base import CachedDataset, Filter, Transform
from ._files import read_mesh
from ._raw_files import Folder, check_bodies, files_with

FORMATS = (".npz", ".off", ".obj", ".ply", ".stl")


class MeshNormals(CachedDataset):
    r"""The meshes of a folder as graphs, with vertex normals to interpolate from a few known ones.

    Reads ``root/<name>.npz`` (arrays ``v`` [V, 3] and ``f`` [F, 3]), ``.off``, ``.obj``, ``.ply``
    and ``.stl``, in capitals or not, in alphabetical order, at every start; nothing is written. Any
    meshes will do, such as those of https://github.com/odedstein/meshes or
    https://github.com/alecjacobson/common-3d-test-models.

    Each example is ``Data(pos, face, normal, known, hidden, edge_index, edge_weight, name)``:
    ``pos`` float32 of shape [V, 3], centred and scaled into the unit sphere; ``face`` long of shape
    [3, F]; ``edge_index`` of the mesh's sides and ``edge_weight`` their lengths; ``normal`` float32
    of shape [V, 3], of length 1: at a vertex the mean of its triangles' normals weighted by their
    areas; ``known`` and ``hidden`` bool of shape [V].

    Vertices of no triangle are dropped and the others renumbered. A vertex whose triangles have no
    area, or cancel, has no normal: its ``normal`` is zero, and it is neither known nor hidden, so
    that no score counts it. The hidden vertices depend on ``seed``, the mesh's name and its number
    of vertices only.

    .. math:: n_i \propto \sum_{(a, b, c) \ni i} (p_b - p_a) \times (p_c - p_a)

    Args:
        root: folder of the files.
        names: names of the files to read, without their ending, in this order. (default: all)
        hidden: share of the vertices whose normal is hidden, rounded to a number of vertices of
            each mesh. (default: :obj:`0.8`)
        seed: seed of the draw, a non-negative integer. (default: :obj:`0`)
        transform, pre_transform, pre_filter: as in PyG's ``InMemoryDataset``.

    Raises:
        TypeError: if ``seed`` is not an integer.
        ValueError: if ``hidden`` is not in [0, 1), a file cannot be read, a body is there in two
            formats, or ``pre_filter`` keeps no mesh.
        FileNotFoundError: if there is no mesh in ``root``, or none of a name.
        ImportError: if a package of the extra ``mesh`` is not installed and a file needs it.

    Source: the task is that of K. Choromanski et al., "Efficient Graph Field Integrators Meet Point
    Clouds", ICML 2023.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import MeshNormals
        >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
        >>> triangles = np.array([[0, 1, 2], [1, 3, 2]])
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.savez(os.path.join(root, "square.npz"), v=corners, f=triangles)
        ...     dataset = MeshNormals(root, hidden=0.5)
        >>> mesh = dataset[0]
        >>> mesh.name, mesh.num_edges, mesh.hidden.sum().item(), mesh.normal[0].tolist()
        ('square', 10, 2, [0.0, 0.0, 1.0])
    """

    def __init__(
        self,
        root: Folder,
        names: Sequence[str] | None = None,
        hidden: float = 0.8,
        seed: int = 0,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
    ) -> None:
        self.hidden = check_probability("hidden", hidden)
        self.seed = check_integer("seed", seed, 0)
        self.files = _find(Path(root).expanduser(), names)
        super().__init__(
            None, transform=transform, pre_transform=pre_transform, pre_filter=pre_filter
        )

    def build(self) -> Iterator[Data]:
        """Yield the meshes as graphs, in order."""
        for path in self.files:
            mesh = read_mesh(path)
            pos, face = mesh.pos.numpy(), mesh.face.numpy().T
            yield mesh_data(pos, face, path.stem, self.hidden, self.seed)


def mesh_data(pos: np.ndarray, face: np.ndarray, name: str, hidden: float, seed: int) -> Data:
    """Build the example of a mesh with vertices [V, 3] and triangles [F, 3]."""
    vertices, corners = np.unique(face, return_inverse=True)
    pos, face = pos[vertices], corners.reshape(face.shape)
    normal = vertex_normals(pos, face)
    has_normal = normal.any(axis=1)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    order = rng.permutation(np.flatnonzero(has_normal))
    is_hidden = np.zeros(len(pos), dtype=bool)
    is_hidden[order[: round(hidden * len(order))]] = True
    data = Data(
        pos=torch.from_numpy(pos.astype(np.float32)),
        face=torch.from_numpy(face.T.astype(np.int64)),
        normal=torch.from_numpy(normal.astype(np.float32)),
        known=torch.from_numpy(has_normal & ~is_hidden),
        hidden=torch.from_numpy(is_hidden),
        name=name,
    )
    return MeshToGraph(remove_faces=False, weight=EdgeLength())(UnitSphere()(data))


def vertex_normals(pos: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Compute the unit normals float64 [V, 3] of vertices, the mean of triangles by area.

    Zero where the triangles cancel.
    """
    a, b, c = pos[face].astype(np.float64).transpose(1, 0, 2)
    side = np.cross(b - a, c - a)  # as long as twice the triangle's area
    corner = face.ravel()
    total = np.stack([np.bincount(corner, np.repeat(axis, 3), len(pos)) for axis in side.T], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # The sum of sides that cancel is rounding.
    size = np.bincount(corner, np.repeat(np.linalg.norm(side, axis=1), 3), len(pos))[:, None]
    is_defined = length > 1e-9 * size
    return np.where(is_defined, total / np.where(is_defined, length, 1), 0)


def _find(folder: Path, names: Sequence[str] | None) -> list[Path]:
    files = files_with(folder, *FORMATS)
    if not files:
        endings = ", ".join(FORMATS)
        raise FileNotFoundError(
            f"No mesh in {folder}: `root` must hold files that end in {endings}"
        )
    check_bodies(files)
    if names is None:
        return files
    by_name = {path.stem: path for path in files}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise FileNotFoundError(f"No mesh named {missing[0]} in {folder}")
    return [by_name[name] for name in names]
