"""Look at rows of masks and of trained attention: ``graphmask view``, and figures for notebooks.

Drawing needs the extra ``viz``; reading some kinds of files needs others.
"""

from .alphas import alphas as alphas
from .graphs import connect as connect
from .graphs import read_graph as read_graph
from .models import attention_of as attention_of
from .models import load_model as load_model
from .names import known_masks as known_masks
from .names import make_mask as make_mask
from .picture import Picture as Picture
from .picture import row as row
from .sources import AttentionRows as AttentionRows
from .sources import MaskRows as MaskRows
from .sources import Source as Source

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
    "read_graph",
    "row",
]
