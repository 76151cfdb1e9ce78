"""Diffusion on the neighbour graph of a point cloud by random Fourier features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, type_error, value_error
from graphmask._positions import centred_positions, inverse_sizes
from graphmask._precision import double_dtype
from graphmask.config import ConfigMixin
from graphmask.operators import LowRankOperator, MaskOperator, SparseOperator
from graphmask.topology import Topology

from ._positions import from_dense, offsets
from .base import Structure, TopologicalMask

# With arguments of norm up to 1/2, the rest of the series is below the rounding of float64.
_TERMS = 14


class EdgeFunction(ConfigMixin, ABC):
    r"""A weight :math:`f(z) \ge 0` of an edge between points of offset z, with :math:`f(0) = 1`.

    It is a mean of waves, :math:`f(z) = E[c(\omega) \cos(\omega \cdot z)]`, over random frequencies
    :math:`\omega`.

    Args:
        epsilon: the reach of edges, in the unit of positions.

    Raises:
        ValueError: for a reach that is not positive.
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = check_number("epsilon", epsilon, 0)
        if not epsilon:
            raise value_error("epsilon", "above 0", epsilon)

    @abstractmethod
    def __call__(self, offset: Tensor) -> Tensor:
        """``[..., D] -> [...]``, the exact f."""

    @abstractmethod
    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw frequencies ``[m, D]`` and their weights c ``[m]``, in float64."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.epsilon:g})"


class GaussianEdges(EdgeFunction):
    r""":math:`f(z) = \exp(-|z|^2 / 2 \epsilon^2)`.

    Frequencies are normal with deviation :math:`1 / \epsilon`, all weights 1.

    Example:
        >>> import torch, graphmask as gm
        >>> gm.masks.GaussianEdges(2.0)(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
        tensor([1.0000, 0.6065])
    """

    def __call__(self, offset: Tensor) -> Tensor:
        return (-offset.square().sum(-1) / (2 * self.epsilon**2)).exp()

    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        normal = torch.randn(count, dim, generator=generator, dtype=double_dtype(generator.device))
        return normal / self.epsilon, normal.new_ones(count)


