"""Coefficients of the kernels of graphs, with one learnable parameter per head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_open

from ._series import binomials, exponents, negative_binomials, poisson
from .coefficients import Coefficients


class _ScaleKernel(Coefficients):
    """A kernel with one positive scale per head, learned as its logarithm."""

    def __init__(self, hops: int, heads: int = 1, scale: float = 1.0) -> None:
        super().__init__(hops, heads)
        self.start = check_open("scale", scale)
        self.log_scale = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def forward(self) -> Tensor:
        return self.root(1)

    @property
    def scale(self) -> Tensor:
        """``[H]``."""
        return self.log_scale.exp()

    def reset_parameters(self) -> None:
        self.log_scale.data.fill_(self.start).log_()


class Diffusion(_ScaleKernel):
    r"""The heat kernel :math:`e^{-s(I - W)}`, with a learnable scale s per head.

    .. math:: \alpha_k = e^{-s} s^k / k!

    Args:
        hops: K, where the series is truncated.
        heads: H.
        scale: initial s. (default: :obj:`1.0`)

    Source: Kondor and Lafferty, "Diffusion Kernels on Graphs" (ICML 2002).

    Example:
        >>> from graphmask.masks import Diffusion
        >>> [round(x, 3) for x in Diffusion(hops=3)()[0].tolist()]
        [0.368, 0.368, 0.184, 0.061]
    """

    _has_nonnegative_roots = True

    def root(self, factors: int) -> Tensor:
        """The heat kernel of scale s / n."""
        return poisson(self.log_scale - math.log(factors), self.hops)


class RegularizedLaplacian(_ScaleKernel):
    r""":math:`(I + s(I - W))^{-p}`, with a learnable scale s per head.

    .. math:: \alpha_k = \binom{k + p - 1}{k} \frac{s^k}{(1 + s)^{k + p}}

    Args:
        hops: K, where the series is truncated.
        heads: H.
        scale: initial s. (default: :obj:`1.0`)
        power: p, any positive number; 2 is the 2-regularised Laplacian, whose root f in
            :class:`~graphmask.masks.GRFMask` is a geometric series. (default: :obj:`1`)

    Source: Smola and Kondor, "Kernels and Regularization on Graphs" (COLT 2003).

    Example:
        >>> from graphmask.masks import RegularizedLaplacian
        >>> RegularizedLaplacian(hops=2)()[0].tolist()
        [0.5, 0.25, 0.125]
        >>> RegularizedLaplacian(hops=2, power=2)()[0].tolist()
        [0.25, 0.25, 0.1875]
    """

    _has_nonnegative_roots = True

    def __init__(self, hops: int, heads: int = 1, scale: float = 1.0, power: float = 1) -> None:
        super().__init__(hops, heads, scale)
        self.power = check_open("power", power)

    def root(self, factors: int) -> Tensor:
        """The same kernel of power p / n."""
        power = self.power / factors
        ratio = torch.sigmoid(self.log_scale).unsqueeze(1)  # s / (1 + s)
        rest = torch.sigmoid(-self.log_scale).unsqueeze(1)  # 1 / (1 + s)
        return negative_binomials(power, ratio, self.hops) * rest**power


class Cosine(_ScaleKernel):
    r""":math:`\cos(sW) + \sin(sW)`, signed, with a learnable scale s per head.

    .. math:: \alpha_k = (-1)^{\lfloor k / 2 \rfloor} s^k / k!

    At :math:`s = \pi / 4` it is :math:`\sqrt2 \cos(\tfrac\pi4 (I - W))`, the inverse cosine kernel
    up to a constant. With W normalised ``"sym"`` it is positive semi-definite up to there.

    Args:
        hops: K, where the series is truncated.
        heads: H.
        scale: initial s. (default: :math:`\pi / 4`)

    Source: Smola and Kondor, "Kernels and Regularization on Graphs" (COLT 2003).

    Example:
        >>> from graphmask.masks import Cosine
        >>> [round(x, 3) for x in Cosine(hops=4, scale=1.0)()[0].tolist()]
        [1.0, 1.0, -0.5, -0.167, 0.042]
    """

    nonnegative = False

    def __init__(self, hops: int, heads: int = 1, scale: float = math.pi / 4) -> None:
        super().__init__(hops, heads, scale)

    def forward(self) -> Tensor:
        k = exponents(self.log_scale, self.hops)
        size = torch.exp(k * self.log_scale.unsqueeze(1) - torch.lgamma(k + 1))
        return torch.where(k % 4 < 2, size, -size)


class _ProbabilityKernel(Coefficients):
    """A kernel with one probability per head, learned as its logit."""

    def __init__(self, hops: int, heads: int, name: str, start: float) -> None:
        super().__init__(hops, heads)
        self.start = check_open(name, start, 1)
        self.logit = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def forward(self) -> Tensor:
        return self.root(1)

    def reset_parameters(self) -> None:
        self.logit.data.fill_(self.start).logit_()

    def _probabilities(self) -> tuple[Tensor, Tensor]:
        """The probability and its complement, both ``[H, 1]``."""
        return torch.sigmoid(self.logit).unsqueeze(1), torch.sigmoid(-self.logit).unsqueeze(1)


class PageRank(_ProbabilityKernel):
    r"""Personalised PageRank, with a learnable teleport probability r per head.

    .. math:: \alpha_k = r (1 - r)^k

    Args:
        hops: K, where the series is truncated.
        heads: H.
        teleport: initial r. (default: :obj:`0.15`)

    Source: Gasteiger et al., "Diffusion Improves Graph Learning" (NeurIPS 2019), eq. 1.

    Example:
        >>> from graphmask.masks import PageRank
        >>> [round(x, 4) for x in PageRank(hops=2)()[0].tolist()]
        [0.15, 0.1275, 0.1084]
    """

    _has_nonnegative_roots = True

    def __init__(self, hops: int, heads: int = 1, teleport: float = 0.15) -> None:
        super().__init__(hops, heads, "teleport", teleport)

    def root(self, factors: int) -> Tensor:
        r""":math:`r^{1/n} (1 - (1 - r) x)^{-1/n}`."""
        teleport, rest = self._probabilities()
        return negative_binomials(1 / factors, rest, self.hops) * teleport ** (1 / factors)


class PStepWalk(_ProbabilityKernel):
    r"""The lazy p-step random walk :math:`((1 - s) I + s W)^p`.

    The probability s of a move is learned per head.

    .. math:: \alpha_k = \binom{p}{k} (1 - s)^{p - k} s^k, \quad 0 \text{ for } k > p

    With W normalised ``"sym"`` it is positive semi-definite for even p, and for any p up to s =
    1/2.

    Args:
        hops: K, where the series is truncated; exact from p hops on.
        heads: H.
        scale: initial s, between 0 and 1. (default: :obj:`0.5`)
        steps: p. (default: :obj:`None`, as many as hops)

    Source: Smola and Kondor, "Kernels and Regularization on Graphs" (COLT 2003), whose :math:`(aI -
    L)^p` is this one times :math:`a^p`, at s = 1 / a.

    Example:
        >>> from graphmask.masks import PStepWalk
        >>> PStepWalk(hops=3, steps=2)()[0].tolist()
        [0.25, 0.5, 0.25, 0.0]
    """

    def __init__(
        self, hops: int, heads: int = 1, scale: float = 0.5, steps: int | None = None
    ) -> None:
        super().__init__(hops, heads, "scale", scale)
        self.steps = hops if steps is None else check_integer("steps", steps, 0)

    def root(self, factors: int) -> Tensor:
        """The same kernel of p / n steps: a walk if n divides p, else a series of both signs."""
        move, stay = self._probabilities()
        steps = self.steps / factors
        counts = binomials(steps, self.hops)
        # Where the count is 0 the exponent may be negative and its power infinite.
        rest = [steps - k if count else 0.0 for k, count in enumerate(counts)]
        k = exponents(move, self.hops)
        return move.new_tensor(counts) * stay ** move.new_tensor(rest) * move**k

    def has_nonnegative_root(self, factors: int) -> bool:
        """True if n divides p, or if hops end before signs alternate, at hop p / n + 2."""
        return self.steps % factors == 0 or self.hops <= self.steps // factors + 1
