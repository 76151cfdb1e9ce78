"""PathSampler: what samplers share whose walks move from neighbour to neighbour and keep their paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask._random import stream, uniform
from graphmask.kernels.pattern import index_dtype
from graphmask.topology import Normalization, Topology

from .base import WalkSampler
from .length_laws import Geometric, LengthLaw, check_length_law

# Places that walks from one block of nodes may visit: what stays in the caches of a CPU, and what
# keeps a GPU busy.
_BLOCK_VISITS_CPU = 2**19
_BLOCK_VISITS = 2**25

_Entries = tuple[Tensor, Tensor, Tensor, Tensor]


class PathSampler(WalkSampler):
    r"""n walks from every node along uniform entries of W, of lengths L by some law.

    A walk that has made the hops :math:`u_0 \to \dots \to u_t` adds :math:`\frac1n \prod_{s<t}
    W_{u_s u_{s+1}} \deg(u_s) / P(L \ge t)` to :math:`S_t[u_0, u_t]`: the product of its weights
    over the probability of its path. ``deg`` counts the entries of a row of W; a walk ends where
    there are none.

    Paths do not depend on the weights, so that the walks carry a gradient with respect to them,
    unbiased for that of the powers of W.

    A subclass may let the walks of a node depend on each other: their lengths by its law, their
    directions by ``_line_up`` and ``_offsets``. Each of them must stay what it would be alone.

    Args:
        n_walks: n.
        length_law: of L.
        hops: K.
        normalization: of W.
    """

    differentiable = True

    def __init__(
        self, n_walks: int, length_law: LengthLaw, hops: int, normalization: Normalization
    ) -> None:
        super().__init__(hops, normalization)
        self.n_walks = check_integer("n_walks", n_walks, 1)
        self.length_law = check_length_law(length_law, self.hops)

    def _line_up(self, walks: Walking, going: Tensor) -> Tensor:
        """The numbers of the walks that go on, in the order that ``_offsets`` wants.

        Starts must stay ascending.
        """
        return going

    def _offsets(self, walks: Walking, degree: Tensor, draw: Tensor) -> Tensor:
        """Which of the ``degree`` entries at its node each walk takes, from a number ``draw`` in [0, 1) of its own."""
        return (draw * degree).long()  # below the degree: rounding does not reach it

    def _draw(self, topology: Topology, seed: int) -> _Entries:
        ways = _Ways.of(topology, self.normalization)
        visits = _BLOCK_VISITS_CPU if topology.device.type == "cpu" else _BLOCK_VISITS
        size = max(1, visits // (self.n_walks * (self.hops + 1)))
        blocks = [
            self._draw_block(nodes, topology.local_index[nodes], ways, seed)
            for nodes in torch.arange(topology.num_nodes, device=topology.device).split(size)
        ]
        row, col, hop, weight = (torch.cat(part) for part in zip(*blocks, strict=True))
        return row, col, hop, weight

    def _draw_block(self, nodes: Tensor, place: Tensor, ways: _Ways, seed: int) -> _Entries:
        start = torch.arange(len(nodes), device=nodes.device)
        visits = [(start, nodes, torch.zeros_like(start), ways.step.new_ones(len(nodes)))]
        for hop, walks in enumerate(self._walk(nodes, place, ways, seed), 1):
            visits.append((walks.start, walks.node, torch.full_like(walks.start, hop), walks.load))
        row, col, hops, load = (torch.cat(part) for part in zip(*visits, strict=True))
        row, col, hops, load = _coalesce(row, col, hops, load, len(ways.degree), self.hops)
        dtype = index_dtype(len(ways.degree))
        return nodes[row].to(dtype), col.to(dtype), hops.int(), load

    def _walk(self, nodes: Tensor, place: Tensor, ways: _Ways, seed: int) -> Iterator[Walking]:
        """The walks from some nodes after every hop, as long as there are any."""
        survival = self.length_law.survival(self.hops).tolist()
        walks = self._set_out(nodes, place, ways.step, seed)
        for hop in range(1, self.hops + 1):
            degree = ways.degree.index_select(0, walks.node)
            going = ((walks.length >= hop) & (degree > 0)).nonzero().squeeze(1)
            if not len(going):
                return
            walks = walks.take(self._line_up(walks, going))
            degree = ways.degree.index_select(0, walks.node)
            entry = ways.first.index_select(0, walks.node) + self._offsets(
                walks, degree, uniform(walks.source, hop)
            )
            load = (
                walks.load * ways.step.index_select(0, entry) * (survival[hop - 1] / survival[hop])
            )
            walks = walks._replace(node=ways.target.index_select(0, entry), load=load)
            yield walks

    def _set_out(self, nodes: Tensor, place: Tensor, step: Tensor, seed: int) -> Walking:
        walk = torch.arange(self.n_walks, device=nodes.device)
        return Walking(
            start=torch.arange(len(nodes), device=nodes.device).repeat_interleave(self.n_walks),
            node=nodes.repeat_interleave(self.n_walks),
            length=self.length_law.lengths(
                place, self.n_walks, self.hops, stream(seed, 0)
            ).flatten(),
            source=stream(seed, 1, place.unsqueeze(1), walk).flatten(),
            load=step.new_full((len(nodes) * self.n_walks,), 1 / self.n_walks),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_walks={self.n_walks}, hops={self.hops}, length_law={self.length_law!r})"


class Walking(NamedTuple):
    """Walks on their way, in order of their starts.

    ``start`` is the number of the first node in its block, ``node`` where the walk stands,
    ``length`` how many hops it makes, ``source`` the seed of its random numbers, and ``load`` what
    it adds where it stands.
    """

    start: Tensor
    node: Tensor
    length: Tensor
    source: Tensor
    load: Tensor

    def take(self, index: Tensor) -> Walking:
        """Some of them."""
        return Walking(*(part.index_select(0, index) for part in self))


class _Ways(NamedTuple):
    """Where walks can go: the entries of W by rows, and by what each multiplies the load of a walk that takes it."""

    first: Tensor
    degree: Tensor
    target: Tensor
    step: Tensor

    @classmethod
    def of(cls, topology: Topology, normalization: Normalization) -> _Ways:
        pattern, weight = topology.adjacency(normalization)
        rowptr = pattern.rowptr.long()
        degree = rowptr.diff()
        return cls(rowptr[:-1], degree, pattern.col.long(), weight * degree[pattern.row])


def choose_law(p_halt: float | None, length_law: LengthLaw | None) -> LengthLaw:
    """The law that is given in one of two ways; without either, walks halt with probability 0.1."""
    if length_law is None:
        return Geometric() if p_halt is None else Geometric(p_halt)
    if p_halt is not None:
        raise value_error(
            "p_halt", "left out beside `length_law`, such as length_law=Geometric(p_halt)", p_halt
        )
    return length_law


def sort_keys(key: Tensor) -> tuple[Tensor, Tensor]:
    """Non-negative integers in ascending order, and their former positions.

    Equal ones keep their order.

    On CPU numpy sorts plain integers about five times faster than torch does: positions ride in the
    lowest bits.
    """
    bits = len(key).bit_length()
    if key.device.type != "cpu" or not len(key) or int(key.max()) >> (63 - bits):
        ordered, position = torch.sort(key, stable=True)
        return ordered, position
    packed = (key << bits) | torch.arange(len(key))
    packed.numpy().sort()
    return packed >> bits, packed & ((1 << bits) - 1)


def _coalesce(
    row: Tensor, col: Tensor, hop: Tensor, weight: Tensor, num_nodes: int, num_hops: int
) -> _Entries:
    """Entries in order of row, column and hop; those of one place and hop are summed."""
    col_bits, hop_bits = num_nodes.bit_length(), num_hops.bit_length()
    key, order = sort_keys((((row << col_bits) | col) << hop_bits) | hop)
    key, entry = torch.unique_consecutive(key, return_inverse=True)
    total = weight.new_zeros(key.shape).index_add(0, entry, weight.index_select(0, order))
    pair = key >> hop_bits
    return pair >> col_bits, pair & ((1 << col_bits) - 1), key & ((1 << hop_bits) - 1), total
