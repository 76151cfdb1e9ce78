"""Convolution roots of coefficients: what each factor of a product of masks is made of."""

from __future__ import annotations

from torch import Tensor

from graphmask._checks import check_integer, type_error

from .coefficients import Coefficients


class Deconvolution(Coefficients):
    r"""The modulation function f whose n-fold convolution is :math:`\alpha`, up to hop K.

    .. math::
        \underbrace{f * \dots * f}_n = \alpha: \qquad
        f_0 = \alpha_0^{1/n}, \quad
        f_k = \frac{1}{k \alpha_0} \sum_{j=1}^{k} \Big(\frac{j}{n} - k + j\Big) \alpha_j f_{k-j}

    the power series of :math:`\alpha(x)^{1/n}`, taken in float64; kernels with one scale give it in
    closed form. What is learned is alpha.

    Args:
        alpha: the coefficients of the kernel, of K hops and H heads.
        factors: n. (default: :obj:`2`)

    Attributes:
        nonnegative: whether alpha is of a family whose roots are never negative: diffusion,
            regularised Laplacians, PageRank, and the p-step walk where n divides p.

    Raises:
        TypeError: where alpha is no coefficients.
        ValueError: for fewer than one factor; and when evaluated, where :math:`\alpha_0 \le 0`,
            which has no root (free coefficients may be learned to be so). Under ``torch.compile``
            the result is NaN or infinite instead.

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
