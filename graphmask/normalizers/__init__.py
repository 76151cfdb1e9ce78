r"""Normalizers: the last step of masked attention, from sums over nodes to the output.

Attention sums :math:`s_i = \sum_j M_{ij}\, k(q_i, k_j)\, v_j`. A normalizer divides them by
:math:`z_i = \sum_j |M_{ij}|\, k(q_i, k_j)`, or leaves them as they are, so that degrees and counts
stay visible.
"""

from .base import Normalizer
from .degree_scaled import DegreeScaled
from .node_counts import NodeCounts
from .rms import RMSNormalizer
from .row_sums import RowSums
from .sink import Sink
from .unnormalized import Unnormalized

__all__ = [
    "DegreeScaled",
    "NodeCounts",
    "Normalizer",
    "RMSNormalizer",
    "RowSums",
    "Sink",
    "Unnormalized",
]
