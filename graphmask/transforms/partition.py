"""Large graphs cut into parts of nodes, without a compiled package."""

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
from graphmask._walk_storage import has_walks
from graphmask.topology import Topology

# Share of its equal part by which a part may be larger or smaller, and sweeps of moves across its
# borders.
_SLACK = 0.05
_SWEEPS = 20


class NodePartition(ClusterData):
    r"""The nodes of a graph in ``num_parts`` parts of nearly equal size with few edges between them, each an induced subgraph.

    PyG's ``ClusterData``, which needs METIS from a compiled package, with a method of its own in
    the place of METIS, :func:`partition_nodes`. So ``ClusterLoader(partition, batch_size=4,
    shuffle=True)`` joins parts, with the edges between them; ``partition[i]`` is a part alone, and
    a loader of these is ``DataLoader(partition, batch_size=1, shuffle=True)``.

    Every node is in one part, with all that it carries: features, labels, masks such as
    ``train_mask``, and the edges among the nodes of a part keep their attributes. Walks are drawn
    after parts are made, for each one by ``transform``, since walks on the whole graph leave a
    part.

    Args:
        data: the graph.
        num_parts: P.
        keep_inter_cluster_edges: whether ``partition[i]`` keeps the edges that lead out of a part,
            as ``ClusterData`` means it. (default: :obj:`False`)
        transform: of every part that is taken by its number, such as
            :class:`~graphmask.transforms.AddWalks`. ``ClusterLoader``, which joins parts itself,
            does not ask for it. (default: :obj:`None`)
        slack: see :func:`partition_nodes`. (default: :obj:`0.05`)

    Raises:
        TypeError: for data that is none.
        ValueError: for fewer nodes than parts, data without edges, or data with stored walks.

    Cost: that of :func:`partition_nodes`, and O(E log E + N C) once.

    Source: Chiang et al., "Cluster-GCN" (KDD 2019), for training on parts.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> step = torch.arange(11)
        >>> path = Data(x=torch.eye(12), edge_index=torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])]))
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
        slack: float = _SLACK,
    ) -> None:
        if not isinstance(data, Data):
            raise type_error("data", "a torch_geometric.data.Data", data)
        if data.edge_index is None:
            raise value_error(
                "data",
                "a graph with `edge_index` (see graphmask.transforms.KNNGraph)",
                list(data.keys()),
            )
        if has_walks(data):
            raise value_error(
                "data",
                "without walks: give `transform=AddWalks(...)`, which draws them in every part",
                "walk_index",
            )
        self._slack, self.transform = slack, transform
        super().__init__(
            data, num_parts, log=False, keep_inter_cluster_edges=keep_inter_cluster_edges
        )

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        return partition_nodes(edge_index, num_nodes, self.num_parts, self._slack)

    def __getitem__(self, number: int) -> Data:
        """A part by its number."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"part {number} of {len(self)}")
        part = super().__getitem__(int(number) % len(self))
        return part if self.transform is None else self.transform(part)

    @property
    def node_index(self) -> Tensor:
        """``[N]``, the nodes of the graph in the order of the parts.

        Outputs of all parts, joined, are those of these nodes.
        """
        return self.partition.node_perm

    def __repr__(self) -> str:
        return f"NodePartition(num_parts={self.num_parts})"


