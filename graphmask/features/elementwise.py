"""Elementwise feature maps, m = d."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import elu, relu, softplus

from graphmask._checks import check_number

from .base import FeatureMap
from .scores import SignedInnerProducts


class ReLU(FeatureMap):
    r"""``phi(x) = max(x, 0) + epsilon``.

    The floor keeps every score positive: a query with no positive channel attends by the mask
    alone.

    Args:
        epsilon: the floor. (default: :obj:`1e-3`, as in generalised Performer attention)

    Cost: O(d) per node.

    Source: Reid et al., "Linear Transformer Topological Masking with Graph Random Features" (ICLR
    2025), section 4; Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021).

    Example:
        >>> import torch
        >>> from graphmask.features import ReLU
        >>> ReLU(epsilon=0.5).keys(torch.tensor([-1.0, 2.0]))
        tensor([0.5000, 2.5000])
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon, low=0)

    def queries(self, x: Tensor) -> Tensor:
        return relu(x) + self.epsilon

    def keys(self, x: Tensor) -> Tensor:
        return relu(x) + self.epsilon

    def __repr__(self) -> str:
        return f"ReLU(epsilon={self.epsilon})"


class EluPlusOne(FeatureMap):
    """``phi(x) = elu(x) + 1``: positive everywhere, with a gradient everywhere.

    Cost: O(d) per node.

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020), eq. 7.

    Example:
        >>> import torch
        >>> from graphmask.features import EluPlusOne
        >>> EluPlusOne().queries(torch.tensor([0.0, 2.0]))
        tensor([1., 3.])
    """

    def queries(self, x: Tensor) -> Tensor:
        return elu(x) + 1

    def keys(self, x: Tensor) -> Tensor:
        return elu(x) + 1

    def __repr__(self) -> str:
        return "EluPlusOne()"


class Softplus(FeatureMap):
    """``phi(x) = log(1 + e^x)``: positive everywhere, smooth, and linear for large x.

    Cost: O(d) per node.

    Example:
        >>> import torch
        >>> from graphmask.features import Softplus
        >>> Softplus().keys(torch.tensor([0.0, 30.0]))
        tensor([ 0.6931, 30.0000])
    """

    def queries(self, x: Tensor) -> Tensor:
        return softplus(x)

    def keys(self, x: Tensor) -> Tensor:
        return softplus(x)

    def __repr__(self) -> str:
        return "Softplus()"


class SquaredReLU(FeatureMap):
    r"""``phi(x) = max(x, 0)^2 + epsilon``.

    Scores fall off faster with the angle than those of :class:`ReLU`.

    Args:
        epsilon: the floor, as in :class:`ReLU`. (default: :obj:`1e-3`)

    Cost: O(d) per node.

    Source: So et al., "Primer: Searching for Efficient Transformers" (NeurIPS 2021), for the
    function; as a feature map: Hua et al., "Transformer Quality in Linear Time" (ICML 2022).

    Example:
        >>> import torch
        >>> from graphmask.features import SquaredReLU
        >>> SquaredReLU(epsilon=0.5).keys(torch.tensor([-1.0, 2.0]))
        tensor([0.5000, 4.5000])
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon, low=0)

    def queries(self, x: Tensor) -> Tensor:
        return relu(x).square() + self.epsilon

    def keys(self, x: Tensor) -> Tensor:
        return relu(x).square() + self.epsilon

    def __repr__(self) -> str:
        return f"SquaredReLU(epsilon={self.epsilon})"


class Exponential(FeatureMap):
    """``phi(x)_r = e^(x_r) / sum_s e^(x_s)``: a softmax over the channels of each node.

    Scores lie between 0 and 1. They are large where both nodes have their largest channels in
    common.

    Cost: O(d) per node.

    Source: Shen et al., "Efficient Attention: Attention with Linear Complexities" (WACV 2021),
    section 3, which normalises keys over nodes; here all maps are node by node.

    Example:
        >>> import torch
        >>> from graphmask.features import Exponential
        >>> Exponential().queries(torch.tensor([0.0, 0.0]))
        tensor([0.5000, 0.5000])
    """

    def queries(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def keys(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def __repr__(self) -> str:
        return "Exponential()"


class Identity(FeatureMap):
    """``phi(x) = x``: scores are inner products of any sign, and the normaliser sums their absolute values.

    Absolute values are known pair by pair only: masks need a sparse support, or graphs small enough
    for their blocks.

    Cost: none.

    Example:
        >>> import torch
        >>> from graphmask.features import Identity
        >>> Identity().queries(torch.tensor([-1.0, 2.0]))
        tensor([-1.,  2.])
    """

    nonnegative = False
    scores = SignedInnerProducts()

    def queries(self, x: Tensor) -> Tensor:
        return x

    def keys(self, x: Tensor) -> Tensor:
        return x

    def __repr__(self) -> str:
        return "Identity()"
