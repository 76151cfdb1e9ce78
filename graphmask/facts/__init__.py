"""What a graph is like, what masks would cost on it here, and which to take.

``graphmask info FILE``.
"""

from .advice import advise as advise
from .estimates import Estimate as Estimate
from .estimates import estimate as estimate
from .graph import GraphFacts as GraphFacts
from .graph import describe_graph as describe_graph

__all__ = ["Estimate", "GraphFacts", "advise", "describe_graph", "estimate"]
