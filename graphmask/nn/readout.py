"""Outputs of graphs from features of nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.dense.linear import Linear as LazyLinear
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import activation_resolver, aggregation_resolver

from graphmask._checks import check_integer, check_probability, type_error, value_error
from graphmask._validation import check_features
from graphmask.kernels.products import is_half
from graphmask.topology import Topology

from ._parts import check_precision, make_norm
from ._pools import pool_parts


class Readout(nn.Module):
    r"""A layer for every node, pools side by side, and a network on graphs.

    .. math::
        z_i &= \text{act}(\text{norm}(W x_i)) \\
        y &= \text{MLP}\big(\text{mean}_i\, z_i \,\Vert\, \text{max}_i\, z_i \,\Vert\, u\big)

    It is the ``head`` of a :class:`~graphmask.nn.TopologicalTransformer` that reads graphs, with
    ``jk="cat"`` from the outputs of all blocks; and stands alone behind any layers.

    Args:
        channels: of the nodes; with ``jk="cat"`` those of all blocks. -1 reads them from the first
            input.
        out_channels: channels of the output.
        aggr: names of PyG's aggregations, one or several side by side, or an ``Aggregation``.
            (default: ``("mean", "max")``)
        hidden: hidden channels: of the layer before the pools, and of those behind them. (default:
            ``(256, 128)``)
        dropout: behind every hidden layer of the network on graphs. (default: :obj:`0.5`)
        norm: before the pools, a name that PyG's resolver of normalisations knows; :obj:`None` for
            none. (default: ``"batch_norm"``)
        pooled_norm: behind the pools, in the same manner. Leave it out behind sums, whose size
            tells how large a graph is. Batch normalisation of a single node, or graph, reads its
            running statistics in training, too. (default: :obj:`None`)
        act: activation, a name that PyG's resolver knows. (default: ``"relu"``)
        graph_channels: D of the features u of graphs, read beside the pools. (default: :obj:`0`)

    Shapes:
        - **input:** node features ``[N, channels]``, ``batch [N]`` in any order, the number of
          graphs ``size``, features of graphs ``u [B, D]``; or a :class:`~graphmask.Topology` in the
          place of ``batch``
        - **output:** ``[B, out_channels]``

    Raises:
        TypeError: for arguments of other classes.
        ValueError: for features of other shapes, and where features of graphs are missing, or given
            and not read.

    Cost: O(N C hidden); nodes are put in the order of their graphs.

    Source: Wang et al., "Dynamic Graph CNN for Learning on Point Clouds" (TOG 2019), whose last
    layers these are; Battaglia et al., "Relational inductive biases, deep learning, and graph
    networks" (2018), for u.

    Example:
        >>> import torch, graphmask as gm
        >>> readout = gm.nn.Readout(8, 3, hidden=(16, 16), graph_channels=2)
        >>> x, batch = torch.randn(5, 8), torch.tensor([0, 0, 1, 1, 1])
        >>> readout(x, batch, u=torch.randn(2, 2)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        aggr: str | Sequence[str] | Aggregation = ("mean", "max"),
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.5,
        norm: str | None = "batch_norm",
        pooled_norm: str | None = None,
        act: str = "relu",
        graph_channels: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, (list, tuple)):
            raise type_error("hidden", "a list of integers, such as (256, 128)", hidden)
        widths = [check_integer("hidden", width, 1) for width in hidden]
        if not widths:
            raise value_error("hidden", "at least one width, that of the nodes", hidden)
        self.out_channels = check_integer("out_channels", out_channels, 1)
        self.graph_channels = check_integer("graph_channels", graph_channels, 0)
        self.hidden, self.dropout = tuple(widths), check_probability("dropout", dropout)
        self.norm, self.pooled_norm, self.act = norm, pooled_norm, act
        self.nodes = nn.Sequential(_linear(channels, widths[0]), *_behind(norm, act, widths[0]))
        self.aggr = _aggregation(aggr)
        sizes = [_pooled_channels(self.aggr, widths[0]) + graph_channels, *widths[1:]]
        layers: list[nn.Module] = []
        for size, width in zip(sizes, widths[1:], strict=False):
            layers += [
                nn.Linear(size, width),
                *_behind(pooled_norm, act, width),
                nn.Dropout(dropout),
            ]
        self.graphs = nn.Sequential(*layers, nn.Linear(sizes[-1], out_channels))

    @property
    def channels(self) -> int:
        """Channels of the nodes; -1 until the first input where they are read from it."""
        linear: Any = self.nodes[0]
        return linear.in_channels

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.nodes, self.aggr, self.graphs):
            reset(module)

    def forward(
        self,
        x: Tensor,
        batch: Tensor | Topology | None = None,
        size: int | None = None,
        u: Tensor | None = None,
    ) -> Tensor:
        """``[N, channels] -> [B, out_channels]``: ``readout(x, batch)``, or of ``size`` graphs."""
        check_features(x, batch.num_rows if isinstance(batch, Topology) else None)
        if self.channels != -1 and x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        check_precision(x, self.nodes[0])
        if isinstance(batch, Tensor) and batch.shape != x.shape[:1]:
            raise value_error("batch", f"of shape [N] with N = {len(x)}", batch)
        pooled = pool_graphs(self.aggr, self.nodes(x), batch, size)
        return self.graphs(self._append(pooled, u))

    def _append(self, pooled: Tensor, u: Tensor | None) -> Tensor:
        """Pools and features of graphs side by side."""
        if self.graph_channels == 0 and u is None:
            return pooled
        shape = len(pooled), self.graph_channels
        if not isinstance(u, Tensor) or u.shape != shape or not u.is_floating_point():
            expected = f"floating-point numbers of shape {list(shape)}, as [B, graph_channels]"
            raise value_error("u", expected if self.graph_channels else "None", u)
        return torch.cat([pooled, u], 1)

    def __repr__(self) -> str:
        sizes = f"{self.channels}, {self.out_channels}, aggr={self.aggr}, hidden={self.hidden}"
        options = f"dropout={self.dropout}, norm={self.norm!r}, pooled_norm={self.pooled_norm!r}"
        return f"Readout({sizes}, {options}, graph_channels={self.graph_channels})"


