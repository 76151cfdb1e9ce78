"""Batches, printed forms and errors of all transforms, one row for each."""

from __future__ import annotations

import math

import cases
import pytest
import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import BaseTransform, Compose

from graphmask.transforms import (
    AddWalkEncoding,
    AddWalks,
    Cotangent,
    CuthillMcKee,
    EdgeLength,
    FarthestPoints,
    Gaussian,
    Hilbert,
    HypercubeGraph,
    KNNGraph,
    MeshToGraph,
    MinimumSpanningTree,
    NodePartition,
    OneHotMolecule,
    RadiusGraph,
    ReorderNodes,
    ShapeInvariants,
    UnitSphere,
    Variants,
    farthest_points,
    knn_graph,
    minimum_spanning_tree,
    partition_nodes,
    radius_graph,
)
from graphmask.transforms._generators import CarriesGenerator
from graphmask.walks import ResampledWalks

EDGE = torch.tensor([[0, 1], [1, 0]])
LONG = torch.zeros(2, 9, dtype=torch.long)
POINTS = [
    KNNGraph(k=3, weight=Gaussian(0.5)),
    RadiusGraph(0.5),
    UnitSphere(),
    FarthestPoints(ratio=0.5),
    FarthestPoints(ratio=0.5, generator=Generator().manual_seed(5)),
    ReorderNodes(Hilbert()),
]
GRAPHS = [
    MeshToGraph(weight=EdgeLength()),
    MeshToGraph(remove_faces=False, weight=Cotangent(skip_degenerate=True)),
    MinimumSpanningTree(),
    ReorderNodes(),
    ShapeInvariants(2),
    AddWalkEncoding(4),
    AddWalks(ResampledWalks(400, 2)),
    HypercubeGraph(),
]


def cloud(n: int) -> Data:
    generator = Generator().manual_seed(n)
    return Data(pos=torch.rand(n, 3, generator=generator), y=torch.arange(n))


def mesh(n: int) -> Data:
    """A strip of triangles, which is a graph with weights, too."""
    data = cloud(n)
    data.face = torch.stack([torch.arange(n - 2) + corner for corner in range(3)])
    sides = torch.cat([data.face[:2], data.face[1:]], 1)
    data.edge_index = torch.cat([sides, sides.flip(0)], 1).unique(dim=1)
    data.edge_weight = 1 + (data.edge_index.sum(0) % 5).float()
    return data


CASES = [(transform, cloud) for transform in POINTS] + [(transform, mesh) for transform in GRAPHS]


@pytest.mark.parametrize(
    ("transform", "example"), CASES, ids=lambda value: getattr(value, "__name__", repr(value)[:40])
)
def test_batched_equals_alone(transform, example) -> None:
    graphs = [example(n) for n in (4, 9, 5)]
    state = torch.get_rng_state()
    each = [transform(graph) for graph in graphs]
    alone = Batch.from_data_list(each)
    assert isinstance(transform, BaseTransform)
    batch = Batch.from_data_list(graphs)
    together = Compose([transform])(batch)
    assert torch.equal(torch.get_rng_state(), state)
    # The batch can be taken apart, and so can that from which it was made.
    for cut, whole in zip(
        together.to_data_list() + batch.to_data_list(), each + graphs, strict=True
    ):
        assert set(cut.keys()) == set(whole.keys())
        for key, value in whole:
            expected = torch.as_tensor(value).reshape(cut[key].shape)  # numbers become tensors
            torch.testing.assert_close(cut[key], expected, rtol=1e-5, atol=1e-5)
    assert together.validate()
    assert set(alone.keys()) == set(together.keys())
    for key, value in alone:
        torch.testing.assert_close(together[key], value, rtol=1e-5, atol=1e-5)


# Augmentations draw anew at each call.
ONCE = [
    case for case in cases.TRANSFORMS if not isinstance(case.make(), (CarriesGenerator, Variants))
]


@pytest.mark.parametrize("case", ONCE, ids=str)
def test_what_is_drawn_for_a_graph_does_not_depend_on_those_before(case: cases.Case) -> None:
    transform = case.make()
    first = transform(case.data().clone())
    second = transform(case.data().clone())
    assert first.keys() == second.keys()
    for key, value in first:
        if key != "smiles":
            torch.testing.assert_close(second[key], value, rtol=0, atol=0)
    assert repr(transform) == repr(case.make())


