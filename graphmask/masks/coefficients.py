r"""Learnable coefficients of a power series, one row per head.

They are free, non-negative, or those of a kernel with one parameter per head.

Masks take the class itself, or a ``functools.partial`` of it: ``WalkMask(hops=8, heads=4,
alpha=partial(Diffusion, scale=2))``; or an instance of the mask's hops and heads.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from graphmask._checks import check_integer, check_number, type_error, value_error
from graphmask._precision import to_double
from graphmask.config import ConfigMixin

# The released code of Reid et al. (ICLR 2025) starts its modulation function at exp(-0.01 k).
_INITIAL_DECAY = 0.01

# Rates at which heads of different reach start.
_FASTEST, _SLOWEST = 2.0, 0.05


class Coefficients(ConfigMixin, nn.Module, ABC):
    """``[H, K + 1]`` coefficients of the powers 0 to K.

    Args:
        hops: K.
        heads: H.

    Attributes:
        nonnegative: whether no coefficient can be negative, whatever is learned.
    """

    nonnegative: bool = True
    _has_nonnegative_roots: bool = False

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
        """Return the f ``[H, K + 1]`` whose ``factors``-fold convolution is these, up to hop K.

        Kernels whose roots have a closed form override it: it loses no digits over many hops.

        Raises:
            ValueError: if the coefficient of hop 0 is not positive, so that no root exists. Under
                ``torch.compile`` the result is NaN or infinite instead.
        """
        alpha = self()
        if not torch.compiler.is_compiling():
            _check_root(alpha[:, 0])
        return _series_root(alpha, factors)

    def has_nonnegative_root(self, factors: int) -> bool:
        """Return whether no entry of :meth:`root` can be negative, whatever is learned."""
        return self._has_nonnegative_roots

    def _initial(self) -> Tensor:
        return torch.exp(-_INITIAL_DECAY * torch.arange(self.hops + 1)).expand(self.heads, -1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hops={self.hops}, heads={self.heads})"


def make_coefficients(
    make: Callable[[int, int], Coefficients], hops: int, heads: int
) -> Coefficients:
    """Coefficients from a class, a partial of one, or an instance."""
    is_instance = isinstance(make, nn.Module) or not callable(make)
    coefficients = make if is_instance else make(hops, heads)
    if isinstance(coefficients, Coefficients) and (hops, heads) == (
        coefficients.hops,
        coefficients.heads,
    ):
        return coefficients
    expected = f"a Coefficients class, or a partial of one, for {hops} hops and {heads} heads"
    raise value_error("alpha, f", expected, coefficients)


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


class OneHop(Free):
    """Any real numbers that start as one hop per head: head h at hop ``h mod (K + 1)``.

    Heads then differ from the start: one keeps the node itself, the next reads its neighbours.

    Example:
        >>> from graphmask.masks import OneHop
        >>> OneHop(hops=1, heads=2)().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def _initial(self) -> Tensor:
        hop = torch.arange(self.heads) % (self.hops + 1)
        return one_hot(hop, self.hops + 1).to(torch.get_default_dtype())


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


class Spread(NonNegative):
    """Non-negative numbers whose reach differs by head from the start.

    Head h starts at ``exp(-m_h k)``, with rates m from 2 to 1/20 in equal ratios, as the slopes of
    ALiBi. One head alone starts in their middle.

    Source: the rates by head follow Press, Smith and Lewis, "Train Short, Test Long" (ICLR 2022).

    Example:
        >>> from graphmask.masks import Spread
        >>> [[round(x, 2) for x in row] for row in Spread(hops=2, heads=2)().tolist()]
        [[1.0, 0.14, 0.02], [1.0, 0.95, 0.9]]
    """

    def _initial(self) -> Tensor:
        share = torch.linspace(0, 1, self.heads) if self.heads > 1 else torch.tensor([0.5])
        rate = _FASTEST * (_SLOWEST / _FASTEST) ** share
        return torch.exp(-rate.unsqueeze(1) * torch.arange(self.hops + 1))


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
        return _negative_binomials(power, ratio, self.hops) * rest**power


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
        return _negative_binomials(1 / factors, rest, self.hops) * teleport ** (1 / factors)


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
        counts = _binomials(steps, self.hops)
        # Where the count is 0 the exponent may be negative and its power infinite.
        rest = [steps - k if count else 0.0 for k, count in enumerate(counts)]
        k = exponents(move, self.hops)
        return move.new_tensor(counts) * stay ** move.new_tensor(rest) * move**k

    def has_nonnegative_root(self, factors: int) -> bool:
        """True if n divides p, or if hops end before signs alternate, at hop p / n + 2."""
        return self.steps % factors == 0 or self.hops <= self.steps // factors + 1


