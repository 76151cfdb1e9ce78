"""Return probabilities against PyG's, powers of dense matrices, and the average of draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import AddRandomWalkPE, BaseTransform
from torch_geometric.utils import erdos_renyi_graph

from graphmask import Topology
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.testing import example_topologies
from graphmask.transforms import (
    AddWalkEncoding,
    AddWalks,
    HeatKernelSignature,
    KNNGraph,
    ReorderNodes,
    _returns,
)
from graphmask.transforms._returns import draw_returns, return_probabilities
from graphmask.walks import IIDWalks, TruncatedWalks


@pytest.fixture(params=["compiled", "torch"])
def body(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(_returns, "HAS_NUMBA", False)
    elif not HAS_NUMBA:
        pytest.skip("needs numba")
    return request.param


def graph(num_nodes: int, directed: bool, probability: float = 0.2) -> Data:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        edges = erdos_renyi_graph(num_nodes, probability, directed=directed)
    return Data(edge_index=edges, num_nodes=num_nodes)


def encode(data: Data, length: int = 16, **options: object) -> Tensor:
    return AddWalkEncoding(length, generator=torch.Generator().manual_seed(0), **options)(
        data
    ).random_walk_pe


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("directed", [False, True])
def test_small_graphs_are_those_of_pyg(body: str, directed: bool, length: int) -> None:
    data = graph(40, directed)
    expected = AddRandomWalkPE(length)(data).random_walk_pe
    assert_close(encode(data, length), expected, rtol=1e-5, atol=1e-6)


def test_batches_are_encoded_as_graphs_alone(body: str) -> None:
    graphs = [graph(20, False), graph(31, False)]
    together = encode(Batch.from_data_list(graphs), 8, width=4)
    assert_close(together, torch.cat([encode(data, 8, width=4) for data in graphs]))


def by_powers(topology: Topology, length: int) -> Tensor:
    """The definition: diagonals of the powers of D^-1 A, A_ij the weight of i -> j."""
    A = torch.zeros(topology.num_nodes, topology.num_nodes, dtype=torch.double)
    weight = topology.edge_weight
    weight = torch.ones(topology.num_edges) if weight is None else weight
    A.index_put_(tuple(topology.edge_index), weight.double(), accumulate=True)
    total = A.abs().sum(1, keepdim=True)
    P = torch.where(total > 0, A / total, 0)
    powers = [torch.linalg.matrix_power(P, k) for k in range(1, length + 1)]
    return torch.stack([power.diagonal() for power in powers], 1)


@pytest.mark.parametrize("name", list(example_topologies()))
def test_probabilities_are_diagonals_of_powers(body: str, name: str) -> None:
    """Signed weights, parallel edges, self-loops, isolated nodes, graphs in any order."""
    topology = example_topologies()[name]
    estimate, exact = return_probabilities(topology, 7, width=64, seed=0)
    assert exact.all()
    expected = by_powers(topology, 7)
    assert_close(estimate, expected, check_dtype=False, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [0.0, 1e-300, 1e300, 1.7e308])
def test_probabilities_of_weights_of_any_size(body: str, length: float) -> None:
    """Undirected edges beside one of weight 1, and one of weight 0 that nothing passes."""
    edges = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 0, 5]])
    weight = torch.tensor([length, 1.0, length, length, 0.0], dtype=torch.float64)
    graph = Topology(torch.cat([edges, edges.flip(0)], 1), 6, weight.repeat(2))
    W = torch.zeros(6, 6, dtype=torch.float64)
    W[edges[0], edges[1]] = W[edges[1], edges[0]] = weight / max(length, 1.0)
    total = W.sum(1, keepdim=True)
    P = torch.where(total > 0, W / total, 0)
    expected = torch.stack([torch.linalg.matrix_power(P, k).diagonal() for k in range(1, 8)], 1)
    assert_close(return_probabilities(graph, 7, width=64, seed=0)[0], expected)


@pytest.mark.parametrize("directed", [False, True])
def test_narrow_rows_are_unbiased(body: str, directed: bool) -> None:
    """Means of 400 draws lie within 5 standard errors, for nearly all numbers within 3."""
    topology = Topology.from_data(graph(30, directed))
    # Nodes of copies draw independently of each other where one graph holds them all.
    shift = 30 * torch.arange(100).repeat_interleave(topology.num_edges)
    copies = Topology(topology.edge_index.repeat(1, 100) + shift, 3000)
    draws = [draw_returns(copies, 8, width=4, seed=seed) for seed in range(4)]
    assert not any((steps == 8).any() for _, steps in draws)
    drawn = torch.cat([estimate.reshape(100, 30, 8) for estimate, _ in draws])
    error = (drawn.mean(0) - by_powers(topology, 8)) / (drawn.std(0) / 20 + 1e-9)
    assert drawn.std(0)[:, 4:].median() > 1e-3
    assert error.abs().max() < 5
    assert (error.abs() < 3).double().mean() > 0.98


def both_ways(source: Tensor, target: Tensor) -> Tensor:
    return torch.stack([torch.cat([source, target]), torch.cat([target, source])])


def hubs() -> dict[str, Topology]:
    """Graphs with nodes of many neighbours, all weights and directions among them."""
    leaves, generator = torch.arange(1, 300), torch.Generator().manual_seed(0)
    left, right = torch.cartesian_prod(torch.arange(60), torch.arange(60, 63)).T
    edges = torch.randint(20, (2, 150), generator=generator)  # with loops and parallel edges
    weight = torch.rand(150, dtype=torch.double, generator=generator)
    return {
        "star": Topology(both_ways(0 * leaves, leaves), 300),
        "bipartite": Topology(both_ways(left, right), 63),
        "complete": Topology(torch.cartesian_prod(*[torch.arange(20)] * 2).T, 20),
        "weighted": Topology(edges, 20, weight),
        "signed": Topology(edges, 20, weight - 0.5),
        "undirected": Topology(both_ways(*edges), 20, weight.repeat(2)),
        "path": Topology(both_ways(torch.arange(9), torch.arange(1, 10)), 10),
        "without edges": Topology(edges[:, :0], 5),
    }


@pytest.mark.parametrize("name", hubs())
def test_three_steps_are_exact_at_hubs(
    body: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no step is above 1, or below 0 where no weight is."""
    topology = hubs()[name]
    monkeypatch.setattr(_returns, "_PATHS", 100)
    for length in (1, 2, 3, 7):
        estimate, exact = return_probabilities(topology, length, width=1, seed=0)
        expected = by_powers(topology, min(length, 3))
        assert_close(estimate[:, :3], expected, rtol=1e-6, atol=1e-9)
        assert exact.all() or length > 3
        assert estimate.max() <= 1
        assert estimate.min() >= (-1 if name == "signed" else 0)


