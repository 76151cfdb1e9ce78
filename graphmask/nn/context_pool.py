"""Means of surroundings whose reach and weights nodes decide from their features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from graphmask._checks import value_error
from graphmask.attention import attention
from graphmask.config import ConfigMixin
from graphmask.features import ReLU
from graphmask.masks import AdaptiveWalkMask, Coefficients, Diffusion
from graphmask.topology import Topology
from graphmask.walks import WalkSampler


class ContextPool(ConfigMixin, nn.Module):
    r"""Pooled features: a weighted mean around each node, as wide as the node decides.

    .. math::
        y_i = \frac{\sum_j M_{ij}\, w_j\, x_j}{\sum_j |M_{ij}|\, w_j}, \qquad
        M = \sum_t \alpha_t(x_i) S_t, \quad w_j = \sigma(a \cdot x_j + b)

    M is an :class:`~graphmask.masks.AdaptiveWalkMask`, by default a diffusion whose time each node
    decides, and :math:`w_j` says how much of node j enters any mean. At the start all nodes have
    the same reach and weights.

    As ``conv`` of a layer or model it reads the layer's topology. With
    ``BeforeAttention(ContextPool(C))`` queries, keys and values are those of pooled features.

    Args:
        channels: C, of input and output.
        hops: K, the farthest. (default: :obj:`4`)
        alpha: the family of the coefficients. (default: :class:`~graphmask.masks.Diffusion`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, ``batch [N]``
        - **output:** ``[N, C]``

    Raises:
        ValueError: where x has not C channels, and as the mask does.

    Cost: O(p (K + C)) for p pairs. Without stored walks it draws them in every call; see
    :class:`~graphmask.transforms.AddWalks`.

    Source: Huang et al., "Efficient Representation Learning via Adaptive Context Pooling" (ICML
    2022), for sequences and images, where each token learns weights and the size of its window.
    There is no public code of it. There the window is a Gaussian, and convolutions predict both;
    here it is one of walks, and both maps are linear.

    Example:
        >>> import torch, graphmask as gm
        >>> pool, mask = gm.nn.ContextPool(8, hops=2), gm.masks.GlobalMask()
        >>> conv = gm.nn.BeforeAttention(pool)
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, mask=mask, conv=conv)
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """

    reads_topology = True

    def __init__(
        self,
        channels: int,
        hops: int = 4,
        alpha: Callable[[int, int], Coefficients] = Diffusion,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.mask = AdaptiveWalkMask(channels, hops, 1, alpha, sampler, seed)
        self.weight = nn.Linear(channels, 1)
        self._reset_weight()

    @property
    def channels(self) -> int:
        """C."""
        return self.mask.channels

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mask.reset_parameters()
        self._reset_weight()

    def _reset_weight(self) -> None:
        nn.init.zeros_(self.weight.weight)
        nn.init.zeros_(self.weight.bias)

    def prepare(self, topology: Topology) -> Topology:
        """The topology with walks, ready for ``torch.compile``."""
        return self.mask.prepare(topology)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``pool(x, edge_index, ...)`` or ``pool(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        x, graph = self.mask.draw_walks(topology).gather(x)
        operator = self.mask(graph.with_features(x))
        weight = self.weight(x).sigmoid().unsqueeze(1)
        ones = weight.new_ones(weight.shape)
        out = attention(ones, weight, x.unsqueeze(1), operator, ReLU(0)).squeeze(1)
        return topology.release(out)

    def __repr__(self) -> str:
        return f"ContextPool({self.channels}, {self.mask!r})"
