"""Statistical tests of the hypothesis that draws have a given mean.

Letters: R draws of P parts (hops) of n numbers each.
"""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

# Variation up to this is rounding: such numbers are constants, or zero.
_CONSTANT = 1e-12


def worst_score(
    drawn: Tensor, target: Tensor, often: int, false_alarm: float
) -> tuple[float, float]:
    """The largest distance of a mean from its target, in standard errors, and the largest allowed.

    Constants must equal their target: their distance is infinite or zero. Other numbers are tested
    if they are non-zero in at least ``often`` draws, so that their standard error is known. Allowed
    are 4 standard errors, or Bonferroni's bound.
    """
    hits = (drawn.abs() > _CONSTANT).sum(0)
    deviation, miss = drawn.std(0), (drawn.mean(0) - target).abs()
    constant = (deviation <= _CONSTANT) & ((hits == len(drawn)) | (target.abs() <= _CONSTANT))
    if bool((miss[constant] > _CONSTANT * 1e3).any()):
        return float("inf"), 0.0
    tested = (hits >= often) & ~constant
    if not bool(tested.any()):
        return 0.0, 0.0
    scores = miss[tested] / deviation[tested] * len(drawn) ** 0.5
    return float(scores.max()), max(4.0, float(stats.norm.isf(false_alarm / (2 * len(scores)))))


def probability_of_sums(drawn: Tensor, target: Tensor, generator: torch.Generator) -> float:
    """The p-value of Hotelling's test of weighted sums over each part, rare numbers included.

    Weights have the sign of the target, which reveals a common factor, and random signs.
    """
    random = torch.randint(2, (2, *target.shape), generator=generator) * 2 - 1
    sign = torch.cat([random, target.sign().unsqueeze(0)])
    weight = sign * torch.rand(sign.shape, generator=generator, dtype=target.dtype)
    sums = torch.einsum("rpn,wpn->rwp", drawn, weight).flatten(1)
    miss = sums.mean(0) - torch.einsum("pn,wpn->wp", target, weight).flatten()
    deviation = sums.std(0)
    varies = deviation > _CONSTANT
    if bool((miss[~varies].abs() > _CONSTANT * 1e3).any()):
        return 0.0
    if not bool(varies.any()):
        return 1.0
    return _hotelling(sums[:, varies], miss[varies] / deviation[varies])


def _hotelling(sums: Tensor, scores: Tensor) -> float:
    """The p-value of means this many deviations from the truth, for correlated sums."""
    draws, count = sums.shape
    correlation = torch.corrcoef(sums.mT).reshape(count, count)
    rank = int(torch.linalg.matrix_rank(correlation, hermitian=True, rtol=1e-8))
    inverse = torch.linalg.pinv(correlation, hermitian=True, rtol=1e-8)
    statistic = float(draws * scores @ inverse @ scores)
    return float(stats.f.sf(statistic * (draws - rank) / (rank * (draws - 1)), rank, draws - rank))
