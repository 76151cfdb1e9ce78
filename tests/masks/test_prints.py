"""Masks print as calls and formulas, with their cost."""

from __future__ import annotations

from functools import partial

import torch

from graphmask.masks import (
    CausalMask,
    Diffusion,
    Free,
    GlobalMask,
    GRFMask,
    GridDiffusionMask,
    KroneckerMask,
    PowerSeriesMask,
    StitchedMask,
    TableDistance,
    ToeplitzMask,
    TreeDistanceMask,
    WalkMask,
    symmetrize,
)

ALL = GlobalMask()
WALK = WalkMask(1)

REPRS = [
    (Diffusion(3, 2), "Diffusion(hops=3, heads=2)"),
    (0.5 * ALL, "0.5 * GlobalMask()"),
    (ALL + WALK, "GlobalMask() + WalkMask(hops=1, heads=1, alpha=Free)"),
    (2 * (ALL + ALL), "2 * (GlobalMask() + GlobalMask())"),
    (torch.tensor([1.0, 2.0]) * ALL, "[1.0, 2.0] * GlobalMask()"),
    (ALL - ALL, "GlobalMask() + -1 * GlobalMask()"),
    ((ALL + ALL) @ ALL, "(GlobalMask() + GlobalMask()) @ GlobalMask()"),
    ((ALL + ALL) * (0.5 * ALL), "(GlobalMask() + GlobalMask()) * 0.5 * GlobalMask()"),
    ((ALL + ALL).mT, "(GlobalMask() + GlobalMask()).mT"),
    (2 * symmetrize(ALL), "2 * symmetrize(GlobalMask())"),
    (WalkMask(2, symmetrize=True), "WalkMask(hops=2, heads=1, alpha=Free, symmetrize=True)"),
    (GRFMask(2), "GRFMask(hops=2, heads=1, f=NonNegative)"),
    (GRFMask(2, alpha=Diffusion), "GRFMask(hops=2, heads=1, alpha=Diffusion)"),
    (GRFMask(2, 1, Free, True), "GRFMask(hops=2, heads=1, f=Free, shared_walks=True)"),
    (StitchedMask(2, 3, 4), "StitchedMask(degree=2, hops=3, heads=4, f=NonNegative)"),
    (StitchedMask(alpha=Diffusion), "StitchedMask(degree=2, hops=4, heads=1, alpha=Diffusion)"),
    (CausalMask(0.5, heads=2, length=4), "CausalMask(decay=[0.5, 0.5], length=4)"),
    (
        ToeplitzMask((2, 3), shared="distance", class_token=True),
        "ToeplitzMask((2, 3), heads=1, shared='distance', class_token=True)",
    ),
    (
        TreeDistanceMask(partial(TableDistance, 8)),
        "TreeDistanceMask(TableDistance(size=8, heads=1, unit=1.0, values=NonNegative))",
    ),
    (
        KroneckerMask(CausalMask(length=2), ToeplitzMask(3)),
        "KroneckerMask(CausalMask(decay=None, length=2), ToeplitzMask((3,), heads=1))",
    ),
]

COSTS = [
    ((ALL + WALK) @ WALK + symmetrize(PowerSeriesMask()), "N + N p + K E"),
    ((WALK + ALL) * (0.5 * PowerSeriesMask(1)), "(N p + N) * K E / N"),
    (ALL * ALL, "N"),
    (ALL * PowerSeriesMask(), "K E"),
    (GridDiffusionMask((2, 3_000)), "N (2 + log 3000)"),
    (KroneckerMask(CausalMask(length=2), ToeplitzMask(3)), "N + N log N"),
    (TreeDistanceMask(partial(TableDistance, 8)), "N log^2 N"),
]


def test_masks_print_as_their_formula_and_cost() -> None:
    for mask, expected in REPRS:
        assert repr(mask) == expected
    for mask, cost in COSTS:
        assert str(mask) == f"{mask!r}: O({cost}) per column"
