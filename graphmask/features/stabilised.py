"""Features of a wide range, known by sizes and exponents: scaled down together before they are exponentiated."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask.kernels.primitives import is_half

from .base import FeatureMap


class Parts(NamedTuple):
    """Features ``size * exp(exponent)``; both broadcast to ``[..., m]``, and no size stands for ones."""

    exponent: Tensor
    size: Tensor | None = None

    def combine(self, top: Tensor | float = 0.0) -> Tensor:
        """The features, divided by ``exp(top)``."""
        features = (self.exponent - top).exp()
        return features if self.size is None else self.size * features


class StabilisedFeatures(FeatureMap):
    """Features that ``forward`` divides by their largest exponential: of each query, and of all keys of one graph and head.

    Nothing overflows, nothing is added, and no graph sees its batch mates. Half precision is computed in single.
    """

    @abstractmethod
    def _query_parts(self, x: Tensor) -> Parts:
        """Of ``[..., d]`` in full precision."""

    def _key_parts(self, x: Tensor) -> Parts:
        """Of ``[..., d]`` in full precision; as of queries, where nothing else is said."""
        return self._query_parts(x)

    def queries(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self._query_parts(_widened(x)).combine().to(x.dtype)

    def keys(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self._key_parts(_widened(x)).combine().to(x.dtype)

    def forward(
        self, q: Tensor, k: Tensor, batch: Tensor | None = None, num_graphs: int | None = None
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(q.device.type, enabled=False):
            queries, keys = self._query_parts(_widened(q)), self._key_parts(_widened(k))
            largest = queries.exponent.detach().amax(-1, keepdim=True)
            return queries.combine(largest), keys.combine(_largest_of_graphs(keys.exponent.detach(), batch, num_graphs))


def _largest_of_graphs(exponent: Tensor, batch: Tensor | None, num_graphs: int | None) -> Tensor:
    """``[N or 1, H, 1]``, the largest of ``[N, H, m]`` over all nodes of the same graph."""
    of_nodes = exponent.amax(-1, keepdim=True)
    if not len(of_nodes):
        return of_nodes
    if batch is None:
        return of_nodes.amax(0, keepdim=True)
    graphs = int(batch.max()) + 1 if num_graphs is None else num_graphs
    where = batch[:, None, None].expand_as(of_nodes)
    return of_nodes.new_full((graphs, *of_nodes.shape[1:]), -torch.inf).scatter_reduce(0, where, of_nodes, "amax")[batch]


def _widened(x: Tensor) -> Tensor:
    return x.float() if is_half(x) else x
