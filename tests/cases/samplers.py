"""Samplers of walks."""

from __future__ import annotations

from graphmask import walks

from .base import Case

SAMPLERS = (
    Case("iid", lambda: walks.IIDWalks(num_walks=6, p_halt=0.2, hops=3)),
    Case(
        "iid-never-halting",
        lambda: walks.IIDWalks(num_walks=4, p_halt=0.0, hops=2, normalization="rw"),
    ),
    Case("iid-poisson", lambda: walks.IIDWalks(num_walks=6, hops=3, length_law=walks.Poisson(2.0))),
    Case(
        "iid-uniform",
        lambda: walks.IIDWalks(
            num_walks=6, hops=3, normalization=None, length_law=walks.UniformLength(5)
        ),
    ),
    Case("antithetic", lambda: walks.AntitheticWalks(num_walks=6, p_halt=0.3, hops=3)),
    Case(
        "antithetic-odd",
        lambda: walks.AntitheticWalks(num_walks=5, p_halt=0.6, hops=2, normalization="rw"),
    ),
    Case(
        "systematic",
        lambda: walks.IIDWalks(5, hops=3, length_law=walks.Systematic(walks.Geometric(0.3))),
    ),
    Case("repelling", lambda: walks.RepellingWalks(num_walks=6, p_halt=0.2, hops=3)),
    Case(
        "repelling-fixed",
        lambda: walks.RepellingWalks(
            9, hops=3, normalization=None, length_law=walks.FixedLength(3)
        ),
    ),
    Case(
        "repelling-antithetic",
        lambda: walks.RepellingWalks(4, hops=3, length_law=walks.Antithetic(walks.Geometric(0.3))),
    ),
    Case("resampled", lambda: walks.ResampledWalks(budget=3, hops=3, width=5)),
    Case("resampled-one", lambda: walks.ResampledWalks(budget=1, hops=3, normalization=None)),
    Case(
        "resampled-narrow",
        lambda: walks.ResampledWalks(budget=4, hops=3, normalization="rw", width=2),
    ),
    Case("resampled-wide", lambda: walks.ResampledWalks(budget=2, hops=3, width=40, decay=1.0)),
    Case("truncated", lambda: walks.TruncatedWalks(tolerance=0.05, hops=3)),
)
