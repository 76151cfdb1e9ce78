"""Resampled walks: the whole distribution of each walk, multiplied exactly and thinned without bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from graphmask._checks import check_integer
from graphmask._random import uniform
from graphmask.topology import Normalization, Topology

from .base import WalkSampler

# Entries that one block of rows may hold before it is thinned.
_BLOCK_ENTRIES = 2**22

# Numbers this close, relatively, are equal to the threshold.
_TIE = 1e-9


class ResampledWalks(WalkSampler):
    r"""The walk from every node carried as a sparse row: each hop multiplies it by W, then thins it to ``budget`` entries.

    Thinning keeps the weights above a threshold c as they are; the others survive with probability :math:`|w| / c` and then
    weigh :math:`\pm c`, chosen by one systematic draw per row and hop, where c solves :math:`\sum_j \min(|w_j| / c, 1) =`
    budget. So every :math:`S_t` is unbiased, and *exact* where the ball around the node has at most ``budget`` nodes. Weights
    of any sign and asymmetric W are served.

    Where a node has more than ``cap`` neighbours, its row of W is thinned to ``cap`` entries first, afresh for every hop: the
    product of independent unbiased factors stays unbiased, and a hop costs no more than ``budget * cap`` on any graph.

    Args:
        budget: entries kept per row and hop. (default: :obj:`64`)
        hops: K. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)
        cap: largest row of W that a hop multiplies by. (default: :obj:`None`, ``max(64, budget)``)

    Raises:
        ValueError: for a budget, cap or number of hops below 1 (hops: 0), or an unknown normalisation.

    Cost: O(N K budget min(degree, cap)) time; at most N (1 + K budget) entries. On CPU by scipy's sparse product.

    Source: the resampling is that of Fearnhead and Clifford, "On-line inference for hidden Markov models via particle
    filters" (JRSS-B 2003).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.ResampledWalks(budget=3, hops=2, normalization="rw")(path)
        >>> walks.to_dense()[2]  # the square of W, exact: no row exceeds the budget
        tensor([[0.5000, 0.0000, 0.5000],
                [0.0000, 1.0000, 0.0000],
                [0.5000, 0.0000, 0.5000]])
    """

    def __init__(self, budget: int = 64, hops: int = 8, normalization: Normalization = "sym", cap: int | None = None) -> None:
        super().__init__(hops, normalization)
        self.budget = check_integer("budget", budget, 1)
        self.cap = max(64, budget) if cap is None else check_integer("cap", cap, 1)

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pattern, weight = topology.adjacency(self.normalization)
        W = _Rows(pattern.rowptr.long(), pattern.col.long(), weight)
        factors = [thin(W, self.cap, uniform(seed, 0, hop, topology.local_index)) for hop in range(self.hops)]
        widest = min(self.cap, int(W.counts.max()) if topology.num_nodes else 0)
        block = max(1, _BLOCK_ENTRIES // max(1, self.budget * widest))
        parts = [
            entry
            for rows in torch.arange(topology.num_nodes, device=topology.device).split(block)
            for entry in self._draw_rows(rows, factors, topology, seed)
        ]
        if not parts:
            empty = W.col.new_empty(0)
            return empty, empty, empty, weight.new_empty(0)
        row, col, hop, value = (torch.cat(part) for part in zip(*parts, strict=True))
        order = torch.argsort((row * topology.num_nodes + col) * (self.hops + 1) + hop)
        return row[order], col[order], hop[order], value[order]

    def _draw_rows(
        self, rows: Tensor, factors: list[_Rows], topology: Topology, seed: int
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Entries of a block of rows, hop by hop."""
        place = topology.local_index[rows]
        ones = torch.ones(len(rows), dtype=factors[0].weight.dtype if factors else None, device=rows.device)
        state = _Rows(torch.arange(len(rows) + 1, device=rows.device), rows, ones)
        entries = [(rows, rows, torch.zeros_like(rows), ones)]
        for hop, W in enumerate(factors, 1):
            state = thin(multiply(state, W), self.budget, uniform(seed, 1, hop, place))
            start = rows.repeat_interleave(state.counts)
            entries.append((start, state.col, torch.full_like(start, hop), state.weight))
        return entries

    def __repr__(self) -> str:
        return f"ResampledWalks(budget={self.budget}, hops={self.hops})"


class _Rows(NamedTuple):
    """Sparse rows: ``ptr [R + 1]``, ``col [nnz]``, ``weight [nnz]``."""

    ptr: Tensor
    col: Tensor
    weight: Tensor

    @property
    def counts(self) -> Tensor:
        """``[R]``, entries of each row."""
        return self.ptr.diff()


def multiply(left: _Rows, right: _Rows) -> _Rows:
    """The sparse product; by scipy on CPU, by expanding and summing elsewhere."""
    return _multiply_scipy(left, right) if left.weight.device.type == "cpu" else _multiply_torch(left, right)


