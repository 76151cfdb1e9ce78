"""Walks and the samplers that draw them: estimates of the powers of the adjacency."""

from graphmask._walks import Walks as Walks

from .base import WalkSampler as WalkSampler
from .iid import IIDWalks as IIDWalks
from .resampled import ResampledWalks as ResampledWalks

__all__ = ["IIDWalks", "ResampledWalks", "WalkSampler", "Walks"]
