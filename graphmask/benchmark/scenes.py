"""The graphs on which sides and bodies are compared.

Pieces of meshes, epsilon graphs, batches of molecules.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphmask._checks import check_integer, value_error
from graphmask.extras import require
from graphmask.topology import Topology
from graphmask.transforms import AddWalks, ReorderNodes, radius_graph
from graphmask.walks import ResampledWalks

from .estimators.files import read_graph
from .estimators.graphs import undirected
from .problem import Problem

# The torus of the epsilon graph, its noise in radii of an edge, and the mean degree that its radius
# is made for.
_OUTER, _INNER = 1.0, 0.4
_NOISE = 0.1
_DEGREE = 9.0

# Bonds of an atom, most rings of a molecule, and the steps from an atom to the one that a bond
# closes a ring with.
_VALENCE = 4
_RINGS = 3
_RING_STEPS = (4, 5)


@dataclass(frozen=True)
class Scene:
    """A graph by name.

    Args:
        name: as in tables.
        about: what it is, in one line.
        make: the problem, from a number of nodes, a seed and a device. A batch of molecules has its
            own number of nodes.
    """

    name: str
    about: str
    make: Callable[[int, int, str], Problem]


def ball(topology: Topology, num_nodes: int) -> Topology:
    """The subgraph of the nodes that a breadth-first search from node 0 meets first, in their old order.

    Raises:
        ValueError: where fewer are connected with node 0.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 3, 3, 1], [3, 0, 1, 3]]), num_nodes=4)
        >>> ball(path, 2).edge_index.tolist()
        [[0, 1], [1, 0]]
    """
    source, target = topology.edge_index.numpy()
    links = csr_array(
        (np.ones(len(source), dtype=np.int8), (source, target)), shape=(topology.num_nodes,) * 2
    )
    met = breadth_first_order(links, 0, return_predecessors=False)
    if len(met) < num_nodes:
        raise value_error(
            "nodes",
            f"at most {len(met):,}, as many as are connected with the first vertex of the mesh",
            num_nodes,
        )
    place = np.full(topology.num_nodes, -1)
    place[np.sort(met[:num_nodes])] = np.arange(num_nodes)
    edges = place[topology.edge_index.numpy()]
    return Topology(torch.from_numpy(edges[:, (edges >= 0).all(0)]), num_nodes)


def mesh_scene(path: str | Path) -> Scene:
    """The graph of a mesh, cut to a ball around its first vertex.

    See :func:`~graphmask.benchmark.estimators.read_graph`.

    Raises:
        ValueError: for files of other kinds or contents.
        OSError: for files that cannot be read.
    """
    graph = read_graph(path)
    whole = graph.make(0)

    def make(num_nodes: int, seed: int, device: str) -> Problem:
        return Problem(
            num_nodes,
            seed,
            device,
            lambda count, _: (torch.zeros(count, 3), ball(whole, count).edge_index),
        )

    return Scene(graph.name, f"ball around vertex 0 of {graph.name}, a mesh of {graph.about}", make)


def torus_graph(num_nodes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Uniform points on a torus, moved by a little noise, and their epsilon graph of mean degree about 9.

    Returns:
        ``pos [N, 3]`` in float32 and ``edge_index [2, E]``.

    Example:
        >>> pos, edge_index = torus_graph(1000)
        >>> 7 < edge_index.shape[1] / 1000 < 10
        True
    """
    check_integer("num_nodes", num_nodes, 2)
    generator = np.random.default_rng(seed)
    # An angle of the tube is as likely as its ring is long.
    tube = np.empty(0)
    while len(tube) < num_nodes:
        angle, share = (
            generator.uniform(0, 2 * math.pi, 2 * num_nodes),
            generator.uniform(0, _OUTER + _INNER, 2 * num_nodes),
        )
        tube = np.concatenate([tube, angle[share < _OUTER + _INNER * np.cos(angle)]])
    tube, turn = tube[:num_nodes], generator.uniform(0, 2 * math.pi, num_nodes)
    distance = _OUTER + _INNER * np.cos(tube)
    pos = np.stack([distance * np.cos(turn), distance * np.sin(turn), _INNER * np.sin(tube)], 1)
    radius = math.sqrt(_DEGREE * 4 * math.pi * _OUTER * _INNER / num_nodes)
    cloud = torch.from_numpy(pos + _NOISE * radius * generator.standard_normal(pos.shape))
    return cloud.float(), radius_graph(cloud, radius, max_num_neighbors=None)


TORUS = Scene(
    "torus",
    "epsilon graph of noisy points on a torus, mean degree about 9",
    partial(Problem, graph=torus_graph),
)