def _multiply_scipy(left: _Rows, right: _Rows) -> _Rows:
    size = len(right.ptr) - 1
    product = _to_scipy(left, size) @ _to_scipy(right, size)
    ptr, col = (torch.from_numpy(index.astype(np.int64)) for index in (product.indptr, product.indices))
    return _Rows(ptr, col, torch.from_numpy(product.data))


def _to_scipy(rows: _Rows, width: int) -> csr_matrix:
    return csr_matrix((rows.weight.numpy(), rows.col.numpy(), rows.ptr.numpy()), shape=(len(rows.ptr) - 1, width))


def _multiply_torch(left: _Rows, right: _Rows) -> _Rows:
    size, height = len(right.ptr) - 1, len(left.ptr) - 1
    row = torch.arange(height, device=left.col.device).repeat_interleave(left.counts)
    spread = right.counts[left.col]
    source = torch.arange(len(left.col), device=left.col.device).repeat_interleave(spread)
    offset = torch.arange(len(source), device=source.device) - (spread.cumsum(0) - spread)[source]
    entry = right.ptr[left.col[source]] + offset
    key, inverse = torch.unique(row[source] * size + right.col[entry], return_inverse=True)
    weight = left.weight.new_zeros(len(key)).index_add(0, inverse, left.weight[source] * right.weight[entry])
    row = torch.div(key, size, rounding_mode="floor")
    ptr = torch.zeros(height + 1, dtype=torch.long, device=key.device)
    ptr[1:] = torch.bincount(row, minlength=height).cumsum(0)
    return _Rows(ptr, key - row * size, weight)


def thin(rows: _Rows, budget: int, draw: Tensor) -> _Rows:
    """Rows of more than ``budget`` entries brought down to about that many, without bias; ``draw [R]`` in [0, 1)."""
    crowded = (rows.counts > budget).nonzero().squeeze(1)
    if not len(crowded):
        return rows
    weight, keep = rows.weight.clone(), torch.ones_like(rows.weight, dtype=torch.bool)
    for part in _of_similar_length(crowded, rows.counts[crowded]):
        entry, alive, value = _thin_padded(rows, part, budget, draw[part])
        weight[entry], keep[entry] = value, alive
    left = torch.cat([keep.new_zeros(1, dtype=torch.long), keep.cumsum(0)])
    return _Rows(left[rows.ptr], rows.col[keep], weight[keep])


def _of_similar_length(rows: Tensor, counts: Tensor) -> Iterator[Tensor]:
    """Rows in parts that pad to less than twice their entries and to at most a block: one hub must not widen all rows."""
    scale = torch.log2(counts.double()).floor().long()
    for power in torch.unique(scale).tolist():
        yield from rows[scale == power].split(max(1, _BLOCK_ENTRIES >> (power + 1)))


def _thin_padded(rows: _Rows, part: Tensor, budget: int, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The entries of some rows, which of them survive, and with what weights."""
    counts = rows.counts[part]
    column = torch.arange(int(counts.max()), device=counts.device)
    inside = column < counts.unsqueeze(1)
    entry = (rows.ptr[part].unsqueeze(1) + column)[inside]
    weight = rows.weight[entry]
    size = torch.zeros(inside.shape, dtype=torch.double, device=weight.device)
    size[inside] = weight.abs().double()
    threshold = find_threshold(size, budget).unsqueeze(1)
    kept = size > threshold
    chance = torch.where(kept, 0, size / threshold.clamp(min=torch.finfo(torch.double).tiny))
    passed = torch.floor(chance.cumsum(1) + draw.unsqueeze(1))
    lifted = passed.diff(dim=1, prepend=torch.zeros_like(passed[:, :1])) > 0
    moved = torch.where(kept, size, threshold)[inside].to(weight.dtype)
    return entry, (kept | lifted)[inside], moved.copysign(weight)


def find_threshold(size: Tensor, budget: int) -> Tensor:
    r"""The c of each row ``[R, n]`` of non-negative numbers with :math:`\sum_j \min(s_j / c, 1) =` budget.

    From c = sum / budget downwards: entries above c are set apart, the rest shares what is left of the budget, until nothing
    more stands out. Each pass sets at least one more entry apart, so that it ends, and in practice after a few. Entries that
    exceed c by rounding alone are not set apart: the budget could not be left with nothing to share.
    """
    apart = torch.zeros_like(size, dtype=torch.bool)
    while True:
        rest = torch.where(apart, 0, size).cumsum(1)[:, -1]
        threshold = rest / (budget - apart.sum(1))
        grown = apart | (size > (1 + _TIE) * threshold.unsqueeze(1))
        if torch.equal(grown, apart):
            return threshold
        apart = grown
