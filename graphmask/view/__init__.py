"""Draw rows of masks and of trained attention: ``graphmask view``, and figures for notebooks.

Drawing needs the extra ``viz``; some formats of files need others.
"""

from graphmask.io import connect as connect
from graphmask.io import read_graph as read_graph

from .coefficients import alphas as alphas
from .coefficients import plot_hop_coefficients as plot_hop_coefficients
from .names import known_masks as known_masks
from .names import make_mask as make_mask
from .picture import Picture as Picture
from .picture import row as row
from .sources import AttentionRows as AttentionRows
from .sources import MaskRows as MaskRows
from .sources import Source as Source
from .sources import attention_of as attention_of
from .sources import load_model as load_model

__all__ = [
    "AttentionRows",
    "MaskRows",
    "Picture",
    "Source",
    "alphas",
    "attention_of",
    "connect",
    "known_masks",
    "load_model",
    "make_mask",
    "plot_hop_coefficients",
    "read_graph",
    "row",
]
