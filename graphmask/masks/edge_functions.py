"""Edge weights as functions of the offset of two points, with their random Fourier features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphmask._checks import check_number, value_error
from graphmask._recipes import Recorded


class EdgeFunction(Recorded, ABC):
    r"""A weight :math:`f(z) \ge 0` of the edge between two points whose offset is z, with :math:`f(0) = 1`.

    It is a mean of waves, :math:`f(z) = E[c(\omega) \cos(\omega \cdot z)]`, over frequencies
    :math:`\omega` that can be drawn.

    Args:
        epsilon: the reach of edges, in the unit of positions.

    Raises:
        ValueError: for a reach that is not positive.
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = check_number("epsilon", epsilon, 0)
        if not epsilon:
            raise value_error("epsilon", "above 0", epsilon)

    @abstractmethod
    def __call__(self, offset: Tensor) -> Tensor:
        """``[..., D] -> [...]``, the exact f."""

    @abstractmethod
    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Frequencies ``[m, D]`` and their weights c ``[m]``, in float64."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.epsilon:g})"


class GaussianEdges(EdgeFunction):
    r""":math:`f(z) = \exp(-|z|^2 / 2 \epsilon^2)`.

    Frequencies are normal with deviation :math:`1 / \epsilon`, all weights 1.

    Example:
        >>> import torch, graphmask as gm
        >>> gm.masks.GaussianEdges(2.0)(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
        tensor([1.0000, 0.6065])
    """

    def __call__(self, offset: Tensor) -> Tensor:
        return (-offset.square().sum(-1) / (2 * self.epsilon**2)).exp()

    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        normal = torch.randn(count, dim, generator=generator, dtype=torch.float64)
        return normal / self.epsilon, torch.ones(count, dtype=torch.float64)


class BoxEdges(EdgeFunction):
    r"""The indicator of the cube :math:`|z|_\infty \le \epsilon`, its faces softened.

    f is the product over the dimensions of

    .. math:: g(z) = \min(1, \max(0, (\epsilon (1 + s) - |z|) / 2 s \epsilon)),

    which is 1 up to :math:`\epsilon (1 - s)` and 0 from :math:`\epsilon (1 + s)` on, the mean of
    indicators of different reach.

    The indicator itself (s = 0, as published) is no mean of random waves: its transform
    :math:`\prod \sin(\epsilon \omega) / \omega` has no finite absolute integral, so that however
    frequencies are drawn the estimate has an infinite variance, and no expectation. With s > 0
    weights are bounded by :math:`(2 (2 + \log 1/s) / \pi)^D`, of both signs.

    Args:
        epsilon: half the side of the cube.
        softness: s, of the faces, in (0, 1]. (default: :obj:`0.5`)

    Raises:
        ValueError: for a reach that is not positive, and a softness out of (0, 1].

    Example:
        >>> import torch, graphmask as gm
        >>> gm.masks.BoxEdges(1.0)(torch.tensor([[0.0], [0.5], [1.0], [1.5]]))
        tensor([1.0000, 1.0000, 0.5000, 0.0000])
    """

    def __init__(self, epsilon: float, softness: float = 0.5) -> None:
        super().__init__(epsilon)
        self.softness = check_number("softness", softness, 0)
        if not 0 < softness <= 1:
            raise value_error("softness", "in (0, 1]", softness)

    def __call__(self, offset: Tensor) -> Tensor:
        outside = self.epsilon * (1 + self.softness) - offset.abs()
        return (outside / (2 * self.softness * self.epsilon)).clamp(0, 1).prod(-1)

    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """With u = epsilon omega.

        From the density e(u) / Z, e(u) = min(1, 1 / |u|, 1 / (s u^2)), by its inverse integral.
        """
        s = self.softness
        middle = math.log(1 / s)
        half = (
            2 + middle
        )  # Z / 2: the integrals of 1 up to 1, of 1 / u up to 1 / s, and of 1 / (s u^2) from there on
        v = torch.rand(count, dim, generator=generator, dtype=torch.float64) * half
        tail = 1 / (s * (half - v))
        u = torch.where(
            v < 1, v, torch.where(v < 1 + middle, (v - 1).clamp(max=middle).exp(), tail)
        )
        envelope = torch.minimum(torch.minimum(torch.ones_like(u), 1 / u), 1 / (s * u.square()))
        weight = (
            2 * half / math.pi * torch.sinc(u / math.pi) * torch.sinc(s * u / math.pi) / envelope
        )
        sign = torch.randint(2, u.shape, generator=generator) * 2 - 1
        return sign * u / self.epsilon, weight.prod(-1)

    def __repr__(self) -> str:
        return f"BoxEdges({self.epsilon:g}, softness={self.softness:g})"