def test_products_of_too_many_terms_are_sampled(body: str) -> None:
    """In a star of 600 leaves, each of which is a path of two."""
    leaves = torch.arange(1, 601)
    out = torch.stack([torch.cat([0 * leaves, leaves]), torch.cat([leaves, leaves + 600])])
    topology = Topology(torch.cat([out, out.flip(0)], 1), 1201)
    draws = [draw_returns(topology, 2, width=32, seed=seed)[0][:2] for seed in range(100)]
    drawn = torch.stack(draws)
    exact = torch.tensor([[0.0, 0.5], [0.0, 0.5 + 0.5 / 600]], dtype=torch.double)
    assert drawn[:, 0, 1].std() > 0.1
    assert ((drawn.mean(0) - exact).abs() <= 4 * drawn.std(0) / 10 + 1e-6).all()


def test_wide_rows_are_exact_and_draw_nothing(body: str) -> None:
    data = KNNGraph(6)(Data(pos=torch.rand(300, 3, generator=torch.Generator().manual_seed(0))))
    first, second = (AddWalkEncoding(8)(data).random_walk_pe for _ in range(2))
    assert_close(first, second, rtol=0, atol=0)
    assert_close(first, by_powers(Topology.from_data(data), 8).float())


def test_the_generator_determines_draws(body: str) -> None:
    data, generator = graph(30, False), torch.Generator().manual_seed(3)
    first, second = (AddWalkEncoding(8, width=3, generator=generator) for _ in range(2))
    drawn = first(data).random_walk_pe
    assert (second(data).random_walk_pe != drawn).any()
    assert_close(first(data).random_walk_pe, drawn, rtol=0, atol=0)
    assert (AddWalkEncoding(8, width=3)(data).random_walk_pe != drawn).any()


