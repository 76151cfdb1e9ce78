"""The families of masks, each with the graph that it is measured on.

To add one, extend FAMILIES: a line each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from graphmask._console import find_named
from graphmask.attention import attention
from graphmask.benchmark.contenders import Contender, Workload
from graphmask.benchmark.problem import HEADS, Problem
from graphmask.masks import (
    CausalMask,
    DegreeMask,
    DiffusionMask,
    FourierMask,
    GlobalMask,
    GRFMask,
    GridDiffusionMask,
    HypercubeMask,
    KroneckerMask,
    NonNegative,
    PolynomialExponentialDistance,
    PowerSeriesMask,
    RandomWalkKernelMask,
    RFDMask,
    SeparatorMask,
    ShortestPathMask,
    StitchedMask,
    TableDistance,
    ToeplitzMask,
    TopologicalMask,
    TreeDistanceMask,
    WalkMask,
)
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks

from .grounds import CLOUD, GRID, HYPERCUBE, LENGTHS, SEQUENCE, SPHERE, TREE, Ground


class GroundProblem(Problem):
    """A graph of a kind, and features of its nodes."""

    def __init__(self, ground: Ground, num_nodes: int, seed: int, device: str) -> None:
        made = ground.make(num_nodes, seed)
        pos = torch.zeros(num_nodes, 0) if made.pos is None else made.pos
        super().__init__(num_nodes, seed, device, lambda *_: (pos, made.edge_index))
        weight = None if made.edge_weight is None else made.edge_weight.to(self.device)
        self.topology = Topology(
            self.edge_index, num_nodes, weight, pos=None if made.pos is None else self.pos
        )


@dataclass(frozen=True)
class Family(Contender):
    """Attention under a mask, on a graph that suits it.

    Args:
        name: as in tables and on the command line.
        about: what it is, in one line.
        ground: the kind of graph.
        mask: makes the mask; called with the shape where the graph is a grid. Picklable: no lambda.
        library: who ships it. (default: :obj:`"graphmask"`)
    """

    name: str
    about: str
    ground: Ground
    mask: Callable[..., TopologicalMask]
    library: str = "graphmask"

    def make(self, num_nodes: int) -> TopologicalMask:
        """The mask of graphs of N nodes."""
        return self.mask() if self.ground.shape is None else self.mask(self.ground.shape(num_nodes))

    def pose(self, nodes: int, seed: int, device: str, reorder: bool = False) -> GroundProblem:
        """The graph and its features; orders are those of the kind of graph."""
        return GroundProblem(self.ground, nodes, seed, device)

    def prepare(self, problem: Problem) -> Topology:
        """The topology with all that the mask reads."""
        assert isinstance(problem, GroundProblem)
        return self.make(problem.num_nodes).prepare(problem.topology)

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        """From q, k, v to the attended values; the mask's values are made in every call."""
        mask, qkv = self.make(problem.num_nodes).to(problem.device), problem.qkv
        with torch.no_grad():
            work = mask(prepared).cost
        return Workload(
            lambda: attention(*qkv, mask(prepared)), (*qkv, *mask.parameters()), multiply_adds=work
        )


def _sum() -> TopologicalMask:
    return 0.1 * GlobalMask() + _WALK()


def _kronecker(shape: tuple[int, int]) -> TopologicalMask:
    rows, columns = shape
    return KroneckerMask(
        CausalMask(0.9, heads=HEADS, length=rows), GridDiffusionMask(columns, heads=HEADS)
    )


def _hadamard() -> TopologicalMask:
    return CausalMask() * _WALK()


def _product() -> TopologicalMask:
    return _SHORT_WALK() @ _SHORT_WALK()


_SHORT = ResampledWalks(budget=16, hops=4)
_WALK = partial(WalkMask, hops=8, heads=HEADS, sampler=ResampledWalks(budget=64, hops=8))
_SHORT_WALK = partial(WalkMask, hops=4, heads=HEADS, alpha=NonNegative, sampler=_SHORT)
_VISITS = partial(
    RandomWalkKernelMask, heads=HEADS, sampler=ResampledWalks(budget=16, hops=4, normalization="rw")
)
_DIFFUSION = partial(DiffusionMask, heads=HEADS)
_SERIES = partial(PowerSeriesMask, hops=4, heads=HEADS)
_GRF = partial(GRFMask, hops=4, heads=HEADS, sampler=_SHORT)
_STITCHED = partial(StitchedMask, degree=2, hops=4, heads=HEADS, sampler=_SHORT)
_TREE = partial(TreeDistanceMask, heads=HEADS)
_POLYNOMIAL = partial(_TREE, partial(PolynomialExponentialDistance, degree=2))
_TABLE = partial(_TREE, partial(TableDistance, 64))
_FOURIER = partial(FourierMask, num_features=32, heads=HEADS)
_TOEPLITZ = partial(ToeplitzMask, heads=HEADS)

