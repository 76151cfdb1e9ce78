"""Moments of positions about the query, and what of them is the same in every pose."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import check_integer, check_number, value_error
from graphmask._positions import centred_positions
from graphmask._precision import double_dtype
from graphmask.normalizers.row_sums import divide
from graphmask.topology import Topology

from .base import Decoded, Encoded, ValueMap


class Moments(ValueMap):
    r"""Append moments of the offsets of positions, and of offsets and values.

    .. math::
        \mu_i &= \sum_j w_{ij}\, (p_j - p_i) \\
        \Sigma_i &= \sum_j w_{ij}\, (p_j - p_i)(p_j - p_i)^\top \\
        G_i &= \sum_j w_{ij}\, (p_j - p_i)\, v_{j,1:r}^\top

    G is a directional derivative of the first r channels, signed where weights are. Outputs are the
    sums of values, then :math:`\mu` (D), the upper triangle of :math:`\Sigma` row by row (D (D + 1)
    / 2, with ``order=2``), and G row by row (D r). All are divided by the normaliser as values are.
    They turn with the positions; :class:`MomentInvariants` do not.

    Args:
        dim: D, of positions. (default: :obj:`3`)
        order: 1 or 2. (default: :obj:`1`)
        channels: r, of values. (default: :obj:`0`)

    Raises:
        ValueError: for another order, fewer channels of values than r, and a topology without
            positions of dimension D.

    Cost: ``1 + D + (D + 1) r`` channels more, and with order 2 the distinct products of
    coordinates. Order 2 is summed in float64 where the device has it, all values included, which
    takes twice the time: offsets of centimetres leave no digits in products of metres in float32.

    Source: Sharp et al., "DiffusionNet: Discretization Agnostic Learning on Surfaces" (ACM
    Transactions on Graphics 2022), for features from directional derivatives.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), pos=torch.tensor([[0.0], [1.0]]))
        >>> mask, x = gm.masks.GlobalMask()(pair), torch.ones(2, 1, 1)
        >>> gm.attention(x, x, x, mask, values=gm.values.Moments(dim=1, order=2))[:, 0]
        tensor([[ 1.0000,  0.5000,  0.5000],
                [ 1.0000, -0.5000,  0.5000]])
    """

    def __init__(self, dim: int = 3, order: int = 1, channels: int = 0) -> None:
        super().__init__()
        self.dim = check_integer("dim", dim, 1)
        self.order = check_integer("order", order, 1)
        if order > 2:
            raise value_error("order", "1 or 2", order)
        self.channels = check_integer("channels", channels, 0)

    def out_channels(self, channels: int) -> int:
        products = self.dim * (self.dim + 1) // 2 if self.order == 2 else 0
        return channels + self.dim * (1 + self.channels) + products

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        if v.shape[-1] < self.channels:
            raise value_error("v", f"of at least {self.channels} channels, as {self!r}", v)
        pos, few = _positions(v, topology, self.dim, self.order), v[..., : self.channels]
        sizes = [v.shape[-1], 1, self.dim, self.channels, self.dim * self.channels]
        parts = [v, torch.ones_like(pos[..., :1]), pos, few, _outer(pos, few)]
        if self.order == 2:
            sizes.append(self.dim * (self.dim + 1) // 2)
            parts.append(_products(pos, pos))

        def decode(sums: Tensor) -> Decoded:
            value, total, first, few, outer, *second = sums.split(sizes, -1)
            centred = [first - total * pos]
            centred += [_about(pos, total, first, products) for products in second]
            return Decoded(torch.cat([value, *centred, outer - _outer(pos, few)], -1))

        return Encoded(torch.cat(parts, -1), decode)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, order={self.order}, channels={self.channels}"


class MomentInvariants(ValueMap):
    r"""Append what the moments of attended positions tell in any pose.

    With the weighted mean m and the covariance C of the offsets :math:`p_j - p_i` under the weights
    :math:`w_{ij}`, :math:`t = \operatorname{tr} C`, the position :math:`p_i` about the mean of its
    graph, :math:`|x|` for :math:`\sqrt{x^2 + \varepsilon}` and :math:`r = p_i / |p_i|`,

    .. math::
        \log t, \quad \frac{|m|}{\sqrt t}, \quad \frac{m \cdot r}{\sqrt t}, \quad
        \frac{r^\top C r}{t}, \quad \frac{m^\top C m}{t^2}, \quad |p_i|, \quad
        \frac{2 D}{D - 1} \frac{e_2(C)}{t^2}, \quad
        \frac{6 D^2}{(D - 1)(D - 2)} \frac{e_3(C)}{t^3}

    in the order of size, distance and side of the centre, elongation towards the centre and along
    m, distance from the centre of the graph, and the second and third elementary symmetric
    polynomials of the eigenvalues of C, scaled to 1 where all directions are alike (:math:`e_2`
    from dimension 2 on, :math:`e_3` from 3 on). They stay the same where positions are turned,
    mirrored or moved, and no normaliser divides them. A node that attends to no node has zeros for
    m and C.

    Weights must not be negative: use :class:`~graphmask.masks.NonNegative` coefficients.

    Args:
        dim: D, of positions. (default: :obj:`3`)
        epsilon: the square of a length below which nothing is resolved, in the unit of positions;
            added to t, too. (default: :obj:`1e-6`)

    Raises:
        ValueError: for a mask or scores that may be negative, an epsilon that is not positive, and
            a topology without positions of dimension D.

    Cost: ``1 + D + D (D + 1) / 2`` channels more, summed in float64 as by :class:`Moments`.

    Source: this library's; moments of neighbourhoods under a group of motions are those of Hu,
    "Visual Pattern Recognition by Moment Invariants" (IRE Transactions on Information Theory 1962).

    Example:
        >>> import torch, graphmask as gm
        >>> cloud = gm.Topology(torch.empty(2, 0, dtype=torch.long), pos=torch.eye(3))
        >>> mask, x = gm.masks.GlobalMask()(cloud), torch.ones(3, 1, 1)
        >>> out = gm.attention(x, x, x, mask, values=gm.values.MomentInvariants())
        >>> out.shape, bool(out.diff(dim=0).abs().max() < 1e-6)
        (torch.Size([3, 1, 9]), True)
    """

    needs_nonnegative = True

    def __init__(self, dim: int = 3, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.dim = check_integer("dim", dim, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        if not epsilon:
            raise value_error("epsilon", "positive", epsilon)

    def out_channels(self, channels: int) -> int:
        return channels + 6 + (self.dim > 1) + (self.dim > 2)

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        pos = _positions(v, topology, self.dim, 2)
        ones, products = torch.ones_like(pos[..., :1]), _products(pos, pos)
        sizes = [v.shape[-1], 1, self.dim, products.shape[-1]]

        def decode(sums: Tensor) -> Decoded:
            value, total, first, second = sums.split(sizes, -1)
            mean = divide(first - total * pos, total)
            square = divide(_about(pos, total, first, second), total)
            return Decoded(value, self._invariants(pos, mean, square - _products(mean, mean)))

        return Encoded(torch.cat([v, ones, pos, products], -1), decode)

    def _invariants(self, pos: Tensor, mean: Tensor, triangle: Tensor) -> Tensor:
        """``[N, H, r]`` from the mean ``[N, H, D]`` and the covariance's upper triangle."""
        C, D = _symmetric(triangle, self.dim), self.dim
        trace = _trace(C)
        t = trace.clamp(min=0) + self.epsilon
        distance = self._length(pos)
        direction, size = pos / distance, t.sqrt()
        columns = [
            t.log(),
            self._length(mean) / size,
            _dot(mean, direction) / size,
            _dot(direction, _apply(C, direction)) / t,
            _dot(mean, _apply(C, mean)) / t**2,
            distance,
        ]
        squared = C @ C
        if D > 1:
            columns.append(2 * D / (D - 1) * (trace**2 - _trace(squared)) / (2 * t**2))
        if D > 2:
            e3 = (trace**3 - 3 * trace * _trace(squared) + 2 * _trace(squared @ C)) / 6
            columns.append(6 * D**2 / ((D - 1) * (D - 2)) * e3 / t**3)
        return torch.cat(columns, -1)

    def _length(self, x: Tensor) -> Tensor:
        return (x.square().sum(-1, keepdim=True) + self.epsilon).sqrt()

    def extra_repr(self) -> str:
        return f"dim={self.dim}, epsilon={self.epsilon}"


