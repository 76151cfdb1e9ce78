"""Layers of neural networks as kernels of inputs and weights, and their random features."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def arc_cosine_kernel(x: Tensor, w: Tensor) -> Tensor:
    """The arc-cosine kernel of order 1, [N, L], of x [N, D] and w [L, D] (Cho and Saul 2009).

        |x| |w| / (2 pi) (sin t + (pi - t) cos t),    cos t = x . w / (|x| |w|)

    >>> arc_cosine_kernel(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0]])).item()
    3.0
    """
    x, w = x.double(), w.double()
    size = x.norm(dim=1).unsqueeze(1) * w.norm(dim=1)
    cosine = (x @ w.mT / size).clamp(-1, 1)
    t = cosine.acos()
    return size / (2 * math.pi) * (t.sin() + (math.pi - t) * cosine)


def relu_network_kernel(x: Tensor, w: Tensor, b: Tensor, G: Tensor) -> Tensor:
    """Estimates of the arc-cosine kernel of [x, 1] and [w, b], [N, L] (Sehanobish et al. 2024).

        mean over the rows g of G of max(g . [x, 1], 0) max(g . [w, b], 0)

    >>> one = torch.ones(1, 1)
    >>> relu_network_kernel(one, one, torch.tensor([2.0]), torch.tensor([[1.0, 1.0]])).item()
    6.0
    """
    x = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], 1)
    w = torch.cat([w.double(), b.double().unsqueeze(1)], 1)
    terms = [(x @ g).clamp(min=0).unsqueeze(1) * (w @ g).clamp(min=0) for g in G.double()]
    return torch.stack(terms).mean(0)


def exponential_network_kernel(
    x: Tensor, w: Tensor, b: Tensor, G: Tensor, scale: float, factor: complex = 1.0
) -> Tensor:
    """Estimates of exp(c (w . x + b)), [N, L], complex for a complex c (Sehanobish et al. 2024).

        mean over the rows g of G of
            exp(c s g . x - c^2 s^2 |x|^2 / 2) exp(g . w / s - |w|^2 / (2 s^2) + c b)

    The real part of c = i is an estimate of the cosine, the imaginary part one of the sine.

    >>> zero = torch.zeros(1, 1)
    >>> exponential_network_kernel(zero, zero, torch.ones(1), torch.ones(3, 1), 1.0).log().item()
    1.0
    """
    c, x, w = factor, x.double() * scale, w.double() / scale
    squares = -(c**2) * x.square().sum(1).unsqueeze(1) / 2 - w.square().sum(1) / 2 + c * b.double()
    terms = [torch.exp(c * (x @ g).unsqueeze(1) + w @ g + squares) for g in G.double()]
    return torch.stack(terms).mean(0)
