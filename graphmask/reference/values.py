"""Value maps: what attention sums in the place of values, pair by pair."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from .walks import nonzero


def rotary_values(weight: Tensor, v: Tensor, pos: Tensor, frequency: Tensor) -> Tensor:
    """Sums of values turned by offsets, [N, H, d], of w [H, N, N], v [N, H, d], p [N, D].

        out_i = sum_j w_ij R(a_j - a_i) v_j,    a_jhf = omega_hf . p_j

    R(a) turns channels f and d/2 + f by a_f; omega is [H, d / 2, D].

    >>> v, pos = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]), torch.tensor([[0.0], [torch.pi / 2]])
    >>> w = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    >>> rotary_values(w, v, pos, torch.ones(1, 1, 1))[0].round().int().tolist()
    [[0, 1]]
    """
    angle = torch.einsum("hfd,ijd->ijhf", frequency.double(), _offsets(pos))
    first, second = v.double().chunk(2, -1)
    turned = first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()
    return torch.einsum("hij,ijhd->ihd", weight.double(), torch.cat(turned, -1))


def relative_values(weight: Tensor, v: Tensor) -> Tensor:
    """Sums of differences of values, sum_j w_ij (v_j - v_i), [N, H, d].

    >>> w, v = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]), torch.tensor([[[1.0]], [[5.0]]])
    >>> relative_values(w, v).flatten().tolist()
    [8.0, 0.0]
    """
    return torch.einsum("hij,ijhd->ihd", weight.double(), _offsets(v))


def moments(weight: Tensor, v: Tensor, pos: Tensor, order: int, channels: int) -> Tensor:
    """Sums of values and moments of offsets z_ij = p_j - p_i, [N, H, d + ...].

        sum_j w_ij [v_j, z_ij, (z_ij z_ij^T)_ab for a <= b, z_ij v_j1:r^T]

    The products of offsets are there in order 2.

    >>> w, v = torch.ones(1, 2, 2), torch.ones(2, 1, 1)
    >>> moments(w, v, torch.tensor([[0.0], [2.0]]), 2, 1)[:, 0].tolist()
    [[2.0, 2.0, 4.0, 2.0], [2.0, -2.0, 4.0, -2.0]]
    """
    w, v, z = weight.double(), v.double(), _offsets(pos)
    parts = [torch.einsum("hij,jhd->ihd", w, v), torch.einsum("hij,ija->iha", w, z)]
    if order == 2:
        square = torch.einsum("hij,ija,ijb->ihab", w, z, z)
        dim = range(pos.shape[1])
        parts.append(torch.stack([square[..., a, b] for a in dim for b in dim if a <= b], -1))
    parts.append(torch.einsum("hij,ija,jhb->ihab", w, z, v[..., :channels]).flatten(2))
    return torch.cat(parts, -1)


def moment_invariants(weight: Tensor, pos: Tensor, epsilon: float) -> Tensor:
    """Invariants of the weighted offsets of a node, [N, H, 6 to 8], of positions about their mean.

    With the mean m and the covariance C of offsets, t = tr C + epsilon, norm(x)^2 = x . x +
    epsilon, r = p / norm(p), and polynomials of the eigenvalues l of C,

        log t, norm(m) / sqrt(t), m.r / sqrt(t), r.Cr / t, m.Cm / t^2, norm(p),
        mean_{a < b} l_a l_b (D / t)^2, mean_{a < b < c} l_a l_b l_c (D / t)^3

    >>> pos = torch.tensor([[-1.0], [1.0]])
    >>> moment_invariants(torch.ones(1, 2, 2), pos, 1e-12)[0, 0].round(decimals=4).tolist()
    [0.0, 1.0, -1.0, 1.0, 1.0, 1.0]
    """
    w, p, z = weight.double(), pos.double(), _offsets(pos)
    total = nonzero(w.sum(-1))
    m = torch.einsum("hij,ija->iha", w, z) / total.mT.unsqueeze(-1)
    C = torch.einsum("hij,ija,ijb->ihab", w, z, z) / total.mT[..., None, None]
    C = C - torch.einsum("iha,ihb->ihab", m, m)
    t = torch.einsum("ihaa->ih", C) + epsilon
    length = ((p**2).sum(-1) + epsilon).sqrt()
    r = p / length.unsqueeze(-1)
    columns = [
        t.log(),
        ((m**2).sum(-1) + epsilon).sqrt() / t.sqrt(),
        torch.einsum("iha,ia->ih", m, r) / t.sqrt(),
        torch.einsum("ia,ihab,ib->ih", r, C, r) / t,
        torch.einsum("iha,ihab,ihb->ih", m, C, m) / t**2,
        length.unsqueeze(-1).expand_as(t),
    ]
    dim = pos.shape[1]
    for size in range(2, min(dim, 3) + 1):
        # Polynomials of eigenvalues are sums of principal minors, which have gradients everywhere.
        minors = [C[..., list(rows), :][..., list(rows)] for rows in combinations(range(dim), size)]
        mean = torch.stack([torch.det(minor) for minor in minors], -1).mean(-1)
        columns.append(mean * (dim / t) ** size)
    return torch.stack(columns, -1)


def _offsets(x: Tensor) -> Tensor:
    """``x_j - x_i``, [N, N, ...]."""
    return x.double().unsqueeze(0) - x.double().unsqueeze(1)
