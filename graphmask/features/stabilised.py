"""Features of a wide range, known by sizes and exponents.

Scaled down together before they are exponentiated.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask.kernels.products import is_half

from .base import FeatureMap


class Parts(NamedTuple):
    """Features ``size * exp(exponent)``.

    Both broadcast to ``[..., m]``, and no size stands for ones.
    """

    exponent: Tensor
    size: Tensor | None = None

    def combine(self) -> Tensor:
        """The features."""
        features = self.exponent.exp()
        return features if self.size is None else self.size * features

    def balance(self, largest: Tensor) -> Parts:
        """Of queries, times ``exp(largest)``, by which their keys were divided.

        Then the largest of each row is 1.
        """
        exponent = self.exponent + largest
        return Parts(exponent - exponent.detach().amax(-1, keepdim=True), self.size)


class StabilisedFeatures(FeatureMap):
    """Features that ``forward`` scales into the range of floating-point numbers.

    Each feature of all keys of one graph and head is divided by its largest, which the same feature
    of the queries takes over; then each query is divided by its largest feature. The scores of a
    query sum to at least 1 over all keys of its graph, where
    features are positive: nothing overflows, nothing has to be added, and no graph sees its batch
    mates. Only the last step changes scores, by a factor per query. Half precision is computed in
    single.
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
            largest = _largest_of_graphs(keys.exponent.detach(), batch, num_graphs)
            return queries.balance(largest).combine(), Parts(
                keys.exponent - largest, keys.size
            ).combine()


def _largest_of_graphs(exponent: Tensor, batch: Tensor | None, num_graphs: int | None) -> Tensor:
    """``[N or 1, H, m]``, the largest of ``[N, H, m]`` over all nodes of the same graph."""
    if not len(exponent):
        return exponent
    if batch is None:
        return exponent.amax(0, keepdim=True)
    graphs = int(batch.max()) + 1 if num_graphs is None else num_graphs
    where = batch[:, None, None].expand_as(exponent)
    return exponent.new_full((graphs, *exponent.shape[1:]), -torch.inf).scatter_reduce(
        0, where, exponent, "amax"
    )[batch]


def _widened(x: Tensor) -> Tensor:
    return x.float() if is_half(x) else x
