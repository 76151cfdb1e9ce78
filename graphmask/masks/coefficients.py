r"""Learnable coefficients of a power series, one row per head.

Free, non-negative, or a kernel with one scale.

Masks take the class itself, or a ``functools.partial`` of it: ``WalkMask(hops=8, heads=4,
alpha=partial(Diffusion, scale=2))``; or coefficients that are made already, of the mask's hops and
heads.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphmask._checks import check_integer, check_number, value_error
from graphmask._recipes import Recorded

from ._series import binomials, series_root

# The released code of Reid et al. (ICLR 2025) starts its modulation function at exp(-0.01 k).
_INITIAL_DECAY = 0.01


class Coefficients(Recorded, nn.Module, ABC):
    """``[H, K + 1]`` coefficients of the powers 0 to K.

    Args:
        hops: K.
        heads: H.

    Attributes:
        nonnegative: whether no coefficient can be negative, whatever is learned.
    """

    nonnegative: bool = True

    def __init__(self, hops: int, heads: int = 1) -> None:
        super().__init__()
        self.hops = check_integer("hops", hops, 0)
        self.heads = check_integer("heads", heads, 1)

    @abstractmethod
    def forward(self) -> Tensor:
        """``[H, K + 1]``."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Reset to the initial coefficients."""

    def root(self, factors: int) -> Tensor:
        """``[H, K + 1]``, the f whose convolution with itself, ``factors`` times in all, is these (up to hop K).

        A family that knows its roots in closed form gives them: they are found without loss over
        any number of hops.

        Raises:
            ValueError: where the coefficient of hop 0 is not positive, so that there is none. Under
                ``torch.compile`` the result is NaN or infinite instead.
        """
        alpha = self()
        if not torch.compiler.is_compiling():
            _check_root(alpha[:, 0])
        return series_root(alpha, factors)

    def has_nonnegative_root(self, factors: int) -> bool:
        """Whether no number of :meth:`root` can be negative, whatever is learned."""
        return False

    def _initial(self) -> Tensor:
        return torch.exp(-_INITIAL_DECAY * torch.arange(self.hops + 1)).expand(self.heads, -1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hops={self.hops}, heads={self.heads})"


class Free(Coefficients):
    """Any real numbers: the mask may be negative. Starts at ``exp(-0.01 k)``.

    Example:
        >>> from graphmask.masks import Free
        >>> Free(hops=2, heads=3)().shape
        torch.Size([3, 3])
    """

    nonnegative = False

    def __init__(self, hops: int, heads: int = 1) -> None:
        super().__init__(hops, heads)
        self.value = nn.Parameter(torch.empty(heads, hops + 1))
        self.reset_parameters()

    def forward(self) -> Tensor:
        return self.value

    def reset_parameters(self) -> None:
        self.value.data.copy_(self._initial())


class NonNegative(Coefficients):
    """``softplus`` of free numbers: the mask is never negative. Starts at ``exp(-0.01 k)``.

    Example:
        >>> from graphmask.masks import NonNegative
        >>> [round(x, 3) for x in NonNegative(hops=2)()[0].tolist()]
        [1.0, 0.99, 0.98]
    """

    def __init__(self, hops: int, heads: int = 1) -> None:
        super().__init__(hops, heads)
        self.raw = nn.Parameter(torch.empty(heads, hops + 1))
        self.reset_parameters()

    def forward(self) -> Tensor:
        return softplus(self.raw)

    def reset_parameters(self) -> None:
        self.raw.data.copy_(self._initial().expm1().log())


def make_coefficients(
    make: Callable[[int, int], Coefficients], hops: int, heads: int
) -> Coefficients:
    """Coefficients from their class, or from a partial of it."""
    made = make(hops, heads) if callable(make) and not isinstance(make, nn.Module) else make
    if not isinstance(made, Coefficients) or (made.hops, made.heads) != (hops, heads):
        raise value_error(
            "alpha, f",
            f"a Coefficients class, or a partial of one, for {hops} hops and {heads} heads",
            made,
        )
    return made


