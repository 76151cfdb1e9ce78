"""Walks and the samplers that draw them: estimates of the powers of the adjacency."""

from graphmask._walks import Walks as Walks

from .base import WalkSampler as WalkSampler
from .iid import AntitheticWalks as AntitheticWalks
from .iid import IIDWalks as IIDWalks
from .length_laws import Antithetic as Antithetic
from .length_laws import FixedLength as FixedLength
from .length_laws import Geometric as Geometric
from .length_laws import LengthLaw as LengthLaw
from .length_laws import Poisson as Poisson
from .length_laws import Systematic as Systematic
from .length_laws import UniformLength as UniformLength
from .repelling import RepellingWalks as RepellingWalks
from .resampled import ResampledWalks as ResampledWalks
from .shells import Shells as Shells
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
    "Shells",
    "Systematic",
    "TruncatedWalks",
    "UniformLength",
    "WalkSampler",
    "Walks",
]
