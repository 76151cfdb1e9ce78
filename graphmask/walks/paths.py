"""PathSampler: the base of samplers whose walks move from neighbour to neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask._random import stream, uniform
from graphmask._walks import Walks
from graphmask.topology import Normalization, Topology

from ._rows import PairRows
from .base import WalkSampler
from .length_laws import Geometric, LengthLaw, check_length_law

# Positions that walks from one block of nodes may visit: what stays in the caches of a CPU, and
# what keeps a GPU busy.
_BLOCK_VISITS_CPU = 2**19
_BLOCK_VISITS = 2**25


class WalkState(NamedTuple):
    """Walks that go on, in order of their starts.

    Attributes:
        start: rank in its block of the node where the walk started.
        node: where the walk stands.
        length: number of hops that it makes.
        seed: of its random numbers.
        weight: its contribution where it stands.
    """

    start: Tensor
    node: Tensor
    length: Tensor
    seed: Tensor
    weight: Tensor

    def select(self, index: Tensor) -> WalkState:
        """The walks at some positions."""
        return WalkState(*(field.index_select(0, index) for field in self))


class Transitions(NamedTuple):
    """Entries of W by rows, and the factor of the weight of a walk that takes an entry.

    Attributes:
        first: ``[N]``, the first entry of each row.
        degree: ``[N]``, the entries of each row.
        target: ``[nnz]``, the column of each entry.
        factor: ``[nnz]``, its value over the probability of taking it.
    """

    first: Tensor
    degree: Tensor
    target: Tensor
    factor: Tensor

    @classmethod
    def of(cls, topology: Topology, normalization: Normalization) -> Transitions:
        """The transitions along uniform entries of W."""
        pattern, weight = topology.adjacency(normalization)
        rowptr = pattern.rowptr.long()
        degree = rowptr.diff()
        return cls(rowptr[:-1], degree, pattern.col.long(), weight * degree[pattern.row])


@deprecated_arguments(n_walks="num_walks")
class PathSampler(WalkSampler):
    r"""n walks from every node along uniform entries of W, of lengths L by some law.

    A walk that has made the hops :math:`u_0 \to \dots \to u_t` adds :math:`\frac1n \prod_{s<t}
    W_{u_s u_{s+1}} \deg(u_s) / P(L \ge t)` to :math:`S_t[u_0, u_t]`: the product of its weights
    over the probability of its path. ``deg`` counts the entries of a row of W; a walk ends where
    there are none.

    Paths do not depend on the weights, so that the walks carry a gradient with respect to them,
    unbiased for that of the powers of W.

    A subclass may let the walks of a node depend on each other: their lengths by its law, their
    directions by ``_order_walks`` and ``_choose_entries``. The distribution of each walk must stay
    what it would be alone.

    Arguments are those of :class:`IIDWalks`.
    """

    differentiable = True

    def __init__(
        self,
        num_walks: int = 32,
        p_halt: float | None = None,
        hops: int = 8,
        normalization: Normalization = "sym",
        length_law: LengthLaw | None = None,
    ) -> None:
        super().__init__(hops, normalization)
        self.num_walks = check_integer("num_walks", num_walks, 1)
        if length_law is None:
            length_law = Geometric() if p_halt is None else Geometric(p_halt)
        elif p_halt is not None:
            expected = "left out beside `length_law`, such as length_law=Geometric(p_halt)"
            raise value_error("p_halt", expected, p_halt)
        self.length_law = check_length_law(length_law, self.hops)

    def _order_walks(self, walks: WalkState, positions: Tensor) -> Tensor:
        """Positions of the walks that go on, in the order that ``_choose_entries`` needs.

        Starts must stay ascending.
        """
        return positions

    def _choose_entries(self, walks: WalkState, degree: Tensor, draw: Tensor) -> Tensor:
        """Rank among ``degree`` entries of the one that each walk takes, by a number in [0, 1)."""
        return (draw * degree).long()  # below the degree: rounding does not reach it

    def _draw(self, topology: Topology, seed: int) -> Walks:
        transitions = Transitions.of(topology, self.normalization)
        visits = _BLOCK_VISITS_CPU if topology.device.type == "cpu" else _BLOCK_VISITS
        size = max(1, visits // (self.num_walks * (self.hops + 1)))
        blocks = [
            self._draw_block(nodes, topology.local_index[nodes], transitions, seed)
            for nodes in torch.arange(topology.num_nodes, device=topology.device).split(size)
        ]
        return PairRows.concatenate(blocks).to_walks(self.normalization)

    def _draw_block(
        self, nodes: Tensor, rank: Tensor, transitions: Transitions, seed: int
    ) -> PairRows:
        start = torch.arange(len(nodes), device=nodes.device)
        col_bits, hop_bits = len(transitions.degree).bit_length(), self.hops.bit_length()

        def key_of(start: Tensor, node: Tensor, hop: int) -> Tensor:
            """One number for a row, a column and a hop, in their order."""
            return (((start << col_bits) | node) << hop_bits) | hop

        keys, weights = [key_of(start, nodes, 0)], [transitions.factor.new_ones(len(nodes))]
        for hop, walks in enumerate(self._walk(nodes, rank, transitions, seed), 1):
            keys.append(key_of(walks.start, walks.node, hop))
            weights.append(walks.weight)
        key, order = sort_keys(torch.cat(keys))
        visit = key >> hop_bits
        is_first = torch.ones_like(visit, dtype=torch.bool)
        is_first[1:] = visit[1:] != visit[:-1]
        pair, width = visit[is_first], self.hops + 1
        # Visits are sorted, so that the number of pairs begun tells the pair of a visit.
        slot = (is_first.cumsum(0) - 1) * width + (key & ((1 << hop_bits) - 1))
        # In place, since index_add() copies what it adds to.
        table = transitions.factor.new_zeros(len(pair) * width)
        table.index_add_(0, slot, torch.cat(weights).index_select(0, order))
        counts = torch.bincount(pair >> col_bits, minlength=len(nodes))
        return PairRows(counts, pair & ((1 << col_bits) - 1), table.view(-1, width))

    def _walk(
        self, nodes: Tensor, rank: Tensor, transitions: Transitions, seed: int
    ) -> Iterator[WalkState]:
        """The walks from some nodes after every hop, as long as any goes on."""
        survival = self.length_law.survival(self.hops).tolist()
        walks = self._start(nodes, rank, transitions.factor, seed)
        for hop in range(1, self.hops + 1):
            degree = transitions.degree.index_select(0, walks.node)
            positions = ((walks.length >= hop) & (degree > 0)).nonzero().squeeze(1)
            if not len(positions):
                return
            walks = walks.select(self._order_walks(walks, positions))
            degree = transitions.degree.index_select(0, walks.node)
            rank_of_entry = self._choose_entries(walks, degree, uniform(walks.seed, hop))
            entry = transitions.first.index_select(0, walks.node) + rank_of_entry
            factor = transitions.factor.index_select(0, entry)
            weight = walks.weight * factor * (survival[hop - 1] / survival[hop])
            walks = walks._replace(node=transitions.target.index_select(0, entry), weight=weight)
            yield walks

    def _start(self, nodes: Tensor, rank: Tensor, factor: Tensor, seed: int) -> WalkState:
        n = self.num_walks
        walk = torch.arange(n, device=nodes.device)
        return WalkState(
            start=torch.arange(len(nodes), device=nodes.device).repeat_interleave(n),
            node=nodes.repeat_interleave(n),
            length=self.length_law.lengths(rank, n, self.hops, stream(seed, 0)).flatten(),
            seed=stream(seed, 1, rank.unsqueeze(1), walk).flatten(),
            weight=factor.new_full((len(nodes) * n,), 1 / n),
        )


def sort_keys(key: Tensor) -> tuple[Tensor, Tensor]:
    """Non-negative integers in ascending order, and their former positions.

    Equal ones keep their order. On CPU numpy sorts plain integers about five times faster than
    torch does: positions ride in the lowest bits.
    """
    bits = len(key).bit_length()
    if key.device.type != "cpu" or not len(key) or int(key.max()) >> (63 - bits):
        ordered, position = torch.sort(key, stable=True)
        return ordered, position
    packed = (key << bits) | torch.arange(len(key))
    packed.numpy().sort()
    return packed >> bits, packed & ((1 << bits) - 1)
