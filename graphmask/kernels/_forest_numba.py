"""Sweeps over rooted trees, compiled for CPUs: node by node, in place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ._compiled import compiled

# Numbers from which on another thread is worth starting.
_MIN_THREAD_WORK = 2**20


def sweep(y: Tensor, factor: Tensor, parent: Tensor, order: Tensor, down: bool) -> Tensor:
    """``y_c += r_c y_p`` from the roots down, or ``y_p += r_c y_c`` from the leaves up.

    ``y [H, N, C]`` is changed in place. Threads share the heads, which are independent.
    """
    order = order if down else order.flip(0)
    structure = parent.numpy(), order.numpy(), down
    heads = list(zip(y.numpy(), factor.detach().contiguous().numpy(), strict=True))
    threads = min(torch.get_num_threads(), len(heads), max(1, y.numel() // _MIN_THREAD_WORK))
    if threads <= 1:
        for head in heads:
            _sweep(*head, *structure)
        return y
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda head: _sweep(*head, *structure), heads))
    return y


@compiled
def _sweep(
    y: np.ndarray, factor: np.ndarray, parent: np.ndarray, order: np.ndarray, down: bool
) -> None:
    channels = y.shape[1]
    for node in order:
        source, target = (parent[node], node) if down else (node, parent[node])
        if parent[node] != node:
            for channel in range(channels):
                y[target, channel] += factor[node] * y[source, channel]
