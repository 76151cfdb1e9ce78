"""Feature maps phi of queries and keys."""

from .base import FeatureMap as FeatureMap
from .couplings import IID as IID
from .couplings import Coupling as Coupling
from .couplings import Orthogonal as Orthogonal
from .couplings import Simplex as Simplex
from .elementwise import EluPlusOne as EluPlusOne
from .elementwise import Exponential as Exponential
from .elementwise import Identity as Identity
from .elementwise import ReLU as ReLU
from .elementwise import Softplus as Softplus
from .elementwise import SquaredReLU as SquaredReLU
from .hybrid import HybridRandomFeatures as HybridRandomFeatures
from .learned import LearnedFeatures as LearnedFeatures
from .positive import OptimalPositiveFeatures as OptimalPositiveFeatures
from .positive import PositiveRandomFeatures as PositiveRandomFeatures
from .positive import SharpPositiveFeatures as SharpPositiveFeatures
from .scores import Exponentials as Exponentials
from .scores import InnerProducts as InnerProducts
from .scores import Scores as Scores
from .scores import SignedInnerProducts as SignedInnerProducts
from .softmax import SoftmaxScores as SoftmaxScores
from .trigonometric import TrigonometricFeatures as TrigonometricFeatures
from .trigonometric import TrigonometricSoftmaxFeatures as TrigonometricSoftmaxFeatures

__all__ = [
    "IID",
    "Coupling",
    "EluPlusOne",
    "Exponential",
    "Exponentials",
    "FeatureMap",
    "HybridRandomFeatures",
    "Identity",
    "InnerProducts",
    "LearnedFeatures",
    "OptimalPositiveFeatures",
    "Orthogonal",
    "PositiveRandomFeatures",
    "ReLU",
    "Scores",
    "SharpPositiveFeatures",
    "SignedInnerProducts",
    "Simplex",
    "SoftmaxScores",
    "Softplus",
    "SquaredReLU",
    "TrigonometricFeatures",
    "TrigonometricSoftmaxFeatures",
]
