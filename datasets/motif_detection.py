"""Sparse random graphs, half of them with a regular motif planted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree
from typing_extensions import Unpack

from graphmask._checks import check_integer, value_error

from ._base import Folder, Options, SplitDataset

NUM_NODES, LINKS = 100, 0.004  # for which the densities are stated
NUM_FEATURES = 5


class Motif(NamedTuple):
    """A regular graph to plant, and the density of the random graph around, at 100 nodes."""

    graph: nx.Graph
    density: float


def _cliques(count: int, size: int) -> nx.Graph:
    """Cliques that have one member each in a further clique."""
    cave = nx.caveman_graph(count, size)
    cave.add_edges_from(nx.complete_graph(range(size - 1, count * size, size)).edges)
    return cave


MOTIFS = {
    "caveman": Motif(_cliques(3, 3), 0.027),
    "cycle": Motif(nx.cycle_graph(10), 0.018),
    "grid": Motif(nx.grid_2d_graph(3, 3), 0.026666),
    "ladder": Motif(nx.ladder_graph(5), 0.026),
    "circular_ladder": Motif(nx.circular_ladder_graph(5), 0.03),
}


class MotifDetection(SplitDataset):
    """Random graphs, half of them with a planted motif: the task on which GKAT was introduced.

    Graphs come in pairs on the same base, an Erdős-Rényi graph of ``num_nodes`` nodes. Every pair
    of its nodes is an edge with a probability that makes it about as dense as the motif, and nodes
    without edges are removed. To the base one graph of the pair adds the motif (class 1), the other
    a random graph with the motif's numbers of nodes and edges, again without isolated nodes (class
    0). Every pair of a node of the addition and one of the base is an edge with a probability that
    gives 3 to 4 such links, and at least one there is. The motifs: ``caveman``, three triangles
    with a fourth between them; ``cycle``, of ten; ``grid``, three by three; ``ladder`` and
    ``circular_ladder``, of five rungs. The random addition may lose nodes, and may rarely hold the
    motif, as in the published generator.

    Each example is ``Data(x, edge_index, y)`` with its nodes in random order: ``x`` float32 of
    shape [N, 5], the five largest degrees among the neighbours of a node, the largest first, zeros
    where it has fewer; ``edge_index`` long of shape [2, E], both directions, by source; ``y`` long
    of shape [1]. Example 2i holds no motif, 2i + 1 does.

    Pair i depends on the seed, the split, the motif, ``num_nodes`` and i only, so that a larger
    ``num_pairs`` extends a smaller one. The global random state is neither read nor changed.

    Source: K. Choromanski et al., "From block-Toeplitz matrices to differential equations on
    graphs: towards a general theory for scalable masked Transformers", ICML 2022; the densities and
    sizes are those of its published generator, which has 768 pairs to train and 256 each to
    validate and test. Generated data, same licence as the library.

    Args:
        root: folder of the cache; :obj:`None` generates the graphs in memory and writes nothing.
            (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        motif: name of the motif. (default: :obj:`"caveman"`)
        num_pairs: pairs of graphs in this split. (default: :obj:`768`)
        num_nodes: nodes of the base before isolated ones are removed, at least 10; its mean degree
            and the number of links do not depend on it. (default: :obj:`100`)
        seed: seed of all the draws, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if ``motif`` is not known, a number is out of range, or ``pre_filter`` keeps no
            graph.

    Example:
        >>> from graphmask.datasets import MotifDetection
        >>> dataset = MotifDetection(motif="cycle", num_pairs=3)
        >>> dataset, dataset.y.tolist(), dataset.num_features
        (MotifDetection(6), [0, 1, 0, 1, 0, 1], 5)
    """

    class_names = ("random", "motif")

    def __init__(
        self,
        root: Folder | None = None,
        train: bool = True,
        motif: str = "caveman",
        num_pairs: int = 768,
        num_nodes: int = NUM_NODES,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        if motif not in MOTIFS:
            raise value_error("motif", f"one of {', '.join(MOTIFS)}", motif)
        self.motif, self.seed = motif, check_integer("seed", seed, 0)
        self.num_pairs = check_integer("num_pairs", num_pairs, 1)
        self.num_nodes = check_integer("num_nodes", num_nodes, 10)
        super().__init__(root, train, f"{motif}_{num_pairs}x{num_nodes}_seed{seed}", **options)

    def build(self) -> Iterator[Data]:
        """Generate the graphs, pair after pair."""
        graph, density = MOTIFS[self.motif]
        motif = nx.to_numpy_array(graph, dtype=bool)
        density *= (NUM_NODES - 1) / (self.num_nodes - 1)
        links = LINKS * NUM_NODES / self.num_nodes
        for pair in range(self.num_pairs):
            motif_index = list(MOTIFS).index(self.motif)
            rng = np.random.default_rng([self.seed, int(self.train), motif_index, pair])
            base = _erdos_renyi(self.num_nodes, density, rng)
            for label, addition in enumerate((_same_size(motif, rng), motif)):
                yield _example(_join(addition, base, links, rng), label, rng)


def _erdos_renyi(n: int, density: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the adjacency of a random graph that has an edge, without isolated nodes."""
    drawn = np.zeros((n, n), dtype=bool)
    while not drawn.any():
        drawn = np.triu(rng.random((n, n)) < density, 1)
    return _without_isolated(drawn | drawn.T)


def _same_size(motif: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the adjacency of a random graph of as many nodes and edges, without isolated nodes."""
    pairs = np.stack(np.triu_indices(len(motif), 1))
    drawn = np.zeros_like(motif)
    drawn[tuple(pairs[:, rng.permutation(pairs.shape[1])[: motif.sum() // 2]])] = True
    return _without_isolated(drawn | drawn.T)


def _join(
    addition: np.ndarray, base: np.ndarray, density: float, rng: np.random.Generator
) -> np.ndarray:
    """Join two graphs by random edges, at least one."""
    links = np.zeros((len(addition), len(base)), dtype=bool)
    while not links.any():
        links = rng.random(links.shape) < density
    return np.block([[addition, links], [links.T, base]])


def _without_isolated(adjacency: np.ndarray) -> np.ndarray:
    kept = adjacency.any(1)
    return adjacency[kept][:, kept]


def _example(adjacency: np.ndarray, label: int, rng: np.random.Generator) -> Data:
    order = rng.permutation(len(adjacency))
    edge_index = torch.from_numpy(np.stack(adjacency[order][:, order].nonzero()))
    x = _top_degrees(edge_index, len(order))
    return Data(x=x, edge_index=edge_index, y=torch.tensor([label]))


def _top_degrees(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Return the largest degrees among the neighbours of each node."""
    size = degree(edge_index[0], num_nodes, dtype=torch.float32)
    neighbours = size.new_zeros(num_nodes, num_nodes)
    neighbours[edge_index[0], edge_index[1]] = size[edge_index[1]]
    return neighbours.topk(min(NUM_FEATURES, num_nodes), dim=1).values
