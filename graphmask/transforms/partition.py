"""Partitions of the nodes of large graphs, without a compiled package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData

from graphmask._checks import check_integer, check_number, type_error, value_error
from graphmask._precision import to_double
from graphmask._walk_storage import has_walks
from graphmask.topology import Topology

# Sweeps of moves across the borders of parts.
_SWEEPS = 20


class NodePartition(ClusterData):
    r"""Partition the nodes of a graph into subgraphs of nearly equal size with few edges between.

    PyG's ``ClusterData`` with :func:`partition_nodes` in the place of METIS, which needs a compiled
    package. ``ClusterLoader(partition, batch_size=4, shuffle=True)`` joins parts, with the edges
    between them; ``partition[i]`` is the subgraph of one part, and
    ``DataLoader(partition, batch_size=1, shuffle=True)`` loads these.

    Every node is in one part, with all its attributes: features, labels, masks such as
    ``train_mask``; the edges within a part keep their attributes. Let ``transform`` draw walks in
    each part, since walks on the whole graph leave a part.

    Args:
        data: the graph.
        num_parts: P.
        keep_inter_cluster_edges: whether ``partition[i]`` keeps the edges that lead out of a part,
            as in ``ClusterData``. (default: :obj:`False`)
        transform: applied to ``partition[i]``, such as :class:`~graphmask.transforms.AddWalks`;
            ``ClusterLoader``, which joins parts itself, does not apply it. (default: :obj:`None`)
        slack: see :func:`partition_nodes`. (default: :obj:`0.05`)

    Raises:
        TypeError: if ``data`` is not a ``Data``.
        ValueError: if there are fewer nodes than parts, no edges, or stored walks.

    Cost: that of :func:`partition_nodes`, and O(E log E + N C) once.

    Source: Chiang et al., "Cluster-GCN" (KDD 2019), for training on parts.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> step = torch.stack([torch.arange(11), torch.arange(1, 12)])
        >>> path = Data(x=torch.eye(12), edge_index=torch.cat([step, step.flip(0)], dim=1))
        >>> parts = gm.transforms.NodePartition(path, num_parts=3)
        >>> [(part.num_nodes, part.num_edges) for part in parts]
        [(4, 6), (4, 6), (4, 6)]
    """

    def __init__(
        self,
        data: Data,
        num_parts: int,
        keep_inter_cluster_edges: bool = False,
        transform: Callable[[Data], Data] | None = None,
        slack: float = 0.05,
    ) -> None:
        if not isinstance(data, Data):
            raise type_error("data", "a torch_geometric.data.Data", data)
        if data.edge_index is None:
            expected = "a graph with `edge_index` (see graphmask.transforms.KNNGraph)"
            raise value_error("data", expected, list(data.keys()))
        if has_walks(data):
            expected = (
                "without walks: give `transform=AddWalks(...)`, which draws them in every part"
            )
            raise value_error("data", expected, "walk_index")
        self._slack, self.transform = slack, transform
        super().__init__(
            data, num_parts, log=False, keep_inter_cluster_edges=keep_inter_cluster_edges
        )

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        return partition_nodes(edge_index, num_nodes, self.num_parts, self._slack)

    def __getitem__(self, idx: int) -> Data:
        """Return the subgraph of one part."""
        if not -len(self) <= idx < len(self):
            raise IndexError(f"part {idx} of {len(self)}")
        part = super().__getitem__(int(idx) % len(self))
        return part if self.transform is None else self.transform(part)

    @property
    def node_index(self) -> Tensor:
        """The nodes ``[N]`` of the graph in the order of the parts and of their joined outputs."""
        return self.partition.node_perm

    def __repr__(self) -> str:
        return f"NodePartition(num_parts={self.num_parts})"


def partition_nodes(
    edge_index: Tensor, num_nodes: int, num_parts: int, slack: float = 0.05
) -> Tensor:
    r"""Partition nodes into parts of nearly equal size with few edges between.

    Recursive bisection: each set of nodes is cut into two shares of the reverse Cuthill-McKee order
    of the subgraph that it induces, breadth-first from one end to the other. Then nodes move, those
    of the largest gain first, to the part that holds most of their neighbours, as long as no part
    leaves :math:`(1 \pm \text{slack}) N / P`; the best partition of 20 sweeps is kept. Nothing is
    random. Directions and weights of edges do not matter.

    Args:
        edge_index: ``[2, E]`` edges.
        num_nodes: N.
        num_parts: P.
        slack: share by which sizes of parts may differ from N / P. (default: :obj:`0.05`)

    Returns:
        ``[N]``, the part of each node.

    Raises:
        ValueError: if there are fewer nodes than parts, node ids are out of range, or ``slack`` is
            outside [0, 1).

    Cost: O((N + E) (log P + sweeps)) time, O(N + E) memory, on the CPU.

    Source: reverse Cuthill-McKee order: Cuthill and McKee (1969); moves under size constraints:
    Meyerhenke, Sanders and Schulz, "Partitioning complex networks via size-constrained clustering"
    (SEA 2014).

    Example:
        >>> import torch, graphmask as gm
        >>> two_triangles = torch.tensor([[0, 2, 4, 1, 3, 5, 0], [2, 4, 0, 3, 5, 1, 1]])
        >>> part = gm.transforms.partition_nodes(two_triangles, num_nodes=6, num_parts=2)
        >>> bool(part[0] == part[2] == part[4] != part[1]), bool(part[1] == part[3] == part[5])
        (True, True)
    """
    topology = Topology(edge_index, num_nodes)
    check_number("slack", slack, 0, 1)
    if check_integer("num_parts", num_parts, 1) > topology.num_nodes:
        raise value_error("num_parts", f"at most N = {topology.num_nodes} (nodes)", num_parts)
    source, target = topology.edge_index.long().cpu().numpy()
    graph = _undirected(source, target, topology.num_nodes)
    part = np.zeros(topology.num_nodes, np.int64)
    _bisect(graph, np.arange(topology.num_nodes), part, 0, num_parts)
    return torch.from_numpy(_refine(graph, part, num_parts, slack)).to(topology.device)


def _undirected(source: np.ndarray, target: np.ndarray, num_nodes: int) -> csr_array:
    """Build the matrix of ones where two different nodes are joined in either direction."""
    is_loop = source == target
    source, target = source[~is_loop], target[~is_loop]
    ends = np.concatenate([source, target]), np.concatenate([target, source])
    graph = csr_array((np.ones(len(ends[0]), np.float32), ends), shape=(num_nodes, num_nodes))
    graph.sum_duplicates()
    graph.data[:] = 1
    return graph


def _bisect(
    graph: csr_array, nodes: np.ndarray, part: np.ndarray, first: int, num_parts: int
) -> None:
    """Write the parts ``first`` to ``first + num_parts - 1`` of the nodes of ``graph``."""
    if num_parts == 1:
        part[nodes] = first
        return
    left = num_parts // 2
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    cut = len(nodes) * left // num_parts
    halves = (order[:cut], first, left), (order[cut:], first + left, num_parts - left)
    for half, start, count in halves:
        index = np.sort(half)
        _bisect(graph[index][:, index], nodes[index], part, start, count)


def _refine(graph: csr_array, part: np.ndarray, num_parts: int, slack: float) -> np.ndarray:
    """Return the best of the partitions that sweeps of moves lead to."""
    share = graph.shape[0] / num_parts
    low = min(int(share), int(np.ceil(share * (1 - slack))))
    high = max(int(np.ceil(share)), int(share * (1 + slack)))
    best, least = part, _count_cut(graph, part)
    for sweep in range(_SWEEPS if num_parts > 1 else 0):
        moved = _sweep(graph, part, num_parts, max(low, 1), high, sweep)
        if np.array_equal(moved, part):
            break
        part, count = moved, _count_cut(graph, moved)
        if count < least:
            best, least = part, count
    return best


def _count_cut(graph: csr_array, part: np.ndarray) -> int:
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    return int((part[row] != part[graph.indices]).sum())


def _sweep(
    graph: csr_array, part: np.ndarray, num_parts: int, low: int, high: int, sweep: int
) -> np.ndarray:
    """Move nodes to the parts of most of their neighbours.

    Half of the nodes at a time, so that neighbours seldom swap places.
    """
    size = np.bincount(part, minlength=num_parts)
    one_hot = (np.ones(len(part), np.float32), (np.arange(len(part)), part))
    shared = (graph @ csr_array(one_hot, shape=(len(part), num_parts))).tocoo()
    node, target = shared.coords
    is_own = target == part[node]
    own = np.zeros(len(part), np.float32)
    own[node[is_own]] = shared.data[is_own]
    gain = shared.data - own[node]
    is_able = ~is_own & (gain > 0) & ((node + sweep) % 2 == 0)
    order = np.argsort(-gain[is_able], kind="stable")
    node, target = node[is_able][order], target[is_able][order]
    _, best = np.unique(node, return_index=True)
    best.sort()
    node, target = node[best], target[best]
    keep = (_rank(target) < high - size[target]) & (_rank(part[node]) < size[part[node]] - low)
    moved = part.copy()
    moved[node[keep]] = target[keep]
    return moved


def _rank(group: np.ndarray) -> np.ndarray:
    """Count the earlier entries of the same group."""
    order = np.argsort(group, kind="stable")
    start = np.searchsorted(group[order], group[order], side="left")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - start
    return rank


def cut_share(edge_index: Tensor, part: Tensor) -> float:
    """Compute the share of edges that join different parts.

    Args:
        edge_index: ``[2, E]`` edges.
        part: ``[N]``, the part of each node.

    Raises:
        ValueError: for an edge to a node without a part.

    Cost: O(E).

    Example:
        >>> import torch, graphmask as gm
        >>> gm.transforms.cut_share(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 0, 1]))
        0.5
    """
    if part.dim() != 1:
        raise value_error("part", "of shape [N], the part of each node", part)
    source, target = part[Topology(edge_index, len(part)).edge_index]
    return float(to_double(source != target).mean()) if edge_index.shape[1] else 0.0
