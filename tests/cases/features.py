"""Feature maps."""

from __future__ import annotations

from graphmask import features, reference

from .base import Case

FEATURES = (
    Case("relu", features.ReLU, reference=lambda x: reference.relu_features(x, 1e-3)),
    Case("relu-no-floor", lambda: features.ReLU(epsilon=0.0), reference=reference.relu_features),
    Case("elu-plus-one", features.EluPlusOne, reference=reference.elu_plus_one),
)

SCORES = (features.InnerProducts(), features.SignedInnerProducts(), features.Exponentials())
