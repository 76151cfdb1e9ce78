"""Graphs in numbers, the costs of masks on them, and recommendations: ``graphmask info FILE``."""

from .costs import MaskCost, mask_costs
from .recommendations import recommend
from .summary import GraphSummary, summarize_graph

__all__ = ["GraphSummary", "MaskCost", "mask_costs", "recommend", "summarize_graph"]
