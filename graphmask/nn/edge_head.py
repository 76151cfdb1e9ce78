"""Outputs for pairs of nodes from the outputs of a model for nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphmask._checks import (
    aminmax,
    check_integer,
    check_probability,
    dtype_error,
    is_integral,
    type_error,
    value_error,
)
from graphmask._validation import check_features

from ._parts import check_precision


class EdgeHead(nn.Module):
    r"""Scores for pairs of nodes (j, i), edges or not, by a two-layer network on their features.

    .. math:: y_{ji} = \text{MLP}(x_j + x_i \,\Vert\, x_j \odot x_i), \qquad
              \text{directed: } y_{ji} = \text{MLP}(x_j \,\Vert\, x_i)

    Sum and product determine both features of a channel up to their order: without ``directed`` a
    pair has the same output in both directions. For link prediction train outputs against
    ``edge_label`` with ``BCEWithLogitsLoss``; PyG's ``RandomLinkSplit`` makes it and
    ``edge_label_index``.

    Args:
        in_channels: C, of the nodes.
        out_channels: channels of the output; :obj:`None` for one number per pair. (default:
            :obj:`None`)
        hidden_channels: of the network. (default: :obj:`None`, as ``in_channels``)
        directed: whether the pairs (j, i) and (i, j) may have different outputs. (default:
            :obj:`False`)
        dropout: of the hidden layer. (default: :obj:`0.0`)

    Shapes:
        - **input:** node features ``[N, C]``, pairs ``[2, P]``: sources j and targets i
        - **output:** ``[P, out_channels]``, or ``[P]``

    Raises:
        TypeError: for pairs that are no integers.
        ValueError: for features or pairs of other shapes, and for ids out of range.

    Cost: O(P C hidden_channels).

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.PowerSeriesMask(hops=2)
        >>> model = gm.nn.TopologicalTransformer(3, 8, 8, num_layers=1, heads=2, mask=mask)
        >>> head = gm.nn.EdgeHead(8)
        >>> x, edge_index = torch.randn(3, 3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> head(model(x, edge_index), torch.tensor([[0, 0], [1, 2]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        hidden_channels: int | None = None,
        directed: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels, 1)
        self.out_channels, self.directed = out_channels, directed
        hidden = in_channels if hidden_channels is None else hidden_channels
        check_integer("hidden_channels", hidden, 1)
        out = 1 if out_channels is None else check_integer("out_channels", out_channels, 1)
        self.network = nn.Sequential(
            nn.Linear(2 * in_channels, hidden),
            nn.GELU(),
            nn.Dropout(check_probability("dropout", dropout)),
            nn.Linear(hidden, out),
        )

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        reset(self.network)

    def forward(self, x: Tensor, edge_label_index: Tensor) -> Tensor:
        """Score pairs: ``head(x, edge_label_index)``, for x of a model without ``pool``."""
        self._check(x, edge_label_index)
        source, target = (x.index_select(0, ends) for ends in edge_label_index.long())
        pair = (source, target) if self.directed else (source + target, source * target)
        out = self.network(torch.cat(pair, -1))
        return out.squeeze(-1) if self.out_channels is None else out

    def _check(self, x: Tensor, pairs: Tensor) -> None:
        check_features(x)
        if x.shape[1] != self.in_channels:
            raise value_error("x", f"of shape [N, C] with C = {self.in_channels}", x)
        check_precision(x, self.network[0])
        if not isinstance(pairs, Tensor):
            raise type_error("edge_label_index", "an integer tensor of shape [2, P]", pairs)
        if not is_integral(pairs):
            raise dtype_error("edge_label_index", "an integer tensor of shape [2, P]", pairs)
        if pairs.dim() != 2 or pairs.shape[0] != 2:
            raise value_error("edge_label_index", "of shape [2, P]", pairs)
        if not torch.compiler.is_compiling():
            low, high = map(int, aminmax(pairs))
            if low < 0 or high >= max(len(x), 1):
                expected = f"node ids from 0 to N - 1 = {len(x) - 1}"
                raise value_error("edge_label_index", expected, f"{low} to {high}")

    def __repr__(self) -> str:
        return f"EdgeHead({self.in_channels}, {self.out_channels}, directed={self.directed})"