def pool_graphs(
    pool: Callable[..., Tensor],
    x: Tensor,
    batch: Tensor | Topology | None,
    size: int | None = None,
) -> Tensor:
    """Features of graphs, in any order of nodes, by one of PyG's functions or aggregations."""
    if isinstance(batch, Topology):
        topology = batch
        if not topology.part.is_whole:
            return pool_parts(pool, x, topology)
        batch, size = topology.batch, topology.num_graphs
    if batch is None:
        batch, size = torch.zeros(len(x), dtype=torch.long, device=x.device), size or 1
    # Sums over nodes leave the range of half precision.
    has_parameters = isinstance(pool, nn.Module) and next(pool.parameters(), None) is not None
    wide = x.float() if is_half(x) and not has_parameters else x
    if isinstance(pool, Aggregation):
        order = torch.argsort(batch, stable=True)  # several of them need sorted graphs
        out = pool(wide[order], index=batch[order], dim_size=size)
    else:
        out = pool(wide, batch, size)
    return out.to(x.dtype) if wide is not x else out


def _linear(channels: int, width: int) -> nn.Linear | LazyLinear:
    """A linear map, which reads -1 channels from its first input."""
    if channels != -1:
        check_integer("channels", channels, 1)
    return LazyLinear(channels, width)


def _behind(norm: str | None, act: str, width: int) -> list[nn.Module]:
    """Modules behind a linear map."""
    norms = [] if norm is None else [make_norm(norm, width)]
    return [*norms, activation_resolver(act)]


def _aggregation(aggr: str | Sequence[str] | Aggregation) -> Aggregation:
    """One aggregation, or several side by side."""
    if not isinstance(aggr, (str, list, tuple, Aggregation)):
        raise type_error("aggr", "names of aggregations, or an Aggregation", aggr)
    try:
        return aggregation_resolver(list(aggr) if isinstance(aggr, tuple) else aggr)
    except ValueError as error:
        raise value_error("aggr", "names of PyG's aggregations, such as 'mean'", aggr) from error


def _pooled_channels(aggr: Aggregation, channels: int) -> int:
    """Channels of an aggregation's output."""
    training = aggr.training
    with torch.no_grad():
        pooled = aggr.eval()(torch.zeros(2, channels), torch.zeros(2, dtype=torch.long), dim_size=1)
    aggr.train(training)
    return pooled.shape[1]