class _Scaled(Coefficients):
    """A kernel with one positive scale per head, learned as its logarithm."""

    def __init__(self, hops: int, heads: int = 1, scale: float = 1.0) -> None:
        super().__init__(hops, heads)
        self.start = _check_open("scale", scale)
        self.log_scale = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    def scale(self) -> Tensor:
        """``[H]``."""
        return self.log_scale.exp()

    def reset_parameters(self) -> None:
        self.log_scale.data.fill_(self.start).log_()


class Diffusion(_Scaled):
    r"""The heat kernel :math:`e^{-s(I - W)}`.

    :math:`\alpha_k = e^{-s} s^k / k!`, with a learnable scale s per head.

    Args:
        hops: K, where the series is cut.
        heads: H.
        scale: the scale s to start from. (default: :obj:`1.0`)

    Source: Kondor and Lafferty, "Diffusion Kernels on Graphs" (ICML 2002).

    Example:
        >>> from graphmask.masks import Diffusion
        >>> [round(x, 3) for x in Diffusion(hops=3)()[0].tolist()]
        [0.368, 0.368, 0.184, 0.061]
    """

    def forward(self) -> Tensor:
        return self.root(1)

    def root(self, factors: int) -> Tensor:
        """The heat kernel of scale s / n."""
        log_scale = self.log_scale.unsqueeze(1) - math.log(factors)
        k = _powers(log_scale, self.hops)
        return torch.exp(k * log_scale - log_scale.exp() - torch.lgamma(k + 1))

    def has_nonnegative_root(self, factors: int) -> bool:
        return True


class RegularizedLaplacian(_Scaled):
    r""":math:`(I + s(I - W))^{-p}`, with a learnable scale s per head.

    .. math:: \alpha_k = \binom{k + p - 1}{k} \frac{s^k}{(1 + s)^{k + p}}

    Args:
        hops: K, where the series is cut.
        heads: H.
        scale: the scale s to start from. (default: :obj:`1.0`)
        power: p; 2 is the 2-regularised Laplacian, whose root f in
            :class:`~graphmask.masks.GRFMask` is a geometric series. Any positive number. (default:
            :obj:`1`)

    Source: Smola and Kondor, "Kernels and Regularization on Graphs" (COLT 2003).

    Example:
        >>> from graphmask.masks import RegularizedLaplacian
        >>> RegularizedLaplacian(hops=2)()[0].tolist()
        [0.5, 0.25, 0.125]
        >>> RegularizedLaplacian(hops=2, power=2)()[0].tolist()
        [0.25, 0.25, 0.1875]
    """

    def __init__(self, hops: int, heads: int = 1, scale: float = 1.0, power: float = 1) -> None:
        super().__init__(hops, heads, scale)
        self.power = _check_open("power", power)

    def forward(self) -> Tensor:
        return self.root(1)

    def root(self, factors: int) -> Tensor:
        """The same kernel of power p / n."""
        power = self.power / factors
        ratio, rest = (torch.sigmoid(sign * self.log_scale).unsqueeze(1) for sign in (1, -1))
        return _negative_binomials(power, ratio, self.hops) * rest**power

    def has_nonnegative_root(self, factors: int) -> bool:
        return True


