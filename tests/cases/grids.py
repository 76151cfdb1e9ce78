"""Masks on sequences, grids, hypercubes and products of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.testing import example_topologies
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, mask_reference, parameter, random_walks, scrambled
from .graphs import edgeless, normal


def grids(size: int) -> Callable[[], dict[str, Topology]]:
    """One graph of this many nodes, and several of them mixed."""

    def make() -> dict[str, Topology]:
        return {"one": edgeless(size), "several": edgeless(size, size, size)}

    return make


def sequences() -> dict[str, Topology]:
    """Longer than a chunk, too."""
    return {"one": edgeless(1), "long": edgeless(150), "ragged": edgeless(3, 130, 1, 65, 2)}


def batch_of(topology: Topology) -> Tensor:
    zeros = torch.zeros(topology.num_nodes, dtype=torch.long)
    return zeros if topology.batch is None else topology.batch


def _causal(mask: masks.CausalMask, topology: Topology) -> Tensor:
    gamma = torch.ones(1) if mask.logit is None else 1 / (1 + (-mask.logit.double()).exp())
    return reference.causal_mask(topology.num_nodes, gamma, topology.batch)


def _toeplitz(mask: masks.ToeplitzMask, topology: Topology) -> Tensor:
    value = mask.raw.double() if mask.signed else mask.raw.double().exp()
    of_grid = reference.grid_distance_mask if mask.shared else reference.toeplitz_mask
    block = of_grid(value, mask.shape)
    return reference.blocks_of(
        reference.with_class_token(block) if mask.class_token else block, batch_of(topology)
    )


def _grid_diffusion(mask: masks.GridDiffusionMask, topology: Topology) -> Tensor:
    t = mask.log_t.double().exp().expand(-1, len(mask.shape))
    return reference.blocks_of(reference.grid_diffusion_mask(t, mask.shape), batch_of(topology))


def _hypercube(mask: masks.HypercubeMask, topology: Topology) -> Tensor:
    batch, n = batch_of(topology), topology.num_nodes
    dense = torch.zeros(mask.heads, n, n, dtype=torch.float64)
    for graph in batch.unique():
        nodes = (batch == graph).nonzero().squeeze(1)
        block = reference.hypercube_mask(mask.log_t.double().exp(), len(nodes).bit_length() - 1)
        select = torch.nn.functional.one_hot(nodes, n).double()
        dense = dense + select.mT @ block @ select
    return dense


def _kronecker(mask: masks.KroneckerMask, topology: Topology) -> Tensor:
    factors = zip((mask.a, mask.b), mask._factors(topology), strict=True)
    blocks = [mask_reference(*factor) for factor in factors]
    return reference.blocks_of(reference.kronecker_mask(*blocks), batch_of(topology))


def _chunks(mask: masks.ChunkMask, topology: Topology) -> Tensor:
    batch = batch_of(topology)
    before = batch.unsqueeze(0) == batch.unsqueeze(1)
    chunk = (before.tril(-1).sum(1) // mask.size).unsqueeze(1)
    return (before & (chunk == chunk.mT)).double()[None]


MASK_REFERENCES |= {
    masks.CausalMask: _causal,
    masks.ChunkMask: _chunks,
    masks.GridDiffusionMask: _grid_diffusion,
    masks.HypercubeMask: _hypercube,
    masks.KroneckerMask: _kronecker,
    masks.ToeplitzMask: _toeplitz,
}


def cubes() -> dict[str, Topology]:
    sizes = {"one": (1,), "two": (2,), "sixteen": (16,), "mixed": (4, 1, 8, 4, 2)}
    return {name: edgeless(*each) for name, each in sizes.items()}


def diffusion(*shape: int, **options: Any) -> masks.GridDiffusionMask:
    return scrambled(masks.GridDiffusionMask(shape, heads=2, **options))


def toeplitz(*shape: int, **options: Any) -> masks.ToeplitzMask:
    return scrambled(masks.ToeplitzMask(shape, heads=2, **options))


def _toeplitz_operator(topology: Topology) -> operators.ToeplitzOperator:
    return operators.ToeplitzOperator(topology, (2, 3), normal(2, 3, 5), nonnegative=False)


MASKS = (
    Case("causal", masks.CausalMask),
    Case("causal-decay", lambda: scrambled(masks.CausalMask(0.9, heads=2))),
    Case("causal-chunks", masks.CausalMask, topologies=sequences),
    Case(
        "causal-decay-chunks",
        lambda: scrambled(masks.CausalMask((0.9, 0.99))),
        topologies=sequences,
    ),
    Case("causal-again", lambda: masks.CausalMask(chunk=2)),
    Case(
        "causal-decay-again",
        lambda: scrambled(masks.CausalMask((0.9, 0.99), chunk=40)),
        topologies=sequences,
    ),
    Case("chunks", lambda: masks.ChunkMask(3)),
    Case("chunks-causal", lambda: masks.CausalMask() - masks.ChunkMask(2) * masks.CausalMask()),
    Case("toeplitz-line", lambda: toeplitz(7), topologies=grids(7)),
    Case("toeplitz-plane", lambda: toeplitz(3, 4), topologies=grids(12)),
    Case("toeplitz-space", lambda: toeplitz(2, 1, 3), topologies=grids(6)),
    Case("toeplitz-signed", lambda: toeplitz(2, 5, signed=True), topologies=grids(10)),
    Case("toeplitz-class-token", lambda: toeplitz(3, 2, class_token=True), topologies=grids(7)),
    Case("toeplitz-distance", lambda: toeplitz(3, 3, shared="distance"), topologies=grids(9)),
    Case(
        "toeplitz-distance-space",
        lambda: toeplitz(2, 2, 2, shared="distance", class_token=True),
        topologies=grids(9),
    ),
    Case("toeplitz-one-node", lambda: toeplitz(1), topologies=grids(1)),
    Case("grid-diffusion-line", lambda: diffusion(7), topologies=grids(7)),
    Case("grid-diffusion-plane", lambda: diffusion(3, 4, per_axis=True), topologies=grids(12)),
    Case("grid-diffusion-space", lambda: diffusion(2, 1, 3), topologies=grids(6)),
    Case("grid-diffusion-one-node", lambda: diffusion(1), topologies=grids(1)),
    Case("hypercube", lambda: scrambled(masks.HypercubeMask(heads=2)), topologies=cubes),
)


def _factors() -> masks.KroneckerMask:
    return masks.KroneckerMask(
        toeplitz(2, class_token=True), masks.GlobalMask(), graphs=(None, edgeless(1, 3))
    )


def _video() -> masks.KroneckerMask:
    grid = 0.5 * masks.ToeplitzMask((2, 2), heads=2) + parameter(0.2, 0.4) * masks.GlobalMask()
    return scrambled(masks.KroneckerMask(masks.CausalMask(0.9, length=3), grid))


def _walks_and_grid(topology: Topology) -> operators.KroneckerOperator:
    ring, walked = example_topologies()["ring"], masks.WalkMask(2, 2, sampler=random_walks(2))
    return operators.KroneckerOperator(
        topology, walked(walked.prepare(ring)), toeplitz(2)(edgeless(2))
    )


MASKS += (
    Case("kronecker", lambda: masks.KroneckerMask(diffusion(2), toeplitz(5)), topologies=grids(10)),
    Case("kronecker-video", _video, topologies=grids(12)),
    Case("kronecker-factors", _factors, topologies=grids(12)),
    Case(
        "kronecker-signed",
        lambda: masks.KroneckerMask(toeplitz(2, signed=True), toeplitz(3)),
        topologies=grids(6),
    ),
    Case(
        "kronecker-nested",
        lambda: masks.KroneckerMask(masks.KroneckerMask(toeplitz(2), diffusion(2)), toeplitz(2)),
        topologies=grids(8),
    ),
)

OPERATORS = (
    Case("causal", operators.CausalOperator),
    Case(
        "causal-decay",
        lambda t: operators.CausalOperator(t, torch.tensor([-1e-3, -40.0])),
        topologies=sequences,
    ),
    Case("toeplitz", _toeplitz_operator, topologies=grids(6)),
    Case(
        "grid-diffusion",
        lambda t: operators.GridDiffusionOperator(t, (3, 2), torch.ones(2, 1)),
        topologies=grids(6),
    ),
    Case(
        "hypercube",
        lambda t: operators.HypercubeOperator(t, torch.tensor([0.2, 0.0])),
        topologies=lambda: {"64": edgeless(64)},
    ),
    Case("kronecker", _walks_and_grid, topologies=grids(14)),
)
