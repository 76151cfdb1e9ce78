"""Feature maps phi of queries and keys."""

from .base import FeatureMap as FeatureMap
from .elementwise import EluPlusOne as EluPlusOne
from .elementwise import ReLU as ReLU

__all__ = ["EluPlusOne", "FeatureMap", "ReLU"]
