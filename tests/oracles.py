"""Oracles: what tests compare the library with, written from the definitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import floor

import torch
from torch import Tensor

from graphmask import Topology
from graphmask._random import seed_from, uniform
from graphmask.kernels import Pattern
from graphmask.walks import Antithetic, LengthLaw, RepellingWalks, Systematic
from graphmask.walks._rows import Rows, pointers
from graphmask.walks.paths import PathSampler

# Pair attention: patterns, operands and the definition

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def uneven(nodes: int = 40, hub: int = 3) -> Pattern:
    """A row and a column of many entries, some of none, the rest of few."""
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(nodes, nodes, generator=generator) < 0.1
    dense[hub], dense[:, hub] = True, True
    dense[5:8] = False
    dense[:, 9] = False
    return pattern_of(dense)


def pattern_of(dense: Tensor) -> Pattern:
    row, col = dense.nonzero(as_tuple=True)
    return Pattern.from_coo(row, col, (dense.shape[0], dense.shape[1]))


def inputs(pattern: Pattern, size: tuple[int, int, int], value_heads: int) -> Inputs:
    """Operands laid out as by a layer: by nodes, v a slice of a wider one; some values are 0."""
    (heads, m, d), nodes = size, pattern.shape[0]
    options = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    q, k = (torch.rand(nodes, heads, m, **options).transpose(0, 1) for _ in range(2))
    v = torch.randn(nodes, 3, heads, d, **options)[:, 1].transpose(0, 1)
    value = torch.randn(value_heads, pattern.nnz, **options)
    value[:, ::7] = 0
    return q, k, v, value


def definition(
    pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    mask, score = pattern.to_dense(value), q @ k.mT
    return (mask * score) @ v, (mask.abs() * score).sum(-1)


def softmax_definition(
    pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Both sums and the largest score of each row, which is held fixed."""
    mask, score = pattern.to_dense(value), q @ k.mT
    score = score.masked_fill(mask == 0, -torch.inf)
    top = score.detach().amax(-1) if score.numel() else score.detach().sum(-1)
    top = torch.where(top == -torch.inf, 0.0, top)
    score = (score - top.unsqueeze(-1)).exp()
    return (mask * score) @ v, ((mask.abs() if signed else mask) * score).sum(-1), top


# Sparse rows from dense ones and back


def rows_of(dense: Tensor) -> Rows:
    row, col = dense.nonzero(as_tuple=True)
    return Rows(pointers(row, len(dense)), col, dense[row, col])


def dense_of(rows: Rows, width: int) -> Tensor:
    return rows.weight.new_zeros(len(rows.ptr) - 1, width).index_put(
        (rows.row, rows.col), rows.weight, accumulate=True
    )


# Walks, one after the other, that share only the random numbers with the library


def paths_of(sampler: PathSampler, topology: Topology, generator: torch.Generator) -> Tensor:
    """``[N, n, K + 1]``, the nodes of the walks that the sampler draws, -1 after their ends."""
    seed, n = seed_from(generator), sampler.num_walks
    neighbours_of = neighbours(topology)
    leave = repelling if isinstance(sampler, RepellingWalks) else independent
    paths = torch.full((topology.num_nodes, n, sampler.hops + 1), -1)
    for start in range(topology.num_nodes):
        place = int(topology.local_index[start])
        lengths = lengths_of(sampler.length_law, seed, place, n, sampler.hops)
        walks = {walk: [start] for walk in range(n)}
        order = list(walks)
        for hop in range(1, sampler.hops + 1):
            order = [
                walk for walk in order if lengths[walk] >= hop and neighbours_of[walks[walk][-1]]
            ]
            draw = {walk: float(uniform(seed, 1, place, walk, hop)) for walk in order}
            order = leave(walks, order, draw, neighbours_of)
        for walk, path in walks.items():
            paths[start, walk, : len(path)] = torch.tensor(path)
    return paths


def neighbours(topology: Topology) -> list[list[int]]:
    """For each node i the nodes j of its entries W_ij, ascending."""
    source, target = topology.edge_index.tolist()
    return [
        sorted({j for j, end in zip(source, target, strict=True) if end == i})
        for i in range(topology.num_nodes)
    ]


def lengths_of(law: LengthLaw, seed: int, place: int, n: int, hops: int) -> list[int]:
    survival = law.survival(hops).tolist()

    def quantile(u: float) -> int:
        return sum(u < probability for probability in survival[1:])

    if isinstance(law, Systematic):
        return [quantile((float(uniform(seed, 0, place)) + walk / n) % 1) for walk in range(n)]
    if not isinstance(law, Antithetic):
        return [quantile(float(uniform(seed, 0, place, walk))) for walk in range(n)]
    lengths = []
    for walk in range(n):
        number = [
            (float(uniform(seed, 0, place, walk // 2, hop)) + walk % 2 / 2) % 1
            for hop in range(1, hops + 1)
        ]
        halts = [u < 1 - survival[t + 1] / survival[t] for t, u in enumerate(number)]
        lengths.append((*halts, True).index(True))
    return lengths


Walked = dict[int, list[int]]
Leave = Callable[[Walked, Sequence[int], dict[int, float], list[list[int]]], list[int]]


def independent(
    walks: Walked, order: Sequence[int], draw: dict[int, float], neighbours_of: list[list[int]]
) -> list[int]:
    for walk in order:
        choices = neighbours_of[walks[walk][-1]]
        walks[walk].append(choices[floor(draw[walk] * len(choices))])
    return list(order)


def repelling(
    walks: Walked, order: Sequence[int], draw: dict[int, float], neighbours_of: list[list[int]]
) -> list[int]:
    """The walks at a node leave in blocks of its degree; the first of a block draws for all."""
    meeting = defaultdict(list)
    for walk in order:
        meeting[walks[walk][-1]].append(walk)
    for node, together in sorted(meeting.items()):
        degree = len(neighbours_of[node])
        for block in (
            together[first : first + degree] for first in range(0, len(together), degree)
        ):
            for j, walk in enumerate(block):
                walks[walk].append(
                    neighbours_of[node][floor(degree * ((j / len(block) + draw[block[0]]) % 1))]
                )
    return [walk for _, together in sorted(meeting.items()) for walk in together]
