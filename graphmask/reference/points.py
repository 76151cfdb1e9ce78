"""Masks on positions, and entrywise products. Letters: D dimensions of positions, m frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def hadamard(A: Tensor, B: Tensor) -> Tensor:
    """The entrywise product M_ij = A_ij B_ij, [H, N, N], of masks [H or 1, N, N].

    >>> import torch
    >>> hadamard(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[2.0, 0.0], [1.0, -1.0]]])).tolist()
    [[[2.0, 0.0], [3.0, -4.0]]]
    """
    return A.double() * B.double()
