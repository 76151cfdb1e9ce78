"""PyG layers and models under topological masks."""

from .attention import TopologicalAttention as TopologicalAttention
from .conversion import to_masked as to_masked
from .edge_head import EdgeHead as EdgeHead
from .explain import ExplainableEdges as ExplainableEdges
from .explain import hop_coefficients as hop_coefficients
from .explain import learned_alphas as learned_alphas
from .gps import TopologicalGPS as TopologicalGPS
from .pretrained import PretrainedMixin as PretrainedMixin
from .transformer import TopologicalTransformer as TopologicalTransformer
from .transformer import TopologicalTransformerLayer as TopologicalTransformerLayer

__all__ = [
    "EdgeHead",
    "ExplainableEdges",
    "PretrainedMixin",
    "TopologicalAttention",
    "TopologicalGPS",
    "TopologicalTransformer",
    "TopologicalTransformerLayer",
    "hop_coefficients",
    "learned_alphas",
    "to_masked",
]