BASE = "global"

FAMILIES: tuple[Family, ...] = (
    Family(BASE, "GlobalMask: unmasked linear attention", SPHERE, GlobalMask),
    Family("power-series", "PowerSeriesMask of order 4", SPHERE, _SERIES),
    Family("walk", "WalkMask of 8 hops, about 64 pairs per node", SPHERE, _WALK),
    Family("grf", "GRFMask, two factors of 4 hops, about 16 pairs per node each", SPHERE, _GRF),
    Family("stitched", "StitchedMask of degree 2, four such factors", SPHERE, _STITCHED),
    Family("sum", "0.1 * GlobalMask() + WalkMask, as in `walk`", SPHERE, _sum),
    Family(
        "product", "WalkMask @ WalkMask, of 4 hops, about 16 pairs per node each", SPHERE, _product
    ),
    Family("hadamard", "CausalMask() * WalkMask, as in `walk`", SPHERE, _hadamard),
    Family(
        "random-walk-kernel",
        "RandomWalkKernelMask of 4 hops, about 16 pairs per node",
        SPHERE,
        _VISITS,
    ),
    Family(
        "shortest-path",
        "ShortestPathMask of 3 hops",
        SPHERE,
        partial(ShortestPathMask, hops=3, heads=HEADS),
    ),
    Family(
        "separator",
        "SeparatorMask, exponential, tolerance 0.25",
        LENGTHS,
        partial(SeparatorMask, heads=HEADS),
    ),
    Family("diffusion", "DiffusionMask, heat, t = 1, tolerance 1e-6", SPHERE, _DIFFUSION),
    Family(
        "resolvent",
        "DiffusionMask, resolvent, a = 0.5, tolerance 1e-6",
        SPHERE,
        partial(_DIFFUSION, kernel="resolvent"),
    ),
    Family("tree-exponential", "TreeDistanceMask, exponential", TREE, _TREE),
    Family(
        "tree-polynomial",
        "TreeDistanceMask, polynomial of degree 2 times exponential",
        TREE,
        _POLYNOMIAL,
    ),
    Family("tree-table", "TreeDistanceMask, 64 free values", TREE, _TABLE),
    Family("degree", "DegreeMask, of rank 2", SPHERE, partial(DegreeMask, heads=HEADS)),
    Family(
        "rfd", "RFDMask, 32 random features", CLOUD, partial(RFDMask, num_features=32, heads=HEADS)
    ),
    Family("fourier", "FourierMask, 64 frequencies, 32 random features", CLOUD, _FOURIER),
    Family("causal", "CausalMask without decay", SEQUENCE, CausalMask),
    Family(
        "causal-decay",
        "CausalMask with a learned decay per head",
        SEQUENCE,
        partial(CausalMask, 0.9, heads=HEADS),
    ),
    Family("toeplitz", "ToeplitzMask, a value per offset", GRID, _TOEPLITZ),
    Family(
        "toeplitz-distance",
        "ToeplitzMask, a value per distance",
        GRID,
        partial(_TOEPLITZ, shared="distance"),
    ),
    Family("grid-diffusion", "GridDiffusionMask", GRID, partial(GridDiffusionMask, heads=HEADS)),
    Family(
        "kronecker",
        "Kronecker of CausalMask along columns and GridDiffusionMask along rows",
        GRID,
        _kronecker,
    ),
    Family("hypercube", "HypercubeMask", HYPERCUBE, partial(HypercubeMask, heads=HEADS)),
)


def find_families(names: Sequence[str]) -> tuple[Family, ...]:
    """Families by name, in the order asked for.

    Raises:
        ValueError: for an unknown name; it lists the known ones.

    Example:
        >>> [family.ground.name for family in find_families(["walk"])]
        ['sphere']
    """
    return find_named("families", names, FAMILIES)
