"""Vectors of length one."""

from __future__ import annotations

from torch import Tensor


def unit(x: Tensor, epsilon: float) -> Tensor:
    r"""``[..., d]``, :math:`x / \sqrt{\|x\|^2 + \varepsilon}`, whatever the size of x."""
    # Squares of large numbers overflow.
    scale = x.detach().abs().amax(-1, keepdim=True).clamp(min=1)
    shrunk = x / scale
    square = shrunk.square().sum(-1, keepdim=True)
    return shrunk * (square + epsilon / scale / scale).rsqrt()
