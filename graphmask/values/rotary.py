"""Values turned by angles that are linear in positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, value_error
from graphmask._positions import centred_positions
from graphmask.topology import Topology

from .base import Decoded, Encoded, ValueMap


class RotaryValues(ValueMap):
    r"""Turn the value of node j by an angle that depends on where j lies as seen from node i.

    .. math::
        \text{out}_i = \sum_j w_{ij}\, R(a_j - a_i)\, v_j, \qquad
        a^h_{jf} = \omega_{hf} \cdot p_j

    :math:`R(a)` turns channels f and d/2 + f by :math:`a_f`. Values are turned by :math:`a_j` and
    their sums back by :math:`a_i`, so that only offsets of positions count, for one more product
    per node and nothing per pair.

    Frequencies are random unit vectors of lengths from ``lowest`` to ``highest``, in radians per
    unit of positions, equally spaced by ratio: scale positions to about the unit sphere
    (:class:`~graphmask.transforms.UnitSphere`), or set both. Offsets are seen in fixed axes: turn
    training data, or use :class:`MomentInvariants`, where the pose is arbitrary.

    Args:
        heads: H.
        channels: d, of the values of one head; even.
        dim: D, of positions. (default: :obj:`3`)
        lowest: frequency of the first pair of channels. (default: :obj:`1.0`)
        highest: frequency of the last one. (default: :obj:`16.0`)
        seed: of the directions. (default: :obj:`0`)

    Attributes:
        frequency: omega ``[H, d / 2, D]``, learned.

    Raises:
        ValueError: where d is odd or frequencies are not positive; for values of another number of
            heads or channels, and a topology without positions of dimension D.

    Cost: O(N H d D) and no channel more; phases are computed in float32 or wider.

    Source: Miyato et al., "GTA: A Geometry-Aware Attention Mechanism for Multi-View Transformers"
    (ICLR 2024), for values in the frame of the query; Su et al., "RoFormer: Enhanced
    Transformer with Rotary Position Embedding" (2021), for rotations of pairs of channels.

    Example:
        >>> import torch, graphmask as gm
        >>> pos = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), pos=pos)
        >>> mask, q = gm.masks.GlobalMask()(pair), torch.ones(2, 1, 4)
        >>> values = gm.values.RotaryValues(heads=1, channels=4, dim=2)
        >>> gm.attention(q, q, q, mask, values=values).shape
        torch.Size([2, 1, 4])
    """

    def __init__(
        self,
        heads: int,
        channels: int,
        dim: int = 3,
        lowest: float = 1.0,
        highest: float = 16.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self.channels = check_integer("channels", channels, 2)
        if channels % 2:
            raise value_error("channels", "even", channels)
        self.dim = check_integer("dim", dim, 1)
        self.lowest = check_number("lowest", lowest, 0)
        self.highest = check_number("highest", highest, self.lowest)
        if not lowest:
            raise value_error("lowest", "positive", lowest)
        self.seed = check_integer("seed", seed, 0)
        self.frequency = nn.Parameter(torch.empty(heads, channels // 2, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the directions of frequencies from the seed."""
        generator = torch.Generator().manual_seed(self.seed)
        direction = torch.randn(self.frequency.shape, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        steps = torch.linspace(0, 1, self.channels // 2, dtype=torch.float64).unsqueeze(1)
        length = self.lowest * (self.highest / self.lowest) ** steps
        self.frequency.data.copy_(length * direction)

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        if v.shape[1:] != (self.heads, self.channels):
            expected = f"of shape [N, H, d] with H, d = {self.heads}, {self.channels}, as {self!r}"
            raise value_error("v", expected, v)
        pos = centred_positions(topology, self.dim, v.dtype)
        phase = torch.einsum("id,hfd->ihf", pos, self.frequency.to(v.dtype))
        cos, sin = phase.cos(), phase.sin()
        return Encoded(_turn(v, cos, sin), lambda sums: Decoded(_turn(sums, cos, -sin)))

    def extra_repr(self) -> str:
        return f"heads={self.heads}, channels={self.channels}, dim={self.dim}"


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn both halves of channels into each other."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
