"""Orders of nodes, by a graph or by positions, in which neighbours are close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from graphmask._checks import check_integer, value_error
from graphmask._precision import to_double
from graphmask.topology import Topology
from graphmask.transforms._points import graph_numbers, positions

# Bits of a position along the curve: those of a non-negative int64.
_KEY_BITS = 63

# Points whose keys are computed at a time.
_CHUNK = 2**18


@dataclass(frozen=True)
class CuthillMcKee:
    """Reverse Cuthill-McKee order of ``edge_index``, by scipy.

    Breadth-first, so that neighbours are at most two fronts apart. The direction of edges, their
    weights and the order in which they are listed do not matter. The graphs of ``batch`` are
    ordered one by one.

    Cost: O(E log E) time, O(E) memory, on the CPU.

    Raises:
        ValueError: if data has no ``edge_index``, or node ids are out of range.

    Source: Cuthill and McKee, "Reducing the bandwidth of sparse symmetric matrices" (1969).

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> edge_index = torch.tensor([[3, 0, 0, 2, 2, 1], [0, 3, 2, 0, 1, 2]])
        >>> gm.transforms.CuthillMcKee()(Data(edge_index=edge_index, num_nodes=4))
        tensor([3, 0, 2, 1])
    """

    def __call__(self, data: Data) -> Tensor:
        """Return the nodes ``[N]`` in order, graph by graph."""
        if data.edge_index is None:
            expected = "a graph with `edge_index` (see graphmask.transforms.KNNGraph)"
            raise value_error("data", expected, list(data.keys()))
        topology = Topology(data.edge_index, data.num_nodes, batch=data.batch)
        nodes = torch.arange(topology.num_nodes)
        if topology.batch is not None:
            nodes = topology.batch.argsort(stable=True).cpu()
        rank = torch.empty_like(nodes)
        rank[nodes] = torch.arange(len(nodes))
        source, target = rank[topology.edge_index.cpu().long()].numpy()
        adjacency = coo_matrix(
            (np.ones(len(source), dtype=bool), (target, source)), (len(nodes), len(nodes))
        ).tocsr()
        # Nodes are sorted by graph: each graph is a diagonal block.
        orders, first = [nodes[:0]], 0
        for size in topology.graph_sizes.tolist():
            if size:
                block = slice(first, first + size)
                order = reverse_cuthill_mckee(adjacency[block, block])
                orders.append(first + torch.from_numpy(order.astype(np.int64)))
            first += size
        return nodes[torch.cat(orders)].to(topology.device)


@dataclass(frozen=True)
class Hilbert:
    r"""Order of ``pos`` along Hilbert's space-filling curve.

    Points that follow each other are near, and mostly vice versa. The cube about the points of
    each graph is cut into :math:`2^{\text{bits}}` cells along every axis; points of one cell keep
    their order. No graph is needed, so clouds can be ordered before their edges are computed.

    Args:
        bits: number of levels of the curve. (default: :obj:`16`)

    Cost: O(N (log N + bits)) time, O(N) memory.

    Raises:
        ValueError: if ``pos`` is missing, not float32 or float64, not finite, or not of 2 or 3
            dimensions; there are more than 31 bits in 2, or 21 in 3 dimensions.

    Source: Hilbert, "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck" (1891); the
    algorithm is that of Skilling, "Programming the Hilbert curve" (2004).

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> corners = Data(pos=torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> gm.transforms.Hilbert()(corners)
        tensor([0, 2, 3, 1])
    """

    bits: int = 16

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 1)

    def __call__(self, data: Data) -> Tensor:
        """Return the points ``[N]`` in order, graph by graph."""
        pos = positions(data)
        dim = pos.size(1)
        if dim not in (2, 3):
            raise value_error("pos", "of shape [N, 2] or [N, 3]", pos)
        if self.bits * dim > _KEY_BITS:
            raise value_error("bits", f"at most {_KEY_BITS // dim} in {dim} dimensions", self.bits)
        batch = graph_numbers(pos, data.batch)
        order = _keys(pos.detach(), batch, self.bits).argsort(stable=True)
        return order if data.batch is None else order[batch[order].argsort(stable=True)]


def _keys(pos: Tensor, batch: Tensor, bits: int) -> Tensor:
    """Compute positions ``[N]`` along the curve of the points in the cubes about their graphs."""
    if not pos.numel():
        return batch
    # Halved, so that no difference overflows; multiplied in float64, which holds all cells of 31
    # bits.
    low, high = (to_double(scatter(pos, batch, reduce=reduce)) / 2 for reduce in ("min", "max"))
    extent = (high - low).amax(1, keepdim=True)
    keys = []
    for points, graph in zip(pos.split(_CHUNK), batch.split(_CHUNK), strict=True):
        inside = (to_double(points) / 2 - low[graph]) / extent[graph]
        inside = torch.where(extent[graph] > 0, inside, torch.zeros_like(inside))
        cell = (inside * 2.0**bits).long().clamp(max=2**bits - 1)
        keys.append(hilbert_key(cell, bits))
    return torch.cat(keys)


def hilbert_key(cell: Tensor, bits: int) -> Tensor:
    """Compute positions ``[N]`` along Hilbert's curve of cells ``[N, D]`` below ``2 ** bits``."""
    axes = list(cell.unbind(1))
    # From the coarsest level on, undo the exchange and inversion of the axes below it.
    for level in reversed(range(1, bits)):
        low = (1 << level) - 1
        for i in range(len(axes)):
            is_upper = (axes[i] >> level & 1).bool()
            exchange = torch.where(is_upper, 0, (axes[0] ^ axes[i]) & low)
            axes[0] = axes[0] ^ torch.where(is_upper, low, exchange)
            if i:
                axes[i] = axes[i] ^ exchange
    # Gray code: consecutive positions differ along one axis.
    for i in range(1, len(axes)):
        axes[i] = axes[i] ^ axes[i - 1]
    inverted = torch.zeros_like(axes[0])
    for level in range(1, bits):
        inverted = inverted ^ (axes[-1] >> level & 1) * ((1 << level) - 1)
    key = torch.zeros_like(axes[0])
    for level in reversed(range(bits)):
        for axis in axes:
            key = key << 1 | ((axis ^ inverted) >> level & 1)
    return key