@pytest.mark.parametrize("n", [0, 1, 2])
def test_clouds_of_no_point_to_two_are_transformed(n: int) -> None:
    for transform in [*POINTS, RadiusGraph(10.0, weight=Gaussian(1.0))]:
        out = transform(cloud(n))
        assert out.num_nodes == (math.ceil(n / 2) if isinstance(transform, FarthestPoints) else n)
        if isinstance(transform, (KNNGraph, RadiusGraph)):
            assert out.edge_index.shape[1] in (0, n * (n - 1))
        if transform.__dict__.get("weight"):
            assert out.edge_weight.shape == out.edge_index.shape[1:]


@pytest.mark.parametrize("transform", [*POINTS, ShapeInvariants(1)], ids=repr)
@pytest.mark.parametrize(
    ("pos", "message"),
    [
        (None, r"`pos` must be set.*data\.pos"),
        (torch.zeros(4), r"`pos` must be a tensor \[N, D\]"),
        (torch.zeros(4, 0), r"`pos` must be a tensor \[N, D\] with D >= 1"),
        (torch.zeros(2, 4, 3), r"`pos` must be a tensor \[N, D\]"),
        (torch.zeros(4, 3, dtype=torch.long), r"`pos` must be float32 or float64 .*int64"),
        (torch.zeros(4, 3, dtype=torch.float16), "`pos` must be float32 or float64"),
        (torch.tensor([[0.0, math.nan]]), "`pos` must be finite, got 1 NaN"),
        (torch.tensor([[math.inf, math.nan]]), "`pos` must be finite, got 2 NaN"),
    ],
)
def test_bad_positions_are_errors(transform, pos: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transform(Data(pos=pos, num_nodes=4))


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (KNNGraph(), "KNNGraph(k=6)"),
        (RadiusGraph(r=1), "RadiusGraph(r=1)"),
        (
            RadiusGraph(0.5, max_num_neighbors=None, period=2.0, weight=Gaussian(1.0)),
            "RadiusGraph(r=0.5, max_num_neighbors=None, period=2.0, weight=Gaussian(scale=1.0))",
        ),
        (MeshToGraph(), "MeshToGraph()"),
        (
            MeshToGraph(False, weight=EdgeLength()),
            "MeshToGraph(remove_faces=False, weight=EdgeLength(function=None))",
        ),
        (Cotangent(), "Cotangent(skip_degenerate=False)"),
        (FarthestPoints(8), "FarthestPoints(num_points=8, start=0)"),
        (FarthestPoints(ratio=0.5, start=3), "FarthestPoints(ratio=0.5, start=3)"),
        (
            FarthestPoints(8, generator=Generator().manual_seed(5)),
            "FarthestPoints(num_points=8, seed=4095051218741643470)",
        ),
        (UnitSphere(), "UnitSphere()"),
        (ShapeInvariants(3), "ShapeInvariants(scales=3)"),
        (ReorderNodes(), "ReorderNodes(CuthillMcKee())"),
        (ReorderNodes(Hilbert(bits=8)), "ReorderNodes(Hilbert(bits=8))"),
    ],
    ids=str,
)
def test_transforms_print_their_options(transform: object, text: str) -> None:
    assert repr(transform) == text


def knn(**options):
    return lambda: knn_graph(torch.zeros(4, 3), 1, **options)


def radius(r, **options):
    return lambda: radius_graph(torch.zeros(4, 3), r, **options)


def apply(transform, **attributes):
    return lambda: transform(Data(**attributes))


def reorder(order):
    return apply(ReorderNodes(order), x=torch.eye(5), edge_index=EDGE)


def forest(**options):
    arguments = {"edge_index": EDGE[:, :1], "edge_weight": None, "num_nodes": 3, **options}
    return lambda: minimum_spanning_tree(**arguments)


def farthest(**options):
    return lambda: (FarthestPoints(**options), farthest_points(torch.rand(9, 3), **options))


def restored(rows, nodes=5):
    near = ReorderNodes()(Data(x=torch.eye(5), edge_index=EDGE))
    return lambda: ReorderNodes.restore(rows, near.subgraph(torch.arange(nodes)))


