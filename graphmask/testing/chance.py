"""How probable draws are, if their mean is what it should be.

Letters: R draws of P parts (hops) of n numbers each.
"""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

# What never varies by more than this is taken for a constant, and what is no larger for zero: it
# may be rounding.
_CONSTANT = 1e-12


def worst_score(
    drawn: Tensor, target: Tensor, often: int, false_alarm: float
) -> tuple[float, float]:
    """The largest distance of a mean from its target, in standard errors, and the largest allowed.

    Constants must meet their target: their distance is infinite or zero. Other numbers count where
    they are non-zero in at least ``often`` draws, so that their standard error is known. Allowed
    are 4 of them, or Bonferroni's bound.
    """
    hits = (drawn.abs() > _CONSTANT).sum(0)
    deviation, miss = drawn.std(0), (drawn.mean(0) - target).abs()
    constant = (deviation <= _CONSTANT) & ((hits == len(drawn)) | (target.abs() <= _CONSTANT))
    if bool((miss[constant] > _CONSTANT * 1e3).any()):
        return float("inf"), 0.0
    judged = (hits >= often) & ~constant
    if not bool(judged.any()):
        return 0.0, 0.0
    scores = miss[judged] / deviation[judged] * len(drawn) ** 0.5
    return float(scores.max()), max(4.0, float(stats.norm.isf(false_alarm / (2 * len(scores)))))


def probability_of_sums(drawn: Tensor, target: Tensor, generator: torch.Generator) -> float:
    """The probability, by Hotelling's test, of sums this far from theirs.

    Over each part, rare numbers included.

    Numbers are summed with weights of the target's sign, which no common factor escapes, and of
    random signs.
    """
    sign = torch.cat(
        [
            torch.randint(2, (2, *target.shape), generator=generator) * 2 - 1,
            target.sign().unsqueeze(0),
        ]
    )
    weight = sign * torch.rand(sign.shape, generator=generator, dtype=target.dtype)
    sums = torch.einsum("rpn,wpn->rwp", drawn, weight).flatten(1)
    miss = sums.mean(0) - torch.einsum("pn,wpn->wp", target, weight).flatten()
    deviation = sums.std(0)
    varies = deviation > _CONSTANT
    if bool((miss[~varies].abs() > _CONSTANT * 1e3).any()):
        return 0.0
    return (
        _hotelling(sums[:, varies], miss[varies] / deviation[varies]) if bool(varies.any()) else 1.0
    )


def _hotelling(sums: Tensor, scores: Tensor) -> float:
    """The probability of means at least this many deviations from the truth, sums being correlated as they are."""
    draws, count = sums.shape
    correlation = torch.corrcoef(sums.mT).reshape(count, count)
    rank = int(torch.linalg.matrix_rank(correlation, hermitian=True, rtol=1e-8))
    statistic = float(
        draws * scores @ torch.linalg.pinv(correlation, hermitian=True, rtol=1e-8) @ scores
    )
    return float(stats.f.sf(statistic * (draws - rank) / (rank * (draws - 1)), rank, draws - rank))
