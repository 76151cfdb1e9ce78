"""Coefficients of each node: parameters of a family, moved by a linear function of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from graphmask._checks import check_integer, value_error
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from .coefficients import Coefficients


def make_shift(alpha: Coefficients, channels: int) -> nn.Parameter:
    """``[H, S, C]``, the linear map from C features to the S parameters of a head; zeros."""
    check_integer("channels", channels, 1)
    moved = sum(theta[0].numel() for theta in alpha.parameters())
    return nn.Parameter(torch.zeros(alpha.heads, moved, channels))


def node_coefficients(alpha: Coefficients, shift: Tensor, topology: Topology) -> Tensor:
    """``[N, H, K + 1]``, the family at its parameters plus ``shift @ x`` for each node.

    Raises:
        ValueError: for a topology without features of C channels.
    """
    x, channels = topology.x, shift.shape[2]
    if x is None or x.shape[1] != channels:
        expected = f"with features [N, C], C = {channels}: topology.with_features(x)"
        raise value_error("topology", expected, "none" if x is None else x)
    x, shift = in_one_type(x, shift)
    change = torch.einsum("nc,hsc->nhs", x, shift)
    nodes, heads, _ = change.shape
    moved, start = {}, 0
    for name, theta in alpha.named_parameters():
        size = theta[0].numel()
        rows = theta.view(heads, size) + change[..., start : start + size]
        moved[name] = rows.reshape(nodes * heads, *theta.shape[1:])
        start += size
    return functional_call(alpha, moved, ()).view(nodes, heads, alpha.hops + 1)
