r"""Learnable coefficients of a power series, one row per head: free, non-negative, or a kernel with one scale.

Masks take the class itself, or a ``functools.partial`` of it: ``WalkMask(hops=8, heads=4, alpha=partial(Diffusion, scale=2))``;
or coefficients that are made already, of the mask's hops and heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphmask._checks import check_integer, check_probability, refuse

# The released code of Reid et al. (ICLR 2025) starts its modulation function at exp(-0.01 k).
_INITIAL_DECAY = 0.01


class Coefficients(nn.Module, ABC):
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


def make_coefficients(make: Callable[[int, int], Coefficients], hops: int, heads: int) -> Coefficients:
    """Coefficients from their class, or from a partial of it."""
    made = make(hops, heads) if callable(make) and not isinstance(make, nn.Module) else make
    if not isinstance(made, Coefficients) or (made.hops, made.heads) != (hops, heads):
        raise refuse("alpha, f", f"a Coefficients class, or a partial of one, for {hops} hops and {heads} heads", made)
    return made


class _Scaled(Coefficients):
    """A kernel with one positive scale per head, learned as its logarithm."""

    def __init__(self, hops: int, heads: int = 1, scale: float = 1.0) -> None:
        super().__init__(hops, heads)
        if not scale > 0:
            raise refuse("scale", "positive", scale)
        self.start = float(scale)
        self.log_scale = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    def scale(self) -> Tensor:
        """``[H]``."""
        return self.log_scale.exp()

    def reset_parameters(self) -> None:
        self.log_scale.data.fill_(self.start).log_()

    def _powers(self) -> Tensor:
        return torch.arange(self.hops + 1, device=self.log_scale.device, dtype=self.log_scale.dtype)


class Diffusion(_Scaled):
    r"""The heat kernel :math:`e^{-s(I - W)}`: :math:`\alpha_k = e^{-s} s^k / k!`, with a learnable scale s per head.

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
        k = self._powers()
        scale, log_scale = self.scale.unsqueeze(1), self.log_scale.unsqueeze(1)
        return torch.exp(k * log_scale - scale - torch.lgamma(k + 1))


class RegularizedLaplacian(_Scaled):
    r""":math:`(I + s(I - W))^{-1}`: :math:`\alpha_k = s^k / (1 + s)^{k+1}`, with a learnable scale s per head.

    Args:
        hops: K, where the series is cut.
        heads: H.
        scale: the scale s to start from. (default: :obj:`1.0`)

    Source: Smola and Kondor, "Kernels and Regularization on Graphs" (COLT 2003).

    Example:
        >>> from graphmask.masks import RegularizedLaplacian
        >>> RegularizedLaplacian(hops=2)()[0].tolist()
        [0.5, 0.25, 0.125]
    """

    def forward(self) -> Tensor:
        ratio = torch.sigmoid(self.log_scale).unsqueeze(1)
        return (1 - ratio) * ratio ** self._powers()


class PageRank(Coefficients):
    r"""Personalised PageRank: :math:`\alpha_k = r (1 - r)^k`, with a learnable teleport probability r per head.

    Args:
        hops: K, where the series is cut.
        heads: H.
        teleport: the probability r to start from. (default: :obj:`0.15`)

    Source: Gasteiger et al., "Diffusion Improves Graph Learning" (NeurIPS 2019), eq. 1.

    Example:
        >>> from graphmask.masks import PageRank
        >>> [round(x, 3) for x in PageRank(hops=2)()[0].tolist()]
        [0.15, 0.128, 0.108]
    """

    def __init__(self, hops: int, heads: int = 1, teleport: float = 0.15) -> None:
        super().__init__(hops, heads)
        if not 0 < teleport < 1:
            raise refuse("teleport", "between 0 and 1", teleport)
        self.start = check_probability("teleport", teleport)
        self.logit = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def forward(self) -> Tensor:
        teleport = torch.sigmoid(self.logit).unsqueeze(1)
        k = torch.arange(self.hops + 1, device=teleport.device, dtype=teleport.dtype)
        return teleport * (1 - teleport) ** k

    def reset_parameters(self) -> None:
        self.logit.data.fill_(self.start).logit_()
