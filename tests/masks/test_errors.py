"""Errors of masks, coefficients and distance functions name the argument and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from cases.graphs import clique, cloud, edgeless, path, star
from torch import Tensor

from graphmask import Topology, attention, masks
from graphmask.masks import (
    BoxEdges,
    CausalMask,
    Deconvolution,
    Diffusion,
    DiffusionMask,
    ExponentialDistance,
    FourierMask,
    Free,
    GlobalMask,
    GRFMask,
    GridDiffusionMask,
    HypercubeMask,
    KroneckerMask,
    PageRank,
    PolynomialExponentialDistance,
    PowerSeriesMask,
    PStepWalk,
    RandomWalkKernelMask,
    RegularizedLaplacian,
    RFDMask,
    SeparatorMask,
    ShortestPathMask,
    StitchedMask,
    SumMask,
    TableDistance,
    ToeplitzMask,
    TreeDistanceMask,
    WalkMask,
    symmetrize,
)
from graphmask.operators import GridDiffusionOperator, KroneckerOperator, ToeplitzOperator
from graphmask.testing import example_topologies
from graphmask.testing.graphs import replace
from graphmask.walks import IIDWalks, ResampledWalks

NAN, INF = float("nan"), float("inf")


def graph(name: str = "weighted") -> Topology:
    return example_topologies()[name]


def walked(sets: int, *normalizations: str | None) -> Topology:
    """Sets of walks of 4 hops, or one of 2 hops per normalisation."""
    if normalizations:
        samplers = [ResampledWalks(hops=2, normalization=norm) for norm in normalizations]
    else:
        samplers = [ResampledWalks(hops=4)] * sets
    return graph().with_walks(*(sampler(graph()) for sampler in samplers))


def live() -> Topology:
    """A graph with edge weights that require a gradient."""
    return replace(graph(), edge_weight=graph().edge_weight.clone().requires_grad_())


def edge() -> Topology:
    """One directed edge."""
    return Topology(torch.tensor([[0], [1]]), 2)


def walk(hops: int, heads: int = 1, normalization: str | None = "sym") -> WalkMask:
    return WalkMask(hops, heads, sampler=ResampledWalks(hops=hops, normalization=normalization))


def attend(mask: masks.TopologicalMask, topology: Topology) -> Tensor:
    q = torch.ones(topology.num_nodes, 1, 1)
    return attention(q, q, q, mask(topology))


def learned(value: float, **options: str) -> Callable[[], object]:
    """A diffusion with this raw scale, on an undirected graph."""
    mask = DiffusionMask(**options)
    mask.kernel.raw.data.fill_(value)
    return lambda: mask(path(3))


def rootless(mask: GRFMask) -> object:
    mask.f.alpha.value.data[1, 0] = -1.0
    return mask(walked(2))


class Other(masks.DistanceFunction):
    def _values(self, distance: Tensor) -> Tensor:
        return distance.unsqueeze(0)

    def reset_parameters(self) -> None:
        pass


HEADS = "`a, b` must be of the same number of heads, or one, got heads"
TENTHS = partial(TableDistance, 8, unit=0.1)

Rows = list[tuple[Callable[[], object], str]]

VALUE_ERRORS: dict[str, Rows] = {
    "heads": [
        (lambda: PowerSeriesMask(heads=0), "`heads` must be at least 1"),
    ],
    "algebra": [
        (lambda: SumMask(), "`masks` must be at least one"),
        (lambda: walk(2, 2) + walk(2, 3), r"`masks` must be of the same number of heads.*\[2, 3\]"),
        (lambda: GlobalMask() @ walk(2, 2) @ walk(2, 3), "`masks` must be of the same number"),
        (lambda: torch.ones(2) * walk(2, 3), "`scale` must be a number or of shape"),
        (lambda: walk(2, normalization="rw") + walk(2), "`masks` must be on walks of the same"),
        (
            lambda: GlobalMask() + 0.5 * (walk(2, normalization=None) + GRFMask(2)),
            "`masks`.*same normalisation",
        ),
        (lambda: (PowerSeriesMask(3) * PowerSeriesMask(2))(graph()), "a mask of low rank"),
    ],
    "coefficients": [
        (lambda: Free(-1), "`hops` must be at least 0, got -1"),
        (lambda: Diffusion(2, scale=0.0), "`scale`"),
        (lambda: RegularizedLaplacian(2, power=0), "`power` must be positive, got 0"),
        (lambda: PageRank(2, teleport=0.0), "`teleport`"),
        (lambda: PStepWalk(2, scale=1.0), "`scale` must be between 0 and 1, got 1.0"),
        (lambda: PStepWalk(2, steps=-1), "`steps`"),
        (lambda: PowerSeriesMask(alpha=torch.ones(5)), "`alpha, f` must be a Coefficients class"),
        (lambda: PowerSeriesMask(hops=2, alpha=Free(3, 1)), "2 hops and 1 heads"),
        (lambda: Deconvolution(Diffusion(2), 0), "`factors` must be at least 1"),
    ],
    "walks": [
        (lambda: WalkMask(2)(graph()), r"`topology` must be with 1 set\(s\) of walks"),
        (lambda: StitchedMask(3, 2)(walked(5)), r"`topology` must be with 6 set\(s\) of walks"),
        (lambda: WalkMask(5)(walked(1)), "walks of at least 5 hops.*num_hops=4"),
        (lambda: WalkMask(5, sampler=ResampledWalks(hops=4)), "`sampler` must be of at least 5"),
        (lambda: WalkMask(seed=-1), "`seed`"),
        (lambda: StitchedMask(degree=0), "`degree` must be at least 1, got 0"),
        (lambda: GRFMask(2, f=Diffusion, alpha=Diffusion), "`f, alpha` must be given one at most"),
        (lambda: GRFMask(2)(walked(2, "rw", None)), "`topology` must be with walks of one norm"),
        (lambda: WalkMask(2).prepare(live()), "`edge_weight` must be without gradient"),
        (lambda: rootless(GRFMask(2, 2, alpha=Free)), "`alpha` must be positive.*-1 in head 1"),
        (lambda: RandomWalkKernelMask(sampler=ResampledWalks(hops=4)), "`sampler` .*'rw'"),
        (lambda: RandomWalkKernelMask()(walked(1)), "`topology` must be .* normalization='rw'"),
        (
            lambda: RandomWalkKernelMask(sampler=ResampledWalks(hops=3, normalization="rw")),
            "at least 4 hops",
        ),
    ],
    "power series": [
        (lambda: PowerSeriesMask(normalization="row"), "`normalization` must be 'sym', 'rw' or"),
        (lambda: attend(PowerSeriesMask(2, alpha=Free), star(20_000)), "`mask`.*PowerSeriesOp"),
        (lambda: PowerSeriesMask(edge_dim=0), "`edge_dim` must be at least 1"),
        (lambda: PowerSeriesMask(edge_dim=3)(graph()), "`edge_attr` must be given.* with D = 3"),
        (
            lambda: PowerSeriesMask(edge_dim=3)(
                Topology(path(3).edge_index, 3, edge_attr=torch.ones(4, 2))
            ),
            r"`edge_attr` must be of shape \[E, D\] with D = 3",
        ),
    ],
    "diffusion": [
        (lambda: DiffusionMask(kernel="wave"), "`kernel` must be 'heat' or 'resolvent', got wave"),
        (lambda: DiffusionMask(scale=-1.0), "`scale` must be positive, as the time t.*got -1.0"),
        (lambda: DiffusionMask(kernel="resolvent", scale=1.0), "`scale` must be between 0 and 1"),
        (lambda: DiffusionMask(1, "resolvent", normalization=None), "`normalization` must be 'sym"),
        (lambda: DiffusionMask(tolerance=-1e-6), "`tolerance` must be between 0 and 1, got -1e-06"),
        (lambda: DiffusionMask(tolerance=1.0), "`tolerance` must be between 0 and 1"),
        (learned(1000.0), "`scale` must be finite"),
        (learned(100.0, kernel="resolvent"), "`scale` must be below 1"),
    ],
    "distances": [
        (lambda: ExponentialDistance(slope=0.0), "`slope` must be positive"),
        (lambda: PolynomialExponentialDistance(-1), "`degree` must be at least 0"),
        (lambda: TableDistance(0), "`size` must be at least 1"),
        (lambda: TableDistance(1, unit=-1.0), "`unit` must be positive"),
        (lambda: TableDistance(2)(torch.zeros(1, requires_grad=True)), "`distance` .*gradient"),
    ],
    "trees": [
        (lambda: TreeDistanceMask(ExponentialDistance(2), 3), "`function` must be of heads = 3"),
        (lambda: TreeDistanceMask(TENTHS)(path(3, 0.35, 0.1)), "`edge_weight`.*multiples.*0.35"),
        (lambda: TreeDistanceMask(TENTHS)(live()), "`edge_weight` must be without a gradient"),
        (
            lambda: attend(
                TreeDistanceMask(partial(PolynomialExponentialDistance, coefficients=Free)),
                edgeless(20_000),
            ),
            "`mask` must be non-negative",
        ),
    ],
    "shortest paths": [
        (lambda: ShortestPathMask(hops=-1), "`hops` must be at least"),
        (lambda: ShortestPathMask(max_entries=0), "`max_entries` must be at least"),
        (lambda: SeparatorMask(tolerance=1.0), "`tolerance` must be"),
        (lambda: SeparatorMask(resolution=-1.0), "`resolution` must be"),
        (lambda: SeparatorMask(leaf_size=0), "`leaf_size` must be"),
        (lambda: SeparatorMask()(edge()), "undirected: .* got edges without their reverse"),
        (lambda: SeparatorMask(leaf_size=8, max_entries=1000)(clique(40)), "got 1000, of 1600"),
        (
            lambda: SeparatorMask()(replace(path(2), edge_weight=torch.tensor([1.0, 2.0]))),
            "undirected: .* lengths that differ",
        ),
        (lambda: SeparatorMask()(path(2, -1.0)), "`edge_weight` must be non-negative"),
        (lambda: SeparatorMask()(live()), "`edge_weight` must be without a gradient"),
    ],
    "sequences and grids": [
        (lambda: CausalMask(decay=1.0), "`decay` must be between 0 and 1, got 1.0"),
        (lambda: CausalMask((0.5, 0.6), heads=3), "one per head, H = 3, got 2 numbers"),
        (lambda: CausalMask(decay=()), "`decay` must be a number or one per head"),
        (lambda: CausalMask(heads=2), "`heads` must be 1 without a `decay`"),
        (lambda: CausalMask(length=0), "`length` must be at least 1"),
        (lambda: ToeplitzMask(()), "`shape` must be of 1 or 2 or 3 axes"),
        (lambda: ToeplitzMask((2, 0)), "`shape` must be at least 1"),
        (lambda: ToeplitzMask(3, shared="length"), "`shared` must be 'distance' or None, got len"),
        (
            lambda: ToeplitzOperator(edgeless(6), (2, 3), torch.ones(1, 3, 3), True),
            r"`value` must be of shape \[H, 3, 5\], all offsets",
        ),
        (lambda: attend(ToeplitzMask(20_000, signed=True), edgeless(20_000)), "`mask`.*Toeplitz"),
        (lambda: HypercubeMask(scale=-1.0), "`scale` must be"),
        (lambda: GridDiffusionMask((2, 2), scale=INF), "`scale` must be"),
        (
            lambda: GridDiffusionOperator(edgeless(4), (2, 2), torch.ones(1, 3)),
            r"must be of shape \[H, 2\] or \[H, 1\]",
        ),
        (lambda: KroneckerMask(ToeplitzMask(2), GlobalMask()), "`graphs` must be given a topology"),
        (lambda: KroneckerMask(ToeplitzMask(2, 2), ToeplitzMask(2, 3)), HEADS),
        (
            lambda: KroneckerOperator(
                edgeless(4), *(ToeplitzMask(2, heads)(edgeless(2)) for heads in (2, 3))
            ),
            HEADS,
        ),
        (
            lambda: attend(
                KroneckerMask(ToeplitzMask(150, signed=True), GridDiffusionMask(150)),
                edgeless(150 * 150),
            ),
            "`mask` must be non-negative.*KroneckerOperator",
        ),
    ],
    "positions": [
        (lambda: RFDMask()(edgeless(3)), "`topology` must be with positions.*pos=None"),
        (lambda: RFDMask(dim=2)(cloud(3)), r"`topology`.*positions of dimension 2.*\[3, 3\]"),
        (lambda: RFDMask().target(cloud(3, 2)), "`topology` must be with positions of dimension 3"),
        (lambda: RFDMask(epsilon=0.0), "`epsilon` must be above 0"),
        (lambda: RFDMask(scale=0.0), "`scale` must be above 0"),
        (lambda: RFDMask(num_features=0), "`num_features` must be at least 1"),
        (lambda: BoxEdges(1.0, softness=0.0), r"`softness` must be in \(0, 1\]"),
        (lambda: FourierMask()(edgeless(3)), "`topology` must be with positions.*pos=None"),
        (lambda: FourierMask(length=0.0), "`length` must be above 0"),
    ],
}


TYPE_ERRORS: Rows = [
    *(
        (lambda argument=argument: PowerSeriesMask()(argument), "`topology` must be a Topology")
        for argument in (path(3).edge_index, None, "graph")
    ),
    *((partial(PowerSeriesMask, heads=heads), "`heads`") for heads in (1.0, True, "2")),
    (lambda: GlobalMask() + 1.0, "`masks` must be TopologicalMasks"),
    (lambda: symmetrize(torch.ones(3, 3)), "`masks` must be TopologicalMasks"),
    (lambda: masks.HadamardMask(walk(2), 2), r"`masks` must be TopologicalMasks.*got int"),
    (lambda: walk(2) * "2", "unsupported operand|can't multiply"),
    (lambda: Free(1.5), "`hops` must be an integer, got float"),
    (lambda: RegularizedLaplacian(2, power="2"), "`power`"),
    (lambda: Deconvolution(Diffusion), "`alpha` must be Coefficients"),
    (lambda: WalkMask(sampler=3), "`sampler` must be a WalkSampler"),
    (lambda: PolynomialExponentialDistance(1, slope="1"), "`slope` must be a number"),
    (lambda: ExponentialDistance()(torch.tensor([1])), "`distance` must be a floating-point"),
    (lambda: TreeDistanceMask(torch.nn.ReLU(), 1), "`function` must be a DistanceFunction"),
    (lambda: TreeDistanceMask(Other), "`function` must be one of ExponentialDistance, Poly"),
    (lambda: CausalMask((0.5, "a")), "`decay` must be a number, or one per head, got str"),
    (lambda: ToeplitzMask((2, 1.5)), "`shape` must be an integer"),
    (lambda: ToeplitzMask("44"), "`shape` must be the lengths of the axes of a grid"),
    (lambda: KroneckerMask(GlobalMask(), GlobalMask(), graphs=(3, 4)), "`graphs`.* got int"),
    (lambda: KroneckerMask(ToeplitzMask(2), edgeless(2)), "`b` must be a mask"),
    (lambda: RFDMask(edges=lambda reach: reach), "`edges` must be a function that gives an Edge"),
]

SHAPES = [
    (ToeplitzMask((2, 3)), (4,), "2 x 3 = 6 nodes each, as `shape` says, got graphs"),
    (ToeplitzMask((2, 3), class_token=True), (6,), r"2 x 3 \+ 1 = 7 nodes each"),
    (CausalMask(length=3), (2,), r"3 = 3 nodes each.*got graphs of \[2\] nodes"),
    (GridDiffusionMask((2, 2)), (4, 3), r"2 x 2 = 4 nodes each.*graphs of \[3, 4\] nodes"),
    (HypercubeMask(), (4, 3, 6), r"are powers of two, got graphs of \[3, 6\] nodes"),
    (
        KroneckerMask(ToeplitzMask((2, 2)), CausalMask(length=3)),
        (4,),
        r"2 x 2 x 3 = 12 nodes each.*graphs of \[4\] nodes",
    ),
]
for mask, sizes, message in SHAPES:
    for call in (mask, mask.prepare):
        row = (partial(call, edgeless(*sizes)), f"`topology` must be of graphs.*{message}")
        VALUE_ERRORS["sequences and grids"].append(row)

FORESTS = [
    ([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]], None, r"forest, without cycles \(graphmask.*Mini"),
    ([[0, 1, 0], [1, 0, 0]], None, "without self-loops, as in a tree, got a loop at node 0"),
    ([[0, 1, 0, 1], [1, 0, 1, 0]], None, r"without parallel edges.*between nodes \(0, 1\)"),
    ([[0, 1, 1], [1, 0, 2]], None, r"undirected, each edge in both.*between nodes \(1, 2\)"),
    ([[0, 1], [1, 0]], [-1.0, -1.0], "`edge_weight` must be at least 0"),
    ([[0, 1], [1, 0]], [1.0, 1.5], "the same in both directions of an edge, got 1 and 1.5"),
]
for edges, weight, message in FORESTS:
    forest = Topology(torch.tensor(edges), 3, None if weight is None else torch.tensor(weight))
    for function in (ExponentialDistance, PolynomialExponentialDistance, TENTHS):
        VALUE_ERRORS["trees"].append((partial(TreeDistanceMask(function), forest), message))

ROWS = [
    pytest.param(ValueError, *row, id=f"{group} {number}")
    for group, rows in VALUE_ERRORS.items()
    for number, row in enumerate(rows)
] + [pytest.param(TypeError, *row, id=f"types {i}") for i, row in enumerate(TYPE_ERRORS)]


@pytest.mark.parametrize(("error", "call", "message"), ROWS)
def test_wrong_arguments_raise(
    error: type[Exception], call: Callable[[], object], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_factors_of_another_shape_raise() -> None:
    factors = ToeplitzMask(2), CausalMask()
    assert KroneckerMask(*factors, (edgeless(2), edgeless(2)))(edgeless(4)).heads == 1
    with pytest.raises(ValueError, match="2 = 2 nodes each"):
        KroneckerMask(ToeplitzMask(2), CausalMask(), (edgeless(3), edgeless(2)))
    with pytest.raises(ValueError, match="2 x 2 = 4 nodes each"):
        KroneckerOperator(edgeless(6), GlobalMask()(edgeless(2)), GlobalMask()(edgeless(2)))


def test_gradients_that_stored_walks_would_lose_raise() -> None:
    topology = replace(path(3), edge_weight=torch.ones(4, requires_grad=True))
    stored = topology.with_walks(ResampledWalks(hops=2)(path(3)))
    with pytest.raises(ValueError, match="`edge_weight` must be without gradient beside walks"):
        WalkMask(2)(stored)
    with torch.no_grad():
        assert WalkMask(2)(stored).heads == 1
        assert WalkMask(2)(WalkMask(2).prepare(live())).heads == 1
    drawn = topology.with_walks(IIDWalks(hops=2)(topology))
    assert WalkMask(2)(drawn).entries().value.requires_grad


@pytest.mark.parametrize("case", cases.MASKS[::6], ids=str)
def test_numbers_that_were_not_loaded(case: cases.Case) -> None:
    mask = cases.seeded(case.make)
    topology = next(graph for graph in case.topologies().values() if graph.num_nodes > 1)
    topology = mask.prepare(topology.with_features(torch.ones(topology.num_nodes, 3)))
    if [*mask.parameters(), *mask.buffers()]:
        with pytest.raises(ValueError, match=r"on the device of the topology, cpu, got .* on meta"):
            mask.to("meta")(topology)