class Cosine(_Scaled):
    r""":math:`\cos(sW) + \sin(sW)`, with a learnable scale s per head: signed.

    .. math:: \alpha_k = (-1)^{\lfloor k / 2 \rfloor} s^k / k!

    At :math:`s = \pi / 4` it is :math:`\sqrt2 \cos(\tfrac\pi4 (I - W))`, the inverse cosine kernel
    up to a constant. With W normalised ``"sym"`` it is positive semi-definite up to there.

    Args:
        hops: K, where the series is cut.
        heads: H.
        scale: the scale s to start from. (default: :math:`\pi / 4`)

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
        k = _powers(self.log_scale, self.hops)
        size = torch.exp(k * self.log_scale.unsqueeze(1) - torch.lgamma(k + 1))
        return torch.where(k % 4 < 2, size, -size)


class _Weighed(Coefficients):
    """A kernel with one number between 0 and 1 per head, learned as its logit."""

    def __init__(self, hops: int, heads: int, name: str, start: float) -> None:
        super().__init__(hops, heads)
        self.start = _check_open(name, start, 1)
        self.logit = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.logit.data.fill_(self.start).logit_()

    def _shares(self) -> tuple[Tensor, Tensor]:
        """The number and what it leaves of 1, each ``[H, 1]``."""
        return torch.sigmoid(self.logit).unsqueeze(1), torch.sigmoid(-self.logit).unsqueeze(1)


class PageRank(_Weighed):
    r"""Personalised PageRank.

    :math:`\alpha_k = r (1 - r)^k`, with a learnable teleport probability r per head.

    Args:
        hops: K, where the series is cut.
        heads: H.
        teleport: the probability r to start from. (default: :obj:`0.15`)

    Source: Gasteiger et al., "Diffusion Improves Graph Learning" (NeurIPS 2019), eq. 1.

    Example:
        >>> from graphmask.masks import PageRank
        >>> [round(x, 4) for x in PageRank(hops=2)()[0].tolist()]
        [0.15, 0.1275, 0.1084]
    """

    def __init__(self, hops: int, heads: int = 1, teleport: float = 0.15) -> None:
        super().__init__(hops, heads, "teleport", teleport)

    def forward(self) -> Tensor:
        return self.root(1)

    def root(self, factors: int) -> Tensor:
        r""":math:`r^{1/n} (1 - (1 - r) x)^{-1/n}`."""
        teleport, rest = self._shares()
        return _negative_binomials(1 / factors, rest, self.hops) * teleport ** (1 / factors)

    def has_nonnegative_root(self, factors: int) -> bool:
        return True


class PStepWalk(_Weighed):
    r"""The lazy p-step random walk :math:`((1 - s) I + s W)^p`, with a learnable chance s to move per head.

    .. math:: \alpha_k = \binom{p}{k} (1 - s)^{p - k} s^k, \quad 0 \text{ for } k > p

    With W normalised ``"sym"`` it is positive semi-definite for even p, and for any p up to s =
    1/2.

    Args:
        hops: K, where the series is cut: exact from p hops on.
        heads: H.
        scale: the s to start from, between 0 and 1. (default: :obj:`0.5`)
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

    def forward(self) -> Tensor:
        return self.root(1)

    def root(self, factors: int) -> Tensor:
        """The same kernel of p / n steps.

        A walk where n divides p, otherwise a series of both signs.
        """
        moving, staying = self._shares()
        steps = self.steps / factors
        count = binomials(steps, self.hops)
        # Where there are no such walks the power of what stays may be negative, and infinite: left
        # out.
        left = [steps - k if number else 0.0 for k, number in enumerate(count)]
        return (
            moving.new_tensor(count)
            * staying ** moving.new_tensor(left)
            * moving ** _powers(moving, self.hops)
        )

    def has_nonnegative_root(self, factors: int) -> bool:
        """Where n divides p; otherwise up to the hop after p / n, from which on signs alternate."""
        return self.steps % factors == 0 or self.hops <= self.steps // factors + 1


def _negative_binomials(power: float, x: Tensor, hops: int) -> Tensor:
    """The series of ``(1 - x)^-power``, ``[H, K + 1]``, for x ``[H, 1]``."""
    count = [abs(number) for number in binomials(-power, hops)]
    return x.new_tensor(count) * x ** _powers(x, hops)


def _check_root(lead: Tensor) -> None:
    without = (~(lead > 0)).nonzero().flatten().tolist()
    if without:
        head = without[0]
        raise value_error(
            "alpha", "positive at hop 0, or it has no root", f"{lead[head].item():g} in head {head}"
        )


def _powers(like: Tensor, hops: int) -> Tensor:
    """0 to K, beside parameters."""
    return torch.arange(hops + 1, device=like.device, dtype=like.dtype)


def _check_open(name: str, value: float, high: float = math.inf) -> float:
    """A number with ``0 < value < high``."""
    if not 0 < check_number(name, value, -math.inf) < high:
        raise value_error(name, "positive" if high == math.inf else f"between 0 and {high}", value)
    return float(value)
