r"""Value maps: relative geometry in attention, under every mask and in every execution.

Attention is linear in its values. A map encodes the value of each node before attention sums them,
and decodes the sums at the node that reads them, so that

.. math:: \text{out}_i = \sum_j w_{ij}\, f(v_j, p_j - p_i), \qquad w_{ij} = M_{ij}\, k(q_i, k_j)

is computed without a number per pair.
"""

from .base import Decoded, Encoded, ValueMap
from .compose import Compose
from .moments import MomentInvariants, Moments
from .relative import RelativeValues
from .rotary import RotaryValues

__all__ = [
    "Compose",
    "Decoded",
    "Encoded",
    "MomentInvariants",
    "Moments",
    "RelativeValues",
    "RotaryValues",
    "ValueMap",
]
