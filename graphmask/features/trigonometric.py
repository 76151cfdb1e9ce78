"""Random Fourier features."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import value_error

from .random_features import LogFeatures, ProjectedFeatures, half_square


class TrigonometricFeatures(ProjectedFeatures):
    r"""Random Fourier features: unbiased estimates of a Gaussian kernel.

    .. math::
        \phi(x) = (2/m)^{1/2} \big(\cos(w_r \cdot \tilde x),\ \sin(w_r \cdot \tilde x)
            \big)_{r \le m/2}, \quad \tilde x = x\, s^{1/2}, \qquad
        E[\phi(q) \cdot \phi(k)] = \exp(-s\, |q - k|^2 / 2)

    Estimates may be negative where the kernel is small, though the kernel never is. The normaliser
    of attention sums them as they are, which is unbiased, but can come close to zero: use it where
    many keys are close to each query.

    Args:
        channels: d, of queries and keys.
        num_features: m, even.
        coupling: of the directions w. (default: :obj:`None`,
            :class:`~graphmask.features.Orthogonal`)
        seed: of the projection, which all heads share. (default: :obj:`0`)
        scale: s. (default: :obj:`None`, ``channels ** -0.5``)

    Raises:
        ValueError: for an odd number of features, a scale that is not positive, and input of other
            channels.

    Cost: O(m d) per node and head.

    Source: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines" (NeurIPS 2007);
    orthogonal: Yu et al., "Orthogonal Random Features" (NeurIPS 2016).

    Example:
        >>> import torch
        >>> from graphmask.features import TrigonometricFeatures
        >>> phi = TrigonometricFeatures(channels=4, num_features=8)
        >>> x = torch.randn(4)
        >>> round(float(phi.queries(x) @ phi.keys(x)), 5)
        1.0
    """

    nonnegative = False

    def _num_rows(self) -> int:
        if self.num_features % 2:
            expected = "even, a cosine and a sine per direction"
            raise value_error("num_features", expected, self.num_features)
        return self.num_features // 2

    def _query_features(self, x: Tensor) -> LogFeatures:
        x = self._scaled(x)
        angle = self._project(x)
        waves = torch.cat([angle.cos(), angle.sin()], -1) * (2 / self.num_features) ** 0.5
        return LogFeatures(self._exponent(x), waves)

    def _exponent(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[..., :1])


class TrigonometricSoftmaxFeatures(TrigonometricFeatures):
    r"""Random Fourier features of the softmax kernel.

    They are those of the Gaussian kernel times :math:`\exp(|\tilde x|^2 / 2)`.

    .. math:: E[\phi(q) \cdot \phi(k)] = \exp(s\, q \cdot k)

    Exact where q = k; inaccurate, and of any sign, where the kernel is small. Arguments are those
    of :class:`TrigonometricFeatures`.

    Cost: O(m d) per node and head.

    Source: Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021), eq. 5.

    Example:
        >>> import torch
        >>> from graphmask.features import TrigonometricSoftmaxFeatures
        >>> phi = TrigonometricSoftmaxFeatures(channels=4, num_features=8)
        >>> x = torch.ones(4)
        >>> round(float((phi.queries(x) @ phi.keys(x)).log()), 5)
        2.0
    """

    def _exponent(self, x: Tensor) -> Tensor:
        return half_square(x)
