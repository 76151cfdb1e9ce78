"""Clouds of one size in one place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import scatter

from graphmask.transforms._points import graph_numbers, positions


class UnitSphere(BaseTransform):
    r"""Centres ``data.pos`` at its mean and scales it so that the farthest point has norm 1.

    .. math:: p_i \leftarrow \frac{p_i - \bar p}{\max_j \|p_j - \bar p\|}

    Each graph of ``data.batch`` by itself. A single point, or points that all coincide, end at the
    origin. Computed in float64, returned in the dtype of ``pos``; differentiable.

    Cost: O(N D) time and memory.

    Raises:
        ValueError: ``pos`` missing, not float32 or float64, not [N, D], not finite.

    Example:
        >>> import torch
        >>> UnitSphere()(Data(pos=torch.tensor([[1.0, 0.0], [5.0, 0.0]]))).pos
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    def forward(self, data: Data) -> Data:
        """Move and scale the points."""
        pos = positions(data)
        if pos.size(0):
            data.pos = normalise(pos.double(), graph_numbers(pos, data.batch)).to(pos.dtype)
        return data


def normalise(pos: Tensor, batch: Tensor) -> Tensor:
    """The points of each graph about their mean, in units of the largest norm."""
    # From a corner first: the mean of coinciding points, rounded, is not always the point.
    pos = pos - scatter(pos.detach(), batch, reduce="min")[batch]
    pos = pos - scatter(pos, batch, reduce="mean")[batch]
    # By the largest coordinate before squaring, which would underflow for tiny clouds and overflow
    # for huge ones.
    pos = pos / nonzero(scatter(pos.detach().abs().amax(dim=1), batch, reduce="max"))[
        batch
    ].unsqueeze(1)
    norm = scatter(torch.linalg.vector_norm(pos, dim=1), batch, reduce="max")
    return pos / nonzero(norm)[batch].unsqueeze(1)


def nonzero(size: Tensor) -> Tensor:
    """Sizes to divide by: 1 instead of 0, which leaves the origin where it is."""
    return torch.where(size > 0, size, torch.ones_like(size))