def _positions(v: Tensor, topology: Topology, dim: int, order: int) -> Tensor:
    """``[N, H, D]``, for order 2 in the widest type: products lose twice the digits."""
    dtype = torch.promote_types(v.dtype, double_dtype(v.device)) if order == 2 else v.dtype
    return centred_positions(topology, dim, dtype).unsqueeze(1).expand(-1, v.shape[1], -1)


def _about(pos: Tensor, total: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The upper triangle of ``sum w (p_j - p_i)(p_j - p_i)^T`` from sums of ones, p and p p^T."""
    return second - _products(first, pos) - _products(pos, first) + total * _products(pos, pos)


def _products(x: Tensor, y: Tensor) -> Tensor:
    """The upper triangle of ``x y^T``, row by row."""
    return torch.cat([x[..., a : a + 1] * y[..., a:] for a in range(x.shape[-1])], -1)


def _outer(x: Tensor, y: Tensor) -> Tensor:
    """``x y^T``, row by row."""
    return (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)


def _symmetric(triangle: Tensor, dim: int) -> Tensor:
    """``[..., D, D]`` from the upper triangle."""
    rows = triangle.split([dim - a for a in range(dim)], -1)
    entries = [rows[min(a, b)][..., abs(a - b)] for a in range(dim) for b in range(dim)]
    return torch.stack(entries, -1).unflatten(-1, (dim, dim))


def _trace(x: Tensor) -> Tensor:
    return x.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)
