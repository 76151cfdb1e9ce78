"""The order of nodes in which a model computes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from graphmask.masks import TopologicalMask
from graphmask.topology import Topology


def find_order(masks: Sequence[TopologicalMask], topology: Topology) -> Tensor | None:
    """``[N]``, nodes in an order in which those that masks connect lie close; None to keep theirs.

    They keep it where it is good or the graph small, where processes share the graph, on GPUs, and
    where weights or walks carry a gradient.
    """
    learned = topology.requires_grad or any(walks.requires_grad for walks in topology.walk_sets)
    if learned or not topology.part.is_whole or topology.device.type != "cpu":
        return None
    structures = [mask._structure(topology) for mask in masks]
    patterns = [pattern for structure in structures for pattern in structure.patterns]
    patterns += [structure.support for structure in structures if structure.support is not None]
    largest = max(patterns, key=lambda pattern: pattern.nnz, default=None)
    return largest.row_order if largest is not None and len(largest.row_order) else None
