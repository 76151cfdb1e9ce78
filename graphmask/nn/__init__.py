"""PyG layers and models under topological masks."""

from .attention import TopologicalAttention as TopologicalAttention
from .edge_head import EdgeHead as EdgeHead
from .pretrained import PretrainedMixin as PretrainedMixin
from .transformer import TopologicalTransformer as TopologicalTransformer
from .transformer import TopologicalTransformerLayer as TopologicalTransformerLayer

__all__ = [
    "EdgeHead",
    "PretrainedMixin",
    "TopologicalAttention",
    "TopologicalTransformer",
    "TopologicalTransformerLayer",
]
