"""Features of where the nodes under a mask lie, without scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask.attention import attention
from graphmask.features import ReLU
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology
from graphmask.values import MomentInvariants, ValueMap
from graphmask.values.base import check_value_map


class MomentFeatures(nn.Module):
    r"""Features of positions: what a value map appends under a mask without scores.

    The weights of :class:`~graphmask.values.MomentInvariants` or
    :class:`~graphmask.values.Moments` are :math:`w_{ij} = M_{ij} / \sum_l |M_{il}|`, one set per
    head of the mask. Normalise the features and append them to the input of a model.

    Args:
        mask: M, of H heads.
        values: the map, which appends r channels. (default: :obj:`None`,
            :class:`~graphmask.values.MomentInvariants`)

    Attributes:
        out_channels: H r.

    Shapes:
        - **input:** a :class:`~graphmask.Topology` with positions
        - **output:** ``[N, H r]``

    Raises:
        TypeError: for an argument that is no topology, mask or map of values.
        ValueError: as the map does, for a topology without positions, and for signed masks where
            the map is of invariants.

    Cost: that of a product with the mask per channel of the map.

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.PowerSeriesMask(hops=2, heads=2, alpha=gm.masks.NonNegative)
        >>> layer = gm.nn.MomentFeatures(mask)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> layer(gm.Topology(edge_index, pos=torch.eye(3))).shape
        torch.Size([3, 16])
    """

    def __init__(self, mask: TopologicalMask, values: ValueMap | None = None) -> None:
        super().__init__()
        if not isinstance(mask, TopologicalMask):
            raise type_error("mask", "a TopologicalMask", mask)
        self.mask = mask
        self.values = MomentInvariants() if values is None else check_value_map(values)
        self.out_channels = mask.heads * self.values.out_channels(0)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mask.reset_parameters()
        self.values.reset_parameters()

    def forward(self, topology: Topology) -> Tensor:
        """``[N, H r]``, in the type of the positions."""
        if not isinstance(topology, Topology):
            raise type_error("topology", "a Topology (see Topology.from_data)", topology)
        operator = self.mask(self.mask.draw_walks(topology))
        dtype = None if topology.pos is None else topology.pos.dtype
        shape = topology.num_nodes, self.mask.heads, 0
        none = torch.empty(shape, dtype=dtype, device=topology.device)
        ones = none.new_ones(*none.shape[:2], 1)
        out = attention(ones, ones, none, operator, ReLU(0), values=self.values)
        return topology.release(out.flatten(1))

    def __repr__(self) -> str:
        return f"MomentFeatures({self.mask!r}, {self.values!r})"
