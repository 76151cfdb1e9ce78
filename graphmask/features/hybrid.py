"""Hybrid random features: each estimator where its error is small."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error

from .couplings import Coupling
from .positive import PositiveRandomFeatures
from .random_features import LogFeatures, StabilisedFeatures, draw_rows
from .trigonometric import TrigonometricSoftmaxFeatures


class HybridRandomFeatures(StabilisedFeatures):
    r"""Positive and trigonometric estimates of the softmax kernel, mixed by the angle of q and k.

    .. math::
        \hat\lambda\, \widehat{SM}^{+} + (1 - \hat\lambda)\, \widehat{SM}^{trig}, \qquad
        \hat\lambda = \frac12 - \frac{1}{2n} \sum_{t=1}^n \mathrm{sgn}(\tau_t \cdot q)\,
        \mathrm{sgn}(\tau_t \cdot k), \qquad E[\hat\lambda] = \theta_{qk} / \pi

    Positive features are exact at :math:`q = -k`, trigonometric ones at :math:`q = k`; the mixture
    is at both. As signs and projections are independent, it is unbiased, and so are its gradients:
    the derivative of :math:`\hat\lambda`, which autograd takes to be zero, has as its factor the
    difference of both estimates, whose mean is zero.

    Features are those of each estimator, once as they are and once per sign: :math:`m = (n + 1)(m^+
    + m^{trig})`, half of them for each estimator. The variance is that of the estimators weighted
    by :math:`\hat\lambda^2` and :math:`(1 - \hat\lambda)^2`; more signs lower these at most by
    half, so that at equal m one sign does best.

    Estimates may be negative; see :class:`~graphmask.features.TrigonometricFeatures`.

    Args:
        channels: d, of queries and keys.
        num_features: m, a multiple of 4 (n + 1).
        num_signs: n. (default: :obj:`1`)
        coupling: of the directions. (default: :obj:`None`, :class:`~graphmask.features.Orthogonal`)
        seed: of all projections, which all heads share. (default: :obj:`0`)
        scale: s, of :math:`\exp(s\, q \cdot k)`. (default: :obj:`None`, ``channels ** -0.5``)

    Raises:
        ValueError: for a number of features that is no such multiple, and arguments that are
            errors for the two estimators.

    Cost: O(m d / (n + 1) + m) per node and head.

    Source: Choromanski et al., "Hybrid Random Features" (ICLR 2022), the angular hybrid; derived
    anew.

    Example:
        >>> import torch
        >>> from graphmask.features import HybridRandomFeatures
        >>> phi = HybridRandomFeatures(channels=4, num_features=16)
        >>> x = torch.ones(4)
        >>> [round(float(phi.queries(x) @ phi.keys(y)), 3) for y in (x, -x)]
        [7.389, 0.135]
    """

    nonnegative = False
    signs: Tensor

    def __init__(
        self,
        channels: int,
        num_features: int,
        num_signs: int = 1,
        coupling: Coupling | None = None,
        seed: int = 0,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.num_signs, self.num_features = check_integer("num_signs", num_signs, 1), num_features
        if check_integer("num_features", num_features, 1) % (4 * (num_signs + 1)):
            expected = f"a multiple of 4 (num_signs + 1) = {4 * (num_signs + 1)}"
            raise value_error("num_features", expected, num_features)
        half = num_features // (2 * (num_signs + 1))
        self.positive = PositiveRandomFeatures(channels, half, coupling, seed, scale)
        self.trigonometric = TrigonometricSoftmaxFeatures(channels, half, coupling, seed, scale)
        self.register_buffer("signs", torch.empty(num_signs, channels))
        self.redraw(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def redraw(self, generator: torch.Generator) -> None:
        """Draw other projections."""
        self.positive.redraw(generator)
        self.trigonometric.redraw(generator)
        draw_rows(self.signs, self.positive.coupling, generator)

    def extra_repr(self) -> str:
        return f"{self.positive.channels}, {self.num_features}, num_signs={self.num_signs}"

    def _query_features(self, x: Tensor) -> LogFeatures:
        return self._mix(x, 1)

    def _key_features(self, x: Tensor) -> LogFeatures:
        return self._mix(x, -1)

    def _mix(self, x: Tensor, side: int) -> LogFeatures:
        """Features of queries (side 1) or keys (side -1)."""
        positive = self.positive._query_features(x)
        waves = self.trigonometric._query_features(x)
        assert waves.size is not None
        signs = torch.sign(x @ self.signs.to(x.dtype).mT) / self.num_signs**0.5
        one = torch.ones_like(x[..., :1])
        # Inner products of queries and keys are lambda, and 1 - lambda.
        weight = torch.cat([one, side * signs], -1) / 2**0.5
        rest = torch.cat([one, signs], -1) / 2**0.5
        sizes = [
            _tensor_product(weight, torch.ones_like(positive.exponent)),
            _tensor_product(rest, waves.size),
        ]
        exponents = [positive.exponent, waves.exponent.expand_as(waves.size)]
        exponent = torch.cat([x.tile(self.num_signs + 1) for x in exponents], -1)
        return LogFeatures(exponent, torch.cat(sizes, -1))


def _tensor_product(x: Tensor, y: Tensor) -> Tensor:
    """``[..., n m]``, the products of all entries of both."""
    return (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)
