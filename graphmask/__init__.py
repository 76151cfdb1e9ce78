"""Graph transformers on PyTorch Geometric, with topological masks fused into linear attention."""

from . import distributed as distributed
from . import features as features
from . import kernels as kernels
from . import masks as masks
from . import nn as nn
from . import normalizers as normalizers
from . import operators as operators
from . import transforms as transforms
from . import values as values
from . import walks as walks
from ._warnings import GraphmaskWarning as GraphmaskWarning
from .attention import attention as attention
from .prepared import Prepared as Prepared
from .prepared import prepare as prepare
from .topology import Topology as Topology

__version__ = "0.1.0"
