"""Feature maps phi of queries and keys."""

from .base import FeatureMap as FeatureMap
from .elementwise import EluPlusOne as EluPlusOne
from .elementwise import ReLU as ReLU
from .scores import Exponentials as Exponentials
from .scores import InnerProducts as InnerProducts
from .scores import Scores as Scores
from .scores import SignedInnerProducts as SignedInnerProducts

__all__ = [
    "EluPlusOne",
    "Exponentials",
    "FeatureMap",
    "InnerProducts",
    "ReLU",
    "Scores",
    "SignedInnerProducts",
]
