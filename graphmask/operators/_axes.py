"""Products along single axes of grids ``[H, B, n_1, ..., n_D, C]``."""

from __future__ import annotations

import torch
from torch import Tensor


def along(axis: int, matrix: Tensor, x: Tensor) -> Tensor:
    """``y_i = sum_j matrix_ij x_j`` along axis 2, 3, ... of x, for ``matrix [H or 1, n, n]``."""
    before, after = x.shape[1:axis], x.shape[axis + 1 :]
    flat = x.reshape(len(x), before.numel(), x.shape[axis], after.numel())
    out = torch.einsum("hij,hljr->hlir", matrix, flat)
    return out.reshape(len(out), *before, -1, *after)


def kronecker(left: Tensor, right: Tensor) -> Tensor:
    """``[H, m n, m n]`` from ``[H, m, m]`` and ``[H, n, n]``."""
    return torch.einsum("hij,hkl->hikjl", left, right).flatten(3, 4).flatten(1, 2)