def partition_nodes(
    edge_index: Tensor, num_nodes: int, num_parts: int, slack: float = _SLACK
) -> Tensor:
    r"""Parts of nearly equal size with few edges between them: ``[N]``, the part of each node.

    The nodes are halved again and again: each time they are put in reverse Cuthill-McKee order of
    the subgraph that they induce, breadth-first from one end to the other, and cut where the order
    has run through its share. Then nodes move, those of the largest gain first, to the part that
    holds most of their neighbours, as long as no part leaves :math:`(1 \pm \text{slack}) N / P`;
    the best partition met in 20 sweeps is kept. Nothing is random. Directions and weights of edges
    do not matter.

    Args:
        edge_index: ``[2, E]``.
        num_nodes: N.
        num_parts: P.
        slack: the share by which sizes of parts may differ from N / P. (default: :obj:`0.05`)

    Raises:
        ValueError: for fewer nodes than parts, node ids out of range, or a slack outside [0, 1).

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
    source, target = (end.long().cpu().numpy() for end in topology.edge_index)
    graph = _undirected(source, target, topology.num_nodes)
    part = np.zeros(topology.num_nodes, np.int64)
    _halve(graph, np.arange(topology.num_nodes), part, 0, num_parts)
    return torch.from_numpy(_refine(graph, part, num_parts, slack)).to(topology.device)


def _undirected(source: np.ndarray, target: np.ndarray, num_nodes: int) -> csr_array:
    """Ones where two different nodes are joined in either direction."""
    apart = source != target
    ends = (
        np.concatenate([source[apart], target[apart]]),
        np.concatenate([target[apart], source[apart]]),
    )
    graph = csr_array((np.ones(len(ends[0]), np.float32), ends), shape=(num_nodes, num_nodes))
    graph.sum_duplicates()
    graph.data[:] = 1
    return graph


def _halve(graph: csr_array, nodes: np.ndarray, part: np.ndarray, first: int, number: int) -> None:
    """``part[nodes]`` becomes ``first`` to ``first + number - 1``, by halves.

    ``graph`` is that of the nodes.
    """
    if number == 1:
        part[nodes] = first
        return
    left = number // 2
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    cut = len(nodes) * left // number
    for some, start, count in (
        (order[:cut], first, left),
        (order[cut:], first + left, number - left),
    ):
        some = np.sort(some)
        _halve(graph[some][:, some], nodes[some], part, start, count)


def _refine(graph: csr_array, part: np.ndarray, number: int, slack: float) -> np.ndarray:
    """The best of the partitions that sweeps of moves lead to."""
    share = graph.shape[0] / number
    low, high = (
        min(int(share), int(np.ceil(share * (1 - slack)))),
        max(int(np.ceil(share)), int(share * (1 + slack))),
    )
    best, least = part, _cut(graph, part)
    for sweep in range(_SWEEPS if number > 1 else 0):
        moved = _sweep(graph, part, number, max(low, 1), high, sweep)
        if np.array_equal(moved, part):
            break
        part, cut = moved, _cut(graph, moved)
        if cut < least:
            best, least = part, cut
    return best


def _cut(graph: csr_array, part: np.ndarray) -> int:
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    return int((part[row] != part[graph.indices]).sum())


def _sweep(
    graph: csr_array, part: np.ndarray, number: int, low: int, high: int, sweep: int
) -> np.ndarray:
    """Nodes moved to the parts of most of their neighbours, half of the nodes at a time, so that neighbours seldom cross."""
    size = np.bincount(part, minlength=number)
    members = csr_array(
        (np.ones(len(part), np.float32), (np.arange(len(part)), part)), shape=(len(part), number)
    )
    shared = (graph @ members).tocoo()
    row, column = shared.coords
    own = np.zeros(len(part), np.float32)
    inside = column == part[row]
    own[row[inside]] = shared.data[inside]
    gain = shared.data - own[row]
    able = ~inside & (gain > 0) & ((row + sweep) % 2 == 0)
    order = np.argsort(-gain[able], kind="stable")
    row, column = row[able][order], column[able][order]
    _, once = np.unique(row, return_index=True)  # the best move of each node
    once.sort()
    row, column = row[once], column[once]
    keep = (_rank(column) < high - size[column]) & (_rank(part[row]) < size[part[row]] - low)
    moved = part.copy()
    moved[row[keep]] = column[keep]
    return moved


def _rank(group: np.ndarray) -> np.ndarray:
    """The place of each among those before it of the same group."""
    order = np.argsort(group, kind="stable")
    start = np.searchsorted(group[order], group[order], side="left")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - start
    return rank


def cut_share(edge_index: Tensor, part: Tensor) -> float:
    """The share of edges that join different parts.

    Args:
        edge_index: ``[2, E]``.
        part: ``[N]``, the part of each node.

    Cost: O(E).

    Example:
        >>> import torch, graphmask as gm
        >>> gm.transforms.cut_share(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 0, 1]))
        0.5
    """
    source, target = part[edge_index]
    return float((source != target).double().mean()) if edge_index.shape[1] else 0.0
