"""Elementwise feature maps, m = d."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import elu, relu, softplus

from graphmask._checks import check_number

from .base import FeatureMap, check_scale
from .scores import Exponentials, SignedInnerProducts, SquaredProducts


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

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}"


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


class SquaredReLU(ReLU):
    r"""``phi(x) = max(x, 0)^2 + epsilon``.

    Scores decay faster with the angle than those of :class:`ReLU`.

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

    def queries(self, x: Tensor) -> Tensor:
        return relu(x).square() + self.epsilon


class Exponential(FeatureMap):
    """``phi(x)_r = e^(x_r) / sum_s e^(x_s)``: a softmax over the channels of each node.

    Scores lie between 0 and 1, and are large where both nodes share their largest channels.

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


class Identity(FeatureMap):
    """``phi(x) = x``: scores are inner products of any sign; the normaliser sums absolute values.

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


class _ScaledProducts(FeatureMap):
    """Scores that are a function of scaled inner products."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = None if scale is None else check_scale(scale)

    def queries(self, x: Tensor) -> Tensor:
        return x * (x.shape[-1] ** -0.5 if self.scale is None else self.scale)

    def keys(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class SoftmaxScores(_ScaledProducts):
    r"""Exact softmax scores: masked softmax attention on the entries of a mask.

    .. math:: k(q, k) = \exp(s\, q \cdot k)

    No finite number of features gives these, so that they are computed one by one: under masks with
    a sparse support (:class:`~graphmask.operators.Pairs`), and for graphs small enough to build
    their blocks (:class:`~graphmask.operators.Dense`). Each row is divided by its largest score, so
    that nothing overflows. Under a mask of entries 0 and 1 this is softmax over the entries; under
    a positive mask, softmax with the bias log M; a signed mask changes signs of the numerator.

    Args:
        scale: s. (default: :obj:`None`, ``d ** -0.5`` for d channels)

    Raises:
        ValueError: for a scale that is not positive; in attention, for masks without sparse support
            on large graphs.

    Cost: O(d) per entry and head.

    Source: Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), eq. 1.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> q, k, v = torch.randn(3, 3, 1, 4)
        >>> out = gm.attention(q, k, v, gm.masks.GlobalMask()(path), gm.features.SoftmaxScores())
        >>> expected = torch.softmax(q[:, 0] @ k[:, 0].T / 2, -1) @ v[:, 0]
        >>> bool(torch.allclose(out[:, 0], expected, atol=1e-6))
        True
    """

    nonnegative = False
    sized = False
    scores = Exponentials()


class SquaredReLUScores(_ScaledProducts):
    r"""Squared positive parts of inner products, :math:`k(q, k) = \max(s\, q \cdot k, 0)^2`.

    No finite number of features gives these: as :class:`SoftmaxScores`, they are computed one by
    one, under masks with a sparse support and for graphs small enough to build their blocks. They
    are not divided by the largest of a row, and many are 0.

    Args:
        scale: s. (default: :obj:`None`, ``d ** -0.5`` for d channels)

    Raises:
        ValueError: for a scale that is not positive; in attention, for masks without sparse support
            on large graphs.

    Cost: O(d) per entry and head.

    Source: Hua et al., "Transformer Quality in Linear Time" (ICML 2022); So et al.,
    "Primer: Searching for Efficient Transformers for Language Modeling" (NeurIPS 2021).

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> q, k = torch.tensor([[[[2.0]], [[-1.0]]], [[[1.0]], [[-1.0]]]])
        >>> v, phi = torch.tensor([[[3.0]], [[5.0]]]), gm.features.SquaredReLUScores()
        >>> gm.attention(q, k, v, gm.masks.GlobalMask()(pair), phi).flatten()
        tensor([3., 5.])
    """

    nonnegative = False
    scores = SquaredProducts()
