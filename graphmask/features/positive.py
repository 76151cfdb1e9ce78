"""Positive random features of the softmax kernel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import double_dtype, to_double

from .random_features import LogFeatures, ProjectedFeatures, half_square


class PositiveRandomFeatures(ProjectedFeatures):
    r"""FAVOR+: unbiased positive features of softmax attention; SimRF with ``coupling=Simplex()``.

    .. math::
        \phi(x)_r = m^{-1/2} \exp\big(w_r \cdot \tilde x - |\tilde x|^2 / 2\big), \quad
        \tilde x = x\, s^{1/2}, \quad w_r \sim N(0, I), \qquad
        E[\phi(q) \cdot \phi(k)] = \exp(s\, q \cdot k)

    The relative standard deviation of one feature's estimate is :math:`(e^{|\tilde q + \tilde k|^2}
    - 1)^{1/2}`: small for short queries and keys only. Nothing is added to the features, so that
    they stay unbiased; a query whose scores are smaller than the largest of its graph by the range
    of the floating-point type attends to nothing.

    Args:
        channels: d, of queries and keys.
        num_features: m.
        coupling: of the directions w. (default: :obj:`None`,
            :class:`~graphmask.features.Orthogonal`)
        seed: of the projection, which all heads share. (default: :obj:`0`)
        scale: s. (default: :obj:`None`, ``channels ** -0.5``, that of softmax attention)

    Raises:
        TypeError: for input of integers.
        ValueError: for sizes below 1, a scale that is not positive, and input of other channels.

    Cost: O(m d) per node and head.

    Source: Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021), lemma 1; Reid et
    al., "Simplex Random Features" (ICML 2023).

    Example:
        >>> import torch
        >>> from graphmask.features import PositiveRandomFeatures
        >>> phi = PositiveRandomFeatures(channels=4, num_features=4096)
        >>> q, k = torch.full((2, 4), 0.5)
        >>> score = phi.queries(q) @ phi.keys(k)
        >>> bool((score / torch.exp(q @ k / 2) - 1).abs() < 0.1)
        True
    """

    def _query_features(self, x: Tensor) -> LogFeatures:
        x = self._scaled(x)
        return LogFeatures(self._project(x) - half_square(x) - math.log(self.num_features) / 2)


class OptimalPositiveFeatures(PositiveRandomFeatures):
    r"""OPRF, or FAVOR++: positive features with a Gaussian factor that lowers their variance.

    .. math::
        \phi(x)_r = m^{-1/2} (1 - 4A)^{d/4}
            \exp\big(A |w_r|^2 + (1 - 4A)^{1/2}\, w_r \cdot \tilde x - |\tilde x|^2 / 2\big)

    is unbiased for every :math:`A < 1/8`, and bounded for :math:`A < 0`. With :math:`\varphi` the
    mean of :math:`|\tilde q + \tilde k|^2`, the mean logarithm of the variance is least at

    .. math::
        A = \frac{1}{8}\Big(1 - \frac{1}{\rho}\Big), \qquad
        \rho = \frac{\sqrt{(2\varphi + d)^2 + 8 d \varphi} - 2\varphi - d}{4\varphi}

    Before :meth:`calibrate` reads data, the mean is that of queries and keys of independent entries
    of unit variance, :math:`\varphi = 2 s d`.

    Args: those of :class:`PositiveRandomFeatures`.

    Attributes:
        curvature: A, a buffer.

    Cost: O(m d) per node and head.

    Source: Likhosherstov et al., "Chefs' Random Tables: Non-Trigonometric Random Features" (NeurIPS
    2022), theorem 3.2.

    Example:
        >>> import torch
        >>> from graphmask.features import OptimalPositiveFeatures
        >>> phi = OptimalPositiveFeatures(channels=16, num_features=64)
        >>> phi.calibrate(torch.randn(100, 16), torch.randn(100, 16))
        >>> bool(phi.curvature < 0)
        True
    """

    curvature: Tensor

    def _register_buffers(self) -> None:
        assumed = torch.tensor(2 * self.scale, dtype=double_dtype())
        self.register_buffer("curvature", _least_variance(assumed).to(self.projection.dtype))

    @torch.no_grad()
    def calibrate(self, q: Tensor, k: Tensor) -> None:
        r"""Set A from the mean :math:`|\tilde q + \tilde k|^2` over all pairs of ``[..., d]``."""
        square = _mean_squares(self._scaled(q), self._scaled(k)).trace()
        self.curvature.copy_(_least_variance(square / self.channels))

    def _query_features(self, x: Tensor) -> LogFeatures:
        x, A = self._scaled(x), self.curvature.to(x.dtype)
        factor = self.channels / 4 * torch.log1p(-4 * A) - math.log(self.num_features) / 2
        bias = A * self.projection.to(x.dtype).square().sum(-1) + factor
        return LogFeatures(self._project(x * (1 - 4 * A).sqrt()) + bias - half_square(x))


class SharpPositiveFeatures(PositiveRandomFeatures):
    r"""FAVOR#: one parameter per principal direction of the data, where OPRF has one in all.

    .. math::
        \phi(x)_r = m^{-1/2} \det(I - 4A)^{1/4}
            \exp\big(w_r^T A w_r + w_r^T (I - 4A)^{1/2} Q^T \tilde x - |\tilde x|^2 / 2\big)

    with a diagonal :math:`A < 1/8` and an orthogonal Q is unbiased. With :math:`z = \tilde q +
    \tilde k` its second moment has the logarithm

    .. math::
        \sum_l \Big(\log(1 - 4a_l) - \frac12 \log(1 - 8a_l)
            + \frac{2 (1 - 4a_l)}{1 - 8a_l} (Q^T z)_l^2\Big) - |\tilde q|^2 - |\tilde k|^2

    whose mean over data depends on all :math:`E (Q^T z)_l^2` alone. The minimum of each term is
    concave in its own, so that the mean is least for eigenvectors of :math:`E[z z^T]` as Q and

    .. math::
        a_l = \frac{1 - u_l}{8}, \qquad
        u_l = \frac{1 + 2\lambda_l + \sqrt{(1 + 2\lambda_l)^2 + 8\lambda_l}}{2}

    for its eigenvalues :math:`\lambda_l`. OPRF is the case of equal :math:`a_l`, and its mean
    logarithm is never lower. Before :meth:`calibrate` reads data, this map is OPRF.

    Args: those of :class:`PositiveRandomFeatures`.

    Attributes:
        curvature: ``[d]``, the diagonal of A, a buffer.
        basis: ``[d, d]``, Q, a buffer.

    Cost: O(m d + d^2) per node and head.

    Source: Likhosherstov et al., "FAVOR#: Sharp Attention Kernel Approximations via New Classes of
    Positive Random Features" (2023), the symmetric dense-exponential case; derived anew.

    Example:
        >>> import torch
        >>> from graphmask.features import SharpPositiveFeatures
        >>> phi = SharpPositiveFeatures(channels=3, num_features=8)
        >>> phi.calibrate(torch.randn(100, 3) * torch.tensor([4.0, 1.0, 0.1]), torch.zeros(1, 3))
        >>> phi.curvature.argsort().tolist()
        [2, 1, 0]
    """

    curvature: Tensor
    basis: Tensor

    def _register_buffers(self) -> None:
        assumed = torch.full((self.channels,), 2 * self.scale, dtype=double_dtype())
        self.register_buffer("curvature", _least_variance(assumed).to(self.projection.dtype))
        self.register_buffer("basis", torch.eye(self.channels))

    @torch.no_grad()
    def calibrate(self, q: Tensor, k: Tensor) -> None:
        r"""Set Q and A from the mean of :math:`z z^T` over all pairs of ``[..., d]``."""
        values, vectors = torch.linalg.eigh(_mean_squares(self._scaled(q), self._scaled(k)))
        self.curvature.copy_(_least_variance(values.clamp(min=0)))
        self.basis.copy_(vectors)

    def _query_features(self, x: Tensor) -> LogFeatures:
        x, a, W = self._scaled(x), self.curvature.to(x.dtype), self.projection.to(x.dtype)
        factor = torch.log1p(-4 * a).sum() / 4 - math.log(self.num_features) / 2
        rotated = x @ self.basis.to(x.dtype) * (1 - 4 * a).sqrt()
        return LogFeatures(self._project(rotated) + (W.square() @ a + factor) - half_square(x))


def _least_variance(square: Tensor) -> Tensor:
    """The A of least variance for the mean square of one coordinate of q + k."""
    u = (1 + 2 * square + ((1 + 2 * square).square() + 8 * square).sqrt()) / 2
    return (1 - u) / 8


def _mean_squares(q: Tensor, k: Tensor) -> Tensor:
    """``[d, d]``, the mean of (q + k)(q + k)^T over all pairs of rows, in float64."""
    q, k = (to_double(x.detach().flatten(0, -2)) for x in (q, k))
    for name, x in (("q", q), ("k", k)):
        if not len(x) or not bool(torch.isfinite(x).all()):
            raise value_error(name, "at least one row, all finite", x)
    cross = torch.outer(q.mean(0), k.mean(0))
    return q.mT @ q / len(q) + k.mT @ k / len(k) + cross + cross.mT
