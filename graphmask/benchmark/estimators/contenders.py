"""The estimators that are compared: families of samplers, and the masks that read their walks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphmask._checks import check_probability
from graphmask.masks import Coefficients, GRFMask, StitchedMask, WalkMask
from graphmask.walks import (
    AntitheticWalks,
    IIDWalks,
    RepellingWalks,
    ResampledWalks,
    TruncatedWalks,
    WalkSampler,
)

# The masks on walks, whose coefficients say what they estimate.
WalkMasks = WalkMask | GRFMask | StitchedMask

_WALKS = tuple(2**power for power in range(13))
_BUDGETS = _WALKS[2:10]
_TOLERANCES = tuple(2.0**-power for power in range(13))

# l of the stitched mask, whose walks are l times shorter.
_DEGREE = 2


@dataclass(frozen=True)
class Family:
    """Samplers that differ in one setting; estimators of one family read the same draws.

    Args:
        name: of the family.
        make: the sampler, from a setting and the hops K.
        ladder: settings, cheapest first: walks per node, budgets, tolerances.
    """

    name: str
    make: Callable[[Any, int], WalkSampler]
    ladder: Sequence[float] = _WALKS


@dataclass(frozen=True)
class Estimator:
    """An estimator by name.

    Args:
        name: as in tables and on the command line.
        about: what it is, in one line.
        family: draws its walks.
        make: the mask that reads them, from ``hops=``, ``alpha=`` and ``sampler=``.

    Attributes:
        biased: whether its error is a bias, the same at every draw.

    Example:
        >>> from graphmask.benchmark.estimators import ESTIMATORS, KERNELS
        >>> estimator = ESTIMATORS[1]
        >>> estimator.mask(KERNELS[1].alpha, estimator.family.make(16, 8))
        GRFMask(hops=8, heads=1, alpha=Diffusion)
    """

    name: str
    about: str
    family: Family
    make: Callable[..., WalkMasks]

    @property
    def biased(self) -> bool:
        return not self.family.make(self.family.ladder[0], 1).unbiased

    def mask(self, alpha: Callable[[int, int], Coefficients], sampler: WalkSampler) -> WalkMasks:
        """The mask of a kernel."""
        return self.make(hops=sampler.hops, alpha=alpha, sampler=sampler)


def make_estimators(p_halt: float = 0.1) -> tuple[Estimator, ...]:
    """All estimators.

    Args:
        p_halt: the halting probability of those that walk.

    Raises:
        ValueError: for a probability outside [0, 1).

    Example:
        >>> make_estimators(p_halt=0.5)[0].family.make(4, 8)
        IIDWalks(num_walks=4, hops=8, length_law=Geometric(p_halt=0.5))
    """
    check_probability("p_halt", p_halt)
    iid = Family("iid", partial(_walk, IIDWalks, p_halt))
    short = Family("short iid", partial(_walk_shortly, p_halt), _WALKS[:7])  # four sets of each
    antithetic = Family("antithetic", partial(_walk, AntitheticWalks, p_halt))
    repelling = Family("repelling", partial(_walk, RepellingWalks, p_halt))
    truncated = Family("truncated", _truncate, _TOLERANCES)
    resampled = Family("resampled", _resample, _BUDGETS)
    return (
        Estimator(
            "iid",
            "independent walks, sum_t alpha_t S_t (Reid et al. 2025, Appendix D)",
            iid,
            WalkMask,
        ),
        Estimator(
            "iid-symmetric",
            "independent walks, Phi Phi'^T (Reid et al. 2025, algorithm 1)",
            iid,
            GRFMask,
        ),
        Estimator(
            "antithetic", "walks that halt in turns, sum_t alpha_t S_t", antithetic, WalkMask
        ),
        Estimator(
            "repelling",
            "walks that leave by different ways, sum_t alpha_t S_t",
            repelling,
            WalkMask,
        ),
        Estimator(
            "stitched",
            "independent walks of K / 2 hops, four factors",
            short,
            partial(StitchedMask, degree=_DEGREE),
        ),
        Estimator(
            "truncated",
            "powers of W without their small entries, sum_t alpha_t S_t",
            truncated,
            WalkMask,
        ),
        Estimator("resampled", "resampled walks, sum_t alpha_t S_t", resampled, WalkMask),
        Estimator(
            "resampled-both",
            "resampled walks, averaged with their transpose",
            resampled,
            partial(WalkMask, symmetrize=True),
        ),
        Estimator("resampled-symmetric", "resampled walks, Phi Phi'^T", resampled, GRFMask),
    )


def _walk(kind: Callable[..., WalkSampler], p_halt: float, num_walks: int, hops: int) -> WalkSampler:
    return kind(num_walks=num_walks, p_halt=p_halt, hops=hops)


def _walk_shortly(p_halt: float, num_walks: int, hops: int) -> WalkSampler:
    return IIDWalks(num_walks=num_walks, p_halt=p_halt, hops=-(-hops // _DEGREE))


def _truncate(tolerance: float, hops: int) -> WalkSampler:
    return TruncatedWalks(tolerance=tolerance, hops=hops)


def _resample(budget: int, hops: int) -> WalkSampler:
    return ResampledWalks(budget=budget, hops=hops)


ESTIMATORS = make_estimators()
