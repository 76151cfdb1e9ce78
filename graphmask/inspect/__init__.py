"""Graphs in numbers, the costs of masks on them, and recommendations: ``graphmask info FILE``."""

from .costs import MaskCost as MaskCost
from .costs import mask_costs as mask_costs
from .recommendations import recommend as recommend
from .summary import GraphSummary as GraphSummary
from .summary import summarize_graph as summarize_graph

__all__ = ["GraphSummary", "MaskCost", "mask_costs", "recommend", "summarize_graph"]
