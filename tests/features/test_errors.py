"""Errors of feature maps name the argument and what was expected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from graphmask.features import (
    HybridRandomFeatures,
    LearnedFeatures,
    OptimalPositiveFeatures,
    Orthogonal,
    PositiveRandomFeatures,
    ReLU,
    SharpPositiveFeatures,
    SoftmaxScores,
    TrigonometricSoftmaxFeatures,
)
from graphmask.features.base import check_feature_map

NAN, INF = float("nan"), float("inf")
ROW = torch.ones(1, 1)

Rows = list[tuple[Callable[[], object], str]]

VALUE_ERRORS: Rows = [
    *((lambda value=value: ReLU(value), "`epsilon`") for value in (-1e-3, NAN, INF)),
    *((lambda value=value: SoftmaxScores(value), "`scale`") for value in (0, -1.0, NAN)),
    (lambda: PositiveRandomFeatures(0, 4), "`channels` must be at least 1"),
    (lambda: PositiveRandomFeatures(4, 0), "`num_features` must be at least 1"),
    (lambda: PositiveRandomFeatures(4, 4, seed=-1), "`seed`"),
    (lambda: PositiveRandomFeatures(4, 4, scale=0), "`scale` must be positive"),
    (
        lambda: PositiveRandomFeatures(4, 4).queries(torch.ones(2, 3)),
        "with d = 4 .*, got torch.float64 of shape",
    ),
    (
        lambda: OptimalPositiveFeatures(4, 4).calibrate(torch.ones(2, 3), torch.ones(2, 4)),
        "with d = 4",
    ),
    (lambda: SharpPositiveFeatures(1, 4).calibrate(ROW[:0], ROW), "`q` must be at least one"),
    (lambda: SharpPositiveFeatures(1, 4).calibrate(ROW, ROW * NAN), "`k`"),
    (lambda: TrigonometricSoftmaxFeatures(4, 5), "`num_features` must be even"),
    (
        lambda: HybridRandomFeatures(4, 12),
        r"`num_features` must be a multiple of 4 \(num_signs \+ 1\) = 8, got 12",
    ),
    (lambda: HybridRandomFeatures(4, 8, num_signs=0), "`num_signs`"),
    (lambda: HybridRandomFeatures(4, 8).queries(torch.ones(2, 3)), "with d = 4"),
    (lambda: LearnedFeatures(4, 5), "`num_features` must be even"),
    (lambda: LearnedFeatures(4, 4, hidden=0), "`hidden`"),
]

TYPE_ERRORS: Rows = [
    *((lambda value=value: ReLU(value), "`epsilon`") for value in ("1", None, True, ROW)),
    (lambda: PositiveRandomFeatures(4, 2.0), "`num_features` must be an integer"),
    (lambda: PositiveRandomFeatures(4, 4).redraw(3), "`generator` must be a torch.Generator"),
    *(
        (lambda value=value: PositiveRandomFeatures(2, 2, value), "`coupling` must be a Coupling")
        for value in (Orthogonal, "simplex")
    ),
    *(
        (lambda value=value: check_feature_map(value), "`feature_map` must be a FeatureMap")
        for value in (ReLU, torch.relu)
    ),
]


def test_wrong_arguments_raise() -> None:
    for error, rows in ((ValueError, VALUE_ERRORS), (TypeError, TYPE_ERRORS)):
        for call, message in rows:
            with pytest.raises(error, match=message):
                call()
