"""Masked linear attention, and the scores of softmax attention."""

from __future__ import annotations

import torch
from torch import Tensor

from .walks import nonzero


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, normaliser: Tensor | None = None
) -> Tensor:
    """Masked linear attention, [N, H, d], of q, k [N, H, m], v [N, H, d] (Reid 2025, eqs. 2, 3, 7).

        out_i = sum_j M_ij (q_i . k_j) v_j  /  sum_j Z_ij (q_i . k_j)

    Z is ``normaliser``, by default ``|M|`` (M itself in the paper, whose masks are non-negative). M
    and Z are [H or 1, N, N]. Where the denominator is zero, so is the row.

    >>> q = k = torch.ones(2, 1, 1)
    >>> v, mask = torch.tensor([[[1.0]], [[5.0]]]), torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    >>> attention(q, k, v, mask).tolist()
    [[[4.0]], [[0.0]]]
    """
    nodes = torch.arange(len(q), device=q.device)
    return torch.einsum("ihj,jhd->ihd", attention_rows(q, k, mask, nodes, normaliser), v.double())


def attention_sums(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Masked linear attention without a normaliser, sum_j M_ij (q_i . k_j) v_j, [N, H, d].

    >>> q = k = torch.ones(2, 1, 1)
    >>> v, mask = torch.tensor([[[1.0]], [[5.0]]]), torch.tensor([[[1.0, -3.0], [0.0, 0.0]]])
    >>> attention_sums(q, k, v, mask).tolist()
    [[[-14.0]], [[0.0]]]
    """
    scores = torch.einsum("ihm,jhm->hij", q.double(), k.double())
    return torch.einsum("hij,jhd->ihd", mask.double() * scores, v.double())


def sink_attention(scores: Tensor, v: Tensor, mask: Tensor, null: Tensor) -> Tensor:
    """Masked attention [N, H, d] of scores [H, N, N] with a null value, null [H].

        out_i = sum_j M_ij s_ij v_j  /  (sum_j |M_ij| s_ij + e^null)

    >>> one = torch.ones(1, 1, 1)
    >>> sink_attention(one, 4 * one, one, torch.zeros(1)).tolist()
    [[[2.0]]]
    """
    mask, scores = mask.double(), scores.double()
    total = (mask.abs() * scores).sum(-1) + null.double().exp().unsqueeze(-1)
    return torch.einsum("hij,jhd->ihd", mask * scores / total.unsqueeze(-1), v.double())


def degree_scaled(out: Tensor, degree: Tensor, weight: Tensor) -> Tensor:
    """Outputs [N, H, d] times a + b log(1 + D) + c / log(1 + D), weight [H, 3], D >= 1.

    >>> degree_scaled(torch.ones(1, 1, 1), torch.zeros(1), torch.tensor([[1.0, 0.0, 0.0]])).item()
    1.0
    """
    log = torch.log(1 + degree.double().clamp(min=1)).unsqueeze(-1)
    a, b, c = weight.double().unbind(-1)
    return (a + b * log + c / log).unsqueeze(-1) * out.double()


def attention_rows(
    q: Tensor, k: Tensor, mask: Tensor, nodes: Tensor, normaliser: Tensor | None = None
) -> Tensor:
    """Rows ``nodes`` of the matrix by which :func:`attention` multiplies v, [len(nodes), H, N].

        a_ij = M_ij (q_i . k_j)  /  sum_l Z_il (q_i . k_l),    0 / 0 := 0

    >>> q = k = torch.ones(2, 1, 1)
    >>> attention_rows(q, k, torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]), torch.tensor([0])).tolist()
    [[[0.25, 0.75]]]
    """
    Z = mask.abs() if normaliser is None else normaliser
    scores = torch.einsum("ihm,jhm->hij", q[nodes].double(), k.double())
    total = (Z[:, nodes].double() * scores).sum(-1, keepdim=True)
    rows = mask[:, nodes].double() * scores / nonzero(total)
    return torch.where(total == 0, 0.0, rows).transpose(0, 1)
