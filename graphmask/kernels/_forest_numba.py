"""Both passes over rooted trees, compiled for CPUs: node by node, in place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ._compiled import compiled

# Numbers from which on another thread is worth starting.
_WORTH_A_THREAD = 2**20


def ascend(y: Tensor, factor: Tensor, parent: Tensor, order: Tensor) -> Tensor:
    """``y_p += r_c y_c`` from the leaves up, in ``[H, N, C]``."""
    return _run(_ascend, y, factor, parent, order)


def descend(y: Tensor, factor: Tensor, parent: Tensor, order: Tensor) -> Tensor:
    """``y_c += r_c y_p`` from the roots down, in ``[H, N, C]``."""
    return _run(_descend, y, factor, parent, order)


def _run(
    body: Callable[..., None], y: Tensor, factor: Tensor, parent: Tensor, order: Tensor
) -> Tensor:
    """Heads share threads: none depends on another."""
    structure = parent.numpy(), order.numpy()
    parts = list(zip(y.numpy(), factor.detach().contiguous().numpy(), strict=True))
    threads = min(torch.get_num_threads(), len(parts), max(1, y.numel() // _WORTH_A_THREAD))
    if threads <= 1:
        for part in parts:
            body(*part, *structure)
        return y
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: body(*part, *structure), parts))
    return y


@compiled
def _ascend(y: np.ndarray, factor: np.ndarray, parent: np.ndarray, order: np.ndarray) -> None:
    channels = y.shape[1]
    for place in range(len(order) - 1, -1, -1):
        node = order[place]
        above, weight = parent[node], factor[node]
        if above != node:
            for channel in range(channels):
                y[above, channel] += weight * y[node, channel]


@compiled
def _descend(y: np.ndarray, factor: np.ndarray, parent: np.ndarray, order: np.ndarray) -> None:
    channels = y.shape[1]
    for place in range(len(order)):
        node = order[place]
        above, weight = parent[node], factor[node]
        if above != node:
            for channel in range(channels):
                y[node, channel] += weight * y[above, channel]
