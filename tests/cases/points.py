"""Masks of low rank, entrywise products, and masks on positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.operators import MaskOperator
from graphmask.testing import batch_topologies
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, mask_reference, parameter, scrambled
from .graphs import NONE, generator, normal
from .operators import sparse as _sparse
from .series import power_series, walk_mask


def _normal(topology: Topology, heads: int, rank: int, seed: int) -> Tensor:
    return normal(heads, topology.num_nodes, rank, seed=seed).to(torch.get_default_dtype())


def _low_rank(
    topology: Topology, rank: int = 3, heads: int = 2, **options: bool
) -> operators.LowRankOperator:
    return operators.LowRankOperator(
        topology, _normal(topology, heads, rank, 4), _normal(topology, 2, rank, 5), **options
    )


def _positive(topology: Topology, rank: int) -> operators.LowRankOperator:
    factor = _normal(topology, 1, rank, 6).abs()
    return operators.LowRankOperator(topology, factor, factor.flip(1), nonnegative=True)


def _series(topology: Topology, order: int = 3) -> MaskOperator:
    return power_series(order, masks.NonNegative)(topology)


def clouds() -> dict[str, Topology]:
    """Points in space, some coinciding, one cloud far from the origin; interleaved batches."""
    source = generator()

    def cloud(n: int, far: float = 0.0) -> Topology:
        pos = torch.rand(n, 3, generator=source, dtype=torch.float64) + far
        pos[n // 2 :: 4] = pos[0].clone()
        return Topology(NONE, n, pos=pos)

    single, pair, seven, thirteen = cloud(1), cloud(2), cloud(7, far=30.0), cloud(13)
    return {
        "single": single,
        "pair": pair,
        "seven": seven,
        "thirteen": thirteen,
        "equal": batch_topologies([cloud(7), cloud(7)], interleaved=True)[0],
        "ragged": batch_topologies([seven, single, thirteen, pair], interleaved=True)[0],
    }


def _rfd(mask: masks.RFDMask, topology: Topology) -> Tensor:
    W = reference.wave_adjacency(topology.pos, mask.frequency, mask.weight)
    return reference.cloud_diffusion(W, mask.log_scale.double().exp(), topology.batch)


def rfd(**options: Any) -> masks.RFDMask:
    return scrambled(masks.RFDMask(**{"num_features": 5, "epsilon": 0.5, "heads": 2, **options}))


def _fourier(mask: masks.FourierMask, topology: Topology) -> Tensor:
    """Positions are relative to the mean of their graph, and c is split into two factors."""
    xi, tau = mask.frequency, _transform(mask)
    p = torch.exp(-(xi.double() ** 2).sum(-1) / 2) / (2 * torch.pi) ** (mask.dim / 2)
    c = tau / p / len(xi)
    root = (c**2 + (0.01 / len(xi)) ** 2) ** 0.25
    same = reference.global_mask(topology.num_nodes, topology.batch)[0]
    pos = topology.pos.double() - same @ topology.pos.double() / same.sum(1, keepdim=True)
    phase = 2 * torch.pi * pos / mask.length @ xi.double().mT
    waves = torch.cat([phase.cos(), phase.sin()], 1)
    a, b = (waves * torch.cat([factor, factor], 1)[:, None] for factor in (root, c / root))
    return reference.positive_product(a, b, mask.projection) * same


def _transform(mask: masks.FourierMask) -> Tensor:
    return reference.gaussian_mixture(
        mask.frequency, mask.amplitude, mask.centre, mask.log_width.double().exp()
    )


def fourier(**options: Any) -> masks.FourierMask:
    mask = scrambled(
        masks.FourierMask(
            **{"heads": 2, "num_frequencies": 4, "num_gaussians": 3, "num_features": 3, **options}
        )
    )
    mask.amplitude.data *= 0.1
    return mask


MASK_REFERENCES |= {
    masks.FourierMask: _fourier,
    masks.RFDMask: _rfd,
    masks.HadamardMask: lambda mask, topology: reference.hadamard(
        *(mask_reference(factor, topology) for factor in mask.masks)
    ),
}

MASKS = (
    Case("hadamard-sparse", lambda: walk_mask() * power_series(1, masks.Free)),
    Case("hadamard-of-walks", lambda: walk_mask(masks.Diffusion) * walk_mask(heads=1, hops=2)),
    Case(
        "hadamard-ones",
        lambda: (parameter(0.5, -0.2) * masks.GlobalMask()) * power_series(2),
        differentiable=True,
    ),
    Case(
        "hadamard-sum", lambda: walk_mask() * (0.3 * masks.GlobalMask() + walk_mask(masks.PageRank))
    ),
    Case("fourier", fourier, topologies=clouds),
    Case("fourier-wide", lambda: fourier(heads=1, num_features=9, length=2.0), topologies=clouds),
    Case("hadamard-fourier", lambda: fourier() * power_series(2, masks.Free), topologies=clouds),
    Case("hadamard-fourier-rfd", lambda: fourier(heads=1) * rfd(), topologies=clouds),
    Case("rfd", rfd, topologies=clouds),
    Case("rfd-box", lambda: rfd(edges=masks.BoxEdges, heads=1), topologies=clouds),
    Case("rfd-wide", lambda: rfd(num_features=9, epsilon=0.2), topologies=clouds),
    Case("rfd-and-signed-walks", lambda: rfd() + walk_mask(hops=2), topologies=clouds),
    Case("rfd-scaled", lambda: parameter(0.5, -0.2) * rfd(), topologies=clouds),
    Case("rfd-and-global", lambda: rfd() + 0.1 * masks.GlobalMask(), topologies=clouds),
    Case("hadamard-rfd", lambda: rfd() * rfd(seed=1, heads=1, num_features=2), topologies=clouds),
    Case("hadamard-rfd-walks", lambda: rfd() * walk_mask(hops=2), topologies=clouds),
)

OPERATORS = (
    Case("low-rank", _low_rank),
    Case("low-rank-estimate", lambda t: _low_rank(t, rank=2, heads=1, estimate=True)),
    Case("low-rank-estimate-wide", lambda t: _low_rank(t, rank=9, estimate=True)),
    Case("low-rank-positive", lambda t: _positive(t, rank=2)),
    Case("low-rank-positive-wide", lambda t: _positive(t, rank=6)),
    Case(
        "low-rank-and-global", lambda t: operators.GlobalOperator(t) + _low_rank(t, estimate=True)
    ),
    Case("hadamard", lambda t: operators.HadamardOperator(_series(t), _low_rank(t, heads=1))),
    Case("hadamard-positive", lambda t: _positive(t, rank=2) * _series(t)),
    Case("hadamard-positive-wide", lambda t: _series(t) * _positive(t, rank=6)),
    Case("hadamard-estimate", lambda t: _series(t) * _low_rank(t, estimate=True)),
    Case("hadamard-signed", lambda t: power_series(2, masks.Free)(t) * _positive(t, rank=2)),
    Case("hadamard-low-rank", lambda t: _low_rank(t) * _positive(t, rank=2)),
    Case("hadamard-sparse", lambda t: _sparse(t) * _low_rank(t)),
    Case("hadamard-sparse-both", lambda t: _sparse(t) * _sparse(t, 1)),
    Case(
        "hadamard-scaled",
        lambda t: (torch.tensor([0.5, -2.0]) * _series(t)) * (2 * _positive(t, rank=2)),
    ),
    Case(
        "hadamard-sum",
        lambda t: (_sparse(t) + _positive(t, rank=2)) * (_positive(t, rank=1) + _low_rank(t)),
    ),
)
