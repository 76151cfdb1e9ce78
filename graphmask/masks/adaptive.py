"""A walk mask whose nodes decide their own reach from their features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphmask.kernels import Pattern, combine_hops_by_row
from graphmask.operators import MaskOperator, NodeSeriesOperator, SparseOperator
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

from ._node_coefficients import make_shift, node_coefficients
from .coefficients import Coefficients, NonNegative
from .shortest_path import k_hop_balls_of
from .walk import WalkMask


class AdaptiveWalkMask(WalkMask):
    r"""A walk mask whose nodes have coefficients of their own.

    .. math:: M_{ij} = \sum_{t=0}^{K} \alpha_t(x_i) (S_t)_{ij}

    Every query decides from its features how far it reaches; with ``of_keys`` every key decides how
    far it is seen, :math:`\alpha_t(x_j)`. The walks give :math:`E[S_t] = W^t`.

    :math:`\alpha(x_i)` is any family of coefficients whose parameters :math:`\theta` are moved by
    a linear function of the features, per head:

    .. math:: \alpha(x_i) = \alpha(\theta + \Delta x_i)

    :math:`\Delta` starts at 0, so that the mask starts as the :class:`WalkMask` of the same family,
    and learning departs from there. With :class:`~graphmask.masks.Diffusion` it moves one number
    per node and head, the time of its diffusion.

    Features are those of :meth:`graphmask.Topology.with_features`; layers give the mask their own
    input. Products, sums and transposes with other masks are those of any sparse mask.

    Args:
        channels: C, of the features.
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        alpha: the family, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.NonNegative`)
        sampler: draws the walks of a topology that has none; :class:`~graphmask.walks.Shells` for
            coefficients of hop distances instead of powers. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)
        symmetrize: whether to average both directions of the walks. (default: :obj:`False`)
        of_keys: whether keys decide, and not queries. (default: :obj:`False`)

    Raises:
        ValueError: as :class:`WalkMask` does, and for a topology without features of C channels.

    Cost: O(p H K) for the values, O(p) per product column for p pairs; attention in O(p (m + d)).
    Memory O(p H + N H K).

    Source: coefficients per node follow Huang et al., "Efficient Representation Learning via
    Adaptive Context Pooling" (ICML 2022), where tokens of a sequence learn the size of a window;
    walks follow Reid et al. (ICLR 2025).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.AdaptiveWalkMask(channels=1, hops=1, alpha=gm.masks.PageRank)
        >>> mask.shift.data.fill_(10.0)
        tensor([[[10.]]])
        >>> path = mask.prepare(path).with_features(torch.tensor([[1.0], [0.0], [0.0]]))
        >>> mask(path).to_dense()[0, :2]  # node 0 reads itself alone, node 1 its neighbours too
        tensor([[9.9974e-01, 1.8182e-04, 0.0000e+00],
                [9.0156e-02, 1.5000e-01, 9.0156e-02]], grad_fn=<SliceBackward0>)
    """

    def __init__(
        self,
        channels: int,
        hops: int = 8,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = NonNegative,
        sampler: WalkSampler | None = None,
        seed: int = 0,
        symmetrize: bool = False,
        of_keys: bool = False,
    ) -> None:
        super().__init__(hops, heads, alpha, sampler, seed, symmetrize)
        self.of_keys, self.shift = of_keys, make_shift(self.coefficients, channels)

    @property
    def channels(self) -> int:
        """C."""
        return self.shift.shape[2]

    def reset_parameters(self) -> None:
        self.coefficients.reset_parameters()
        nn.init.zeros_(self.shift)

    def node_coefficients(self, topology: Topology) -> Tensor:
        """``[N, H, K + 1]``, the coefficients that the nodes decide on."""
        return node_coefficients(self.coefficients, self.shift, topology)

    def _factors(self, topology: Topology) -> list[SparseOperator]:
        (walks,) = self._walk_sets(topology)
        return [self._on_pairs(topology, walks.pattern, walks.table, walks.nonnegative)]

    def _series(self, topology: Topology) -> MaskOperator:
        normalization = self._normalization(topology.walk_sets[:1])
        if normalization == "shells":
            balls = k_hop_balls_of(topology, self.hops)
            return self._on_pairs(topology, balls.pattern, balls.hop_table, True)
        nonnegative = self.coefficients.nonnegative and topology.nonnegative
        adjacency, alpha = topology.adjacency(normalization), self.node_coefficients(topology)
        return NodeSeriesOperator(topology, *adjacency, alpha, nonnegative, self.of_keys)

    def _on_pairs(
        self, topology: Topology, pattern: Pattern, table: Tensor, nonnegative: bool
    ) -> SparseOperator:
        """The mask at the pairs of a table of hops, which may have more of them."""
        alpha = self.node_coefficients(topology)
        unused = alpha.new_zeros(*alpha.shape[:2], table.shape[1] - alpha.shape[2])
        alpha = torch.cat([alpha, unused], 2)
        if self.of_keys:
            value = combine_hops_by_row(pattern.mT, table[pattern.csc_perm], alpha)
            value = value[:, pattern.mT.csc_perm]
        else:
            value = combine_hops_by_row(pattern, table, alpha)
        nonnegative = self.coefficients.nonnegative and nonnegative
        return SparseOperator(topology, pattern, value, nonnegative)

    def __repr__(self) -> str:
        arguments = super().__repr__().partition("(")[2][:-1]
        keys = ", of_keys=True" if self.of_keys else ""
        return f"AdaptiveWalkMask(channels={self.channels}, {arguments}{keys})"
