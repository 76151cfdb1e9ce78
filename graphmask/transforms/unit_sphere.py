"""Clouds of one size in one place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from graphmask.transforms._batches import Transform
from graphmask.transforms._points import centred, graph_numbers, positions


class UnitSphere(Transform):
    r"""Centre ``data.pos`` at its mean and scale it so that the farthest point has norm 1.

    .. math:: p_i \leftarrow \frac{p_i - \bar p}{\max_j \|p_j - \bar p\|}

    Each graph of ``data.batch`` by itself. A single point, or points that all coincide, end at the
    origin. Computed in float64, returned in the dtype of ``pos``; differentiable.

    Cost: O(N D) time and memory.

    Raises:
        ValueError: if ``pos`` is missing, not float32 or float64, not ``[N, D]`` or not finite.

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
            data.pos = _normalise(pos, graph_numbers(pos, data.batch)).to(pos.dtype)
        return data


def _normalise(pos: Tensor, batch: Tensor) -> Tensor:
    pos = centred(pos, batch)
    # By the largest coordinate before squaring, which would underflow for tiny clouds and overflow
    # for huge ones.
    pos = _divide(pos, pos.detach().abs().amax(dim=1), batch)
    return _divide(pos, torch.linalg.vector_norm(pos, dim=1), batch)


def _divide(pos: Tensor, size: Tensor, batch: Tensor) -> Tensor:
    """Divide the points of each graph by their largest size, unless that is 0."""
    largest = scatter(size, batch, reduce="max")
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return pos / largest[batch].unsqueeze(1)
