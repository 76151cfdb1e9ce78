"""What every contender is given.

A graph, on the sphere unless another is asked for, and seeded features of its nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer
from graphmask.transforms import Hilbert, ReorderNodes

CHANNELS = 64
HEADS = 4

_NEIGHBOURS = 6


def sphere_graph(
    num_nodes: int, seed: int = 0, neighbours: int = _NEIGHBOURS
) -> tuple[Tensor, Tensor]:
    """Uniform points on the unit sphere and their undirected graph of nearest neighbours.

    Args:
        num_nodes: N.
        seed: of the points.
        neighbours: k; two nodes are joined where one is among the k nearest of the other. (default:
            :obj:`6`, which gives a mean degree of about 7)

    Returns:
        ``pos [N, 3]`` in float32 and ``edge_index [2, E]``, both directions of every edge once.

    Raises:
        TypeError: where a number is no integer.
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
    near = cKDTree(pos).query(pos, k + 1)[1][:, 1:].ravel()
    node = np.repeat(np.arange(num_nodes), k)
    edge = np.unique(np.concatenate([node * num_nodes + near, near * num_nodes + node]))
    edge_index = np.stack([edge // num_nodes, edge % num_nodes])
    return torch.from_numpy(pos).float(), torch.from_numpy(edge_index)


def near_sphere_graph(num_nodes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """:func:`sphere_graph` whose nodes come in the order of a Hilbert curve.

    Example:
        >>> from graphmask.benchmark.problem import near_sphere_graph
        >>> pos, edge_index = near_sphere_graph(100)
        >>> bool((edge_index[0] - edge_index[1]).abs().double().mean() < 25)
        True
    """
    pos, edge_index = sphere_graph(num_nodes, seed)
    near = ReorderNodes(Hilbert())(Data(pos=pos, edge_index=edge_index))
    return near.pos, near.edge_index


class Problem:
    """A graph of N nodes with float32 features, the same for every contender of a size.

    Args:
        num_nodes: N.
        seed: of the points and the features.
        device: where all tensors lie.
        graph: makes ``pos [N, 3]`` and ``edge_index [2, E]`` from N and the seed. (default:
            :func:`sphere_graph`)

    Attributes:
        pos: ``[N, 3]`` points.
        edge_index: ``[2, E]``.
        x: ``[N, 64]`` features, a leaf that wants a gradient.
        qkv: queries, keys and values ``[N, 4, 16]``, leaves that want a gradient.

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
        graph: Callable[[int, int], tuple[Tensor, Tensor]] = sphere_graph,
    ) -> None:
        self.num_nodes, self.device = num_nodes, torch.device(device)
        self.pos, self.edge_index = (part.to(self.device) for part in graph(num_nodes, seed))
        generator = np.random.default_rng(seed)
        self.x = self._draw(generator, CHANNELS)
        q, k, v = (self._draw(generator, HEADS, CHANNELS // HEADS) for _ in range(3))
        self.qkv = q, k, v

    @property
    def num_edges(self) -> int:
        """E, both directions counted."""
        return self.edge_index.shape[1]

    def _draw(self, generator: np.random.Generator, *shape: int) -> Tensor:
        # Drawn on the CPU, so that every device sees the same numbers.
        numbers = generator.standard_normal((self.num_nodes, *shape), dtype=np.float32)
        return torch.from_numpy(numbers).to(self.device).requires_grad_()
