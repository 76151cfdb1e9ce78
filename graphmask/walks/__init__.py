"""Walks and the samplers that draw them: estimates of the powers of the adjacency."""

from graphmask._walks import Walks as Walks

from .antithetic import Antithetic as Antithetic
from .antithetic import AntitheticWalks as AntitheticWalks
from .base import WalkSampler as WalkSampler
from .iid import IIDWalks as IIDWalks
from .length_laws import FixedLength as FixedLength
from .length_laws import Geometric as Geometric
from .length_laws import LengthLaw as LengthLaw
from .length_laws import Poisson as Poisson
from .length_laws import UniformLength as UniformLength
from .repelling import RepellingWalks as RepellingWalks
from .resampled import ResampledWalks as ResampledWalks
from .systematic import Systematic as Systematic
from .truncated import TruncatedWalks as TruncatedWalks

__all__ = [
    "Antithetic",
    "AntitheticWalks",
    "FixedLength",
    "Geometric",
    "IIDWalks",
    "LengthLaw",
    "Poisson",
    "RepellingWalks",
    "ResampledWalks",
    "Systematic",
    "TruncatedWalks",
    "UniformLength",
    "WalkSampler",
    "Walks",
]
