"""Draw rows of masks and of trained attention: ``graphmask view``, and figures for notebooks.

Drawing needs the extra ``viz``; some formats of files need others.
"""

from graphmask.io import connect, read_graph

from .coefficients import alphas, plot_hop_coefficients
from .names import known_masks, make_mask
from .picture import Picture, row
from .sources import AttentionRows, MaskRows, Source, attention_of, load_model

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
