"""Edge weights learned per head from features of edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter

from graphmask._checks import check_integer, value_error
from graphmask.topology import Topology

# softplus of this is 1.
_ONE = math.log(math.e - 1)


class EdgeWeights(nn.Module):
    r""":math:`w_h(e) = w_e\, \mathrm{softplus}(a_h \cdot z_e + b_h)` for features :math:`z_e` and weights :math:`w_e` of edges.

    Starts at :math:`a = 0` and at the b of which softplus is 1: at the weights of the graph,
    whatever the features are.

    Args:
        edge_dim: D, or -1 to read it from the first features.
        heads: H.
    """

    def __init__(self, edge_dim: int, heads: int) -> None:
        super().__init__()
        if edge_dim != -1:
            check_integer("edge_dim", edge_dim, 1)
        self.linear = _ToOne(edge_dim, heads)

    def forward(self, topology: Topology) -> Tensor:
        """``[H, E]``.

        Raises:
            ValueError: where the topology has no features, or not D of them.
        """
        z, dim = topology.edge_attr, self.linear.in_channels
        wanted = (
            "of shape [E, D]"
            if dim == -1
            else f"of shape [E, D] with D = {dim} (edge_dim of the mask)"
        )
        if z is None:
            raise value_error("edge_attr", f"given, {wanted}: the mask weighs edges by it", None)
        z = z.unsqueeze(-1) if z.dim() == 1 else z
        if dim not in (-1, z.shape[1]):
            raise value_error("edge_attr", wanted, z)
        weight = softplus(self.linear(z.to(self.linear.bias.dtype))).mT
        return weight if topology.edge_weight is None else weight * topology.edge_weight

    def reset_parameters(self) -> None:
        """Back to the weights of the graph."""
        self.linear.reset_parameters()


class _ToOne(Linear):
    """PyG's linear map, which may learn the size of its input from it.

    It starts at zero, and at the bias of weight one.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        if not is_uninitialized_parameter(self.weight):
            self.weight.zero_()
        self.bias.fill_(_ONE)
