"""Feature maps phi of queries and keys."""

from .base import FeatureMap
from .cosine import UnitPlusCosine
from .counts import GeometricFeatures, PoissonFeatures
from .couplings import IID, Coupling, Orthogonal, Simplex
from .elementwise import (
    EluPlusOne,
    Exponential,
    Identity,
    ReLU,
    SoftmaxScores,
    Softplus,
    SquaredReLU,
    SquaredReLUScores,
)
from .focused import Focused
from .hybrid import HybridRandomFeatures
from .learned import LearnedFeatures
from .normalized import Normalized
from .positive import OptimalPositiveFeatures, PositiveRandomFeatures, SharpPositiveFeatures
from .randomized import LinearRandomizedFeatures
from .scores import (
    Exponentials,
    InnerProducts,
    OnePlusProducts,
    Scores,
    SignedInnerProducts,
    SquaredProducts,
)
from .trigonometric import TrigonometricFeatures, TrigonometricSoftmaxFeatures

__all__ = [
    "IID",
    "Coupling",
    "EluPlusOne",
    "Exponential",
    "Exponentials",
    "FeatureMap",
    "Focused",
    "GeometricFeatures",
    "HybridRandomFeatures",
    "Identity",
    "InnerProducts",
    "LearnedFeatures",
    "LinearRandomizedFeatures",
    "Normalized",
    "OnePlusProducts",
    "OptimalPositiveFeatures",
    "Orthogonal",
    "PoissonFeatures",
    "PositiveRandomFeatures",
    "ReLU",
    "Scores",
    "SharpPositiveFeatures",
    "SignedInnerProducts",
    "Simplex",
    "SoftmaxScores",
    "Softplus",
    "SquaredProducts",
    "SquaredReLU",
    "SquaredReLUScores",
    "TrigonometricFeatures",
    "TrigonometricSoftmaxFeatures",
    "UnitPlusCosine",
]
