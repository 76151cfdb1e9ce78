"""Deprecated: use :mod:`graphmask.inspect`."""

from __future__ import annotations

from ._deprecation import deprecated_alias
from .inspect import GraphSummary, recommend, summarize_graph

GraphFacts = GraphSummary
advise = deprecated_alias("advise", recommend)
describe_graph = deprecated_alias("describe_graph", summarize_graph)
