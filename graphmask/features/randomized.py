"""Random features whose directions are proposed by data: linear randomized attention."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import value_error

from .random_features import LogFeatures, ProjectedFeatures, half_square

# One proposal of so many stays at 0.
_DEFENSIVE = 8


class LinearRandomizedFeatures(ProjectedFeatures):
    r"""LARA: positive features of softmax attention with directions from a mixture of proposals.

    .. math::
        \phi(x)_c = \Big(\frac{N(\omega_c; 0, I)}{\sum_{b=1}^{m} N(\omega_c; \mu_b, I)}\Big)^{1/2}
            \exp\big(\omega_c \cdot \tilde x - |\tilde x|^2 / 2\big), \quad
        \omega_c = \mu_c + \epsilon_c, \quad \epsilon_c \sim N(0, I)

    for :math:`\tilde x = x\, s^{1/2}`: importance sampling from several proposals, one direction
    each, weighed by the balance heuristic. It is unbiased for :math:`\exp(s\, q \cdot k)` whatever
    the means :math:`\mu`. Softmax attention of a query q is the mean of ratios of features over the
    mixture of all :math:`N(\tilde q + \tilde k_j, I)`, weighed by its scores; :meth:`calibrate`
    draws the means from such mixtures of the data. Before it, they are 0, and this is FAVOR+.

    Args:
        channels: d, of queries and keys.
        num_features: m, also the number of proposals.
        coupling: of the noise. (default: :obj:`None`, :class:`~graphmask.features.Orthogonal`)
        seed: of the noise, which all heads share. (default: :obj:`0`)
        scale: s. (default: :obj:`None`, ``channels ** -0.5``, that of softmax attention)

    Attributes:
        means: ``[m, d]``, the means of the proposals, a buffer.

    Raises:
        ValueError: as :class:`~graphmask.features.PositiveRandomFeatures`.

    Cost: O(m d) per node and head, and O(m^2 d) once per call.

    Source: Zheng, Wang and Kong, "Linear Complexity Randomized Self-attention Mechanism" (ICML
    2022). There every call makes its proposals anew, from means of segments of its own queries and
    keys; here they are data, so that features of a node do not depend on its batch mates.
    The balance heuristic alone is one option of its code. The other adds to the weight of each
    proposal a softmax of its scores over queries, less the mean over proposals, and clamps the sum,
    which is biased and left out. Its code scales products of directions that are already drawn,
    which is unbiased for s = 1 alone; here queries and keys are scaled.

    Example:
        >>> import torch
        >>> from graphmask.features import LinearRandomizedFeatures
        >>> phi = LinearRandomizedFeatures(channels=4, num_features=4096)
        >>> q = k = torch.ones(1, 4)
        >>> phi.calibrate(q, k)
        >>> score = phi.queries(q) @ phi.keys(k).mT
        >>> bool((score / torch.exp(q @ k.mT / 2) - 1).abs() < 0.05)
        True
    """

    means: Tensor

    def _register_buffers(self) -> None:
        self.register_buffer("means", torch.zeros(self.num_features, self.channels))

    @torch.no_grad()
    def calibrate(self, q: Tensor, k: Tensor, generator: torch.Generator | None = None) -> None:
        r"""Draw the means: :math:`\tilde q_i + \tilde k_j`, i at random and j by its scores.

        One in eight stays 0: on queries and keys far from all of these data, errors then exceed
        those of FAVOR+ by a bounded factor.

        Args:
            q: ``[..., d]`` queries.
            k: ``[..., d]`` keys.
            generator: of the draws. (default: :obj:`None`, the same ones in every call)

        Raises:
            ValueError: for no rows, or rows that are not finite.

        Cost: O(m n d) for n keys.
        """
        q, k = (self._scaled(x.detach().flatten(0, -2).float()) for x in (q, k))
        for name, x in (("q", q), ("k", k)):
            if not len(x) or not bool(torch.isfinite(x).all()):
                raise value_error(name, "at least one row, all finite", x)
        source = torch.Generator().manual_seed(0) if generator is None else generator
        row = torch.randint(len(q), (self.num_features,), generator=source).to(q.device)
        scores = (q[row] @ k.mT).softmax(-1)
        col = torch.multinomial(scores.cpu(), 1, generator=source).squeeze(1).to(q.device)
        self.means.copy_(q[row] + k[col])
        self.means[: -(-self.num_features // _DEFENSIVE)] = 0

    def _query_features(self, x: Tensor) -> LogFeatures:
        x, means = self._scaled(x), self.means.to(x.dtype)
        directions = means + self.projection.to(x.dtype)
        # Densities up to a factor that cancels.
        distance = half_square(directions) + half_square(means).mT - directions @ means.mT
        weight = -half_square(directions).squeeze(-1) - torch.logsumexp(-distance, 1)
        return LogFeatures(x @ directions.mT + weight / 2 - half_square(x))
