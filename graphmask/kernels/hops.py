"""Values of a mask from numbers per pair and hop: a tall table times a few coefficients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._precision import full_precision


class HopValues(NamedTuple):
    """A mask's values as ``table [P, K + 1]`` and ``coefficients [H, K + 1]``, not multiplied."""

    table: Tensor
    coefficients: Tensor

    def expand(self) -> Tensor:
        """``[H, P]``, the values."""
        return combine_hops(self.table, self.coefficients)


def combine_hops(table: Tensor, coefficients: Tensor) -> Tensor:
    r"""``[H, P]``, the values :math:`a_{hp} = \sum_t c_{ht} T_{pt}`.

    Args:
        table: ``[P, K + 1]``, a number per pair and hop.
        coefficients: ``[H, K + 1]``.

    Cost: O(P H K) time; memory O(P H).

    Example:
        >>> import torch
        >>> from graphmask.kernels import combine_hops
        >>> table = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
        >>> combine_hops(table, torch.tensor([[1.0, 10.0]]))
        tensor([[21., 10.,  3.]])
    """
    dtype = torch.promote_types(coefficients.dtype, table.dtype)
    table, coefficients = table.to(dtype), coefficients.to(dtype)
    with full_precision(table.device):
        # The heads of a pair lie side by side, as attention reads them.
        return (table @ coefficients.mT).mT
