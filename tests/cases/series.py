"""Masks on walks and power series, global attention, and their sums and multiples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, reference, walks
from graphmask.topology import Topology

from .base import (
    MASK_REFERENCES,
    Case,
    adjacency_reference,
    mask_reference,
    parameter,
    random_walks,
    scrambled,
    walks_reference,
)

# Coefficients [H, K + 1] as formulas of their parameters.
COEFFICIENTS: dict[type, Callable[[Any], Tensor]] = {
    masks.Free: lambda c: c.value,
    masks.OneHop: lambda c: c.value,
    masks.Spread: lambda c: (1 + c.raw.double().exp()).log(),
    masks.NonNegative: lambda c: (1 + c.raw.double().exp()).log(),
    masks.Diffusion: lambda c: reference.diffusion(c.log_scale.double().exp(), c.hops),
    masks.RegularizedLaplacian: lambda c: reference.regularized_laplacian(
        c.log_scale.double().exp(), c.hops, c.power
    ),
    masks.Cosine: lambda c: reference.cosine(c.log_scale.double().exp(), c.hops),
    masks.PageRank: lambda c: reference.pagerank(1 / (1 + (-c.logit.double()).exp()), c.hops),
    masks.PStepWalk: lambda c: reference.p_step_walk(
        1 / (1 + (-c.logit.double()).exp()), c.hops, c.steps
    ),
    masks.StickBreaking: lambda c: reference.stick_breaking(1 / (1 + (-c.raw.double()).exp())),
    masks.Deconvolution: lambda c: reference.deconvolution(
        coefficients_reference(c.alpha), c.factors
    ),
}


def coefficients_reference(coefficients: masks.Coefficients) -> Tensor:
    return COEFFICIENTS[type(coefficients)](coefficients).double()


def _series(mask: masks.PowerSeriesMask, topology: Topology) -> Tensor:
    if mask.edge_weights is not None:
        return _featured_series(mask, topology)
    return reference.power_series(
        adjacency_reference(topology, mask.normalization), coefficients_reference(mask.alpha)
    )


def _featured_series(mask: masks.PowerSeriesMask, topology: Topology) -> Tensor:
    """Every head has its own adjacency."""
    linear, alpha = mask.edge_weights.linear, coefficients_reference(mask.alpha)
    weights = reference.edge_weights(
        topology.edge_attr, linear.weight, linear.bias, topology.edge_weight
    )
    graph = topology.edge_index, topology.num_nodes
    adjacency = (reference.adjacency(*graph, weight, mask.normalization) for weight in weights)
    return torch.cat(
        [reference.power_series(W, row[None]) for W, row in zip(adjacency, alpha, strict=True)]
    )


def _walk(mask: masks.WalkMask, topology: Topology) -> Tensor:
    S = walks_reference(topology, 0, mask.hops)
    return reference.walk_mask(
        reference.symmetric_part(S) if mask.symmetrize else S, coefficients_reference(mask.alpha)
    )


def _grf(mask: masks.GRFMask, topology: Topology) -> Tensor:
    factors = [
        walks_reference(topology, number, mask.hops)
        for number in (0, 0 if mask.shared_walks else 1)
    ]
    return reference.grf_mask(*factors, coefficients_reference(mask.f))


def _stitched(mask: masks.StitchedMask, topology: Topology) -> Tensor:
    factors = [walks_reference(topology, number, mask.hops) for number in range(2 * mask.degree)]
    return reference.stitched_mask(factors, coefficients_reference(mask.f))


MASK_REFERENCES |= {
    masks.GlobalMask: lambda _, graph: reference.global_mask(graph.num_nodes, graph.batch),
    masks.PowerSeriesMask: _series,
    masks.WalkMask: _walk,
    masks.GRFMask: _grf,
    masks.StitchedMask: _stitched,
    masks.ProductMask: lambda mask, topology: reduce(
        torch.matmul, (mask_reference(term, topology) for term in mask.masks)
    ),
    masks.TransposedMask: lambda mask, topology: mask_reference(mask.masks[0], topology).mT,
    masks.SymmetrizedMask: lambda mask, topology: reference.symmetric_part(
        mask_reference(mask.masks[0], topology)
    ),
    masks.SumMask: lambda mask, topology: sum(
        mask_reference(term, topology) for term in mask.masks
    ),
    masks.HeadwiseMask: lambda mask, topology: torch.cat(
        [mask_reference(part, topology).double().expand(part.heads, -1, -1) for part in mask.masks]
    ),
    masks.ScaledMask: lambda mask, topology: (
        torch.as_tensor(mask.scale, dtype=torch.float64).reshape(-1, 1, 1)
        * mask_reference(mask.mask, topology)
    ),
}


def _grf_mask(*args: Any, hops: int = 2, **options: Any) -> masks.GRFMask:
    return scrambled(masks.GRFMask(hops, *args, sampler=random_walks(hops), **options))


def walk_mask(
    alpha: Any = masks.Free, heads: int = 2, hops: int = 3, **options: Any
) -> masks.WalkMask:
    return scrambled(
        masks.WalkMask(hops, heads, alpha, sampler=random_walks(hops, **options), seed=3)
    )


def _symmetrized(alpha: Any = masks.Free) -> masks.WalkMask:
    return scrambled(masks.WalkMask(3, 2, alpha, sampler=random_walks(3), symmetrize=True))


def _stitched_mask(**coefficients: Any) -> masks.StitchedMask:
    return scrambled(masks.StitchedMask(2, 2, 2, **coefficients, sampler=random_walks(2)))


def power_series(
    order: int, alpha: Any = masks.NonNegative, heads: int = 2, **options: Any
) -> masks.PowerSeriesMask:
    return scrambled(masks.PowerSeriesMask(order, heads, alpha, **options))


MASKS = (
    Case("global", masks.GlobalMask),
    Case("power-series-0", lambda: power_series(0, masks.Free), True),
    Case("power-series-1", lambda: power_series(1, masks.Free, normalization="rw"), True),
    Case("power-series", lambda: power_series(3), True),
    Case("power-series-signed", lambda: power_series(2, masks.Free, normalization=None), True),
    Case("power-series-diffusion", lambda: power_series(3, masks.Diffusion), True),
    Case("walk-free", walk_mask),
    Case("walk-shared", lambda: walk_mask(heads=1)),
    Case("walk-one-hop", lambda: walk_mask(masks.OneHop)),
    Case("walk-spread", lambda: walk_mask(masks.Spread)),
    Case("walk-non-negative", lambda: walk_mask(masks.NonNegative, normalization="rw")),
    Case("walk-diffusion", lambda: walk_mask(masks.Diffusion)),
    Case("walk-laplacian", lambda: walk_mask(partial(masks.RegularizedLaplacian, scale=2.0))),
    Case("walk-stick-breaking", lambda: walk_mask(masks.StickBreaking)),
    Case("walk-pagerank", lambda: walk_mask(masks.PageRank)),
    Case("walk-symmetrized", _symmetrized),
    Case("walk-symmetrized-p-step", lambda: _symmetrized(partial(masks.PStepWalk, steps=2))),
    Case(
        "walk-iid",
        lambda: scrambled(masks.WalkMask(2, 2, sampler=walks.IIDWalks(num_walks=3, hops=3))),
        True,
    ),
    Case("grf", lambda: _grf_mask(2)),
    Case(
        "walk-shells",
        lambda: scrambled(masks.WalkMask(2, 2, sampler=walks.Shells(budget=4, hops=3))),
    ),
    Case("grf-signed", lambda: scrambled(masks.GRFMask(2, 2, masks.Free, sampler=random_walks(3)))),
    Case("grf-shared-walks", lambda: _grf_mask(shared_walks=True)),
    Case("grf-kernel", lambda: _grf_mask(2, hops=3, alpha=masks.Diffusion)),
    Case("grf-kernel-signed", lambda: _grf_mask(2, alpha=masks.Cosine)),
    Case("stitched", _stitched_mask),
    Case(
        "stitched-kernel",
        lambda: _stitched_mask(alpha=partial(masks.RegularizedLaplacian, power=2)),
    ),
    Case("scaled", lambda: 0.3 * walk_mask()),
    Case("scaled-per-head", lambda: parameter(0.5, -0.2) * masks.GlobalMask()),
    Case("product", lambda: walk_mask(masks.Diffusion) @ masks.GlobalMask()),
    Case("product-signed", lambda: power_series(2, masks.Free) @ walk_mask()),
    Case("transposed", lambda: walk_mask().mT),
    Case("transposed-sum", lambda: (masks.GlobalMask() - power_series(2)).mT, True),
    Case("symmetrize", lambda: masks.symmetrize(walk_mask())),
    Case("symmetrize-wide", lambda: -masks.symmetrize(power_series(2)) @ power_series(1), True),
    Case("sum-positive", lambda: 0.5 * masks.GlobalMask() + walk_mask(masks.Diffusion)),
    Case("sum-signed", lambda: 0.3 * masks.GlobalMask() + walk_mask()),
    Case("sum-negative", lambda: -0.3 * masks.GlobalMask() + walk_mask()),
    Case(
        "sum-learned",
        lambda: parameter(0.2, -0.4) * masks.GlobalMask() + walk_mask() + walk_mask(masks.PageRank),
    ),
    Case("sum-sparse", lambda: walk_mask() + 2 * walk_mask(masks.Diffusion, heads=1)),
    Case("sum-wide", lambda: masks.GlobalMask() + power_series(2), True),
    Case("sum-of-walks", lambda: _grf_mask(2, hops=1) + walk_mask(hops=2)),
    Case("sum-of-all-walks", lambda: _symmetrized() + _stitched_mask()),
    Case("headwise", lambda: masks.HeadwiseMask([walk_mask(heads=1), masks.GlobalMask()])),
    Case(
        "headwise-sparse",
        lambda: masks.HeadwiseMask([walk_mask(masks.Diffusion, 1, 2), _grf_mask(1, hops=3)]),
    ),
    Case(
        "headwise-wide",
        lambda: masks.HeadwiseMask([masks.GlobalMask(), -1 * power_series(2, heads=1)]),
        True,
    ),
)
