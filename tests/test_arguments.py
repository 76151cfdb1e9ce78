"""One table for wrong arguments: errors name the argument, what it must be, and what came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphmask import Topology, attention
from graphmask.kernels import Pattern
from graphmask.masks import GlobalMask, PowerSeriesMask
from graphmask.operators import (
    GlobalOperator,
    LowRankOperator,
    Pairs,
    ScaledOperator,
    SparseOperator,
    attend,
)
from graphmask.testing import example_topologies
from graphmask.walks import (
    Antithetic,
    AntitheticWalks,
    FixedLength,
    Geometric,
    IIDWalks,
    LengthLaw,
    Poisson,
    RepellingWalks,
    ResampledWalks,
    Systematic,
    TruncatedWalks,
    UniformLength,
    Walks,
)

NAN, INF = float("nan"), float("inf")
PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
EDGES = torch.tensor([[2, 0, 1, 1], [0, 1, 1, 2]])
WEIGHT = torch.tensor([0.5, -1.0, 2.0, 3.0])
ZEROS, ZERO = torch.zeros(3, dtype=torch.long), torch.zeros(2, dtype=torch.long)
ONES = torch.ones(2)
PAIRS = Pattern(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1]), 3)
WEIGHTED, EMPTY = example_topologies()["weighted"], Topology(PATH[:, :0], 3)
SERIES = PowerSeriesMask(hops=2, heads=2)(WEIGHTED)
OPERATOR = SparseOperator(WEIGHTED, WEIGHTED.pattern, torch.ones(2, WEIGHTED.pattern.nnz))


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def coo(weight: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(EDGES.flip(0), weight, (4, 4), check_invariants=True)


def graph(**changes: object) -> Topology:
    return Topology(**{"edge_index": PATH, "num_nodes": 3, **changes})


def walks(num_nodes: int, row: int = 0, col: int = 0) -> Walks:
    node = torch.ones(1, dtype=torch.long)
    return Walks.from_entries(row * node, col * node, 0 * node, ones(1), num_nodes, 1)


def entries(**changes: object) -> Walks:
    valid = {"row": ZERO, "col": ZERO, "hop": ZERO, "weight": ONES, "num_nodes": 3, "num_hops": 1}
    return Walks.from_entries(**{**valid, **changes})


class Broken(LengthLaw):
    def __init__(self, *survival: float) -> None:
        self.numbers = survival

    def survival(self, hops: int) -> Tensor:
        return torch.tensor(self.numbers)


x, y = ones(2, 13, 3), ones(13, 2, 3)
VALUE_ERRORS: list[tuple[Callable[[], object], str]] = [
    # Topology
    (lambda: graph(num_nodes=None), "`num_nodes` must be given"),
    (lambda: graph(num_nodes=-1), "`num_nodes` must be at least 0"),
    (lambda: graph(num_nodes=2), "`edge_index` must be node ids from 0 to N - 1 = 1, got 2"),
    (lambda: graph(num_nodes=0), "`edge_index`"),
    (lambda: graph(edge_index=PATH - 1), "`edge_index`.*got -1"),
    (
        lambda: graph(edge_weight=ones(3)),
        "`edge_weight` must be of shape \\[E\\] with E = 4.*\\[3\\]",
    ),
    (lambda: graph(edge_weight=ones(4, 1)), "`edge_weight`"),
    (
        lambda: graph(edge_weight=torch.tensor([1, NAN, 1, 1])),
        "`edge_weight` must be finite.*1 NaN",
    ),
    (
        lambda: graph(edge_weight=torch.tensor([1, -INF, INF, 1])),
        "`edge_weight` must be finite.*2 NaN",
    ),
    (lambda: graph(batch=ones(4).long()), "`batch` must be of shape \\[N\\] with N = 3"),
    (lambda: graph(batch=torch.tensor([0, -1, 0])), "`batch` must be graph numbers from 0"),
    (lambda: graph(batch=torch.tensor([0, 0, 1])), "`edge_index` must be within graphs, got 2"),
    (lambda: graph(num_graphs=0), "`num_graphs` must be at least 1"),
    (lambda: graph(batch=ones(3).long(), num_graphs=1), "`num_graphs` must be at least 2"),
    (lambda: graph(pos=ones(4, 2)), "`pos` must be of shape \\[N, D\\] with N = 3"),
    (lambda: graph(pos=ones(3)), "`pos`"),
    (lambda: graph(pos=torch.full((3, 2), NAN)), "`pos` must be finite"),
    (
        lambda: graph(edge_attr=ones(3, 2)),
        "`edge_attr` must be of shape \\[E, D\\] or \\[E\\] with E = 4",
    ),
    (lambda: graph(edge_attr=ones(4, 2, 1)), "`edge_attr`"),
    (lambda: graph(edge_attr=torch.full((4, 2), NAN)), "`edge_attr` must be finite.*8 NaN"),
    (lambda: graph(walks=walks(4)), "`walks` must be drawn on this graph of 3 nodes"),
    (
        lambda: graph(edge_index=PATH[:, :2], batch=torch.tensor([0, 0, 1]), walks=walks(3, 0, 2)),
        "`walks` must be within graphs",
    ),
    (
        lambda: Topology.of(ones(4, 1), Topology(PATH, 3)),
        "`x` must be of shape \\[N, C\\] with N = 3",
    ),
    (lambda: Topology.of(ones(3, 1), Topology(PATH, 3), ones(4)), "`edge_weight, batch`"),
    (lambda: Topology.of(ones(3, 1), Topology(PATH, 3), None, ZEROS), "`edge_weight, batch`"),
    (
        lambda: Topology.of(ones(3, 1), Topology(PATH, 3), None, None, ones(4)),
        "`edge_attr` must be left",
    ),
    (lambda: Topology.of(ones(2, 1), PATH), "`edge_index` must be node ids from 0 to N - 1 = 1"),
    (lambda: Topology(PATH, 3).with_walks(walks(4)), "`walks`"),
    (lambda: Topology(PATH, 3).adjacency("row"), "`normalization` must be 'sym', 'rw' or None"),
    # Formats of graphs
    (
        lambda: Topology(ones(3, 2).long(), 4),
        "`edge_index` must be of shape \\[2, E\\].*\\[3, 2\\]",
    ),
    (lambda: Topology(ones(2).long(), 4), "`edge_index`.*\\[2\\]"),
    (
        lambda: Topology(ones(3, 4).to_sparse_coo()),
        "`edge_index` must be a square matrix \\[N, N\\]",
    ),
    (lambda: Topology(EdgeIndex(EDGES, sparse_size=(4, 5))), "square matrix"),
    (lambda: Topology(EdgeIndex(EDGES, sparse_size=(4, 4)), 7), "`num_nodes`"),
    (lambda: Topology(coo(WEIGHT), 5), "`num_nodes` must be 4, the size of the sparse matrix"),
    (lambda: Topology(coo(WEIGHT), None, WEIGHT), "`edge_weight` must be left out"),
    (
        lambda: Topology.from_data(Data(x=ones(3, 1))),
        "`data` must be a graph with `edge_index` or `adj_t`",
    ),
    # Walks and samplers
    (lambda: entries(row=torch.tensor([0, 3])), "`row` must be from 0 to 2, got 3"),
    (lambda: entries(col=torch.tensor([-1, 0])), "`col` must be from 0 to 2, got -1"),
    (lambda: entries(hop=torch.tensor([0, 2])), "`hop` must be from 0 to 1"),
    (lambda: entries(row=torch.tensor([0])), "`row` must be of shape \\[nnz\\] = \\[2\\]"),
    (lambda: entries(weight=torch.ones(2, 1)), "`row` must be of shape"),
    (
        lambda: entries(weight=torch.tensor([1.0, NAN])),
        "`weight` must be finite, got 1 NaN or infinite of 2",
    ),
    (lambda: entries(weight=torch.tensor([1.0, torch.inf])), "`weight` must be finite"),
    (lambda: entries(num_nodes=-1), "`num_nodes`"),
    (lambda: entries(num_hops=-1), "`num_hops`"),
    (
        lambda: entries(normalization="row"),
        "`normalization` must be 'sym', 'rw', None, 'unknown' or 'shells', got row",
    ),
    (lambda: entries(normalization=["sym"]), "`normalization`"),
    (lambda: IIDWalks(hops=-1), "`hops` must be at least 0"),
    (lambda: ResampledWalks(normalization="row"), "`normalization`"),
    (lambda: IIDWalks(num_walks=0), "`num_walks` must be at least 1"),
    (lambda: IIDWalks(p_halt=1.0), "`p_halt`"),
    (lambda: IIDWalks(p_halt=-0.1), "`p_halt`"),
    (lambda: IIDWalks(p_halt=float("nan")), "`p_halt`"),
    (lambda: AntitheticWalks(p_halt=1.0), "`p_halt`"),
    (lambda: RepellingWalks(num_walks=0), "`num_walks` must be at least 1"),
    (
        lambda: IIDWalks(p_halt=0.1, length_law=FixedLength(8)),
        "`p_halt` must be left out beside `length_law`",
    ),
    (lambda: RepellingWalks(p_halt=0.1, length_law=FixedLength(8)), "`p_halt` must be left out"),
    (lambda: ResampledWalks(budget=0), "`budget` must be at least 1"),
    (lambda: ResampledWalks(width=0), "`width` must be at least 1"),
    (lambda: Geometric(1.0), "`p_halt`"),
    (lambda: Poisson(0.0), "`rate` must be positive, got 0"),
    (lambda: Poisson(-1.0), "`rate`"),
    (lambda: UniformLength(-1), "`longest` must be at least 0"),
    (
        lambda: IIDWalks(hops=3, length_law=FixedLength(2)),
        r"`length_law` must be one whose walks reach hop 3 .*hops=2.*, got FixedLength.*3\) = 0",
    ),
    (
        lambda: RepellingWalks(hops=4, length_law=Antithetic(UniformLength(3))),
        "reach hop 4 .*hops=3",
    ),
    (lambda: IIDWalks(hops=40, length_law=Poisson(1.0)), "reach hop 40 .*hops=17"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.5)), "falls from 1, 3 numbers"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.5, 0.6)), "falls from 1"),
    (lambda: IIDWalks(hops=2, length_law=Broken(0.9, 0.5, 0.4)), "falls from 1"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, float("nan"), 0.4)), "falls from 1"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.4, -0.1)), "falls from 1"),
    (lambda: ResampledWalks(decay=0.0), "decay"),
    (lambda: ResampledWalks(decay=1.5), "decay"),
    (lambda: ResampledWalks(decay=-1.0), "decay"),
    (lambda: TruncatedWalks(-0.1), "tolerance"),
    # Operators
    (lambda: OPERATOR.rows(torch.tensor([13])), "`nodes`.*0 to N - 1 = 12"),
    (lambda: OPERATOR.rows(torch.tensor([-1])), "`nodes`"),
    (lambda: OPERATOR.rows(torch.tensor([[1]])), "`nodes`"),
    (lambda: OPERATOR.rows(torch.tensor([1.0])), "`nodes`"),
    (lambda: OPERATOR.rows(torch.ones(13, dtype=torch.bool)), "`nodes`"),
    (lambda: OPERATOR.rows([1]), "`nodes`"),
    *(
        (lambda x=x: OPERATOR @ x, expected)
        for x, expected in (
            (ones(12), r"`x` must be of shape \[..., N, C\] with N = 13"),
            (ones(1, 12, 1), "N = 13"),
            (ones(), "N = 13"),
            (ones(3, 13, 1), "H = 2 or 1"),
            (ones(5, 3, 13, 1), "H = 2 or 1"),
        )
    ),
    *(
        (lambda qkv=qkv: attend(OPERATOR, *(ones(*shape) for shape in qkv)), expected)
        for qkv, expected in (
            ([(2, 12, 3), (2, 13, 3), (2, 13, 4)], "`q`.*N = 13"),
            ([(2, 13, 3), (13, 3), (2, 13, 4)], "`k`"),
            ([(2, 13, 3), (2, 13, 3), (2, 14, 4)], "`v`"),
            ([(3, 13, 3), (3, 13, 3), (3, 13, 4)], "H = 2"),
            ([(2, 13, 3), (2, 13, 2), (2, 13, 4)], "`k` must be of 3 features"),
        )
    ),
    (lambda: attend(GlobalOperator(WEIGHTED), ones(3, 13, 3), x, x), "equal heads"),
    (lambda: ones(3) * OPERATOR, r"`scale` must be a number or of shape \[H\] with H = 2"),
    (lambda: ScaledOperator(OPERATOR, ones(3, 1)), "`scale`"),
    (
        lambda: SERIES * SERIES,
        "`a [*] b` must be of a mask of low rank, or of a sparse mask.*not sparse",
    ),
    (
        lambda: SERIES * OPERATOR,
        r"PowerSeriesOperator\(2, 13, 13\) \(not sparse, single entries not",
    ),
    (
        lambda: LowRankOperator(EMPTY, ones(2, 2, 1), ones(2, 2, 1)),
        r"`left` must be of shape \[H or 1, N, r\] with N = 3",
    ),
    (lambda: LowRankOperator(EMPTY, ones(2, 3, 1), ones(3, 3, 1)), "`right` must be of shape"),
    (lambda: LowRankOperator(EMPTY, ones(1, 3, 1), ones(1, 3, 2)), "`right` must be of shape"),
    # Attention
    *(
        (lambda qkv=qkv: attention(*(ones(*shape) for shape in qkv), SERIES), expected)
        for qkv, expected in (
            ([(12, 2, 3), (12, 2, 3), (12, 2, 3)], "`q`.*N = 13"),
            ([(13, 2, 3), (12, 2, 3), (13, 2, 3)], "`k`.*N = 13"),
            ([(13, 2, 3), (13, 2, 3), (13, 6)], "`v`"),
            ([(13, 2, 3), (13, 1, 3), (13, 2, 3)], "`k`.*H as q"),
            ([(13, 3, 3), (13, 3, 3), (13, 3, 3)], "`q, k, v`.*H = 2"),
            ([(13, 2, 3), (13, 2, 4), (13, 2, 3)], "`k` must be of 3"),
        )
    ),
    (lambda: attention(y, y, y, SERIES, execution=Pairs()), "no sparse support"),
    # Tables of walks
    (lambda: Walks(PAIRS, ones(3, 2)), r"`table` must be of shape \[P, K \+ 1\] with P = 2"),
    (lambda: Walks(PAIRS, ones(2)), "P = 2"),
    (lambda: Walks(PAIRS, ones(2, 0)), "P = 2"),
    (lambda: Walks(PAIRS, torch.full((2, 2), NAN)), "`table` must be finite, got 4"),
    (lambda: Walks(Pattern(PAIRS.rowptr, PAIRS.col, 4), ones(2, 2)), "`pattern` must be square"),
    (lambda: Walks(PAIRS, ones(2, 2), normalization="row"), "`normalization`"),
]

TYPE_ERRORS: list[tuple[Callable[[], object], str]] = [
    # Topology
    (lambda: graph(num_nodes=3.0), "`num_nodes` must be an integer"),
    (lambda: graph(edge_weight=ones(4).long()), "`edge_weight` must be a floating-point tensor"),
    (lambda: graph(edge_weight=ones(4).cfloat()), "`edge_weight`"),
    (lambda: graph(edge_weight=[1.0] * 4), "`edge_weight` must be a tensor, got list"),
    (lambda: graph(batch=ones(3)), "`batch` must be an integer tensor"),
    (lambda: graph(batch=[0, 0, 0]), "`batch`"),
    (lambda: graph(num_nodes=None, batch=[0, 0, 0]), "`batch`"),
    (lambda: graph(num_nodes=None, batch=torch.tensor(0)), "`batch`"),
    (lambda: graph(pos=ones(3, 2).long()), "`pos`"),
    (lambda: graph(edge_attr=[1.0] * 4), "`edge_attr` must be a tensor, got list"),
    (lambda: graph(edge_attr=ones(4) + 1j), "`edge_attr` must be a tensor of real numbers"),
    (lambda: graph(walks=PATH), "`walks` must be Walks"),
    (lambda: graph(walks=[walks(3), None]), "`walks`"),
    (lambda: Topology.of([1], PATH), "`x`"),
    (
        lambda: Topology.of(ones(3, 1), PATH, ZEROS),
        "`edge_weight` must be .*`batch` comes after it",
    ),
    # Formats of graphs
    (lambda: Topology("graph", 4), "`edge_index` must be a tensor, EdgeIndex, torch sparse matrix"),
    (lambda: Topology(None, 4), "`edge_index`"),
    (lambda: Topology([[0], [1]], 4), "`edge_index`.*got list"),
    (
        lambda: Topology(ones(2, 3), 4),
        "`edge_index` must be an integer tensor, got dtype torch.float",
    ),
    (lambda: Topology(ones(2, 3).bool(), 4), "`edge_index`.*torch.bool"),
    (lambda: Topology(ones(2, 3).cfloat(), 4), "`edge_index`"),
    (lambda: Topology(coo(WEIGHT.long())), "`edge_weight` must be a floating-point tensor"),
    # Walks and samplers
    (lambda: entries(col=ONES), "`col` must be an integer tensor"),
    (lambda: entries(hop=ONES.bool()), "`hop`"),
    (lambda: entries(row=[0, 0]), "`row`"),
    (lambda: entries(weight=ONES.long()), "`weight` must be a floating-point tensor"),
    (lambda: entries(weight=[1.0, 1.0]), "`weight`"),
    (lambda: entries(num_nodes=3.0), "`num_nodes`"),
    (lambda: IIDWalks()(torch.tensor([[0], [1]])), "`topology` must be a Topology"),
    (lambda: ResampledWalks()(WEIGHTED, 0), "`generator`"),
    (lambda: IIDWalks(hops=2.0), "`hops`"),
    (lambda: IIDWalks(num_walks="4"), "`num_walks`"),
    (lambda: IIDWalks(p_halt="a"), "`p_halt`"),
    (lambda: AntitheticWalks(p_halt=None), "`p_halt`"),
    (lambda: IIDWalks(length_law=0.1), "`length_law` must be a LengthLaw, such as .*, got float"),
    (lambda: ResampledWalks(budget=2.5), "`budget`"),
    (lambda: Poisson("1"), "`rate`"),
    (lambda: FixedLength(2.0), "`length` must be an integer"),
    (lambda: Antithetic(0.1), "`law` must be a LengthLaw"),
    (lambda: Systematic(Geometric), "`law` must be a LengthLaw"),
    # Operators
    (lambda: attend(OPERATOR, x.long(), x, x), "`q`"),
    (lambda: attend(OPERATOR, x, [1.0], x), "`k`"),
    (lambda: OPERATOR + 1, "unsupported operand"),
    (lambda: OPERATOR * "2", "multiply"),
    # Attention
    (lambda: attention(y.long(), y, y, SERIES), "`q`"),
    (lambda: attention(y, y, None, SERIES), "`v`"),
    (lambda: attention(y, y, y, GlobalMask()), "`mask` must be an operator"),
    (lambda: attention(y, y, y, SERIES, torch.relu), "`feature_map`"),
    (lambda: attention(y, y, y, SERIES, execution="pairs"), "`execution`"),
    (lambda: attention(y, y, y, SERIES, execution=Pairs), "`execution`"),
    (lambda: Walks(PAIRS, ones(2, 2).long()), "`table` must be a floating-point tensor"),
]


@pytest.mark.parametrize(("call", "expected"), VALUE_ERRORS)
def test_wrong_values_raise(call: Callable[[], object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        call()


@pytest.mark.parametrize(("call", "expected"), TYPE_ERRORS)
def test_wrong_types_raise(call: Callable[[], object], expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        call()


def test_wrong_values_raise_in_inference_mode() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="`edge_index`"):
        Topology(PATH, 2)
