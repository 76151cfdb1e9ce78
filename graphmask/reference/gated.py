"""Gated attention units."""

from __future__ import annotations

import torch
from torch import Tensor


def gated_attention_unit(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    offset: Tensor,
    chunk: int | None = None,
    causal: bool = False,
) -> Tensor:
    """The gated sums of a unit before its last linear map, [N, e] (Hua et al. 2022).

    By definition::

        u, v, z = SiLU(h weight^T + bias),    e, e and s channels
        q, k, q', k' = scale[r] * z + offset[r] for r = 0, ..., 3
        y_i = 1/C^2 sum_{j in the chunk of i} max(q_i . k_j, 0)^2 v_j
              + 1/N sum_j (q'_i . k'_j) v_j,    g_i = u_i * y_i

    for chunks of C nodes, the last of which may be shorter. Without chunks all N nodes are one, and
    there is no second sum. The causal form takes of the chunk the nodes up to i, and in the second
    sum those of earlier chunks.

    >>> h, weight = torch.ones(1, 1), torch.tensor([[100.0], [2.0], [1000.0]]) / 10
    >>> unit = gated_attention_unit(h, weight, torch.zeros(3), torch.ones(2, 1), torch.zeros(2, 1))
    >>> round(unit.item() / (10 * 0.2 * torch.sigmoid(torch.tensor(0.2)).item()) / 1e8, 3)
    1.0
    """
    n, s = len(h), scale.shape[1]
    projected = h.double() @ weight.double().mT + bias.double()
    active = projected / (1 + torch.exp(-projected))
    e = (active.shape[1] - s) // 2
    u, v, z = active[:, :e], active[:, e : 2 * e], active[:, 2 * e :]
    uses = [z * a + b for a, b in zip(scale.double(), offset.double(), strict=True)]
    size = n if chunk is None else chunk
    group = torch.arange(n) // size
    rows = []
    for i in range(n):
        total = torch.zeros(e, dtype=torch.float64)
        for j in range(n):
            if group[j] == group[i] and not (causal and j > i):
                total = total + (uses[0][i] @ uses[1][j] / size).clamp(min=0) ** 2 * v[j]
            if chunk is not None and not (causal and group[j] >= group[i]):
                total = total + (uses[2][i] @ uses[3][j]) / n * v[j]
        rows.append(u[i] * total)
    return torch.stack(rows)
