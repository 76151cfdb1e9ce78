"""The largest feature of the surroundings: a convolution without a network per edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense.linear import Linear

from graphmask._checks import check_integer, value_error
from graphmask.config import ConfigMixin
from graphmask.kernels import Pattern, pair_max
from graphmask.topology import Topology


class SupportMax(ConfigMixin, nn.Module):
    r"""The largest feature within some hops of each node, channel by channel.

    .. math::
        y_i = \max_{j:\, \text{hops}(j \to i) \le t} (W x_j) + V x_i + b

    A node is always in its own surroundings. Without a root weight, :math:`V x_i` is
    :math:`-W x_i`: what the surroundings have more than the node itself.

    This is PyG's ``EdgeConv`` by the maximum, with a network of one linear layer, a batch
    normalisation and an activation that grows: all of these keep the order of numbers within a
    channel, up to the sign of a gain that W can take over, so that they can follow the maximum,
    once per node and not per edge. In training their statistics are those of nodes, not of edges.

    As ``conv`` of a layer it reads the pattern of the layer's topology, which is made once.

    Args:
        in_channels: channels of the input; -1 reads them from the first input.
        out_channels: C, of the output.
        hops: t; or one for each of several equal parts of the output channels, such as ``(1, 2,
            4)``. Paths follow the edges, whatever their weights. (default: :obj:`1`)
        root_weight: whether V is learned. (default: :obj:`True`)
        bias: whether b is learned. (default: :obj:`True`)

    Shapes:
        - **input:** node features ``[N, in_channels]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`
        - **output:** ``[N, C]``

    Raises:
        ValueError: for a number of parts that does not divide C, and where x has not
            ``in_channels`` channels.

    Cost: O(t (N + E) C) comparisons and O(N C) memory, once per node O(in_channels C).

    Source: Wang et al., "Dynamic Graph CNN for Learning on Point Clouds" (ACM Transactions on
    Graphics 2019), for the convolution that it equals; Chen et al., "Decoupled Local
    Aggregation for Point Cloud Learning" (2023), for the maximum less the node itself.

    Example:
        >>> import torch, graphmask as gm
        >>> conv = gm.nn.SupportMax(8, 8, hops=(1, 2))
        >>> x, edge_index = torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> conv(x, edge_index).shape
        torch.Size([3, 8])
    """

    reads_topology = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hops: int | Sequence[int] = 1,
        root_weight: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = check_integer("out_channels", out_channels, 1)
        parts = (hops,) if isinstance(hops, int) else tuple(hops)
        self.hops = tuple(check_integer("hops", reach, 1) for reach in parts)
        if not self.hops or out_channels % len(self.hops):
            expected = f"one number, or as many as divide out_channels = {out_channels}"
            raise value_error("hops", expected, hops)
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.root = Linear(in_channels, out_channels, bias=False) if root_weight else None
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.lin.reset_parameters()
        if self.root is not None:
            self.root.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def prepare(self, topology: Topology) -> Topology:
        """The same topology, with the pattern of closed neighbourhoods for ``torch.compile``."""
        topology.derive(closed_neighbourhoods)
        return topology

    def forward(self, x: Tensor, edge_index: Topology | Any) -> Tensor:
        """``[N, in_channels] -> [N, C]``: ``conv(x, edge_index)`` or ``conv(x, topology)``."""
        topology = Topology.of(x, edge_index)
        if self.in_channels != -1 and x.shape[1] != self.in_channels:
            expected = f"of shape [N, in_channels] with in_channels = {self.in_channels}"
            raise value_error("x", expected, x)
        topology.part.check_hops("conv", self, max(self.hops))
        x, graph = topology.gather(x)
        pattern, u = graph.derive(closed_neighbourhoods), self.lin(x)
        parts = []
        for part, hops in zip(u.chunk(len(self.hops), 1), self.hops, strict=True):
            top = part.unsqueeze(0)
            for _ in range(hops):
                top, _ = pair_max(pattern, top)
            parts.append(top[0])
        out = torch.cat(parts, 1)
        out = out - u if self.root is None else out + self.root(x)
        return topology.release(out if self.bias is None else out + self.bias)

    def __repr__(self) -> str:
        hops = self.hops[0] if len(self.hops) == 1 else self.hops
        return f"SupportMax({self.in_channels}, {self.out_channels}, hops={hops})"


def closed_neighbourhoods(topology: Topology) -> Pattern:
    """The pattern of the adjacency with its diagonal."""
    pattern, n = topology.pattern, topology.num_nodes
    node = torch.arange(n, device=topology.device)
    key = torch.cat([pattern.row.long() * n + pattern.col, node * (n + 1)]).unique()
    return Pattern.from_coo(key // n, key % n, (n, n))
