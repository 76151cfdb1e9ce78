"""Orders of nodes in which neighbours are close: of a graph, and of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask.kernels import Pattern
from graphmask.topology import Topology
from graphmask.transforms._points import graph_numbers, positions

# Bits of a place along the curve: those of a non-negative int64.
_KEY_BITS = 63


@dataclass(frozen=True)
class CuthillMcKee:
    """Reverse Cuthill-McKee order of ``edge_index``.

    Breadth-first, so that neighbours are at most two fronts apart.

    The direction of edges, their weights and the order in which they are listed do not matter. The
    graphs of ``batch`` are ordered one by one.

    Cost: O(E log E) time, O(E) memory, on the CPU.

    Raises:
        ValueError: data without ``edge_index``, or node ids out of range.

    Source: Cuthill and McKee, "Reducing the bandwidth of sparse symmetric matrices" (1969).

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(edge_index=torch.tensor([[3, 0, 0, 2, 2, 1], [0, 3, 2, 0, 1, 2]]), num_nodes=4)
        >>> gm.transforms.CuthillMcKee()(path)
        tensor([3, 0, 2, 1])
    """

    def __call__(self, data: Data) -> Tensor:
        """``[N]``, the nodes in order, graph by graph."""
        if data.edge_index is None:
            raise value_error(
                "data",
                "a graph with `edge_index` (see graphmask.transforms.KNNGraph)",
                list(data.keys()),
            )
        topology = Topology(data.edge_index, data.num_nodes, batch=data.batch)
        nodes = (
            torch.arange(topology.num_nodes)
            if topology.batch is None
            else topology.batch.argsort(stable=True).cpu()
        )
        blocks = _blocks(topology, nodes)
        found = [nodes.new_empty(0)] + [
            first + block.cuthill_mckee().long() for first, block in blocks if block.num_cols
        ]
        return nodes[torch.cat(found)].to(topology.device)


def _blocks(topology: Topology, nodes: Tensor) -> list[tuple[int, Pattern]]:
    """The pattern of each graph, and its first place among the nodes, which are sorted by graph."""
    place = torch.empty_like(nodes)
    place[nodes] = torch.arange(len(nodes))
    whole = Topology(place[topology.edge_index.cpu().long()], topology.num_nodes).pattern
    sizes = topology.graph_sizes.tolist()
    counts, start, blocks = whole.rowptr.diff(), 0, []
    for size in sizes:
        first, last = whole.rowptr[start], whole.rowptr[start + size]
        blocks.append(
            (
                start,
                Pattern.from_counts(
                    counts[start : start + size], whole.col[first:last] - start, size
                ),
            )
        )
        start += size
    return blocks


@dataclass(frozen=True)
class Hilbert:
    r"""Order of ``pos`` along Hilbert's space-filling curve.

    Points that follow each other are near, and mostly vice versa.

    The cube about the points of each graph is cut into :math:`2^{\text{bits}}` cells along every
    axis; points of one cell keep their order. No graph is needed, so clouds can be ordered before
    their edges are found.

    Args:
        bits: levels of the curve. (default: :obj:`16`)

    Cost: O(N (log N + bits)) time, O(N) memory.

    Raises:
        ValueError: ``pos`` missing, not float32 or float64, not finite, or of other than 2 or 3
            dimensions; more than 31 bits in 2, or 21 in 3 dimensions.

    Source: Hilbert, "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck" (1891); the
    turns in any dimension after Hamilton and Rau-Chaplin, "Compact Hilbert indices" (2008).

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
        """``[N]``, the points in order, graph by graph."""
        pos = positions(data)
        dim = pos.size(1)
        if dim not in (2, 3):
            raise value_error("pos", "of shape [N, 2] or [N, 3]", pos)
        if self.bits * dim > _KEY_BITS:
            raise value_error("bits", f"at most {_KEY_BITS // dim} in {dim} dimensions", self.bits)
        batch = graph_numbers(pos, data.batch)
        order = hilbert_key(_cells(pos.detach().double(), batch, self.bits), self.bits).argsort(
            stable=True
        )
        return order[batch[order].argsort(stable=True)]


def _cells(pos: Tensor, batch: Tensor, bits: int) -> Tensor:
    """``[N, D]`` cells of the points in the cubes about their graphs."""
    if not pos.numel():
        return pos.long()
    # Halved, so that no difference overflows; multiplied in float64, which holds all cells of 31
    # bits.
    half, index = pos / 2, batch.unsqueeze(1).expand_as(pos)
    low, high = (
        torch.zeros_like(half).scatter_reduce(0, index, half, how, include_self=False)
        for how in ("amin", "amax")
    )
    extent = (high - low).amax(1, keepdim=True)[batch]
    inside = torch.where(extent > 0, (half - low[batch]) / extent, torch.zeros_like(half))
    return (inside * 2.0**bits).long().clamp(max=2**bits - 1)


def hilbert_key(cell: Tensor, bits: int) -> Tensor:
    """``[N]``, places along Hilbert's curve of cells ``[N, D]`` with coordinates below ``2 ** bits``.

    Level by level from the coarsest, a turned curve visits the ``2 ** D`` parts of each cell: its
    state, which of the turned curves it is, and the part give a digit of the place and the state of
    the next level.
    """
    dim = cell.size(1)
    digits, states = (table.to(cell.device) for table in _turns(dim))
    key, state = (
        torch.zeros(len(cell), dtype=torch.long, device=cell.device),
        torch.zeros_like(cell[:, 0]),
    )
    axis = torch.arange(dim, device=cell.device)
    for level in reversed(range(bits)):
        part = ((cell >> level & 1) << axis).sum(1)
        key = key << dim | digits[state, part]
        state = states[state, part]
    return key


@cache
def _turns(dim: int) -> tuple[Tensor, Tensor]:
    """For each turned curve (the corner where it enters, the axis along which it leaves) and part: the digit, the next one."""
    parts = 1 << dim
    digits, states = (torch.empty(parts * dim, parts, dtype=torch.long) for _ in range(2))
    for enter in range(parts):
        for axis in range(dim):
            for digit in range(parts):
                part = _rotate(_gray(digit), axis + 1, dim) ^ enter
                entered = enter ^ _rotate(_entry(digit), axis + 1, dim)
                digits[enter * dim + axis, part] = digit
                states[enter * dim + axis, part] = (
                    entered * dim + (axis + _direction(digit, dim) + 1) % dim
                )
    return digits, states


def _gray(number: int) -> int:
    """Gray code: consecutive numbers differ in one bit, so that consecutive parts share a face."""
    return number ^ number >> 1


def _entry(digit: int) -> int:
    """The corner where the curve enters the part of a digit."""
    return 0 if digit == 0 else _gray(2 * ((digit - 1) // 2))


def _direction(digit: int, dim: int) -> int:
    """The axis along which the curve runs from where it enters the part of a digit to where it leaves it."""
    if digit == 0:
        return 0
    return _trailing_ones(digit if digit % 2 else digit - 1) % dim


def _trailing_ones(number: int) -> int:
    return ((number + 1) & ~number).bit_length() - 1


def _rotate(number: int, by: int, dim: int) -> int:
    """Bits turned to the left, among the lowest ``dim``."""
    by %= dim
    return (number << by | number >> (dim - by)) & ((1 << dim) - 1)
