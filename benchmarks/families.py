"""What every family of masks costs, each on a graph that suits it.

Forward and backward of ``gm.attention``, 4 heads of 16 channels, ReLU features, in interleaved
rounds. The exponent of the time is printed beside that of the multiply-adds that the definition
counts; ``*`` marks a family that grew faster by more than 0.1. Reproduces the tables of
docs/families/costs.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from runner import Row, Study, choose, numbers, print_table, progress
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask.attention import attention
from graphmask.benchmark import (
    QUANTITIES,
    Implementation,
    Measurement,
    Problem,
    Settings,
    Status,
    Workload,
    fit_exponent,
    run,
)
from graphmask.benchmark.graphs import CHANNELS, HEADS, ordered_sphere_graph
from graphmask.features import FeatureMap, LinearRandomizedFeatures, SquaredReLUScores
from graphmask.masks import (
    AdaptiveWalkMask,
    CausalMask,
    ChunkMask,
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
    RippleMask,
    SeparatorMask,
    ShortestPathMask,
    StitchedMask,
    TableDistance,
    ToeplitzMask,
    TopologicalMask,
    TreeDistanceMask,
    WalkMask,
)
from graphmask.nn._clusters import make_clusters
from graphmask.nn.multilevel_attention import attend_by_clusters
from graphmask.topology import Topology
from graphmask.transforms import Hilbert, MinimumSpanningTree
from graphmask.walks import ResampledWalks

# Blocks per cluster of attention at many resolutions.
_BLOCKS = 4

# By how much a measured exponent may exceed the definition's.
NOISE = 0.1


class Graph(NamedTuple):
    """A kind of graph, from N and a seed; ``shape`` is that of a grid of N nodes."""

    name: str
    about: str
    make: Callable[[int, int], Topology]
    shape: Callable[[int], tuple[int, ...]] | None = None


def sphere(num_nodes: int, seed: int) -> Topology:
    """Join nearest neighbours on the unit sphere, nodes in the order of a Hilbert curve."""
    pos, edge_index = ordered_sphere_graph(num_nodes, seed)
    return Topology(edge_index, num_nodes, pos=pos)


def lengths(num_nodes: int, seed: int) -> Topology:
    """Weigh the edges of :func:`sphere` by their lengths in units of the mean."""
    pos, edge_index = ordered_sphere_graph(num_nodes, seed)
    length = (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=1)
    return Topology(edge_index, num_nodes, length / length.mean(), pos=pos)


def tree(num_nodes: int, seed: int) -> Topology:
    """Compute the minimum spanning tree of :func:`lengths`; its edges have length 1."""
    graph = lengths(num_nodes, seed)
    data = Data(edge_index=graph.edge_index, edge_weight=graph.edge_weight, num_nodes=num_nodes)
    return Topology(MinimumSpanningTree()(data).edge_index, num_nodes, pos=graph.pos)


def grid_shape(num_nodes: int) -> tuple[int, int]:
    """Return rows and columns of the grid of N nodes that is nearest to a square."""
    rows = next(rows for rows in range(math.isqrt(num_nodes), 0, -1) if num_nodes % rows == 0)
    return rows, num_nodes // rows


def grid(num_nodes: int, seed: int) -> Topology:
    """Join the nodes of a grid, listed row by row, with up to four neighbours."""
    node = torch.arange(num_nodes).view(grid_shape(num_nodes))
    down = torch.stack([node[1:].flatten(), node[:-1].flatten()])
    right = torch.stack([node[:, 1:].flatten(), node[:, :-1].flatten()])
    pos = torch.cartesian_prod(*map(torch.arange, node.shape)).float()
    edge_index = to_undirected(torch.cat([down, right], 1), num_nodes=num_nodes)
    return Topology(edge_index, num_nodes, pos=pos)


def sequence(num_nodes: int, seed: int) -> Topology:
    """Join each node with the next."""
    node = torch.arange(num_nodes)
    return Topology(to_undirected(torch.stack([node[:-1], node[1:]])), num_nodes)


def hypercube(num_nodes: int, seed: int) -> Topology:
    """Join nodes whose numbers differ in one bit."""
    if num_nodes & (num_nodes - 1):
        raise SystemExit(f"hypercubes have a power of two nodes, got {num_nodes}")
    node = torch.arange(num_nodes)
    flipped = [node ^ (1 << bit) for bit in range(num_nodes.bit_length() - 1)]
    return Topology(torch.stack([node.repeat(len(flipped)), torch.cat(flipped)]), num_nodes)


def cloud(num_nodes: int, seed: int) -> Topology:
    """Draw uniform points in the unit cube, without edges, in the order of a Hilbert curve."""
    pos = torch.from_numpy(np.random.default_rng(seed).random((num_nodes, 3), dtype=np.float32))
    edge_index = torch.empty(2, 0, dtype=torch.long)
    return Topology(edge_index, num_nodes, pos=pos[Hilbert()(Data(pos=pos))])


SPHERE = Graph("sphere", "nearest neighbours, degree about 7, nodes along a Hilbert curve", sphere)
LENGTHS = Graph("lengths", "`sphere`, edges weighted by their lengths", lengths)
TREE = Graph("tree", "minimum spanning tree of `sphere`, edges of length 1", tree)
GRID = Graph("grid", "nodes row by row, four neighbours", grid, grid_shape)
SEQUENCE = Graph("sequence", "nodes in a row", sequence)
HYPERCUBE = Graph("hypercube", "nodes whose numbers differ in one bit are joined", hypercube)
CLOUD = Graph("cloud", "uniform points in the unit cube, no edges, along a Hilbert curve", cloud)
GRAPHS = (SPHERE, LENGTHS, TREE, GRID, SEQUENCE, HYPERCUBE, CLOUD)


class FamilyProblem(Problem):
    """A graph of a kind, and features of its nodes."""

    def __init__(self, graph: Graph, num_nodes: int, seed: int, device: str) -> None:
        topology = graph.make(num_nodes, seed)
        pos: Tensor = torch.zeros(num_nodes, 0) if topology.pos is None else topology.pos
        super().__init__(num_nodes, seed, device, lambda *_: (pos, topology.edge_index))
        weight = None if topology.edge_weight is None else topology.edge_weight.to(self.device)
        points = None if topology.pos is None else self.pos
        topology = Topology(self.edge_index, num_nodes, weight, pos=points)
        self.topology = topology.with_features(self.x)


@dataclass(frozen=True)
class Family(Implementation):
    """Attention under a mask on a graph that suits it.

    ``mask`` is called with the shape where the graph is a grid. Picklable: no lambda.
    """

    graph: Graph
    mask: Callable[..., TopologicalMask]

    @property
    def feature_map(self) -> FeatureMap | None:
        """Phi; none is ReLU."""
        return None

    def definition(self, num_nodes: int) -> str:
        """What attention costs by definition, in letters."""
        return self.make_mask(num_nodes).cost

    def make_mask(self, num_nodes: int) -> TopologicalMask:
        """Build the mask of graphs of N nodes."""
        shape = self.graph.shape
        return self.mask() if shape is None else self.mask(shape(num_nodes))

    def make_problem(self, num_nodes: int, seed: int, device: str, make: Callable) -> Problem:
        """Build the family's own graph."""
        return FamilyProblem(self.graph, num_nodes, seed, device)

    def prepare(self, problem: Problem) -> Topology:
        assert isinstance(problem, FamilyProblem)
        return self.make_mask(problem.num_nodes).prepare(problem.topology)

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        mask, qkv = self.make_mask(problem.num_nodes).to(problem.device), problem.qkv
        with torch.no_grad():
            multiply_adds = mask(prepared).cost
        leaves, phi = (*qkv, *mask.parameters()), self.feature_map
        if phi is not None:
            phi = phi.to(problem.device)
        return Workload(lambda: attention(*qkv, mask(prepared), phi), leaves, None, multiply_adds)


