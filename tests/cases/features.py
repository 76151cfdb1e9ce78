"""Feature maps of five channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphmask import features, reference

from .base import Case, scrambled, seeded


def data(stretch: float = 1.0) -> tuple[Tensor, Tensor]:
    """Queries and keys ``[40, 5]`` of means and spreads that differ by channel."""
    drawn = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    q, k = drawn * torch.linspace(0.2, stretch, 5, dtype=torch.float64) + 0.3
    return q, k


def calibrated(phi: Any) -> Any:
    phi.calibrate(*data(2.0))
    return phi


def _scaled(phi: Any, x: Tensor) -> Tensor:
    return x * phi.scale**0.5


def _positive(phi: Any, x: Tensor) -> Tensor:
    return reference.positive_random_features(_scaled(phi, x), phi.projection)


def _optimal(phi: Any, x: Tensor) -> Tensor:
    return reference.optimal_positive_features(_scaled(phi, x), phi.projection, phi.curvature)


def _sharp(phi: Any, x: Tensor) -> Tensor:
    return reference.sharp_positive_features(
        _scaled(phi, x), phi.projection, phi.curvature.diag(), phi.basis
    )


def _trigonometric(phi: Any, x: Tensor) -> Tensor:
    return reference.trigonometric_features(_scaled(phi, x), phi.projection)


def _trigonometric_softmax(phi: Any, x: Tensor) -> Tensor:
    return reference.trigonometric_softmax_features(_scaled(phi, x), phi.projection)


def _hybrid(of: Callable[..., Tensor]) -> Callable[[Any, Tensor], Tensor]:
    def features(phi: Any, x: Tensor) -> Tensor:
        parts = _positive(phi.positive, x), _trigonometric_softmax(phi.trigonometric, x)
        return of(x, *parts, phi.signs)

    return features


def _learned(name: str) -> Callable[[Any, Tensor], Tensor]:
    return lambda phi, x: reference.learned_features(getattr(phi, name)(x))


# Estimates of the softmax kernel that are unbiased: from a number of features, a coupling and a
# seed.
ESTIMATORS: dict[str, Callable[..., Any]] = {
    "favor-plus": lambda m, **options: features.PositiveRandomFeatures(5, m, **options),
    "optimal": lambda m, **options: features.OptimalPositiveFeatures(5, m, **options),
    "optimal-calibrated": lambda m, **options: calibrated(
        features.OptimalPositiveFeatures(5, m, **options)
    ),
    "sharp": lambda m, **options: features.SharpPositiveFeatures(5, m, **options),
    "sharp-calibrated": lambda m, **options: calibrated(
        features.SharpPositiveFeatures(5, m, **options)
    ),
    "trigonometric": lambda m, **options: features.TrigonometricSoftmaxFeatures(5, m, **options),
    "hybrid": lambda m, **options: features.HybridRandomFeatures(5, m, **options),
    "hybrid-signs": lambda m, **options: features.HybridRandomFeatures(
        5, 3 * m, num_signs=5, **options
    ),
}

COUPLINGS = (features.IID(), features.Orthogonal(), features.Simplex())

FEATURES = (
    Case("relu", features.ReLU, reference=lambda _, x: reference.relu_features(x, 1e-3)),
    Case(
        "relu-no-floor",
        lambda: features.ReLU(epsilon=0.0),
        reference=lambda _, x: reference.relu_features(x),
    ),
    Case("elu-plus-one", features.EluPlusOne, reference=lambda _, x: reference.elu_plus_one(x)),
    Case("softplus", features.Softplus, reference=lambda _, x: reference.softplus_features(x)),
    Case(
        "squared-relu",
        features.SquaredReLU,
        reference=lambda _, x: reference.squared_relu_features(x, 1e-3),
    ),
    Case(
        "exponential",
        features.Exponential,
        reference=lambda _, x: reference.exponential_features(x),
    ),
    Case("identity", features.Identity, reference=lambda _, x: x.double()),
    Case("positive", lambda: features.PositiveRandomFeatures(5, 8), reference=_positive),
    Case(
        "positive-iid",
        lambda: features.PositiveRandomFeatures(5, 4, features.IID(), seed=2),
        reference=_positive,
    ),
    Case(
        "positive-simplex",
        lambda: features.PositiveRandomFeatures(5, 8, features.Simplex(), scale=1.5),
        reference=_positive,
    ),
    Case("optimal", lambda: features.OptimalPositiveFeatures(5, 8), reference=_optimal),
    Case(
        "optimal-calibrated",
        lambda: calibrated(features.OptimalPositiveFeatures(5, 8)),
        reference=_optimal,
    ),
    Case("sharp", lambda: features.SharpPositiveFeatures(5, 8), reference=_sharp),
    Case(
        "sharp-calibrated",
        lambda: calibrated(features.SharpPositiveFeatures(5, 8)),
        reference=_sharp,
    ),
    Case("trigonometric", lambda: features.TrigonometricFeatures(5, 8), reference=_trigonometric),
    Case(
        "trigonometric-softmax",
        lambda: features.TrigonometricSoftmaxFeatures(5, 8),
        reference=_trigonometric_softmax,
    ),
    Case(
        "hybrid",
        lambda: features.HybridRandomFeatures(5, 8),
        reference=_hybrid(reference.hybrid_query_features),
        key_reference=_hybrid(reference.hybrid_key_features),
    ),
    Case(
        "hybrid-signs",
        lambda: features.HybridRandomFeatures(5, 24, num_signs=2),
        reference=_hybrid(reference.hybrid_query_features),
        key_reference=_hybrid(reference.hybrid_key_features),
    ),
    Case(
        "learned",
        lambda: scrambled(seeded(lambda: features.LearnedFeatures(5, 6))),
        reference=_learned("of_queries"),
        key_reference=_learned("of_keys"),
    ),
    Case(
        "learned-hidden",
        lambda: scrambled(seeded(lambda: features.LearnedFeatures(5, 6, hidden=3))),
        reference=_learned("of_queries"),
        key_reference=_learned("of_keys"),
    ),
    Case(
        "softmax",
        features.SoftmaxScores,
        reference=lambda _, x: x.double() * 5**-0.5,
        key_reference=lambda _, x: x.double(),
    ),
)

SCORES = (features.InnerProducts(), features.SignedInnerProducts(), features.Exponentials())
