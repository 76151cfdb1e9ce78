"""Reading graphs in parts: neighbourhoods of nodes, with their edges and values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from .stored import GraphShards


class Reader:
    """Reads what lies around some nodes, from the parts that hold it.

    Nodes are called by position: their place in the order of parts.
    """

    def __init__(self, shards: GraphShards) -> None:
        self.shards, self.starts = shards, shards.starts

    def names(self, kind: str) -> list[str]:
        """Names of the tensors of a kind, ``"node"`` or ``"edge"``."""
        return [name for name in self.shards.part(0) if name.startswith(f"{kind}.")]

    def rings(self, nodes: Tensor, hops: int) -> Tensor:
        """Rising nodes, and all that are up to ``hops`` hops away, against the edges."""
        known = front = nodes
        for _ in range(hops):
            reached = [
                self.shards.part(index)["ends"][0][
                    contains(group, self.shards.part(index)["ends"][1])
                ]
                for index, group in self._by_part(front)
            ]
            found = torch.cat([known[:0], *reached]).unique()
            front = found[~contains(known, found)]
            known = torch.cat([known, front]).sort().values
        return known

    def edges(self, nodes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Ends ``[2, e]`` and values of all edges at rising nodes, in the order of the graph."""
        names = self.names("edge")
        chosen: list[dict[str, Tensor]] = []
        for index, group in self._by_part(nodes):
            tensors = self.shards.part(index)
            source, target = tensors["ends"]
            at = contains(group, source) | contains(group, target)
            found = {name: tensors[name][at] for name in ("edge", *names)}
            chosen.append({**found, "ends": tensors["ends"][:, at].mT})
        if not chosen:
            empty = self.shards.part(0)
            chosen = [{n: empty[n][:0] for n in ("edge", *names)} | {"ends": empty["ends"].mT[:0]}]
        joined = {name: torch.cat([each[name] for each in chosen]) for name in chosen[0]}
        number, order = joined["edge"].sort(stable=True)
        is_first = torch.ones_like(number, dtype=torch.bool)
        is_first[1:] = number[1:] != number[:-1]
        order = order[is_first]
        values = {name.removeprefix("edge."): joined[name][order] for name in names}
        return joined["ends"][order].mT.contiguous(), values

    def values(self, name: str, nodes: Tensor) -> Tensor:
        """Values of nodes in any order; of one node that is nowhere where there are none."""
        like = self.shards.part(0)[name]
        out = like.new_zeros(max(1, len(nodes)), *like.shape[1:])
        rising, order = nodes.sort()
        done = 0
        for index, group in self._by_part(rising):
            values = self.shards.part(index)[name]
            out[order[done : done + len(group)]] = values[group - self.starts[index]]
            done += len(group)
        return out

    def _by_part(self, nodes: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Rising nodes in groups of one part each."""
        cuts = torch.searchsorted(nodes, self.starts).tolist()
        for index, (first, end) in enumerate(pairwise(cuts)):
            if end > first:
                yield index, nodes[first:end]


def contains(rising: Tensor, values: Tensor) -> Tensor:
    """Return True for each value that is among the ascending ones."""
    if not len(rising):
        return torch.zeros_like(values, dtype=torch.bool)
    return rising[torch.searchsorted(rising, values).clamp(max=len(rising) - 1)] == values
