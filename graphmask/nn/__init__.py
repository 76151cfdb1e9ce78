"""PyG layers and models under topological masks."""

from .attention import TopologicalAttention as TopologicalAttention
from .transformer import TopologicalTransformer as TopologicalTransformer
from .transformer import TopologicalTransformerLayer as TopologicalTransformerLayer

__all__ = ["TopologicalAttention", "TopologicalTransformer", "TopologicalTransformerLayer"]
