"""Softmax attention at two resolutions."""

from __future__ import annotations

import torch
from torch import Tensor


def multilevel_attention(
    q: Tensor, k: Tensor, v: Tensor, cluster: Tensor, batch: Tensor, blocks: int
) -> Tensor:
    """Softmax attention that is coarse but between some clusters, [N, H, d] (Zeng et al. 2022).

    By definition, for each head and graph of P clusters::

        out_i = sum_j s_ij v_j / sum_j s_ij,
        s_ij = exp(q_i . k_j / sqrt(d))  where (c_i, c_j) is in J
             = exp(mean of q over c_i . mean of k over c_j / sqrt(d))  elsewhere

    J are the ``blocks`` P pairs of clusters of the largest coarse logits, less the largest of their
    rows.

    >>> q, v = torch.tensor([[[3.0]], [[5.0]]]), torch.tensor([[[1.0]], [[2.0]]])
    >>> one = torch.zeros(2, dtype=torch.long)
    >>> multilevel_attention(q, 0 * q, v, one, one, 1).flatten().tolist()
    [1.5, 1.5]
    """
    q, k, v = q.double() / q.shape[-1] ** 0.5, k.double(), v.double()
    out = torch.zeros_like(v)
    for graph in batch.unique():
        nodes = (batch == graph).nonzero().flatten()
        names, c = cluster[nodes].unique(return_inverse=True)
        P = len(names)
        for h in range(q.shape[1]):
            Q, K = q[nodes, h], k[nodes, h]
            means = [torch.stack([x[c == b].mean(0) for b in range(P)]) for x in (Q, K)]
            coarse = means[0] @ means[1].mT
            score = (coarse - coarse.max(1, keepdim=True).values).flatten()
            in_J = torch.zeros(P * P, dtype=torch.bool)
            in_J[score.argsort(descending=True)[: blocks * P]] = True
            logit = torch.where(in_J.view(P, P)[c][:, c], Q @ K.mT, coarse[c][:, c])
            out[nodes, h] = torch.softmax(logit, 1) @ v[nodes, h]
    return out
