"""The modules of a model that read rows of nodes, and not those behind a pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from graphmask.nn import Readout, TopologicalTransformer


def children_on_nodes(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Submodules by name, without those that read pooled graphs, the same on all ranks."""
    behind: list[Any] = []
    if isinstance(module, Readout):
        behind = [module.graphs]
    if isinstance(module, TopologicalTransformer) and module.pool is not None:
        behind = [module.head]
    for name, child in module.named_children():
        if all(child is not other for other in behind):
            yield name, child


def modules_on_nodes(module: nn.Module) -> Iterator[nn.Module]:
    """The module and all within it, without those that read pooled graphs."""
    yield module
    for _, child in children_on_nodes(module):
        yield from modules_on_nodes(child)
