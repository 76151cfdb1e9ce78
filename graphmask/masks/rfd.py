"""Diffusion on the neighbour graph of a point cloud, by random Fourier features and without its edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, type_error, value_error
from graphmask.kernels import Pattern
from graphmask.operators import LowRankOperator, MaskOperator, SparseOperator
from graphmask.topology import Topology

from ._positions import centred_positions, from_dense, inverse_sizes, offsets
from .base import TopologicalMask
from .edge_functions import EdgeFunction, GaussianEdges

# With arguments of norm up to 1/2, what the series leaves out is below the rounding of float64.
_TERMS = 14


class RFDMask(TopologicalMask):
    r"""Diffusion on the weighted neighbour graph of a point cloud.

    An estimate of :math:`M = \exp(\lambda W / n)`.

    :math:`W_{ij} = f(x_i - x_j)` for the positions x of the n points of each graph, each point its
    own neighbour. The graph's edges are not read, and no neighbours are searched: with m random
    frequencies

    .. math:: \hat W_{ij} = \frac{1}{m} \sum_k c_k \cos(\omega_k \cdot (x_i - x_j)) = (A B^T)_{ij},
    \qquad
        M = I + \lambda A\, \varphi_1(\lambda B^T A)\, B^T, \quad \varphi_1(X) = \sum_{k \ge 0} X^k
        / (k + 1)!

    with :math:`\lambda / n` for :math:`\lambda`. :math:`\hat W` is unbiased for W, entry by entry,
    with an error of :math:`O(m^{-1/2})`; M is exact for :math:`\hat W`. Its entries may be negative
    where those of its target are not, so that attention normalises by sums of M itself.

    W is divided by n since the norm of :math:`\hat W` grows with n, and not with the number of
    neighbours: so divided it is at most the largest :math:`|c_k|`. The row sums of :math:`W / n`
    are the share of the cloud that is within reach, and useful values of :math:`\lambda` about one
    over that share; m should be larger than :math:`\lambda`.

    Gradients flow to :math:`\lambda`, and to positions that want them.

    Args:
        num_features: m. (default: :obj:`32`)
        epsilon: reach of edges, in the unit of ``pos``. (default: :obj:`0.1`)
        heads: H. (default: :obj:`1`)
        edges: the edge function f of a reach: :class:`GaussianEdges`, of least variance, or
            :class:`BoxEdges`, the published one with soft faces. (default: :class:`GaussianEdges`)
        scale: :math:`\lambda` at first; learned per head, as its logarithm. (default: :obj:`10.0`)
        dim: D, of positions. (default: :obj:`3`)
        seed: of the frequencies, which are buffers; see :meth:`redraw`. (default: :obj:`0`)

    Raises:
        ValueError: for numbers out of range; where the topology has no ``pos``, or of another
            dimension.

    Cost: O(N m^2 + m^3) per head to set up, O(N m) per column.

    Source: Choromanski et al., "Efficient Graph Field Integrators Meet Point Clouds" (ICML 2023),
    RFDiffusion.

    Example:
        >>> import torch, graphmask as gm
        >>> cloud = gm.Topology(torch.empty(2, 0, dtype=torch.long), pos=torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [9.0, 0, 0]]))
        >>> mask = gm.masks.RFDMask(num_features=256, scale=3.0)
        >>> print(mask)
        RFDMask(num_features=256, edges=GaussianEdges(0.1), heads=1): O(N m) per column
        >>> bool((mask(cloud).to_dense() - mask.target(cloud).to_dense()).abs().max() < 0.2)
        True
    """

    cost = "N m"

    def __init__(
        self,
        num_features: int = 32,
        epsilon: float = 0.1,
        heads: int = 1,
        edges: Callable[[float], EdgeFunction] = GaussianEdges,
        scale: float = 10.0,
        dim: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(heads)
        self.num_features, self.dim = (
            check_integer("num_features", num_features, 1),
            check_integer("dim", dim, 1),
        )
        self.edges, self.scale = edges(epsilon), check_number("scale", scale, 0)
        if not isinstance(self.edges, EdgeFunction):
            raise type_error(
                "edges", "a function that gives an EdgeFunction, such as GaussianEdges", self.edges
            )
        if not scale:
            raise value_error("scale", "above 0", scale)
        self.log_scale = nn.Parameter(torch.empty(heads))
        self.frequency: Tensor
        self.weight: Tensor
        self.register_buffer("frequency", torch.empty(num_features, dim))
        self.register_buffer("weight", torch.empty(num_features))
        self.redraw(torch.Generator().manual_seed(check_integer("seed", seed, 0)))
        self.reset_parameters()

    def redraw(self, generator: torch.Generator) -> None:
        """Draw other frequencies."""
        frequency, weight = self.edges.draw(self.num_features, self.dim, generator)
        self.frequency.copy_(frequency)
        self.weight.copy_(weight)

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_scale, math.log(self.scale))

    def target(self, topology: Topology) -> MaskOperator:
        """The mask that this one estimates, exact; O(N^3), for small clouds."""
        dtype = self.log_scale.dtype
        pairs = from_dense(topology, self.edges(offsets(topology, self.dim, dtype)).unsqueeze(0))
        W = pairs.to_dense() * inverse_sizes(topology, dtype)
        return from_dense(topology, torch.matrix_exp(self.log_scale.exp().reshape(-1, 1, 1) * W))

    def _operator(self, topology: Topology) -> MaskOperator:
        waves = self._waves(topology)
        left = self._mix(topology, waves)
        identity = topology.pattern.identity
        one = SparseOperator(
            topology, identity, waves.new_ones(1, topology.num_nodes), nonnegative=True
        )
        return one + LowRankOperator(topology, left, waves.unsqueeze(0), estimate=True)

    def _waves(self, topology: Topology) -> Tensor:
        """B ``[N, 2m]``, divided by the root of n: its rows have norm 1 then."""
        phase = centred_positions(topology, self.dim, self.frequency.dtype) @ self.frequency.mT
        waves = torch.cat([phase.cos(), phase.sin()], 1) / math.sqrt(self.num_features)
        return waves * inverse_sizes(topology, waves.dtype).sqrt()

    def _mix(self, topology: Topology, waves: Tensor) -> Tensor:
        r"""``[H, N, 2m]``, :math:`\lambda A \varphi_1(\lambda B^T A)`, graph by graph."""
        scale, weight = (
            self.log_scale.exp().reshape(-1, 1, 1, 1),
            torch.cat([self.weight, self.weight]),
        )
        # The norm of B is at most 1.
        bound = float(scale.detach().max() * weight.abs().max())
        blocks = topology.blocks
        stacked = blocks.stack(waves.unsqueeze(1), blocks.rows(1))
        mixed = [_mix_block(scale * (weight * B), B, bound) for B in stacked]
        return blocks.unstack(mixed, blocks.rows(self.heads)).transpose(0, 1)

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return (topology.pattern.identity,)

    def __repr__(self) -> str:
        return (
            f"RFDMask(num_features={self.num_features}, edges={self.edges!r}, heads={self.heads})"
        )


def _mix_block(A: Tensor, B: Tensor, bound: float) -> Tensor:
    r""":math:`A \varphi_1(B^T A) = \varphi_1(A B^T) A`, by whichever of the two is smaller."""
    n, features = B.shape[-2:]
    return phi_1(A @ B.mT, bound) @ A if n < features else A @ phi_1(B.mT @ A, bound)


def phi_1(X: Tensor, bound: float) -> Tensor:
    r""":math:`\sum_k X^k / (k + 1)!` of matrices of norm at most ``bound``, by series and doubling.

    Doubling is :math:`\varphi_1(2 X) = (e^X + 1) \varphi_1(X) / 2` with :math:`e^X = 1 + X
    \varphi_1(X)`.
    """
    doublings = max(0, math.ceil(math.log2(bound)) + 1) if bound > 0 else 0
    X = X * 0.5**doublings
    one = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    phi = one.expand_as(X)
    for k in range(_TERMS, 0, -1):
        phi = one + X @ phi / (k + 1)
    for _ in range(doublings):
        phi, X = phi + X @ phi @ phi / 2, 2 * X
    return phi
