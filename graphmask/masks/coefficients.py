r"""Learnable coefficients of a power series, one row per head: free, non-negative, or a kernel's.

Masks take the class itself, or a ``functools.partial`` of it: ``WalkMask(hops=8, heads=4,
alpha=partial(Diffusion, scale=2))``; or an instance of the mask's hops and heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot, softplus

from graphmask._checks import check_integer, type_error, value_error
from graphmask.config import ConfigMixin

from ._series import series_root

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
        return series_root(alpha, factors)

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


class StickBreaking(Coefficients):
    r"""Shares of a stick: each hop takes a part of what those before have left; the last the rest.

    .. math:: \alpha_k = \beta_k \prod_{s < k} (1 - \beta_s), \quad \beta_k = \sigma(b_k),
        \quad \alpha_K = \prod_{s < K} (1 - \beta_s)

    They are positive and sum to 1. The b are free numbers that start at 0: each hop starts with
    half the weight of the one before, which favours what is near.

    Source: Zheng, Pan and Kong, "Ripple Attention for Visual Perception with Sub-quadratic
    Complexity" (ICML 2022), for rings of an image.

    Example:
        >>> from graphmask.masks import StickBreaking
        >>> StickBreaking(hops=3)()[0].tolist()
        [0.5, 0.25, 0.125, 0.125]
    """

    def __init__(self, hops: int, heads: int = 1) -> None:
        super().__init__(hops, heads)
        self.raw = nn.Parameter(torch.zeros(heads, hops))

    def forward(self) -> Tensor:
        # In logarithms, so that long products do not underflow before they are summed.
        left = logsigmoid(-self.raw).cumsum(1)
        none = left.new_zeros(len(left), 1)
        taken = torch.cat([logsigmoid(self.raw), none], 1)
        return (taken + torch.cat([none, left], 1)).exp()

    def reset_parameters(self) -> None:
        self.raw.data.zero_()


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


def _check_root(lead: Tensor) -> None:
    rootless = (~(lead > 0)).nonzero().flatten().tolist()
    if rootless:
        value = f"{lead[rootless[0]].item():g} in head {rootless[0]}"
        raise value_error("alpha", "positive at hop 0, or it has no root", value)
