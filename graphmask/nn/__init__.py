"""PyG layers and models under topological masks."""

from .attention import TopologicalAttention as TopologicalAttention
from .context_pool import ContextPool as ContextPool
from .conversion import to_masked as to_masked
from .edge_head import EdgeHead as EdgeHead
from .explain import ExplainableEdges as ExplainableEdges
from .explain import hop_coefficients as hop_coefficients
from .explain import learned_alphas as learned_alphas
from .gate import OutputGate as OutputGate
from .gated_attention_unit import GatedAttentionUnit as GatedAttentionUnit
from .gps import TopologicalGPS as TopologicalGPS
from .layer import TopologicalTransformerLayer as TopologicalTransformerLayer
from .moment_features import MomentFeatures as MomentFeatures
from .multilevel_attention import MultilevelAttention as MultilevelAttention
from .parameter_groups import parameter_groups as parameter_groups
from .placement import BeforeAttention as BeforeAttention
from .placement import OnValues as OnValues
from .pretrained import PretrainedMixin as PretrainedMixin
from .readout import Readout as Readout
from .snnk import CosineKernel as CosineKernel
from .snnk import ExponentialKernel as ExponentialKernel
from .snnk import NetworkKernel as NetworkKernel
from .snnk import ReLUKernel as ReLUKernel
from .snnk import SineKernel as SineKernel
from .snnk import SNNKLinear as SNNKLinear
from .support_max import SupportMax as SupportMax
from .transformer import TopologicalTransformer as TopologicalTransformer

__all__ = [
    "BeforeAttention",
    "ContextPool",
    "CosineKernel",
    "EdgeHead",
    "ExplainableEdges",
    "ExponentialKernel",
    "GatedAttentionUnit",
    "MomentFeatures",
    "MultilevelAttention",
    "NetworkKernel",
    "OnValues",
    "OutputGate",
    "PretrainedMixin",
    "ReLUKernel",
    "Readout",
    "SNNKLinear",
    "SineKernel",
    "SupportMax",
    "TopologicalAttention",
    "TopologicalGPS",
    "TopologicalTransformer",
    "TopologicalTransformerLayer",
    "hop_coefficients",
    "learned_alphas",
    "parameter_groups",
    "to_masked",
]
