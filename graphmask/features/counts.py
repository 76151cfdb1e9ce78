"""Random features of random powers: the terms of the exponential series, drawn at random."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import double_dtype, to_double

from .random_features import LogFeatures, ProjectedFeatures

# The assumed least of data of unit variance, in standard deviations.
_LEAST = -3.0

# Success probabilities among which the best one is chosen.
_CHANCES = 999

# Of Poisson laws: the least rate, and standard deviations from it within which counts are drawn.
_LEAST_RATE, _FARTHEST = 1e-6, 12


class _CountFeatures(ProjectedFeatures):
    """Features of counts whose law a subclass gives; rows of the projection draw them."""

    nonnegative = False
    shift: Tensor
    product: Tensor
    counts: Tensor

    def _register_buffers(self) -> None:
        size = self.channels
        self.register_buffer("shift", torch.full((size,), _LEAST * self.scale**0.5))
        self.register_buffer("product", torch.full((size,), (1 + _LEAST**2) * self.scale))
        self.register_buffer("counts", torch.empty_like(self.projection))
        self._draw_counts()

    @torch.no_grad()
    def redraw(self, generator: torch.Generator) -> None:
        """Draw other counts."""
        super().redraw(generator)
        if hasattr(self, "counts"):
            self._draw_counts()

    @torch.no_grad()
    def calibrate(self, q: Tensor, k: Tensor) -> None:
        r"""Set the shift and the law from queries and keys ``[..., d]``; counts are drawn anew.

        The shift is a standard deviation below the least of each channel.

        Raises:
            ValueError: for no rows, or rows that are not finite.
        """
        q, k = (to_double(self._scaled(x.detach().flatten(0, -2))) for x in (q, k))
        for name, x in (("q", q), ("k", k)):
            if not len(x) or not bool(torch.isfinite(x).all()):
                raise value_error(name, "at least one row, all finite", x)
        both = torch.cat([q, k])
        shift = both.amin(0) - both.std(0, correction=0).clamp(min=1e-3)
        self.shift.copy_(shift)
        squares = [(x - shift).square().mean(0) for x in (q, k)]
        self.product.copy_((squares[0] * squares[1]).sqrt())
        self._draw_counts()

    @torch.no_grad()
    def _draw_counts(self) -> None:
        uniform = torch.special.ndtr(to_double(self.projection))
        self.counts.copy_(self._invert(uniform, to_double(self.product)))

    @abstractmethod
    def _invert(self, uniform: Tensor, product: Tensor) -> Tensor:
        """Counts ``[m, d]`` of uniform numbers."""

    @abstractmethod
    def _log_chance(self, counts: Tensor) -> Tensor:
        """Logarithms of the probabilities of counts."""

    @torch.no_grad()
    def _bias(self) -> Tensor:
        """``[m]``, computed in each call: stored, it would be rounded to single precision."""
        counts = to_double(self.counts)
        terms = torch.lgamma(counts + 1) + self._log_chance(counts)
        return -(terms.sum(1) + math.log(self.num_features)) / 2

    def _query_features(self, x: Tensor) -> LogFeatures:
        x = self._scaled(x)
        shift, counts, bias = (y.to(x.dtype) for y in (self.shift, self.counts, self._bias()))
        base = x - shift
        log = base.abs().clamp(min=torch.finfo(x.dtype).tiny).log()
        odd = torch.remainder((base < 0).to(x.dtype) @ (counts % 2).mT, 2)
        size = ((x - shift / 2) * shift).sum(-1, keepdim=True)
        return LogFeatures(log @ counts.mT + bias + size, 1 - 2 * odd)


class PoissonFeatures(_CountFeatures):
    r"""Powers of channels to Poisson exponents: unbiased features of the softmax kernel.

    .. math::
        \phi(x)_r = m^{-1/2} e^{c \cdot \tilde x - |c|^2 / 2} \prod_l
            \frac{(\tilde x_l - c_l)^{\omega_{rl}}}{(\omega_{rl}!\, P_l(\omega_{rl}))^{1/2}}, \qquad
        \omega_{rl} \sim P_l = \text{Poisson}(\lambda_l), \quad \tilde x = x\, s^{1/2}

    Each feature is a random term of the series of :math:`e^{z_l z'_l}`, for :math:`z = \tilde x -
    c`. They are positive where no channel is below the shift c, which :meth:`calibrate` sets below
    all of its data. The second moment of a feature of a pair has the logarithm
    :math:`\sum_l \lambda_l + z_l^2 z_l'^2 / \lambda_l`, and :math:`\lambda_l = (E z_l^2\, E
    z_l'^2)^{1/2}` over queries and keys has the least mean of it. Far from 0, with a large shift,
    these features are those of FAVOR+.

    Where a channel equals its shift, derivatives are taken as 0.

    Args:
        channels: d, of queries and keys.
        num_features: m.
        coupling: of the normal numbers of which counts are quantiles. (default: :obj:`None`,
            :class:`~graphmask.features.Orthogonal`)
        seed: of the counts, which all heads share. (default: :obj:`0`)
        scale: s. (default: :obj:`None`, ``channels ** -0.5``, that of softmax attention)

    Attributes:
        shift: ``[d]``, c, a buffer.
        counts: ``[m, d]``, :math:`\omega`, a buffer.

    Raises:
        ValueError: as :class:`~graphmask.features.PositiveRandomFeatures`.

    Cost: O(m d) per node and head.

    Source: Likhosherstov et al., "Chefs' Random Tables: Non-Trigonometric Random Features" (NeurIPS
    2022), discretely induced features; derived anew, with a rate and a shift per channel.

    Example:
        >>> import torch
        >>> from graphmask.features import PoissonFeatures
        >>> phi = PoissonFeatures(channels=4, num_features=2**14)
        >>> q = k = torch.full((1, 4), 0.5)
        >>> bool((phi.queries(q) @ phi.keys(k).mT / torch.exp(q @ k.mT / 2) - 1).abs() < 0.1)
        True
    """

    def _invert(self, uniform: Tensor, product: Tensor) -> Tensor:
        rate = product.clamp(min=_LEAST_RATE).unsqueeze(1)
        # Counts further from the rate have no probability in double precision.
        reach = _FARTHEST * rate.sqrt() + 30
        least, most = (rate - reach).clamp(min=0).floor(), float((rate + reach).max())
        width = int(min(most, 2 * float(reach.max()))) + 1
        count = least + torch.arange(width, device=rate.device)
        log_chance = count * rate.log() - rate - torch.lgamma(count + 1)
        below = log_chance.exp().cumsum(1)[:, :-1].contiguous()
        drawn = torch.searchsorted(below, uniform.mT.contiguous())
        return (least + drawn).mT.to(rate.dtype)

    def _log_chance(self, counts: Tensor) -> Tensor:
        rate = to_double(self.product).clamp(min=_LEAST_RATE)
        return counts * rate.log() - rate - torch.lgamma(counts + 1)


class GeometricFeatures(_CountFeatures):
    r"""Powers of channels to geometric exponents: unbiased features of the softmax kernel.

    Those of :class:`PoissonFeatures` with :math:`P_l(\omega) = p_l (1 - p_l)^\omega`. The second
    moment of a term is :math:`I_0(2 z_l z'_l (1 - p_l)^{-1/2}) / p_l`, and :math:`p_l` is that of
    its least value, among multiples of 0.001, at :math:`z_l z'_l = (E z_l^2\, E z_l'^2)^{1/2}`.

    Arguments, attributes, errors and cost are those of :class:`PoissonFeatures`.

    Source: Likhosherstov et al., "Chefs' Random Tables: Non-Trigonometric Random Features" (NeurIPS
    2022), discretely induced features; derived anew, with a law and a shift per channel.

    Example:
        >>> import torch
        >>> from graphmask.features import GeometricFeatures
        >>> phi = GeometricFeatures(channels=2, num_features=2**16)
        >>> phi.calibrate(torch.rand(20, 2), torch.rand(20, 2))
        >>> q = k = torch.full((1, 2), 0.5)
        >>> bool((phi.queries(q) @ phi.keys(k).mT / torch.exp(q @ k.mT / 2**0.5) - 1).abs() < 0.1)
        True
    """

    thousandths: Tensor

    def _register_buffers(self) -> None:
        self.register_buffer("thousandths", torch.empty(self.channels))
        super()._register_buffers()

    def _invert(self, uniform: Tensor, product: Tensor) -> Tensor:
        dtype = double_dtype(product.device)
        chance = torch.arange(1, _CHANCES + 1, device=product.device, dtype=dtype) / (_CHANCES + 1)
        argument = 2 * product.unsqueeze(1) * (1 - chance).rsqrt()
        moment = torch.special.i0e(argument).log() + argument - chance.log()
        self.thousandths.copy_(moment.argmin(1) + 1)
        rest = torch.log1p(-self._chance())
        return (torch.log1p(-uniform.clamp(max=1 - torch.finfo(dtype).eps)) / rest).floor()

    def _log_chance(self, counts: Tensor) -> Tensor:
        p = self._chance()
        return p.log() + counts * torch.log1p(-p)

    def _chance(self) -> Tensor:
        """``[d]``, p."""
        return to_double(self.thousandths) / (_CHANCES + 1)