class Randomized(Family):
    """Features of LARA, whose proposals start at 0, in the place of ReLU."""

    @property
    def feature_map(self) -> FeatureMap:
        return LinearRandomizedFeatures(CHANNELS // HEADS, CHANNELS // HEADS)


class MixedChunks(Family):
    """Squared scores within chunks of the mask, and linear attention to all nodes, added."""

    def definition(self, num_nodes: int) -> str:
        return "N C + N"

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        near, everything = self.make_mask(problem.num_nodes), GlobalMask()
        squared, qkv = SquaredReLUScores(HEADS / CHANNELS), problem.qkv
        with torch.no_grad():
            multiply_adds = near(prepared).cost + everything(prepared).cost

        def call() -> Tensor:
            linear = attention(*qkv, everything(prepared))
            return attention(*qkv, near(prepared), squared) + linear

        return Workload(call, qkv, None, multiply_adds)


class Multilevel(Family):
    """Softmax attention at many resolutions, 4 blocks per cluster."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of the clusters of each level."""
        return (32,) if self.name == "multilevel" else (32, 1_024)

    def definition(self, num_nodes: int) -> str:
        return f"N b w + (N / {self.sizes[-1]})^2"

    def prepare(self, problem: Problem) -> Topology:
        assert isinstance(problem, FamilyProblem)
        problem.topology.derive(make_clusters, self.sizes)
        return problem.topology

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        clusters = prepared.derive(make_clusters, self.sizes)
        pairs = (len(clusters.levels[-1].members) - 1) ** 2
        for level in clusters.levels:
            pairs += _BLOCKS * len(level.place) * level.members.shape[1]
        call = partial(attend_by_clusters, *problem.qkv, clusters, _BLOCKS)
        return Workload(call, problem.qkv, None, pairs)


def _sum() -> TopologicalMask:
    return 0.1 * GlobalMask() + _WALK()


def _product() -> TopologicalMask:
    return _SHORT_WALK() @ _SHORT_WALK()


def _hadamard() -> TopologicalMask:
    return CausalMask() * _WALK()


def _kronecker(shape: tuple[int, int]) -> TopologicalMask:
    causal = CausalMask(0.9, heads=HEADS, length=shape[0])
    return KroneckerMask(causal, GridDiffusionMask(shape[1], heads=HEADS))


_SHORT = ResampledWalks(budget=16, hops=4)
_WALK = partial(WalkMask, hops=8, heads=HEADS, sampler=ResampledWalks(budget=64, hops=8))
_ADAPTIVE = partial(AdaptiveWalkMask, CHANNELS, 8, HEADS, sampler=ResampledWalks(64, 8))
_SHORT_WALK = partial(WalkMask, hops=4, heads=HEADS, alpha=NonNegative, sampler=_SHORT)
_GRF = partial(GRFMask, hops=4, heads=HEADS, sampler=_SHORT)
_STITCHED = partial(StitchedMask, degree=2, hops=4, heads=HEADS, sampler=_SHORT)
_VISITS = partial(
    RandomWalkKernelMask, heads=HEADS, sampler=ResampledWalks(budget=16, hops=4, normalization="rw")
)
_SERIES = partial(PowerSeriesMask, hops=4, heads=HEADS)
_PATHS = partial(ShortestPathMask, hops=3, heads=HEADS)
_DIFFUSION = partial(DiffusionMask, heads=HEADS)
_TREE = partial(TreeDistanceMask, heads=HEADS)
_POLYNOMIAL = partial(_TREE, partial(PolynomialExponentialDistance, degree=2))
_TABLE = partial(_TREE, partial(TableDistance, 64))
_TOEPLITZ = partial(ToeplitzMask, heads=HEADS)
_RFD = partial(RFDMask, num_features=32, heads=HEADS)
_FOURIER = partial(FourierMask, num_features=32, heads=HEADS)
_RIPPLE = partial(RippleMask, 4, HEADS)
_RESOLVENT = partial(_DIFFUSION, kernel="resolvent")

FAMILIES: tuple[Family, ...] = (
    Family("global", "GlobalMask: unmasked linear attention", SPHERE, GlobalMask),
    Family("power-series", "PowerSeriesMask of 4 hops", SPHERE, _SERIES),
    Family("walk", "WalkMask of 8 hops, about 64 pairs per node", SPHERE, _WALK),
    Family("adaptive", "AdaptiveWalkMask, coefficients per node, as in `walk`", SPHERE, _ADAPTIVE),
    Family("grf", "GRFMask, two factors of 4 hops, about 16 pairs per node each", SPHERE, _GRF),
    Family("stitched", "StitchedMask of degree 2, four such factors", SPHERE, _STITCHED),
    Family("sum", "0.1 * GlobalMask() + WalkMask, as in `walk`", SPHERE, _sum),
    Family("product", "WalkMask @ WalkMask, of 4 hops, about 16 pairs each", SPHERE, _product),
    Family("hadamard", "CausalMask() * WalkMask, as in `walk`", SPHERE, _hadamard),
    Family("random-walk-kernel", "RandomWalkKernelMask, about 16 pairs", SPHERE, _VISITS),
    Family("shortest-path", "ShortestPathMask of 3 hops", SPHERE, _PATHS),
    Family(
        "separator", "SeparatorMask, tolerance 0.25", LENGTHS, partial(SeparatorMask, heads=HEADS)
    ),
    Family("diffusion", "DiffusionMask, heat, t = 1, tolerance 1e-6", SPHERE, _DIFFUSION),
    Family("resolvent", "DiffusionMask, resolvent, a = 0.5, tolerance 1e-6", SPHERE, _RESOLVENT),
    Family("tree-exponential", "TreeDistanceMask, exponential", TREE, _TREE),
    Family("tree-polynomial", "the same times a polynomial of degree 2", TREE, _POLYNOMIAL),
    Family(
        "tree-table",
        "TreeDistanceMask, 64 free values",
        TREE,
        partial(_TREE, partial(TableDistance, 64)),
    ),
    Family("degree", "DegreeMask, of rank 2", SPHERE, partial(DegreeMask, heads=HEADS)),
    Family("rfd", "RFDMask, 32 random features", CLOUD, _RFD),
    Family("fourier", "FourierMask, 64 frequencies, 32 random features", CLOUD, _FOURIER),
    Family("causal", "CausalMask without decay", SEQUENCE, CausalMask),
    Family(
        "causal-decay",
        "CausalMask with a learned decay per head",
        SEQUENCE,
        partial(CausalMask, 0.9, heads=HEADS),
    ),
    Family(
        "causal-chunk",
        "CausalMask, 1,024 nodes at once, computed again in the backward pass",
        SEQUENCE,
        partial(CausalMask, chunk=1_024),
    ),
    Randomized("lara", "GlobalMask, 16 features of LARA", SPHERE, GlobalMask),
    MixedChunks(
        "mixed-chunks",
        "squared scores in ChunkMask(64), and GlobalMask, as in a gated attention unit",
        SEQUENCE,
        partial(ChunkMask, 64),
    ),
    Multilevel("multilevel", "MultilevelAttention, clusters of 32, 4 blocks", SPHERE, GlobalMask),
    Multilevel("multilevel-2", "the same, clusters of 32 and of 1,024", SPHERE, GlobalMask),
    Family("toeplitz", "ToeplitzMask, a value per offset", GRID, _TOEPLITZ),
    Family(
        "toeplitz-distance",
        "ToeplitzMask, a value per distance",
        GRID,
        partial(_TOEPLITZ, shared="distance"),
    ),
    Family("grid-diffusion", "GridDiffusionMask", GRID, partial(GridDiffusionMask, heads=HEADS)),
    Family("ripple", "RippleMask, radii 0 to 3 and all beyond", GRID, _RIPPLE),
    Family("ripple-hops", "RippleMask by hops, as in `ripple`", SPHERE, _RIPPLE),
    Family("kronecker", "Kronecker of CausalMask and GridDiffusionMask", GRID, _kronecker),
    Family("hypercube", "HypercubeMask", HYPERCUBE, partial(HypercubeMask, heads=HEADS)),
)


def fastest(group: Sequence[Measurement]) -> dict[int, float]:
    """Return seconds of the fastest round by N: other programs only add to them."""
    return {result.nodes: min(result.both) for result in group if result.both}


def summarize(measurements: Sequence[Measurement], families: Sequence[Family]) -> Iterator[Row]:
    """Yield a row per family: exponents over the larger half of the sizes, costs at the largest."""
    groups = {family.name: [] for family in families}
    for measurement in measurements:
        groups[measurement.implementation].append(measurement)
    base = fastest(groups.get("global", []))
    for family in families:
        measured = [result for result in groups[family.name] if result.status is Status.MEASURED]
        if not measured:
            continue
        last, both = measured[-1], fastest(measured)
        peak, prepare = (QUANTITIES[name].values(measured) for name in ("peak", "prepare"))
        defined = fit_exponent({result.nodes: result.multiply_adds or 0.0 for result in measured})
        exponent, seconds = fit_exponent(both), both.get(last.nodes)
        yield {
            "family": family.name,
            "graph": family.graph.name,
            "definition": family.definition(last.nodes),
            "N^": defined,
            "measured N^": exponent,
            "of all": fit_exponent(both, share=1.0),
            " ": "*" if exponent > defined + NOISE else "",
            "nodes": last.nodes,
            "ms": seconds and 1e3 * seconds,
            "over global": seconds / base[last.nodes] if seconds and last.nodes in base else None,
            "MiB": last.peak,
            "memory N^": fit_exponent(peak),
            "built once, ms": last.prepare and 1e3 * last.prepare,
            "its N^": fit_exponent(prepare),
        }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"families": FAMILIES[:2], "nodes": [64, 128], "repeats": 1, "threads": 1}
    study = Study(__doc__, smoke)
    study.add_argument("--families", type=choose(FAMILIES), default=FAMILIES)
    study.add_argument("--nodes", type=numbers(int), default=[2**power for power in range(10, 17)])
    study.add_argument("--repeats", type=int, default=5, help="rounds; the fastest counts")
    study.add_argument("--time-limit", type=float, default=30.0, help="seconds of a call")
    study.add_argument("--memory-limit", type=float, help="GiB (half of the memory)")
    study.add_argument("--device", default="cpu")
    study.add_argument("--cpu-time", action="store_true", help="for a busy machine and one thread")
    options = study.parse(arguments)
    settings = Settings(
        options.nodes,
        options.families,
        options.device,
        options.threads,
        options.repeats,
        options.time_limit,
        options.memory_limit,
        options.seed,
        cpu_time=options.cpu_time,
    )
    measurements: list[Measurement] = []

    def rows() -> Iterator[Row]:
        for group in run(settings, progress):
            measurements.extend(group)
            yield from (measurement.row() for measurement in group)

    results = study.collect(rows(), options)
    names = {family.name: family.about for family in options.families}
    print_table("Families, forward + backward", list(summarize(measurements, options.families)))
    for result in measurements:
        if result.note:
            print(f"{result.implementation} ({names[result.implementation]}): {result.note}")
    return results


if __name__ == "__main__":
    main()
