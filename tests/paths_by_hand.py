"""Walks walked by hand: one after the other, from the definitions, sharing only the random numbers with the fast ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import floor

import torch
from torch import Tensor

from graphmask import Topology
from graphmask._random import seed_from, uniform
from graphmask.walks import Antithetic, LengthLaw, RepellingWalks, Systematic
from graphmask.walks.paths import PathSampler


def paths_of(sampler: PathSampler, topology: Topology, generator: torch.Generator) -> Tensor:
    """``[N, n, K + 1]``, the nodes of the walks that the sampler draws, and -1 where they have ended."""
    seed, n = seed_from(generator), sampler.num_walks
    ways = neighbours(topology)
    leave = repelling if isinstance(sampler, RepellingWalks) else independent
    paths = torch.full((topology.num_nodes, n, sampler.hops + 1), -1)
    for start in range(topology.num_nodes):
        place = int(topology.local_index[start])
        lengths = lengths_of(sampler.length_law, seed, place, n, sampler.hops)
        walks = {walk: [start] for walk in range(n)}
        order = list(walks)
        for hop in range(1, sampler.hops + 1):
            order = [walk for walk in order if lengths[walk] >= hop and ways[walks[walk][-1]]]
            draw = {walk: float(uniform(seed, 1, place, walk, hop)) for walk in order}
            order = leave(walks, order, draw, ways)
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
    walks: Walked, order: Sequence[int], draw: dict[int, float], ways: list[list[int]]
) -> list[int]:
    for walk in order:
        choices = ways[walks[walk][-1]]
        walks[walk].append(choices[floor(draw[walk] * len(choices))])
    return list(order)


def repelling(
    walks: Walked, order: Sequence[int], draw: dict[int, float], ways: list[list[int]]
) -> list[int]:
    """Blocks of as many walks as there are ways, at each node.

    The first of a block draws for all.
    """
    meeting = defaultdict(list)
    for walk in order:
        meeting[walks[walk][-1]].append(walk)
    for node, together in sorted(meeting.items()):
        degree = len(ways[node])
        for block in (
            together[first : first + degree] for first in range(0, len(together), degree)
        ):
            for j, walk in enumerate(block):
                walks[walk].append(
                    ways[node][floor(degree * ((j / len(block) + draw[block[0]]) % 1))]
                )
    return [walk for _, together in sorted(meeting.items()) for walk in together]
