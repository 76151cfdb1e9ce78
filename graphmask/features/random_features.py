"""Random features of the softmax kernel, stabilised against overflow."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._checks import check_integer, type_error, value_error
from graphmask._part import Part
from graphmask._precision import full_precision
from graphmask.kernels.products import is_half

from .base import FeatureMap, check_scale
from .couplings import Coupling, Orthogonal, check_coupling


class LogFeatures(NamedTuple):
    """Features ``size * exp(exponent)``; both broadcast to ``[..., m]``, and no size means ones."""

    exponent: Tensor
    size: Tensor | None = None

    def exp(self) -> Tensor:
        """The features."""
        features = self.exponent.exp()
        return features if self.size is None else self.size * features


class StabilisedFeatures(FeatureMap):
    """Features that ``forward`` scales into the range of floating-point numbers.

    Each feature of all keys of one graph and head is divided by its largest, which the same feature
    of the queries is multiplied by; then each query is divided by its largest feature. The scores
    of a query sum to at least 1 over all keys of its graph, if features are positive: nothing
    overflows, nothing has to be added, and batch mates do not matter. Only the last step changes
    scores, by a factor per query. Half precision is computed in single.
    """

    sized = False

    @abstractmethod
    def _query_features(self, x: Tensor) -> LogFeatures:
        """Features of ``[..., d]`` in full precision."""

    def _key_features(self, x: Tensor) -> LogFeatures:
        return self._query_features(x)

    def queries(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            return self._query_features(_widen(x)).exp().to(x.dtype)

    def keys(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            return self._key_features(_widen(x)).exp().to(x.dtype)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        with full_precision(q.device):
            queries, keys = self._query_features(_widen(q)), self._key_features(_widen(k))
            largest = _max_per_graph(keys.exponent.detach(), batch, num_graphs, part)
            return _balance(queries, keys, largest)

    @torch.no_grad()
    def largest(self, k: Tensor) -> Tensor:
        with full_precision(k.device):
            return self._key_features(_widen(k)).exponent

    def of_part(self, q: Tensor, k: Tensor, largest: Tensor | None) -> tuple[Tensor, Tensor]:
        assert largest is not None
        with full_precision(q.device):
            return _balance(self._query_features(_widen(q)), self._key_features(_widen(k)), largest)


class ProjectedFeatures(StabilisedFeatures):
    """Features of the projections ``w . x`` by random w, in a buffer that all heads share.

    Args:
        channels: d, of queries and keys.
        num_features: m.
        coupling: of the rows w. (default: :obj:`None`, :class:`~graphmask.features.Orthogonal`)
        seed: of their draw. (default: :obj:`0`)
        scale: s, of the kernel's argument ``s q . k``. (default: :obj:`None`, ``channels ** -0.5``)
    """

    projection: Tensor

    def __init__(
        self,
        channels: int,
        num_features: int,
        coupling: Coupling | None = None,
        seed: int = 0,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.num_features = check_integer("num_features", num_features, 1)
        self.coupling = Orthogonal() if coupling is None else check_coupling(coupling)
        self.scale = channels**-0.5 if scale is None else check_scale(scale)
        self.register_buffer("projection", torch.empty(self._num_rows(), channels))
        self.redraw(torch.Generator().manual_seed(check_integer("seed", seed, 0)))
        self._register_buffers()

    @torch.no_grad()
    def redraw(self, generator: torch.Generator) -> None:
        """Draw another projection."""
        draw_rows(self.projection, self.coupling, generator)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.num_features}, coupling={self.coupling!r}"

    def _num_rows(self) -> int:
        """The number of rows of the projection."""
        return self.num_features

    def _register_buffers(self) -> None:
        """Register the buffers of a subclass."""

    def _scaled(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            raise type_error("x", "a floating-point tensor", x)
        if x.shape[-1:] != (self.channels,):
            raise value_error(
                "x", f"of shape [..., d] with d = {self.channels} (channels of the feature map)", x
            )
        return x * self.scale**0.5

    def _project(self, x: Tensor) -> Tensor:
        return x @ self.projection.to(x.dtype).mT


def _balance(queries: LogFeatures, keys: LogFeatures, largest: Tensor) -> tuple[Tensor, Tensor]:
    exponent = queries.exponent + largest
    exponent = exponent - exponent.detach().amax(-1, keepdim=True)
    balanced = LogFeatures(exponent, queries.size)
    return balanced.exp(), LogFeatures(keys.exponent - largest, keys.size).exp()


def half_square(x: Tensor) -> Tensor:
    """``[..., d] -> [..., 1]``, ``|x|^2 / 2``."""
    return x.square().sum(-1, keepdim=True) / 2


def draw_rows(rows: Tensor, coupling: Coupling, generator: torch.Generator) -> None:
    """Draw ``rows [R, d]`` in place."""
    if not isinstance(generator, torch.Generator):
        raise type_error("generator", "a torch.Generator", generator)
    rows.copy_(coupling(rows.shape[0], rows.shape[1], generator))


def _max_per_graph(
    exponent: Tensor, batch: Tensor | None, num_graphs: int | None, part: Part | None
) -> Tensor:
    """``[N or 1, H, m]``, the largest of ``[N, H, m]`` over all nodes of the same graph."""
    if not len(exponent):
        return exponent
    if part is not None and batch is None:
        batch = torch.zeros_like(exponent[:, 0, 0], dtype=torch.long)
    if batch is None:
        return exponent.amax(0, keepdim=True)
    graphs = int(batch.max()) + 1 if num_graphs is None else num_graphs
    own, index = exponent, batch[:, None, None]
    if part is not None:
        own, index = part.own(own), part.own(index)
    lowest = exponent.new_full((graphs, *exponent.shape[1:]), -torch.inf)
    largest = lowest.scatter_reduce(0, index.expand_as(own), own, "amax")
    return (largest if part is None else part.max(largest))[batch]


def _widen(x: Tensor) -> Tensor:
    return x.float() if is_half(x) else x