class BoxEdges(EdgeFunction):
    r"""The indicator of the cube :math:`|z|_\infty \le \epsilon` with soft faces.

    f is the product over the dimensions of

    .. math:: g(z) = \min(1, \max(0, (\epsilon (1 + s) - |z|) / 2 s \epsilon)),

    which is 1 up to :math:`\epsilon (1 - s)` and 0 from :math:`\epsilon (1 + s)` on.

    The indicator itself (s = 0, as published) is not a mean of random waves: its transform
    :math:`\prod \sin(\epsilon \omega) / \omega` has no finite absolute integral, so that the
    estimate has an infinite variance and no expectation under any law of frequencies. With s > 0
    weights are bounded by :math:`(2 (2 + \log 1/s) / \pi)^D`, of both signs.

    Args:
        epsilon: half the side of the cube.
        softness: s, of the faces, in (0, 1]. (default: :obj:`0.5`)

    Raises:
        ValueError: for a reach that is not positive, and a softness out of (0, 1].

    Example:
        >>> import torch, graphmask as gm
        >>> gm.masks.BoxEdges(1.0)(torch.tensor([[0.0], [0.5], [1.0], [1.5]]))
        tensor([1.0000, 1.0000, 0.5000, 0.0000])
    """

    def __init__(self, epsilon: float, softness: float = 0.5) -> None:
        super().__init__(epsilon)
        self.softness = check_number("softness", softness, 0)
        if not 0 < softness <= 1:
            raise value_error("softness", "in (0, 1]", softness)

    def __call__(self, offset: Tensor) -> Tensor:
        outside = self.epsilon * (1 + self.softness) - offset.abs()
        return (outside / (2 * self.softness * self.epsilon)).clamp(0, 1).prod(-1)

    def draw(self, count: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        # u = epsilon omega has the density e(u) / Z, e(u) = min(1, 1 / |u|, 1 / (s u^2)), drawn by
        # the inverse of its integral, which is 1 at u = 1 and 1 + log(1 / s) at u = 1 / s.
        s = self.softness
        middle = math.log(1 / s)
        half = 2 + middle  # Z / 2
        v = torch.rand(count, dim, generator=generator, dtype=double_dtype(generator.device)) * half
        tail = 1 / (s * (half - v))
        u = torch.where(v < 1 + middle, (v - 1).clamp(max=middle).exp(), tail)
        u = torch.where(v < 1, v, u)
        envelope = torch.minimum(torch.minimum(torch.ones_like(u), 1 / u), 1 / (s * u.square()))
        transform = torch.sinc(u / math.pi) * torch.sinc(s * u / math.pi)
        weight = 2 * half / math.pi * transform / envelope
        sign = torch.randint(2, u.shape, generator=generator) * 2 - 1
        return sign * u / self.epsilon, weight.prod(-1)

    def __repr__(self) -> str:
        return f"BoxEdges({self.epsilon:g}, softness={self.softness:g})"


class RFDMask(TopologicalMask):
    r"""Diffusion on a neighbour graph of points, an estimate of :math:`M = \exp(\lambda W / n)`.

    :math:`W_{ij} = f(x_i - x_j)` for the positions x of the n points of each graph, each point its
    own neighbour. The graph's edges are not read, and no neighbours are searched: with m random
    frequencies

    .. math:: \hat W_{ij} = \frac{1}{m} \sum_k c_k \cos(\omega_k \cdot (x_i - x_j)) = (A B^T)_{ij},
        \qquad M = I + \lambda A\, \varphi_1(\lambda B^T A)\, B^T, \quad
        \varphi_1(X) = \sum_{k \ge 0} X^k / (k + 1)!

    with :math:`\lambda / n` for :math:`\lambda`. :math:`\hat W` is unbiased for W, entry by entry,
    with an error of :math:`O(m^{-1/2})`; M is exact for :math:`\hat W`. Its entries may be negative
    where those of its target are not, so that attention normalises by sums of M itself.

    W is divided by n since the norm of :math:`\hat W` grows with n, and not with the number of
    neighbours: divided, it is at most the largest :math:`|c_k|`. The row sums of :math:`W / n` are
    the share of the cloud within reach, and useful values of :math:`\lambda` about one over that
    share; m should be larger than :math:`\lambda`.

    Differentiable in :math:`\lambda` and in positions.

    Args:
        num_features: m. (default: :obj:`32`)
        epsilon: reach of edges, in the unit of ``pos``. (default: :obj:`0.1`)
        heads: H. (default: :obj:`1`)
        edges: the edge function f of a reach: :class:`GaussianEdges`, of least variance, or
            :class:`BoxEdges`, the published one with soft faces. (default: :class:`GaussianEdges`)
        scale: initial :math:`\lambda`; learned per head, as its logarithm. (default: :obj:`10.0`)
        dim: D, of positions. (default: :obj:`3`)
        seed: of the frequencies, which are buffers; see :meth:`redraw`. (default: :obj:`0`)

    Raises:
        ValueError: for numbers out of range; if the topology has no ``pos``, or of another
            dimension.

    Cost: O(N m^2 + m^3) per head to set up, O(N m) per column.

    Source: Choromanski et al., "Efficient Graph Field Integrators Meet Point Clouds" (ICML 2023),
    RFDiffusion.

    Example:
        >>> import torch, graphmask as gm
        >>> pos = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [9.0, 0, 0]])
        >>> cloud = gm.Topology(torch.empty(2, 0, dtype=torch.long), pos=pos)
        >>> mask = gm.masks.RFDMask(num_features=256, scale=3.0)
        >>> print(mask)
        RFDMask(num_features=256, edges=GaussianEdges(0.1), heads=1): O(N m) per column
        >>> bool((mask(cloud).to_dense() - mask.target(cloud).to_dense()).abs().max() < 0.2)
        True
    """

    cost = "N m"
    frequency: Tensor
    weight: Tensor

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
        self.num_features = check_integer("num_features", num_features, 1)
        self.dim = check_integer("dim", dim, 1)
        self.edges, self.scale = edges(epsilon), check_number("scale", scale, 0)
        if not isinstance(self.edges, EdgeFunction):
            expected = "a function that gives an EdgeFunction, such as GaussianEdges"
            raise type_error("edges", expected, self.edges)
        if not scale:
            raise value_error("scale", "above 0", scale)
        self.log_scale = nn.Parameter(torch.empty(heads))
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
        """Return the mask that this one estimates, exact; O(N^3), for small clouds."""
        dtype = self.log_scale.dtype
        weight = self.edges(offsets(topology, self.dim, dtype)).unsqueeze(0)
        W = from_dense(topology, weight).to_dense() * inverse_sizes(topology, dtype)
        return from_dense(topology, torch.matrix_exp(self.log_scale.exp().reshape(-1, 1, 1) * W))

    @property
    def reach(self) -> int | None:
        return 0

    def _operator(self, topology: Topology) -> MaskOperator:
        # B is divided by the root of n, so that its rows have norm n^-1/2 and its own is at most 1.
        phase = centred_positions(topology, self.dim, self.frequency.dtype) @ self.frequency.mT
        B = torch.cat([phase.cos(), phase.sin()], 1) / math.sqrt(self.num_features)
        B = B * inverse_sizes(topology, B.dtype).sqrt()
        left = self._left(topology, B)
        ones = B.new_ones(1, topology.num_nodes)
        identity = SparseOperator(topology, topology.pattern.identity, ones, nonnegative=True)
        return identity + LowRankOperator(topology, left, B.unsqueeze(0), estimate=True)

    def _left(self, topology: Topology, B: Tensor) -> Tensor:
        r"""``[H, N, 2m]``, :math:`\lambda A \varphi_1(\lambda B^T A)`, graph by graph."""
        scale = self.log_scale.exp().reshape(-1, 1, 1, 1)
        weight = torch.cat([self.weight, self.weight])
        bound = float(scale.detach().max() * weight.abs().max())

        if not topology.part.is_whole:
            return self._left_of_parts(topology, B, scale[..., 0], weight, bound)

        def multiply(block: Tensor) -> Tensor:
            return _times_phi_1(scale * (weight * block), block, bound)

        return topology.blocks.map(multiply, [B.unsqueeze(0)])

    def _left_of_parts(
        self, topology: Topology, B: Tensor, scale: Tensor, weight: Tensor, bound: float
    ) -> Tensor:
        """:meth:`_left`, from sums over the own nodes of all parts."""
        part, batch = topology.part, topology.batch
        own, index = part.own(B), batch
        if batch is None:
            index = torch.zeros(len(B), dtype=torch.long, device=B.device)
        assert index is not None
        products = [
            rows.mT @ (weight * rows)
            for rows in (own[part.own(index) == graph] for graph in range(topology.num_graphs))
        ]
        phi = phi_1(scale.unsqueeze(1) * part.sum(torch.stack(products)), bound)  # [H, B, 2m, 2m]
        out = scale * (weight * B)
        rows = [out[:, index == graph] @ phi[:, graph] for graph in range(topology.num_graphs)]
        order = torch.argsort(index, stable=True)
        return torch.cat(rows, 1)[:, torch.argsort(order)]

    def _structure(self, topology: Topology) -> Structure:
        return Structure([topology.pattern.identity])

    def __repr__(self) -> str:
        edges = f"edges={self.edges!r}"
        return f"RFDMask(num_features={self.num_features}, {edges}, heads={self.heads})"


def _times_phi_1(A: Tensor, B: Tensor, bound: float) -> Tensor:
    r""":math:`A \varphi_1(B^T A) = \varphi_1(A B^T) A`, by the smaller of both matrices."""
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
