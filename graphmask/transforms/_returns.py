"""Return probabilities of walks: the diagonals of the powers of a matrix, each met in the middle.

``(P^k)_ii`` is the inner product of row i of ``P^s`` and of column i of ``P^t``, s + t = k: walks
of half the length are enough, and as long as they stay exact, so is their product. Where a row or
column grows too wide both are resampled, independently of each other, so that the product stays
unbiased.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._random import uniform
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.topology import Topology
from graphmask.walks._products import Adjacency, multiply, sample_product
from graphmask.walks._resampling import thin
from graphmask.walks._rows import Rows, row_sums

from .orders import CuthillMcKee

# Terms of a row of a product that are formed, per entry that it may keep; of more, that many are
# drawn. Entries are fewer once they are not exact: errors then fall slowly with their number, while
# time grows with it.
_FORMED, _SAMPLED = 8, 4
_SHRINK = 16

# Rows at a time where torch forms the products.
_ROWS = 1024


class Limits(NamedTuple):
    """How many entries a row may keep, and terms of its product be formed or drawn.

    ``width`` and ``formed`` are for exact rows, ``narrow`` and ``few`` for those that were
    resampled; of more terms, ``sampled`` are drawn.
    """

    width: int
    formed: int
    narrow: int
    few: int
    sampled: int

    @classmethod
    def of(cls, width: int) -> Limits:
        """Of a width."""
        narrow = max(1, width // _SHRINK)
        return cls(width, _FORMED * width, narrow, _FORMED * narrow, _SAMPLED * narrow)


class Chain(NamedTuple):
    """P by rows and by columns.

    ``balance [N]`` if it is reversible: ``balance_i P_ij = balance_j P_ji``; empty if not.
    """

    forward: Adjacency
    backward: Adjacency
    balance: Tensor

    @classmethod
    def of(cls, topology: Topology) -> Chain:
        r"""The random walk that follows edges.

        :math:`P_{ij}` is the weight of i -> j over that of all edges from i.
        """
        turned = Topology(topology.edge_index.flip(0), topology.num_nodes, topology.edge_weight)
        (pattern, weight), (_, plain) = turned.adjacency("rw"), turned.adjacency(None)
        mirrored, order = pattern.mT, pattern.csc_perm
        forward = Adjacency.of(pattern.rowptr, pattern.col, weight)
        symmetric = torch.equal(pattern.rowptr, mirrored.rowptr) and torch.equal(
            pattern.col, mirrored.col
        )
        if symmetric and torch.equal(plain, plain[order]):
            balance = row_sums(plain.double().abs(), pattern.rowptr.long().diff())
        else:
            balance = plain.new_empty(0, dtype=torch.double)
        return cls(forward, Adjacency.of(mirrored.rowptr, mirrored.col, weight[order]), balance)


def return_probabilities(
    topology: Topology, length: int, width: int, seed: int
) -> tuple[Tensor, Tensor]:
    """``[N, length]`` estimates of ``(P^k)_ii``, k = 1 to length, and ``[N]``, which rows are exact.

    Args:
        topology: the graph.
        length: the largest k.
        width: entries that a row or column may have before it is resampled, down to a sixteenth.
        seed: of the resampling.
    """
    order, compiled = _order(topology), _compiled() if topology.device.type == "cpu" else None
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    chain = Chain.of(
        Topology(place[topology.edge_index.long()], topology.num_nodes, _weight(topology))
    )
    numbers = torch.arange(4 * ((length + 1) // 2), device=topology.device)
    draws = uniform(seed, topology.local_index[order].unsqueeze(1), numbers)
    found, exact = (_returns if compiled is None else compiled.returns)(
        chain, length, Limits.of(width), draws
    )
    return found[place], exact[place]


def _weight(topology: Topology) -> Tensor:
    """In float64, so that what is exact is so up to that."""
    if topology.edge_weight is None:
        return torch.ones(topology.num_edges, dtype=torch.double, device=topology.device)
    return topology.edge_weight.detach().double()


def _order(topology: Topology) -> Tensor:
    """Neighbours close to each other: walks then stay in the cache."""
    return CuthillMcKee()(
        Data(edge_index=topology.edge_index, num_nodes=topology.num_nodes, batch=topology.batch)
    )


def _returns(chain: Chain, length: int, limits: Limits, draws: Tensor) -> tuple[Tensor, Tensor]:
    """In blocks of rows, on any device."""
    found, exact = (
        draws.new_empty(len(draws), length),
        draws.new_empty(len(draws), dtype=torch.bool),
    )
    for some in torch.arange(len(draws), device=draws.device).split(_ROWS):
        found[some], exact[some] = _returns_of(chain, some, length, limits, draws[some])
    return found, exact


def _returns_of(
    chain: Chain, start: Tensor, length: int, limits: Limits, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """As the compiled body, for some rows.

    Columns follow from rows of a reversible P as long as all of them are exact.
    """
    place = torch.arange(len(start) + 1, device=start.device)
    row = column = Rows(place, start, torch.ones_like(start, dtype=torch.double))
    straight = upright = torch.ones_like(
        start, dtype=torch.bool
    )  # which rows are exact, and which columns
    found = []
    for step in range((length + 1) // 2):
        row, straight = _step(
            row, straight, chain.forward, limits, draws[:, 4 * step : 4 * step + 2]
        )
        found.append(_inner(row, column))
        if 2 * step + 2 <= length:
            if len(chain.balance) and bool(straight.all()):
                scale = chain.balance[start][row.row] / chain.balance[row.col]
                column = row._replace(weight=row.weight * scale)
            else:
                column, upright = _step(
                    column, upright, chain.backward, limits, draws[:, 4 * step + 2 : 4 * step + 4]
                )
            found.append(_inner(row, column))
    return torch.stack(found, 1), straight & upright


def _step(
    state: Rows, exact: Tensor, W: Adjacency, limits: Limits, draws: Tensor
) -> tuple[Rows, Tensor]:
    """``state``, thinned where it is wide, times W, and which rows are exact still."""
    wide = state.counts > torch.where(exact, limits.width, limits.narrow)
    state = _join(
        state.keep(~wide[state.row]), thin(state.keep(wide[state.row]), limits.narrow, draws[:, 0])
    )
    exact = exact & ~wide
    terms = row_sums(W.rows.counts[state.col].double(), state.counts)
    large = terms > torch.where(exact, limits.formed, limits.few)
    formed = multiply(state.keep(~large[state.row]), W.rows)
    if not bool(large.any()):
        return formed, exact
    return _join(
        formed, sample_product(state.keep(large[state.row]), W, limits.sampled, draws[:, 1])
    ), exact & ~large


def _join(left: Rows, right: Rows) -> Rows:
    """The entries of both."""
    order = torch.argsort(torch.cat([left.row, right.row]), stable=True)
    col, weight = (
        torch.cat([left.col, right.col])[order],
        torch.cat([left.weight, right.weight])[order],
    )
    return Rows(left.ptr + right.ptr, col, weight)


def _inner(left: Rows, right: Rows) -> Tensor:
    """``[R]``, inner products of rows."""
    size = 1 + max((int(each.col.max()) for each in (left, right) if len(each.col)), default=0)
    key, order = torch.sort(right.row * size + right.col)
    if not len(key):
        return left.weight.new_zeros(len(left.counts))
    wanted = left.row * size + left.col
    place = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
    return row_sums(
        torch.where(key[place] == wanted, left.weight * right.weight[order[place]], 0), left.counts
    )


@cache
def _compiled() -> ModuleType | None:
    """The body compiled by numba, where that is installed."""
    if not HAS_NUMBA:
        return None
    from . import _returns_numba

    return _returns_numba
