"""Softmax attention at many resolutions."""

from __future__ import annotations

import torch
from torch import Tensor


def multilevel_attention(
    q: Tensor, k: Tensor, v: Tensor, clusters: list[Tensor], batch: Tensor, blocks: int
) -> Tensor:
    """Softmax attention that is coarse but between some clusters, [N, H, d] (Zeng et al. 2022).

    ``clusters`` are the clusters ``[N]`` of nodes, from the finest level to the coarsest. By
    definition, for each head and graph::

        out_i = sum_j exp(s_ij) v_j / sum_j exp(s_ij)

    On the coarsest level, s of two clusters is ``mean of q . mean of k / sqrt(d)``. Of P clusters
    the ``blocks`` P pairs of the largest s, less the largest of their rows, are refined: s of their
    members, means over clusters of the next level and at last nodes, takes the place of theirs. Of
    refined pairs alone are the next chosen.

    >>> q, v = torch.tensor([[[3.0]], [[5.0]]]), torch.tensor([[[1.0]], [[2.0]]])
    >>> one = torch.zeros(2, dtype=torch.long)
    >>> multilevel_attention(q, 0 * q, v, [one], one, 1).flatten().tolist()
    [1.5, 1.5]
    """
    q, k, v = q.double() / q.shape[-1] ** 0.5, k.double(), v.double()
    out = torch.zeros_like(v)
    for graph in batch.unique():
        nodes = (batch == graph).nonzero().flatten()
        levels = [cluster[nodes].unique(return_inverse=True)[1] for cluster in clusters]
        levels = [torch.arange(len(nodes)), *levels]
        for h in range(q.shape[1]):
            Q, K = q[nodes, h], k[nodes, h]
            logit, refined = torch.zeros(len(Q), len(Q)).double(), torch.ones(len(Q), len(Q)).bool()
            for c in reversed(levels):
                P = int(c.max()) + 1
                means = [torch.stack([x[c == b].mean(0) for b in range(P)]) for x in (Q, K)]
                first = torch.stack([(c == b).nonzero()[0, 0] for b in range(P)])
                logit, refined = (x[first][:, first] for x in (logit, refined))
                logit = torch.where(refined, means[0] @ means[1].mT, logit)
                score = logit - logit.max(1, keepdim=True).values
                candidates = refined.nonzero()
                best = score.detach()[refined].topk(min(blocks * P, len(candidates))).indices
                refined = torch.zeros_like(refined)
                refined[tuple(candidates[best].T)] = True
                logit, refined = (x[c][:, c] for x in (logit, refined))
            out[nodes, h] = torch.softmax(logit, 1) @ v[nodes, h]
    return out
