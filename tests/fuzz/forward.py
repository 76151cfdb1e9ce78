"""Attention and layers are their definition: any graph, mask, feature map, heads, dtype, size."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import cases
import torch
from torch import Tensor

import graphmask as gm
from graphmask.testing._numbers import default_dtype

from . import definition, graphs
from .campaign import Draw, Refused
from .definition import assert_close
from .masks import Masks

CASES = 20_000
_DTYPES = (
    torch.float64,
    torch.float64,
    torch.float32,
    torch.float32,
    torch.bfloat16,
    torch.float16,
)
_CHANNELS = 5  # of the registered feature maps
_NO_PRODUCT = "sparse or of low rank"


@cache
def feature_map(name: str, dtype: torch.dtype) -> Any:
    case = next(case for case in cases.FEATURES if case.name == name)
    with default_dtype(torch.float64):
        return cases.seeded(case.make).to(dtype)


def case(seed: int) -> None:
    draw = Draw("forward", seed)
    dtype = draw.choice(_DTYPES)
    # Masks in half precision are those of layers; operators sum in float32.
    wide = dtype if dtype == torch.float64 else torch.float32
    with default_dtype(wide), torch.set_grad_enabled(draw.chance(0.5)):
        family = Masks(draw)
        mask = family.mask(draw.choice([0, 0, 1, 2, 3]))
        stored = draw.choice([wide, wide, wide, *definition.TOLERANCE])
        graph = graphs.topology(draw, family.kind, stored, family.size)
        graph, operator = operator_of(mask, graph)
        M = definition.mask(mask, graph)
        definition.check_walks(mask, graph)
        tolerance = definition.tolerance_of(graph, wide)
        _sign(mask, operator, M, tolerance)
        assert_close(operator.to_dense().double(), M, tolerance, "mask")
        _products(draw, operator, M, tolerance, wide)
        _attention(draw, operator, M, tolerance, family.heads, dtype)
        if draw.chance(0.3):
            _layer(draw, mask, graph, tolerance, family.heads, dtype)


def operator_of(mask: Any, graph: gm.Topology) -> tuple[gm.Topology, gm.operators.MaskOperator]:
    """Return the prepared topology and the operator.

    Raises:
        Refused: where the library does not define the mask, and says so.
    """
    try:
        graph = mask.prepare(graph)
        return graph, mask(graph)
    except ValueError as error:
        documented = "low rank", "sparse", "root", "Kronecker", "2^d", "undirected"
        if any(word in str(error) for word in documented):
            raise Refused(str(error)) from error
        raise


def _sign(mask: Any, operator: Any, M: Tensor, tolerance: float) -> None:
    """A mask whose sums need no absolute values is non-negative, or estimates one that is."""
    estimates = gm.masks.RFDMask, gm.masks.FourierMask, gm.masks.DiffusionMask
    estimated = any(isinstance(part, estimates) for part in mask.modules())
    if operator.estimate and not estimated:
        raise AssertionError(f"{operator!r} says that it is an estimate")
    if operator.nonnegative and (-tolerance * (1 + M.abs()) > M).any():
        raise AssertionError(f"{operator!r} says that it is non-negative, and is not")


def _products(draw: Draw, operator: Any, M: Tensor, tolerance: float, dtype: torch.dtype) -> None:
    heads, n, _ = M.shape
    x = draw.normal(*draw.choice([(n,), (n, 2), (heads, n, 1), (2, 1, n, 3)]), dtype=dtype)
    scale = tolerance * (1 + n)
    assert_close((operator @ x).double(), M @ x.double(), scale, "operator @ x")
    assert_close((operator.mT @ x).double(), M.mT @ x.double(), scale, "operator.mT @ x")
    nodes = draw.integers(n, 0 if n == 0 else 2)
    assert_close(operator.rows(nodes).double(), M[:, nodes], scale, "operator.rows")


def _attention(
    draw: Draw, operator: Any, M: Tensor, tolerance: float, heads: int, dtype: torch.dtype
) -> None:
    n, case = operator.num_nodes, draw.choice(cases.FEATURES)
    phi, scale = feature_map(case.name, dtype), draw.choice([0.3, 1.0, 3.0])
    q, k = (scale * draw.normal(n, heads, _CHANNELS, dtype=dtype) for _ in range(2))
    v = draw.normal(n, heads, draw.integer(1, 3), dtype=dtype)
    norm = definition.normalizer(draw, phi, heads)
    scores = phi.scores if norm.needs_denominator else phi.scores.unnormalized()
    executions = [way for way in cases.EXECUTIONS if way.refusal(operator, scores) is None]
    way = draw.choice([None, None, *executions])
    actual = gm.attention(q, k, v, operator, phi, way, norm)
    if actual.dtype != dtype:
        raise AssertionError(f"attention in {dtype} gave {actual.dtype}")
    expected, allowed = _expected(operator, phi, norm, M, q, k, v, case, tolerance, dtype)
    law = f"attention by {way} with {case.name} and {norm}"
    assert_close(actual, expected, allowed, law)
    if (
        isinstance(norm, gm.normalizers.RowSums)
        and (operator.nonnegative or not operator.sums_itself)
        and (phi.nonnegative or phi.scores.signed)
    ):
        # Averages, or differences of averages: no rounding takes them beyond the values.
        largest = v.abs().max() * (1 + definition.TOLERANCE[dtype]) if v.numel() else 0.0
        assert_close(actual.clamp(-largest, largest), actual.double(), 0.0, f"size of {law}")


def _expected(
    operator: Any,
    phi: Any,
    norm: Any,
    M: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    case: Any,
    tolerance: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    s, size, top = definition.scores(phi, q, k, case)
    Z = (M if operator.sums_itself and not phi.scores.signed else M.abs()) * (
        s.abs() if phi.scores.signed else s
    )
    total, scale = (
        definition.denominator(norm, Z, top).detach(),
        definition.degree_scale(norm, operator.topology).detach(),
    )
    out = definition.attention(M, s, size, v, total, tolerance, definition.TOLERANCE[dtype])
    return out[0] * scale, out[1] * (1 + scale.abs())


def _layer(
    draw: Draw, mask: Any, graph: gm.Topology, tolerance: float, heads: int, dtype: torch.dtype
) -> None:
    """A layer of its own weights, on a topology or on raw edges, and its rows."""
    case = draw.choice(cases.FEATURES)
    phi = feature_map(case.name, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw.integer(0, 99))
        norm = definition.normalizer(draw, phi, heads)
        layer = gm.nn.TopologicalAttention(
            heads * _CHANNELS, heads, deepcopy(mask), phi, normalizer=norm
        )
    layer = layer.to(dtype).eval()
    x = draw.normal(graph.num_nodes, layer.channels, dtype=dtype)
    q, k, v = layer.qkv(x).unflatten(1, (3, heads, -1)).unbind(1)
    M, operator = definition.mask(layer.mask, graph), layer.mask(graph)
    tolerance = max(tolerance, definition.TOLERANCE[dtype])
    expected, allowed = _expected(operator, phi, norm, M, q, k, v, case, tolerance, dtype)
    W = layer.out.weight.double()
    out = expected.flatten(1) @ W.mT + layer.out.bias.double()
    bound = allowed.flatten(1) @ W.abs().mT + tolerance
    assert_close(layer(x, graph), out, bound, f"layer with {case.name} and {norm}")
    rows = layer.attention_rows(torch.arange(graph.num_nodes), x, graph)
    mixed = torch.einsum("nhj,jhd->nhd", rows.double(), v.double())
    assert_close(mixed, expected, allowed, f"attention_rows with {case.name} and {norm}")
