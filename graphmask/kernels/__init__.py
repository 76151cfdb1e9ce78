"""The two primitives every sparse mask is made of, and the pattern they share."""

from .pattern import Pattern as Pattern
from .primitives import sddmm as sddmm
from .primitives import spmm as spmm

__all__ = ["Pattern", "sddmm", "spmm"]
