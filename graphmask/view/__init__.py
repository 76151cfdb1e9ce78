"""Look at rows of masks and of trained attention: ``graphmask view``, and figures for notebooks.

Drawing needs the extra ``viz``; reading some kinds of files needs others.
"""

from .graphs import connect as connect
from .graphs import read_graph as read_graph
from .names import known_masks as known_masks
from .names import make_mask as make_mask
from .picture import Picture as Picture
from .picture import row as row
from .sources import AttentionRows as AttentionRows
from .sources import MaskRows as MaskRows
from .sources import Source as Source

__all__ = ["AttentionRows", "MaskRows", "Picture", "Source", "connect", "known_masks", "make_mask", "read_graph", "row"]