ERRORS = [
    (knn(batch=torch.zeros(3).long()), r"`batch` must be integers of shape \[4\]"),
    (knn(batch=torch.zeros(4)), "`batch` must be integers"),
    (knn(batch=torch.arange(-1, 3)), "`batch` must be non-negative.*-1"),
    (knn(batch=torch.zeros(4, device="meta").long()), "`batch` must be on the device"),
    (knn(period=0.0), "`period` must be positive"),
    (knn(period=(1.0, 1.0)), "`period` must be one length or D = 3"),
    (knn(flow="both"), "`flow` must be 'source_to_target' or"),
    (knn(cosine=True), "`x` must be without zero rows.*row 0"),
    (knn(cosine=True, period=1.0), "`period` must be None for"),
    (knn(num_workers=0), "`num_workers` must be at least 1"),
    (radius(0.0), "`r` must be positive and finite, got 0.0"),
    (radius(math.nan), "`r` must be positive and finite, got nan"),
    (radius(1.0, max_num_neighbors=0), "`max_num_neighbors` must be at least 1"),
    (radius(0.6, period=1.0), "`r` must be at most half of `period`"),
    (radius(0.6, period=(9, 9, 1)), "`r` must be at most half of `period`"),
    (lambda: KNNGraph(0), "`k` must be at least 1, got 0"),
    (lambda: Gaussian(0.0), "`scale` must be positive and finite"),
    (lambda: RadiusGraph(9.0, weight=lambda d: d[:, None])(cloud(5)), r"returns shape \[E\] with"),
    (lambda: RadiusGraph(9.0, weight=lambda d: 1 / (d - d))(cloud(5)), "every edge, got .* first"),
    (apply(MeshToGraph(), pos=torch.eye(3)), "`face` must be set"),
    (apply(MeshToGraph(), pos=torch.eye(4), face=EDGE), r"integers of shape \[3, F\] or \[4, F\]"),
    (apply(MeshToGraph(), pos=torch.eye(3), face=torch.eye(3)), "`face` must be integers"),
    (apply(MeshToGraph(), pos=torch.eye(3), face=torch.ones(3, 1).long() * 3), "got a vertex 3"),
    (apply(MeshToGraph(weight=EdgeLength()), face=LONG[:1, :3].T, num_nodes=3), "`pos` must be"),
    (apply(MeshToGraph(weight=Cotangent()), pos=torch.eye(4), face=LONG[:1, :3].T), r"\[N, 2\] or"),
    (apply(MeshToGraph(weight=Cotangent()), pos=torch.eye(3), face=LONG[:1, :4].T), "be triangles"),
    (farthest(), "`num_points` must be given, or else `ratio`"),
    (farthest(num_points=3, ratio=0.5), "`num_points` must be given, or else `ratio`, not both"),
    (farthest(num_points=0), "`num_points` must be at least 1, got 0"),
    (farthest(ratio=1.5), r"`ratio` must be in \(0, 1\], got 1.5"),
    (farthest(num_points=3, start=-1), "`start` must be at least 0, got -1"),
    (farthest(num_points=3, start=1, generator=Generator()), "`start` must be left out"),
    (farthest(num_points=3, start=9), "`start` must be at most 8 for the smallest graph, got 9"),
    (lambda: ShapeInvariants(0), "`scales` must be at least 1, got 0"),
    (apply(OneHotMolecule()), r"categories of `from_smiles`, long of shape \[\*, 9\], got None"),
    (apply(OneHotMolecule(), x=torch.zeros(2, 9)), "`x` must be categories of `from_smiles`, long"),
    (apply(OneHotMolecule(), x=LONG + 2), r"below \[119, 9, 11, 12, 9, 5, 8, 2, 2\]"),
    (forest(edge_index=torch.zeros(3, 1).long()), r"`edge_index` must be of shape \[2, E\]"),
    (forest(edge_index=torch.tensor([[0], [3]])), "node ids from 0 to N - 1 = 2, got 3"),
    (forest(edge_weight=torch.ones(2)), r"`edge_weight` must be of shape \[E\] with E = 1"),
    (forest(edge_weight=torch.tensor([math.nan])), "`edge_weight` must be finite"),
    (apply(MinimumSpanningTree(), num_nodes=2), "`data` must be a graph with `edge_index`"),
    (lambda: partition_nodes(EDGE, 4, 5), "`num_parts` must be at most N = 4"),
    (lambda: partition_nodes(EDGE, 4, 2, slack=-0.1), "`slack`"),
    (lambda: partition_nodes(EDGE, 1, 1), "`edge_index` must be node ids"),
    (lambda: NodePartition(Data(x=torch.eye(3)), 2), "`data` must be a graph with `edge_index`"),
    (lambda: NodePartition(AddWalks(ResampledWalks())(mesh(5)), 2), "`data` must be without walks"),
    (apply(CuthillMcKee(), pos=torch.eye(3)), "`data` must be a graph with `edge_index`"),
    (apply(CuthillMcKee(), edge_index=EDGE, num_nodes=1), "node ids from 0 to N - 1 = 0, got 1"),
    (apply(Hilbert(), pos=torch.rand(5, 4)), r"of shape \[N, 2\] or \[N, 3\], got .*\[5, 4"),
    (apply(Hilbert(32), pos=torch.rand(5, 2)), "`bits` must be at most 31 in 2 dim.*, got 32"),
    (lambda: Hilbert(bits=0), "`bits` must be at least 1, got 0"),
    (reorder(lambda _: torch.arange(4)), "`order` must be .* returns each of N = 5 nodes once"),
    (reorder(lambda _: torch.zeros(5).long()), "`order` must be .* returns each of N = 5 nodes"),
    (reorder(lambda _: torch.arange(5.0)), "`order` must be .* returns each of N = 5 nodes once"),
    (apply(ReorderNodes(), x=torch.eye(3)), "`data` must be a graph with `edge_index`"),
    (apply(ReorderNodes(), adj_t=torch.eye(5).to_sparse(), num_nodes=5), "got `adj_t`"),
    (apply(ReorderNodes(), x=torch.eye(5), edge_index=EDGE, edge_label_index=EDGE - 1), "ids from"),
    (restored(torch.rand(4)), r"`out` must be of shape \[N, ...\] with N = 5"),
    (restored(torch.rand(3), nodes=3), "`data` must be with all nodes .*reordered, got 3 of them"),
    (lambda: ReorderNodes.restore(torch.rand(5), cloud(5)), "`data` must be with `original_index`"),
    (lambda: AddWalks(ResampledWalks(), sets=0), "`sets` must be at least 1"),
    (apply(AddWalks(ResampledWalks()), num_nodes=3), "`data` must be a graph"),
    (lambda: AddWalkEncoding(0), "`walk_length` must be at least 1"),
    (lambda: AddWalkEncoding(4, width=0), "`width`"),
    (lambda: AddWalkEncoding(4, sampler=ResampledWalks(hops=4)), "of normalization 'rw'"),
    (lambda: AddWalkEncoding(4, sampler=ResampledWalks(1, 3, "rw")), "`sampler`.*at least 4 hops"),
    (apply(AddWalkEncoding(), x=torch.eye(2)), "`data` must be a graph"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_bad_values_are_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knn_graph([[0.0]], 1), "`pos` must be a tensor"),
        (lambda: knn_graph(torch.zeros(4, 3), 2.0), "`k` must be an integer, got float"),
        (knn(batch=[0, 0, 0, 0]), "`batch` must be a tensor"),
        (radius("1"), "`r` must be a number, got str"),
        (lambda: KNNGraph(2.5), "`k` must be an integer"),
        (lambda: KNNGraph(weight=3.0), "`weight` must be a callable or None, got float"),
        (lambda: RadiusGraph(1.0, weight=lambda _: 1.0)(cloud(5)), "a callable that returns a ten"),
        (lambda: UnitSphere()(HeteroData()), "`data` must be a torch_geometric.data.Data"),
        (lambda: AddWalks(ResampledWalks())(HeteroData()), "`data` must be a torch_geometric.data"),
        (
            lambda: HypercubeGraph()(None),
            "`data` must be a torch_geometric.data.Data, got NoneType",
        ),
        (lambda: ReorderNodes()(HeteroData()), "`data` must be a torch_geometric.data.Data"),
        (lambda: NodePartition("graph", 2), "`data` must be a torch_geometric.data.Data"),
        (apply(MeshToGraph(), face=[[0]], num_nodes=1), r"`face` must be a tensor \[3, F\], got"),
        (lambda: MeshToGraph("cotangent"), "`remove_faces` must be a bool, got str"),
        (lambda: MeshToGraph(weight="cotangent"), "`weight` must be a callable or None, got str"),
        (farthest(num_points=0.5), "`num_points` must be an integer"),
        (farthest(num_points=3, generator=5), "`generator` must be a torch.Generator or None, got"),
        (forest(edge_index=torch.zeros(2, 1)), "`edge_index` must be an integer tensor"),
        (lambda: Hilbert(bits=3.0), "`bits` must be an integer, got float"),
        (lambda: ReorderNodes("hilbert"), r"`order` must be CuthillMcKee\(\), Hilbert\(\) or a"),
        (reorder(lambda _: [0, 1, 2, 3, 4]), r"`order` must be a function that returns a tensor"),
        (
            apply(ReorderNodes(), x=torch.eye(5), edge_index=EDGE, edge_label_index=[0, 1]),
            "`edge_label_index` must be a tensor of node ids, got list",
        ),
        (lambda: AddWalks(ResampledWalks), "`sampler` must be a WalkSampler"),
        (lambda: AddWalks(ResampledWalks(), sets=1.0), "`sets`"),
        (lambda: AddWalks(ResampledWalks(), generator=0)(mesh(5)), "`generator`"),
        (lambda: AddWalkEncoding(4, sampler="iid"), "`sampler` must be a WalkSampler"),
    ],
)
def test_bad_types_are_errors(call, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
