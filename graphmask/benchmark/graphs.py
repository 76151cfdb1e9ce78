"""Graph generators of the benchmarks, and the features that every implementation is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import torch
from scipy.sparse.csgraph import breadth_first_order
from scipy.spatial import cKDTree
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import (
    from_networkx,
    from_smiles,
    subgraph,
    to_scipy_sparse_matrix,
    to_undirected,
)

from graphmask._checks import check_integer, value_error
from graphmask.extras import require
from graphmask.io import read_graph
from graphmask.topology import Topology
from graphmask.transforms import AddWalks, Hilbert, ReorderNodes
from graphmask.walks import ResampledWalks

CHANNELS = 64
HEADS = 4

# pos [N, D] and edge_index [2, E], and the functions that return them for N and a seed.
Edges = tuple[Tensor, Tensor]
Graph = Callable[[int, int], Edges]

# Rings per molecule at most, and the distance of the atoms that close one.
_RINGS = 3
_RING_STEPS = (4, 5)

# Atoms of the molecules that are compared.
_ATOMS = range(10, 41)

# Molecules read from a file at most.
_MOST_MOLECULES = 1024


def sphere_graph(num_nodes: int, seed: int = 0, neighbours: int = 6) -> Edges:
    """Sample uniform points on the unit sphere and join nearest neighbours.

    Args:
        num_nodes: N.
        seed: of the points.
        neighbours: k; two nodes are joined where one is among the k nearest of the other. (default:
            :obj:`6`, which gives a mean degree of about 7)

    Returns:
        ``pos [N, 3]`` in float32 and ``edge_index [2, E]``, both directions of every edge once.

    Raises:
        ValueError: for fewer than two nodes or one neighbour.

    Cost: O(N log N) time.

    Example:
        >>> from graphmask.benchmark import sphere_graph
        >>> pos, edge_index = sphere_graph(100)
        >>> pos.shape, bool((edge_index[0] != edge_index[1]).all())
        (torch.Size([100, 3]), True)
    """
    check_integer("num_nodes", num_nodes, 2)
    k = min(check_integer("neighbours", neighbours, 1), num_nodes - 1)
    pos = np.random.default_rng(seed).standard_normal((num_nodes, 3))
    pos /= np.linalg.norm(pos, axis=1, keepdims=True)
    nearest = torch.from_numpy(cKDTree(pos).query(pos, k + 1)[1][:, 1:].ravel())
    edges = torch.stack([torch.arange(num_nodes).repeat_interleave(k), nearest])
    return torch.from_numpy(pos).float(), to_undirected(edges, num_nodes=num_nodes)


def reordered(
    graph: Graph, order: Callable[[Data], Tensor] | None, num_nodes: int, seed: int
) -> Edges:
    """Apply :class:`~graphmask.transforms.ReorderNodes` to the graph of a function."""
    pos, edge_index = graph(num_nodes, seed)
    data = ReorderNodes(order)(Data(pos=pos, edge_index=edge_index))
    return data.pos, data.edge_index


# Nodes are numbered along a Hilbert curve.
ordered_sphere_graph: Graph = partial(reordered, sphere_graph, Hilbert())


class Problem:
    """A graph of N nodes with float32 features, the same for every implementation.

    Args:
        num_nodes: N.
        seed: of the points and the features.
        device: of all tensors.
        graph: returns ``pos [N, D]`` and ``edge_index [2, E]`` for N and the seed. (default:
            :func:`sphere_graph`)

    Attributes:
        pos: ``[N, D]`` points.
        edge_index: ``[2, E]``.
        x: ``[N, 64]`` features, a leaf that requires a gradient.
        qkv: queries, keys and values ``[N, 4, 16]``, leaves that require a gradient.

    Cost: O(N log N) time, O(N) memory.

    Example:
        >>> from graphmask.benchmark import Problem
        >>> problem = Problem(100)
        >>> problem.x.shape, problem.num_edges > 600
        (torch.Size([100, 64]), True)
    """

    def __init__(
        self,
        num_nodes: int,
        seed: int = 0,
        device: str = "cpu",
        graph: Graph = sphere_graph,
    ) -> None:
        self.num_nodes, self.device = num_nodes, torch.device(device)
        pos, edge_index = graph(num_nodes, seed)
        self.pos, self.edge_index = pos.to(self.device), edge_index.to(self.device)
        generator = np.random.default_rng(seed)
        self.x = self._draw(generator, CHANNELS)
        q, k, v = (self._draw(generator, HEADS, CHANNELS // HEADS) for _ in range(3))
        self.qkv = q, k, v

    @property
    def num_edges(self) -> int:
        """E, both directions counted."""
        return self.edge_index.shape[1]

    def _draw(self, generator: np.random.Generator, *shape: int) -> Tensor:
        # On the CPU, so that every device gets the same numbers.
        numbers = generator.standard_normal((self.num_nodes, *shape), dtype=np.float32)
        return torch.from_numpy(numbers).to(self.device).requires_grad_()


class NamedGraph(NamedTuple):
    """A generator of problems: its name, a description, and a function of N, seed and device."""

    name: str
    about: str
    make: Callable[[int, int, str], Problem]
    batched: bool = False


def both_orders(name: str, about: str, graph: Graph) -> list[NamedGraph]:
    """Return a graph as it is and after ``ReorderNodes()``."""
    changed = partial(reordered, graph, None)
    return [
        NamedGraph(name, about, partial(Problem, graph=graph)),
        NamedGraph(
            f"{name}, reordered", f"{about}, after ReorderNodes()", partial(Problem, graph=changed)
        ),
    ]


SPHERE = both_orders(
    "sphere", "nearest neighbours of random points on a sphere, mean degree about 7", sphere_graph
)


def read_mesh(path: str | Path) -> list[NamedGraph]:
    """Read a mesh, to be cut to a :func:`ball` around its first vertex.

    Raises:
        ValueError: for a file of another kind, see :func:`graphmask.io.read_graph`.
        OSError: for a file that cannot be read.
    """
    mesh, name = read_graph(path), Path(path).stem
    about = f"ball around vertex 0 of {name}, a mesh of {mesh.num_nodes:,} vertices"
    return both_orders(name, about, partial(ball, mesh))


def ball(data: Data, num_nodes: int, seed: int = 0) -> Edges:
    """Cut out the nodes that a breadth-first search from node 0 visits first, in their old order.

    Returns:
        Zeros for ``pos``, and ``edge_index``.

    Raises:
        ValueError: where fewer are connected with node 0.
    """
    count: int = data.num_nodes  # type: ignore[assignment]
    adjacency = to_scipy_sparse_matrix(data.edge_index, num_nodes=count).tocsr()
    visited = breadth_first_order(adjacency, 0, return_predecessors=False)[:num_nodes]
    if len(visited) < num_nodes:
        most = f"at most {len(visited):,}, as many as are connected with the mesh's first vertex"
        raise value_error("nodes", most, num_nodes)
    nodes = torch.from_numpy(np.sort(visited)).long()
    edge_index, _ = subgraph(nodes, data.edge_index, relabel_nodes=True, num_nodes=count)
    return torch.zeros(num_nodes, 3), edge_index


class Molecules(Problem):
    """A batch of molecules as a loader returns it, with stored walks.

    Args:
        count: of molecules.
        seed: of the molecules, the walks and the features.
        device: of all tensors.
        molecules: the graphs, of which the first ``count`` are taken. (default: generated ones)

    Attributes:
        data: the batch.
        topology: of the batch.

    Example:
        >>> molecules = Molecules(3)
        >>> molecules.data.num_graphs, len(molecules.x) == molecules.data.num_nodes
        (3, True)
    """

    def __init__(
        self, count: int, seed: int = 0, device: str = "cpu", molecules: Sequence[Data] = ()
    ) -> None:
        graphs = (molecules or random_molecules(count, seed))[:count]
        add_walks = AddWalks(ResampledWalks(budget=64, hops=8), torch.Generator().manual_seed(seed))
        data: Any = Batch.from_data_list([add_walks(graph.clone()) for graph in graphs])
        pos = torch.zeros(data.num_nodes, 3)
        super().__init__(data.num_nodes, seed, device, lambda *_: (pos, data.edge_index))
        self.data = data.to(device)
        self.topology = Topology.from_data(self.data)


MOLECULES = NamedGraph(
    "molecules", "random trees with up to three rings, 10 to 40 atoms", Molecules, batched=True
)


def random_molecules(count: int, seed: int = 0) -> list[Data]:
    """Generate random trees of 10 to 40 atoms with up to three rings of 5 or 6 atoms.

    Example:
        >>> sizes = [molecule.num_nodes for molecule in random_molecules(128)]
        >>> min(sizes) >= 10, max(sizes) <= 40, 23 < sum(sizes) / 128 < 27
        (True, True, True)
    """
    generator = np.random.default_rng(seed)
    return [_random_molecule(generator) for _ in range(count)]


def _random_molecule(generator: np.random.Generator) -> Data:
    size = int(generator.integers(_ATOMS.start, _ATOMS.stop))
    graph = nx.from_prufer_sequence(generator.integers(0, size, size - 2).tolist())
    for atom in generator.permutation(size)[:_RINGS].tolist():
        distance = nx.single_source_shortest_path_length(graph, atom, cutoff=max(_RING_STEPS))
        ends = [node for node, steps in distance.items() if steps in _RING_STEPS]
        if ends:
            graph.add_edge(atom, int(generator.choice(ends)))
    return Data(edge_index=from_networkx(graph).edge_index, num_nodes=size)


def read_molecules(path: str | Path) -> NamedGraph:
    """Read the molecules of 10 to 40 atoms in a file with a SMILES at the head of each line.

    Raises:
        MissingExtraError: without rdkit.
        ValueError: for a file without such a molecule.
        OSError: for a file that cannot be read.
    """
    require("rdkit.Chem", extra="molecules")
    require("rdkit.RDLogger", extra="molecules").DisableLog("rdApp.*")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    # An invalid SMILES, such as a heading, gives a molecule without atoms.
    everything = (from_smiles(re.split(r"[\s,]", line, maxsplit=1)[0]) for line in lines if line)
    fitting = (each for each in everything if each.num_nodes in _ATOMS and each.num_edges)
    molecules = [
        Data(edge_index=each.edge_index, num_nodes=each.num_nodes)
        for each in islice(fitting, _MOST_MOLECULES)
    ]
    if not molecules:
        raise value_error("molecules", "a file of SMILES, some of 10 to 40 atoms", str(path))
    make = partial(Molecules, molecules=molecules)
    return NamedGraph(Path(path).stem, "molecules of 10 to 40 atoms", make, batched=True)
