"""Samplers of walks."""

from __future__ import annotations

from functools import partial

from graphmask import walks

from .base import Case


def _iid(num_walks: int, hops: int = 3, **options: object) -> partial:
    return partial(walks.IIDWalks, num_walks, hops=hops, **options)


def _resampled(budget: int, **options: object) -> partial:
    return partial(walks.ResampledWalks, budget, hops=3, **options)


def _repelling(num_walks: int, **options: object) -> partial:
    return partial(walks.RepellingWalks, num_walks, hops=3, **options)


SAMPLERS = (
    Case("iid", _iid(6, p_halt=0.2)),
    Case("iid-never-halting", _iid(4, hops=2, p_halt=0.0, normalization="rw")),
    Case("iid-poisson", _iid(6, length_law=walks.Poisson(2.0))),
    Case("iid-uniform", _iid(6, normalization=None, length_law=walks.UniformLength(5))),
    Case("antithetic", lambda: walks.AntitheticWalks(num_walks=6, p_halt=0.3, hops=3)),
    Case(
        "antithetic-odd",
        lambda: walks.AntitheticWalks(num_walks=5, p_halt=0.6, hops=2, normalization="rw"),
    ),
    Case("systematic", _iid(5, length_law=walks.Systematic(walks.Geometric(0.3)))),
    Case("repelling", _repelling(6, p_halt=0.2)),
    Case("repelling-fixed", _repelling(9, normalization=None, length_law=walks.FixedLength(3))),
    Case("repelling-antithetic", _repelling(4, length_law=walks.Antithetic(walks.Geometric(0.3)))),
    Case("resampled", _resampled(3, width=5)),
    Case("resampled-one", _resampled(1, normalization=None)),
    Case("resampled-narrow", _resampled(4, normalization="rw", width=2)),
    Case("resampled-wide", _resampled(2, width=40, decay=1.0)),
    Case("shells", lambda: walks.Shells(hops=3)),
    Case("shells-few", lambda: walks.Shells(budget=4, hops=3)),
    Case("shells-one", lambda: walks.Shells(budget=2, hops=4)),
    Case("truncated", lambda: walks.TruncatedWalks(tolerance=0.05, hops=3)),
)