def test_encodings_of_another_graph_are_an_error() -> None:
    """Held-out edges would be features."""
    data = AddWalkEncoding(4)(graph(30, False))
    Topology.from_data(data)
    data.edge_index = data.edge_index[:, :-2]
    message = r"`random_walk_pe \(an encoding\)` must be of this graph.* 3 of 30 nodes"
    with pytest.raises(ValueError, match=message):
        Topology.from_data(data)
    Topology.from_data(AddWalkEncoding(4)(data))
    data.edge_weight = torch.rand(data.num_edges)
    del data.encoded_graph_random_walk_pe
    Topology.from_data(data)


def weighted(num_nodes: int) -> Data:
    data = graph(num_nodes, False)
    return data.update({"edge_weight": torch.rand(data.num_edges)})


ENCODINGS = [partial(AddWalkEncoding, 4), partial(HeatKernelSignature, 4)]


@pytest.mark.parametrize("encode", ENCODINGS)
def test_each_encoding_is_of_a_graph(encode: Callable[..., BaseTransform]) -> None:
    """What is written, or read, first does not matter, nor that other attributes are of now."""
    first, second, walks = (
        encode(attr_name="first"),
        encode(attr_name="second"),
        AddWalks(IIDWalks(hops=2)),
    )
    data = second(first(walks(weighted(30))))
    Topology.from_data(data)
    data.edge_weight = data.edge_weight**2
    for again, stale in ((first, "second"), (second, "walk_index"), (walks, None)):
        with pytest.raises(ValueError, match="with the edges and weights that it has now"):
            Topology.from_data(data)
        data = again(data)
        if stale is not None:
            with pytest.raises(ValueError, match=f"`{stale}.*must be of this graph"):
                Topology.from_data(data)
    Topology.from_data(data)
    data.edge_weight = data.edge_weight + 1
    del data.first
    with pytest.raises(ValueError, match="second"):
        Topology.from_data(data)
    del data.second
    Topology.from_data(walks(data))


@pytest.mark.parametrize("encode", ENCODINGS)
def test_features_that_end_in_another_graph_s_encoding_are_an_error(
    encode: Callable[..., BaseTransform],
) -> None:
    once = encode(attr_name=None)(weighted(30))
    data = encode(attr_name=None)(ReorderNodes()(once))
    assert data.x.shape[1] == 8
    data.edge_weight = data.edge_weight**2
    with pytest.raises(ValueError, match=r"`x \(an encoding\)` must be of this graph"):
        encode(attr_name=None)(data)


def test_encodings_by_a_sampler_are_its_diagonals() -> None:
    data = graph(30, True)
    expected = by_powers(Topology.from_data(data), 6).float()
    assert_close(encode(data, 6, sampler=TruncatedWalks(0.0, 8, "rw")), expected)
    generator = torch.Generator().manual_seed(0)
    transforms = [
        AddWalkEncoding(6, sampler=IIDWalks(64, 0.1, 6, "rw"), generator=generator)
        for _ in range(100)
    ]
    mean = torch.stack([transform(data).random_walk_pe for transform in transforms]).mean(0)
    assert (mean - expected).abs().max() < 0.02


def test_encodings_are_appended_or_written_by_name() -> None:
    data = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    appended = AddWalkEncoding(2, attr_name=None)(data)
    assert_close(appended.x[1], torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert AddWalkEncoding(2, "pe")(data).pe.dtype == torch.float32
    none = torch.empty(2, 0, dtype=torch.long)
    assert encode(Data(edge_index=none, num_nodes=0)).shape == (0, 16)
