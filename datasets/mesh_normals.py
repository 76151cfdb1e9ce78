"""Triangle meshes whose vertex normals are hidden at most vertices, to be interpolated from the others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from graphmask._checks import check_integer, check_probability, value_error
from graphmask.transforms import EdgeLength, MeshToGraph, UnitSphere

from ._base import Filter, Folder, Transform
from ._files import read_mesh

FORMATS = (".npz", ".off", ".obj", ".ply", ".stl")


class MeshNormals(InMemoryDataset):
    r"""The meshes of a folder as graphs, with vertex normals of which a drawn part is hidden.

    Reads ``root/<name>.npz`` (arrays `v` [V, 3] and `f` [F, 3]), `.off`, and with `trimesh` `.obj`,
    `.ply` and `.stl`, in alphabetical order, at every start; nothing is written. There is nothing
    to download: any meshes will do, such as those of https://github.com/odedstein/meshes or
    https://github.com/alecjacobson/common-3d-test-models.

    Each example is ``Data(pos, face, normal, known, hidden, edge_index, edge_weight, name)``: `pos`
    float32 of shape [V, 3], centred and scaled into the unit sphere; `face` long of shape [3, F];
    `edge_index` of the mesh's sides and `edge_weight` their lengths; `normal` float32 of shape [V,
    3], of length 1: at a vertex the mean of its triangles' normals weighted by their areas; `known`
    and `hidden` bool of shape [V].

    Vertices of no triangle are dropped and the others renumbered. A vertex whose triangles have no
    area, or cancel, has no
    normal: its `normal` is zero, and it is neither known nor hidden, so that no score counts it.
        Which of the others are
    hidden depends on `seed`, the mesh's name and its number of vertices only.

    .. math:: n_i \propto \sum_{(a, b, c) \ni i} (p_b - p_a) \times (p_c - p_a)

    Args:
        root: Folder of the files.
        names: Names of files, without their ending, to read these only, in this order. (default:
            all)
        hidden: Share of the vertices whose normal is hidden, rounded to a number of vertices of
            each mesh.
        seed: Seed of the draw, a non-negative integer.
        transform: Applied at every access.
        pre_transform: Applied once, when the meshes are read.
        pre_filter: Keeps the meshes it returns True for, applied before `pre_transform`.

    Raises:
        TypeError: If `seed` is not an integer.
        ValueError: If `hidden` is not in [0, 1), a file is damaged or `pre_filter` keeps no mesh.
        FileNotFoundError: If there is no mesh in `root`, or none of a name.
        ImportError: If `trimesh` is not installed (extra `mesh`) and a file needs it.

    Source: the task is that of K. Choromanski et al., "Efficient Graph Field Integrators Meet Point
    Clouds", ICML 2023.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from graphmask.datasets import MeshNormals
        >>> corners, triangles = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]), np.array([[0, 1, 2], [1, 3, 2]])
        >>> with tempfile.TemporaryDirectory() as root:
        ...     np.savez(os.path.join(root, "square.npz"), v=corners, f=triangles)
        ...     dataset = MeshNormals(root, hidden=0.5)
        >>> dataset[0].name, dataset[0].num_edges, dataset[0].hidden.sum().item(), dataset[0].normal[0].tolist()
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
        super().__init__(None, transform, pre_transform, pre_filter)
        self.data, self.slices = self.collate(self.examples())

    def examples(self) -> list[Data]:
        """The meshes after `pre_filter` and `pre_transform`."""
        kept = [data for data in self.build() if self.pre_filter is None or self.pre_filter(data)]
        if not kept:
            raise value_error("pre_filter", "true for a mesh", "no mesh")
        return kept if self.pre_transform is None else [self.pre_transform(data) for data in kept]

    def build(self) -> Iterator[Data]:
        """The meshes as graphs, in order."""
        for path in self.files:
            mesh = read_mesh(path)
            yield mesh_data(
                mesh.pos.numpy(), mesh.face.numpy().T, path.stem, self.hidden, self.seed
            )


def mesh_data(pos: np.ndarray, face: np.ndarray, name: str, hidden: float, seed: int) -> Data:
    """The example of a mesh with vertices [V, 3] and triangles [F, 3]."""
    used, renumbered = np.unique(face, return_inverse=True)
    pos, face = pos[used], renumbered.reshape(face.shape)
    normal = vertex_normals(pos, face)
    known, concealed = _draw(
        np.asarray(normal.any(axis=1)),
        hidden,
        np.random.default_rng([seed, zlib.crc32(name.encode())]),
    )
    data = Data(
        pos=torch.from_numpy(pos.astype(np.float32)),
        face=torch.from_numpy(face.T.astype(np.int64)),
        normal=torch.from_numpy(normal.astype(np.float32)),
        known=torch.from_numpy(known),
        hidden=torch.from_numpy(concealed),
        name=name,
    )
    return MeshToGraph(EdgeLength())(UnitSphere()(data))


def vertex_normals(pos: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The unit normals float64 [V, 3] of vertices [V, 3], weighted by area.

    Zero where that leaves nothing.
    """
    a, b, c = pos[face].astype(np.float64).transpose(1, 0, 2)
    side = np.cross(b - a, c - a)  # as long as twice the triangle's area
    corner = face.ravel()
    total = np.stack([np.bincount(corner, np.repeat(axis, 3), len(pos)) for axis in side.T], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # What is left of sides that cancel is rounding.
    size = np.bincount(corner, np.repeat(np.linalg.norm(side, axis=1), 3), len(pos))[:, None]
    whole = length > 1e-9 * size
    return np.where(whole, total / np.where(whole, length, 1), 0)


def _draw(
    eligible: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    concealed = np.zeros(len(eligible), dtype=bool)
    concealed[rng.permutation(np.flatnonzero(eligible))[: round(share * int(eligible.sum()))]] = (
        True
    )
    return eligible & ~concealed, concealed


def _find(folder: Path, names: Sequence[str] | None) -> list[Path]:
    files = sorted(path for path in folder.glob("*") if path.suffix in FORMATS)
    if not files:
        raise FileNotFoundError(
            f"No mesh in {folder}: `root` must hold files that end in {', '.join(FORMATS)}"
        )
    if names is None:
        return files
    by_name = {path.stem: path for path in reversed(files)}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise FileNotFoundError(f"No mesh named {missing[0]} in {folder}")
    return [by_name[name] for name in names]
