"""Placement of the convolution of a block: before its attention, or on its values."""

from __future__ import annotations

from torch import nn

from graphmask._checks import type_error


class _Placement(nn.Module):
    """A convolution from C to C channels, and where a block applies it."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        if not isinstance(conv, nn.Module) or isinstance(conv, _Placement):
            raise type_error("conv", "a convolution, such as GCNConv(C, C)", conv)
        self.conv = conv

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.conv!r})"


class BeforeAttention(_Placement):
    r"""A convolution before the attention of a block, with a norm of its own.

    .. math::
        x \leftarrow x + \text{Conv}(\text{Norm}(x)), \quad
        x \leftarrow x + \text{Attention}(\text{Norm}(x)), \quad
        x \leftarrow x + \text{MLP}(\text{Norm}(x))

    Queries and keys then read neighbourhoods.

    Args:
        conv: the convolution, from C to C channels.

    Source: Wu et al., "Point Transformer V3: Simpler, Faster, Stronger" (CVPR 2024), whose blocks
    have this order.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GCNConv
        >>> conv, mask = gm.nn.BeforeAttention(GCNConv(8, 8)), gm.masks.GlobalMask()
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, mask=mask, conv=conv)
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """


class OnValues(_Placement):
    r"""A convolution on the values of attention.

    .. math:: v \leftarrow v + \text{Conv}(v)

    Attention under a global mask has few patterns; sums over neighbourhoods have many.

    Args:
        conv: the convolution, from C to C channels.

    Source: Han et al., "FLatten Transformer: Vision Transformer using Focused Linear Attention"
    (ICCV 2023), for convolved values beside linear attention, added there to its output.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GCNConv
        >>> conv, mask = gm.nn.OnValues(GCNConv(8, 8)), gm.masks.GlobalMask()
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, mask=mask, conv=conv)
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """
