"""Definitions in float64 that share nothing with the library, and how far rounding may go."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import cases
import numpy as np
import torch
from torch import Tensor

import graphmask as gm
from graphmask import reference
from graphmask.masks import PowerSeriesMask
from graphmask.testing._numbers import default_dtype
from graphmask.testing.graphs import astype

from .campaign import Draw
from .masks import EXACT

# Relative errors of mask entries, products and scores: rounding of some hundred operations.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4, torch.float16: 0.02, torch.bfloat16: 0.1}


def adjacency(topology: gm.Topology, normalization: Any) -> np.ndarray:
    """``[N, N]``, edge by edge."""
    A = np.zeros((topology.num_nodes, topology.num_nodes))
    for edge, (source, target) in enumerate(topology.edge_index.T.tolist()):
        A[target, source] += 1 if topology.edge_weight is None else topology.edge_weight[edge]
    rows, columns = np.abs(A).sum(1, keepdims=True), np.abs(A).sum(0, keepdims=True)
    if normalization is None:
        return A
    scale = np.sqrt(rows * columns) if normalization == "sym" else rows + 0 * columns
    return np.divide(A, scale, out=np.zeros_like(A), where=scale > 0)


def mask(mask: gm.masks.TopologicalMask, topology: gm.Topology) -> Tensor:
    """``[H, N, N]`` in float64, of a mask and topology of any dtype."""
    with default_dtype(torch.float64), torch.no_grad():
        double, graph = deepcopy(mask).double(), astype(topology, torch.float64)
        dense = cases.mask_reference(double, graph).double()
        if isinstance(double, PowerSeriesMask) and double.edge_weights is None:
            W = adjacency(graph, double.normalization)
            alpha = cases.coefficients_reference(double.alpha).numpy()
            powers = np.stack([np.linalg.matrix_power(W, k) for k in range(alpha.shape[1])])
            torch.testing.assert_close(dense, torch.from_numpy(np.tensordot(alpha, powers, 1)))
    return dense


def check_walks(mask: gm.masks.TopologicalMask, topology: gm.Topology) -> None:
    """Walks of rows that fit their budget are powers of the adjacency."""
    demand = mask.walk_demand
    if demand is None or getattr(demand.sampler, "budget", 0) != EXACT:
        return
    W = adjacency(topology, demand.sampler.normalization)
    for walks in topology.walk_sets:
        powers = [np.linalg.matrix_power(W, hop) for hop in range(walks.num_hops + 1)]
        drawn, expected = walks.to_dense().double(), torch.from_numpy(np.stack(powers))
        assert_close(drawn, expected, tolerance_of(topology, walks.table.dtype), "walks")


def tolerance_of(topology: gm.Topology, dtype: torch.dtype) -> float:
    weights = topology.edge_weight
    return max(TOLERANCE[dtype], 0.0 if weights is None else TOLERANCE[weights.dtype])


def scores(phi: Any, q: Tensor, k: Tensor, case: cases.Case) -> tuple[Tensor, Tensor, Tensor]:
    """``[H, N, N]`` scores of features by their definition, and the sizes of errors.

    And ``[H, N, 1]``, the logarithm of what rows are divided by.
    """
    phi = deepcopy(phi).double()
    with default_dtype(torch.float64), torch.no_grad():
        a = case.reference(phi, q.double()).double().transpose(0, 1)
        b = (case.key_reference or case.reference)(phi, k.double()).double().transpose(0, 1)
    products, size = a @ b.mT, a.abs() @ b.abs().mT
    if isinstance(phi.scores, gm.features.SquaredProducts):
        products, size = products.clamp(min=0).square(), size.square()
    if not isinstance(phi.scores, gm.features.Exponentials):
        return products, size, products.new_zeros(*products.shape[:2], 1)
    top = products.amax(-1, keepdim=True) if products.numel() else products.sum(-1, keepdim=True)
    exponentials = (products - top).exp()
    return exponentials, exponentials * (1 + size), top


def normalizer(draw: Draw, phi: Any, heads: int) -> gm.normalizers.Normalizer:
    """A normalizer that serves a feature map, of random parameters."""
    choices: list[Any] = [gm.normalizers.RowSums] * 3
    choices += [gm.normalizers.Unnormalized] * phi.sized
    choices += [partial(gm.normalizers.Sink, heads)] * (phi.sized or phi.scores.shifted)
    inner = draw.choice(choices)()
    if draw.chance(0.2):
        inner = gm.normalizers.DegreeScaled(heads, inner)
    for parameter in inner.parameters():
        parameter.data = draw.normal(*parameter.shape, dtype=parameter.dtype)
    return inner


def denominator(norm: Any, Z: Tensor, top: Tensor) -> Tensor:
    """``[H, N, 1]``, what a normalizer divides by."""
    if isinstance(norm, gm.normalizers.DegreeScaled):
        return denominator(norm.normalizer, Z, top)
    total = Z.sum(-1, keepdim=True)
    if isinstance(norm, gm.normalizers.Unnormalized):
        return torch.ones_like(total)
    if isinstance(norm, gm.normalizers.Sink):
        return total + (norm.null.double()[:, None, None] - top).exp()
    return total


def degree_scale(norm: Any, topology: gm.Topology) -> Tensor:
    """``[N, H, 1]``, what a normalizer multiplies by."""
    ones = torch.ones(topology.num_nodes, 1, 1, dtype=torch.float64)
    if not isinstance(norm, gm.normalizers.DegreeScaled):
        return ones
    degree = [int((topology.edge_index[1] == node).sum()) for node in range(topology.num_nodes)]
    out = ones.expand(-1, norm.heads, -1)
    return reference.degree_scaled(out, torch.tensor(degree), norm.weight)


def attention(
    M: Tensor, s: Tensor, size: Tensor, v: Tensor, denominator: Tensor, dM: float, ds: float
) -> tuple[Tensor, Tensor]:
    """``[N, H, d]`` and the error that it may have, from errors of entries and of scores.

    out_i = sum_j M_ij s_ij v_j / denominator_i
    """
    values = v.double().transpose(0, 1)
    numerator = (M * s) @ values
    wrong = dM * (1 + _top(M)) * (s.abs() + size * ds) + M.abs() * size * ds
    off = wrong.sum(-1, keepdim=True) + denominator.abs() * ds
    out = torch.where(denominator == 0, 0.0, numerator / denominator.where(denominator != 0, 1.0))
    slack = (denominator.abs() - off).clamp(min=0)
    # 0 / 0 where a row has no entry: it is exactly zero, whatever the scores are.
    allowed = ((wrong @ values.abs() + out.abs() * off) / slack).nan_to_num(0.0, torch.inf)
    allowed = allowed + ds * (1 + out.abs())
    return out.transpose(0, 1), allowed.transpose(0, 1)


def _top(x: Tensor) -> Tensor:
    return x.abs().amax((-1, -2), keepdim=True) if x.numel() else x.new_zeros(())


def assert_close(actual: Tensor, expected: Tensor, tolerance: float | Tensor, law: str) -> None:
    """Equal shapes; distances within a tolerance, relative to the largest number, or of each."""
    if actual.shape != expected.shape:
        raise AssertionError(f"{law}: shape {list(actual.shape)}, not {list(expected.shape)}")
    off = (actual.double() - expected).abs().detach()
    if not isinstance(tolerance, Tensor):
        tolerance = tolerance * (1 + _top(expected).max() if expected.dim() > 1 else 1.0)
    # NaN is off, unless anything is allowed.
    wrong = ~(off <= tolerance) & ~torch.as_tensor(tolerance).isinf().expand_as(off)
    if wrong.any():
        worst = int(torch.where(wrong, off.nan_to_num(torch.inf), -1.0).argmax())
        pair = [float(x.flatten()[worst]) for x in (actual, expected)]
        raise AssertionError(
            f"{law}: {pair[0]:.6g}, not {pair[1]:.6g}, in {int(wrong.sum())} places"
        )
