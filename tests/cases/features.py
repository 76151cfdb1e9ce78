"""Feature maps of five channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphmask import features, reference

from .base import Case, scrambled, seeded
from .graphs import normal


def data(stretch: float = 1.0) -> tuple[Tensor, Tensor]:
    """Queries and keys ``[40, 5]`` of means and spreads that differ by channel."""
    q, k = normal(2, 40, 5, seed=6) * torch.linspace(0.2, stretch, 5, dtype=torch.float64) + 0.3
    return q, k


def calibrated(phi: Any) -> Any:
    phi.calibrate(*data(2.0))
    return phi


def _counting(phi: Any) -> Any:
    """Calibrated on data as wide as those of tests: below its shift features have any sign."""
    phi.calibrate(*(0.6 * normal(2, 40, 5, seed=6)))
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


def _randomized(phi: Any, x: Tensor) -> Tensor:
    return reference.linear_randomized_features(_scaled(phi, x), phi.means, phi.projection)


def _poisson(phi: Any, x: Tensor) -> Tensor:
    chance = reference.poisson_chance(phi.counts, phi.product)
    return reference.count_features(_scaled(phi, x), phi.counts, chance, phi.shift)


def _geometric(phi: Any, x: Tensor) -> Tensor:
    chance = reference.geometric_chance(phi.counts, phi.product)
    return reference.count_features(_scaled(phi, x), phi.counts, chance, phi.shift)


def _trigonometric(phi: Any, x: Tensor) -> Tensor:
    return reference.trigonometric_features(_scaled(phi, x), phi.projection)


def _trigonometric_softmax(phi: Any, x: Tensor) -> Tensor:
    return reference.trigonometric_softmax_features(_scaled(phi, x), phi.projection)


def _hybrid(of: Callable[..., Tensor]) -> Callable[[Any, Tensor], Tensor]:
    def features(phi: Any, x: Tensor) -> Tensor:
        parts = _positive(phi.positive, x), _trigonometric_softmax(phi.trigonometric, x)
        return of(x, *parts, phi.signs)

    return features


def _normalized(phi: Any, x: Tensor) -> Tensor:
    return reference.normalized_channels(x, phi.tau, 1e-4)


def _learned(name: str) -> Callable[[Any, Tensor], Tensor]:
    return lambda phi, x: reference.learned_features(getattr(phi, name)(x))


def _learned_map(**options: int) -> features.LearnedFeatures:
    return scrambled(seeded(lambda: features.LearnedFeatures(5, 6, **options)))


# Estimates of the softmax kernel that are unbiased: from a number of features, a coupling and a
# seed.
ESTIMATORS: dict[str, Callable[..., Any]] = {
    "favor-plus": partial(features.PositiveRandomFeatures, 5),
    "optimal": partial(features.OptimalPositiveFeatures, 5),
    "optimal-calibrated": lambda m, **options: calibrated(
        features.OptimalPositiveFeatures(5, m, **options)
    ),
    "sharp": partial(features.SharpPositiveFeatures, 5),
    "sharp-calibrated": lambda m, **options: calibrated(
        features.SharpPositiveFeatures(5, m, **options)
    ),
    "randomized": partial(features.LinearRandomizedFeatures, 5),
    "randomized-calibrated": lambda m, **options: calibrated(
        features.LinearRandomizedFeatures(5, m, **options)
    ),
    "poisson": partial(features.PoissonFeatures, 5),
    "poisson-calibrated": lambda m, **options: _counting(features.PoissonFeatures(5, m, **options)),
    "geometric": partial(features.GeometricFeatures, 5),
    "geometric-calibrated": lambda m, **options: _counting(
        features.GeometricFeatures(5, m, **options)
    ),
    "trigonometric": partial(features.TrigonometricSoftmaxFeatures, 5),
    "hybrid": partial(features.HybridRandomFeatures, 5),
    "hybrid-signs": lambda m, **options: features.HybridRandomFeatures(
        5, 3 * m, num_signs=5, **options
    ),
}

COUPLINGS = (features.IID(), features.Orthogonal(), features.Simplex())

_ELEMENTWISE: dict[str, tuple[Callable[[], Any], Callable[[Tensor], Tensor]]] = {
    "relu": (features.ReLU, lambda x: reference.relu_features(x, 1e-3)),
    "relu-no-floor": (lambda: features.ReLU(epsilon=0.0), reference.relu_features),
    "elu-plus-one": (features.EluPlusOne, reference.elu_plus_one),
    "softplus": (features.Softplus, reference.softplus_features),
    "squared-relu": (features.SquaredReLU, lambda x: reference.squared_relu_features(x, 1e-3)),
    "exponential": (features.Exponential, reference.exponential_features),
    "focused": (features.Focused, lambda x: reference.focused_features(x, 3.0, 1e-3)),
    "identity": (features.Identity, Tensor.double),
}

_OWN: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Tensor]]] = {
    "focused-learned": (
        lambda: features.Focused(power=2.0, learn=True),
        lambda phi, x: reference.focused_features(x, phi.log_power.double().exp(), 1e-3),
    ),
    "normalized-relu": (
        lambda: scrambled(features.Normalized(features.ReLU())),
        lambda phi, x: reference.relu_features(_normalized(phi, x), 1e-3),
    ),
    "normalized-positive": (
        lambda: features.Normalized(features.PositiveRandomFeatures(5, 8)),
        lambda phi, x: _positive(phi.feature_map, _normalized(phi, x)),
    ),
}

_RANDOM: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Tensor]]] = {
    "positive": (lambda: features.PositiveRandomFeatures(5, 8), _positive),
    "positive-iid": (
        lambda: features.PositiveRandomFeatures(5, 4, features.IID(), seed=2),
        _positive,
    ),
    "positive-simplex": (
        lambda: features.PositiveRandomFeatures(5, 8, features.Simplex(), scale=1.5),
        _positive,
    ),
    "optimal": (lambda: features.OptimalPositiveFeatures(5, 8), _optimal),
    "optimal-calibrated": (lambda: ESTIMATORS["optimal-calibrated"](8), _optimal),
    "sharp": (lambda: features.SharpPositiveFeatures(5, 8), _sharp),
    "sharp-calibrated": (lambda: ESTIMATORS["sharp-calibrated"](8), _sharp),
    "randomized": (lambda: ESTIMATORS["randomized-calibrated"](8), _randomized),
    "poisson": (lambda: features.PoissonFeatures(5, 8), _poisson),
    "geometric": (lambda: ESTIMATORS["geometric-calibrated"](8), _geometric),
    "trigonometric": (lambda: features.TrigonometricFeatures(5, 8), _trigonometric),
    "trigonometric-softmax": (
        lambda: features.TrigonometricSoftmaxFeatures(5, 8),
        _trigonometric_softmax,
    ),
}

_HYBRID = _hybrid(reference.hybrid_query_features), _hybrid(reference.hybrid_key_features)
_LEARNED = _learned("of_queries"), _learned("of_keys")

# Maps, and the references of queries and of keys.
_TWO_SIDED: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "hybrid": (lambda: features.HybridRandomFeatures(5, 8), *_HYBRID),
    "hybrid-signs": (lambda: features.HybridRandomFeatures(5, 24, num_signs=2), *_HYBRID),
    "learned": (lambda: _learned_map(), *_LEARNED),
    "learned-hidden": (lambda: _learned_map(hidden=3), *_LEARNED),
    "unit-plus-cosine": (
        lambda: scrambled(features.UnitPlusCosine()),
        lambda phi, x: reference.unit_plus_cosine(x, phi.gain, 1e-4),
        lambda _, x: reference.unit_plus_cosine(x, torch.tensor(torch.inf), 1e-4),
    ),
    "softmax": (features.SoftmaxScores, lambda _, x: x.double() * 5**-0.5, lambda _, x: x.double()),
    "squared-relu-scores": (
        features.SquaredReLUScores,
        lambda _, x: x.double() * 5**-0.5,
        lambda _, x: x.double(),
    ),
    "normalized-softmax": (
        lambda: scrambled(features.Normalized(features.SoftmaxScores())),
        lambda phi, x: _normalized(phi, x) * 5**-0.5,
        lambda phi, x: _normalized(phi, x),
    ),
}

FEATURES = (
    *(
        Case(name, make, reference=lambda _, x, f=function: f(x))
        for name, (make, function) in _ELEMENTWISE.items()
    ),
    *(
        Case(name, make, reference=function)
        for name, (make, function) in (*_OWN.items(), *_RANDOM.items())
    ),
    *(
        Case(name, make, reference=queries, key_reference=keys)
        for name, (make, queries, keys) in _TWO_SIDED.items()
    ),
)

SCORES = (
    features.InnerProducts(),
    features.OnePlusProducts(),
    features.SignedInnerProducts(),
    features.Exponentials(),
    features.SquaredProducts(),
)