class Deconvolution(Coefficients):
    r"""The modulation function f whose n-fold convolution is :math:`\alpha`, up to hop K.

    .. math::
        \underbrace{f * \dots * f}_n = \alpha: \qquad
        f_0 = \alpha_0^{1/n}, \quad
        f_k = \frac{1}{k \alpha_0} \sum_{j=1}^{k} \Big(\frac{j}{n} - k + j\Big) \alpha_j f_{k-j}

    the power series of :math:`\alpha(x)^{1/n}`, computed in float64, or in closed form for
    kernels. The parameters are those of alpha.

    Args:
        alpha: the coefficients of the kernel, of K hops and H heads.
        factors: n. (default: :obj:`2`)

    Attributes:
        nonnegative: whether alpha is of a family whose roots are never negative: diffusion,
            regularised Laplacians, PageRank, and the p-step walk where n divides p.

    Raises:
        TypeError: if alpha is not Coefficients.
        ValueError: for fewer than one factor; and when evaluated, if :math:`\alpha_0 \le 0`, which
            has no root (free coefficients may become so). Under ``torch.compile`` the result is NaN
            or infinite instead.

    Cost: O(K H) in closed form; otherwise O(K^2 H), and on a GPU one synchronisation.

    Source: Reid et al., "General Graph Random Features" (ICLR 2024), eq. 6, for two factors.

    Example:
        >>> import graphmask as gm
        >>> f = gm.masks.Deconvolution(gm.masks.RegularizedLaplacian(hops=3, power=2))
        >>> f()[0].tolist()  # the root of (I + s (I - W))^-2
        [0.5, 0.25, 0.125, 0.0625]
    """

    def __init__(self, alpha: Coefficients, factors: int = 2) -> None:
        if not isinstance(alpha, Coefficients):
            raise type_error("alpha", "Coefficients, such as Diffusion(hops, heads)", alpha)
        super().__init__(alpha.hops, alpha.heads)
        self.alpha, self.factors = alpha, check_integer("factors", factors, 1)
        self.nonnegative = alpha.has_nonnegative_root(factors)

    def forward(self) -> Tensor:
        return self.alpha.root(self.factors)

    def reset_parameters(self) -> None:
        self.alpha.reset_parameters()

    def __repr__(self) -> str:
        return f"Deconvolution({self.alpha!r}, factors={self.factors})"


def poisson(log_rate: Tensor, hops: int) -> Tensor:
    """``e^-s s^k / k!`` ``[H, K + 1]`` for the logarithms of rates s ``[H]``."""
    log_rate, k = log_rate.unsqueeze(1), exponents(log_rate, hops)
    return torch.exp(k * log_rate - log_rate.exp() - torch.lgamma(k + 1))


def exponents(like: Tensor, hops: int) -> Tensor:
    """The exponents 0 to K, on the device and of the dtype of a tensor."""
    return torch.arange(hops + 1, device=like.device, dtype=like.dtype)


def _binomials(top: float, hops: int) -> list[float]:
    """``binom(top, k)`` for k from 0 to K, the series of ``(1 + x)^top`` for any real number."""
    values = [1.0]
    for k in range(1, hops + 1):
        values.append(values[-1] * (top - k + 1) / k)
    return values


def _negative_binomials(power: float, x: Tensor, hops: int) -> Tensor:
    """The series of ``(1 - x)^-power``, ``[H, K + 1]``, for x ``[H, 1]``."""
    counts = [abs(count) for count in _binomials(-power, hops)]
    return x.new_tensor(counts) * x ** exponents(x, hops)


def _series_root(alpha: Tensor, factors: int) -> Tensor:
    r"""The power series f of :math:`\alpha^{1/n}`, ``[H, K + 1]``, by the recurrence above.

    It compares coefficients in :math:`n\, \alpha f' = \alpha' f`.
    """
    wide = to_double(alpha)
    lead = wide[:, :1]
    root = lead ** (1 / factors)
    for k in range(1, wide.shape[1]):
        j = torch.arange(1, k + 1, device=wide.device, dtype=wide.dtype)
        total = ((j / factors - k + j) * wide[:, 1 : k + 1] * root.flip(1)).sum(1, keepdim=True)
        root = torch.cat([root, total / (k * lead)], 1)
    return root.to(alpha.dtype)


def _check_root(lead: Tensor) -> None:
    rootless = (~(lead > 0)).nonzero().flatten().tolist()
    if rootless:
        value = f"{lead[rootless[0]].item():g} in head {rootless[0]}"
        raise value_error("alpha", "positive at hop 0, or it has no root", value)


def check_open(name: str, value: float, high: float = math.inf) -> float:
    """Check that ``0 < value < high``."""
    if not 0 < check_number(name, value, -math.inf) < high:
        raise value_error(name, "positive" if high == math.inf else f"between 0 and {high}", value)
    return float(value)
