"""Independent terminating walks: the published estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import check_integer, check_probability
from graphmask._random import uniform
from graphmask.kernels import Pattern
from graphmask.topology import Normalization, Topology

from .base import WalkSampler

_Entries = tuple[Tensor, Tensor, Tensor, Tensor]


class IIDWalks(WalkSampler):
    r"""n independent simple random walks from every node, halting with probability ``p_halt`` before each hop.

    A walk that has made the hops :math:`u_0 \to \dots \to u_t` leaves
    :math:`\frac1n \prod_{s<t} W_{u_s u_{s+1}} \deg(u_s) / (1 - p_{halt})` at hop t: the product of its weights over the
    probability of this prefix. ``deg`` counts the entries of a row of W; a walk ends where there are none.

    Args:
        n_walks: n. (default: :obj:`32`)
        p_halt: the halting probability, in [0, 1). (default: :obj:`0.1`)
        hops: K, after which a walk is cut; the hops up to K stay unbiased. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)

    Raises:
        ValueError: for n < 1, a probability outside [0, 1), or an unknown normalisation.

    Cost: O(N n K) time; at most n (K + 1) entries per node, about n / p_halt.

    Source: Reid et al. (ICLR 2025), eqs. 9-10.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.IIDWalks(n_walks=16, p_halt=0.25, hops=3)(path, torch.Generator().manual_seed(0))
        >>> walks.to_dense()[0].diagonal()  # zero hops are exact
        tensor([1., 1., 1.])
    """

    def __init__(self, n_walks: int = 32, p_halt: float = 0.1, hops: int = 8, normalization: Normalization = "sym") -> None:
        super().__init__(hops, normalization)
        self.n_walks = check_integer("n_walks", n_walks, 1)
        self.p_halt = check_probability("p_halt", p_halt)

    def _draw(self, topology: Topology, seed: int) -> _Entries:
        pattern, weight = topology.adjacency(self.normalization)
        start = torch.arange(topology.num_nodes, device=topology.device).repeat_interleave(self.n_walks)
        walker = torch.arange(self.n_walks, device=topology.device).repeat(topology.num_nodes)
        node, load = start, weight.new_full(start.shape, 1 / self.n_walks)
        visits = [(start, node, torch.zeros_like(start), load)]
        for hop in range(1, self.hops + 1):
            place = topology.local_index[start]
            going = uniform(seed, hop, 0, place, walker) >= self.p_halt
            moved, keep, entry = _step(pattern, node, going, uniform(seed, hop, 1, place, walker))
            load = load[keep] * weight[entry] * pattern.rowptr.diff()[node[keep]] / (1 - self.p_halt)
            start, walker, node = start[keep], walker[keep], moved
            visits.append((start, node, torch.full_like(start, hop), load))
        row, col, hops, load = (torch.cat(part) for part in zip(*visits, strict=True))
        return _coalesce(row, col, hops, load, topology.num_nodes, self.hops)

    def __repr__(self) -> str:
        return f"IIDWalks(n_walks={self.n_walks}, p_halt={self.p_halt}, hops={self.hops})"


def _step(pattern: Pattern, node: Tensor, going: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform neighbours of the walkers that go on: their nodes, which walkers they are, and the entries of W they took."""
    degree = pattern.rowptr.diff()[node]
    keep = (going & (degree > 0)).nonzero().squeeze(1)
    offset = (draw[keep] * degree[keep]).long().clamp(max=degree[keep] - 1)
    entry = pattern.rowptr[node[keep]] + offset
    return pattern.col[entry].long(), keep, entry


def _coalesce(row: Tensor, col: Tensor, hop: Tensor, weight: Tensor, num_nodes: int, num_hops: int) -> _Entries:
    """Visits of one place at one hop, summed."""
    key, inverse = torch.unique((row * num_nodes + col) * (num_hops + 1) + hop, return_inverse=True)
    pair = torch.div(key, num_hops + 1, rounding_mode="floor")
    row = torch.div(pair, num_nodes, rounding_mode="floor")
    total = weight.new_zeros(key.shape).index_add(0, inverse, weight)
    return row, pair - row * num_nodes, key - pair * (num_hops + 1), total