def reordered(scene: Scene) -> Scene:
    """The same graph after :class:`~graphmask.transforms.ReorderNodes`.

    Example:
        >>> reordered(TORUS).make(1000, 0, "cpu").num_nodes
        1000
    """

    def make(num_nodes: int, seed: int, device: str) -> Problem:
        given = scene.make(num_nodes, seed, device)
        near = ReorderNodes()(Data(pos=given.pos, edge_index=given.edge_index))
        return Problem(num_nodes, seed, device, lambda *_: (near.pos, near.edge_index))

    return Scene(f"{scene.name}, reordered", f"{scene.about}, after ReorderNodes()", make)


class Molecules(Problem):
    """A batch of molecules as a loader hands it out, with its walks stored on it.

    Args:
        graphs: the molecules, their bonds in both directions.
        seed: of the walks and the features.
        device: where all tensors lie.

    Attributes:
        data: the batch.

    Example:
        >>> molecules = Molecules(random_molecules(3))
        >>> molecules.data.num_graphs, len(molecules.x) == molecules.data.num_nodes
        (3, True)
    """

    def __init__(self, graphs: Sequence[Topology], seed: int = 0, device: str = "cpu") -> None:
        add = AddWalks(ResampledWalks(budget=64, hops=8), torch.Generator().manual_seed(seed))
        data: Any = Batch.from_data_list(
            [add(Data(edge_index=g.edge_index, num_nodes=g.num_nodes)) for g in graphs]
        )
        super().__init__(
            data.num_nodes, seed, device, lambda count, _: (torch.zeros(count, 3), data.edge_index)
        )
        self.data = data.to(device)


def random_molecules(
    count: int = 128, seed: int = 0, smallest: int = 10, largest: int = 40
) -> list[Topology]:
    """Random trees of atoms with at most four bonds, and up to three rings of five or six atoms.

    Args:
        count: of molecules.
        seed: of all of them.
        smallest: number of atoms.
        largest: number of atoms.

    Example:
        >>> sizes = [molecule.num_nodes for molecule in random_molecules(128)]
        >>> min(sizes) >= 10, max(sizes) <= 40, 23 < sum(sizes) / 128 < 27
        (True, True, True)
    """
    generator = np.random.default_rng(seed)
    return [
        _random_molecule(int(generator.integers(smallest, largest + 1)), generator)
        for _ in range(count)
    ]


def _random_molecule(size: int, generator: np.random.Generator) -> Topology:
    parent, bonds = np.full(size, -1), np.zeros(size, dtype=int)
    edges = []

    def link(one: int, other: int) -> None:
        edges.append((one, other))
        bonds[[one, other]] += 1

    for atom in range(1, size):
        # Of the latest atoms, so that chains are long.
        free = np.flatnonzero(bonds[:atom] < _VALENCE - 1)[-4:]
        parent[atom] = generator.choice(free)
        link(atom, parent[atom])
    for atom in generator.permutation(size)[:_RINGS]:
        end = atom
        for _ in range(generator.choice(_RING_STEPS)):
            end = parent[end] if end >= 0 else -1
        if end >= 0 and max(bonds[atom], bonds[end]) < _VALENCE:
            link(atom, end)
    return undirected(np.array(edges), size)


def read_molecules(
    path: str | Path, count: int = 128, smallest: int = 10, largest: int = 40
) -> list[Topology]:
    """The first molecules of such sizes in a file with a SMILES at the head of each line.

    Others are passed over.

    Raises:
        MissingExtraError: without rdkit.
        ValueError: for a file with none.
        OSError: for files that cannot be read.
    """
    chem = require("rdkit.Chem", extra="molecules")
    require("rdkit.RDLogger", extra="molecules").DisableLog("rdApp.*")
    found: list[Topology] = []
    with open(path, newline="", encoding="utf-8") as file:
        for line in csv.reader(file):
            molecule = chem.MolFromSmiles(line[0].split()[0]) if line and line[0].strip() else None
            if (
                molecule is not None
                and smallest <= molecule.GetNumAtoms() <= largest
                and molecule.GetNumBonds()
            ):
                bonds = np.array(
                    [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in molecule.GetBonds()]
                )
                found.append(undirected(bonds, molecule.GetNumAtoms()))
            if len(found) == count:
                break
    if not found:
        raise value_error(
            "molecules", f"a file of SMILES, some of {smallest} to {largest} atoms", str(path)
        )
    return found


def molecule_scene(path: str | Path, count: int = 128) -> Scene:
    """A batch of molecules of a file, see :func:`read_molecules`."""
    read = read_molecules(path, count)
    return Scene(
        f"{len(read)} molecules",
        f"of {Path(path).stem}, 10 to 40 atoms",
        lambda _, seed, device: Molecules(read, seed, device),
    )


MOLECULES = Scene(
    "128 molecules",
    "random trees with up to three rings, 10 to 40 atoms",
    lambda _, seed, device: Molecules(random_molecules(seed=seed), seed, device),
)
