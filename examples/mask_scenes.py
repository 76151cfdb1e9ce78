"""Graphs for the pictures of masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mask_painting import paint_dots, paint_mesh, paint_pixels
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import graphmask as gm
from graphmask.datasets import read_shape
from graphmask.datasets._surfaces import trefoil


class Scene(NamedTuple):
    """A graph, the node whose row is shown, and a function that draws values on it.

    ``paint(axes, scene, colours [N, 4])`` draws; ``face`` holds the triangles of a mesh.
    """

    topology: gm.Topology
    node: int
    paint: Callable[[Any, Scene, np.ndarray], None]
    solid: bool = False
    face: np.ndarray | None = None

    @property
    def side(self) -> int:
        """The number of rows of a square grid."""
        return math.isqrt(self.topology.num_nodes)


def pixels(side: int) -> Scene:
    """A grid in row-major order, each node joined with its four neighbours."""
    place = torch.arange(side * side).view(side, side)
    pairs = [(place[1:], place[:-1]), (place[:, 1:], place[:, :-1])]
    one, other = (torch.cat([pair[end].flatten() for pair in pairs]) for end in (0, 1))
    edges = torch.stack([torch.cat([one, other]), torch.cat([other, one])])
    pos = torch.stack([place.flatten() % side, place.flatten() // side], 1).float() / (side - 1)
    return Scene(
        gm.Topology(edges, side * side, pos=pos), int(place[side // 2, side // 2]), paint_pixels
    )


def cloud(side: int) -> Scene:
    """The grid with jittered points, each joined with its six nearest neighbours."""
    pos = pixels(side).topology.pos
    moved = pos + 0.4 / side * torch.randn(pos.shape, generator=torch.Generator().manual_seed(0))
    data = gm.transforms.KNNGraph(k=6)(Data(pos=moved))
    centre = int((moved - 0.5).norm(dim=1).argmin())
    return Scene(
        gm.Topology(to_undirected(data.edge_index), len(pos), pos=moved), centre, paint_dots
    )


def knot(around: int) -> Scene:
    """A tube round a trefoil knot, with strands that are near in space and far on the surface."""
    along = 14 * around
    turn, ring = (
        grid.ravel() for grid in np.meshgrid(np.arange(along), np.arange(around), indexing="ij")
    )
    pos = trefoil(turn / along, ring / around, np.array([0.5]))
    corner = [
        ((turn + i) % along) * around + (ring + j) % around
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    face = np.concatenate([np.stack([corner[0], corner[i], corner[i + 1]], 1) for i in (1, 2)])
    return mesh(pos, face, int((pos @ np.array([0.02, -0.05, 1.0])).argmax()))


def mesh(pos: np.ndarray, face: np.ndarray, node: int) -> Scene:
    """A triangle mesh."""
    data = Data(pos=torch.from_numpy(pos).float(), face=torch.from_numpy(face.T.astype(np.int64)))
    data = gm.transforms.MeshToGraph()(data)
    return Scene(
        gm.Topology(data.edge_index, len(pos), pos=data.pos),
        node,
        paint_mesh,
        solid=True,
        face=face,
    )


def read_mesh(path: Path) -> Scene:
    """A mesh from a file."""
    shape = read_shape(path)
    pos = shape.pos.double().numpy()
    pos = (pos - pos.mean(0)) / np.abs(pos - pos.mean(0)).max()
    return mesh(pos, shape.face.T.numpy(), int((pos @ np.array([0.5, -0.6, 0.6])).argmax()))


def with_lengths(scene: Scene) -> Scene:
    """The scene with edges weighted by their lengths, in units of the mean."""
    topology = scene.topology
    length = edge_lengths(topology)
    weighted = gm.Topology(
        topology.edge_index, topology.num_nodes, length / length.mean(), pos=topology.pos
    )
    return scene._replace(topology=weighted)


def spanning_tree(scene: Scene) -> Scene:
    """The minimum spanning tree of a scene with lengths."""
    topology = scene.topology
    data = Data(
        edge_index=topology.edge_index,
        edge_weight=topology.edge_weight,
        num_nodes=topology.num_nodes,
    )
    tree = gm.transforms.MinimumSpanningTree()(data)
    return scene._replace(
        topology=gm.Topology(
            tree.edge_index, topology.num_nodes, tree.edge_weight, pos=topology.pos
        )
    )


def edge_lengths(topology: gm.Topology) -> Tensor:
    """Lengths of the edges."""
    source, target = topology.edge_index
    return (topology.pos[source] - topology.pos[target]).norm(dim=1)


def make_scenes(side: int, solid: Scene) -> dict[str, Scene]:
    """All scenes by name."""
    lengths, mesh_lengths = with_lengths(cloud(side)), with_lengths(solid)
    return {
        "grid": pixels(side),
        "power of two": pixels(1 << side.bit_length() - 1),
        "cloud": cloud(side),
        "lengths": lengths,
        "tree": spanning_tree(lengths),
        "mesh": solid,
        "mesh lengths": mesh_lengths,
        "mesh tree": spanning_tree(mesh_lengths),
    }
