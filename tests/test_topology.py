from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import ToSparseTensor

from graphmask import Topology
from graphmask.masks import PowerSeriesMask
from graphmask.testing import assert_gradients, batch_topologies, example_topologies
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks, Walks

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
NORMALIZATIONS = ("sym", "rw", None)


def walks(num_nodes: int, row: int = 0, col: int = 0) -> Walks:
    one = torch.ones(1, dtype=torch.long)
    return Walks.from_entries(row * one, col * one, 0 * one, torch.ones(1), num_nodes, 1)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", cases.TOPOLOGIES)
def test_the_adjacency_is_its_definition(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    pattern, weight = topology.adjacency(normalization)
    position = pattern.row.long() * topology.num_nodes + pattern.col
    assert (position.diff() > 0).all()
    assert_close(pattern.to_dense(weight), cases.adjacency_reference(topology, normalization))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph"])
def test_the_adjacency_has_derivatives(name: str, normalization: str) -> None:
    topology = example_topologies()[name]

    def entries(weight: Tensor) -> Tensor:
        return Topology(topology.edge_index, topology.num_nodes, weight).adjacency(normalization)[1]

    assert_gradients(entries, topology.edge_weight)


def test_the_adjacency_is_made_once_and_learned_weights_are_read_each_time() -> None:
    topology = example_topologies()["weighted"]
    assert topology.adjacency("rw")[1] is topology.adjacency("rw")[1]
    assert topology.adjacency("rw")[0] is topology.pattern
    weight = topology.edge_weight.clone().requires_grad_()
    learned = Topology(topology.edge_index, 13, weight)
    with torch.no_grad():
        learned.adjacency("rw")
        weight.mul_(2)
    pattern, value = learned.adjacency(None)
    assert value.requires_grad
    expected = cases.adjacency_reference(topology, None) * 2
    assert_close(pattern.to_dense(value), expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "empty"])
def test_several_sets_of_weights_are_normalised_one_by_one(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    sets = torch.randn(2, 3, topology.num_edges, generator=torch.Generator().manual_seed(0))
    pattern, weight = topology.adjacency(normalization, sets)
    assert (pattern, weight.shape) == (topology.pattern, (2, 3, pattern.nnz))
    for one, expected in zip(weight.flatten(0, 1), sets.flatten(0, 1), strict=True):
        assert_close(
            one,
            Topology(topology.edge_index, topology.num_nodes, expected).adjacency(normalization)[1],
        )


def test_the_norm_of_the_symmetric_adjacency_is_at_most_one() -> None:
    for topology in example_topologies().values():
        pattern, weight = topology.adjacency("sym")
        assert torch.linalg.matrix_norm(pattern.to_dense(weight), ord=2) <= 1 + 1e-12


def test_ranks_and_sizes_of_graphs_in_any_order() -> None:
    topology = Topology(PATH[:, :0], batch=torch.tensor([2, 0, 2, 0, 0]), num_graphs=4)
    assert topology.graph_sizes.tolist() == [3, 0, 2, 0]
    assert topology.local_index.tolist() == [0, 0, 1, 1, 2]
    assert topology.largest_graph == 3
    assert topology.blocks.shapes == ((4, 3),)


@pytest.mark.parametrize(
    "known", [{"num_nodes": 3}, {"batch": torch.zeros(3).long()}, {"pos": torch.zeros(3, 2)}]
)
def test_the_number_of_nodes_is_told_or_found(known: dict) -> None:
    assert Topology(PATH, **known).num_nodes == 3


def test_walks_are_joined_to_the_same_graph() -> None:
    plain = Topology(PATH, 3)
    adjacency, pattern = plain.adjacency(), plain.pattern
    first, second = walks(3), walks(3, 1, 2)
    made = plain.with_walks(first, second)
    assert (made.walks, made.walk_sets, plain.walks) == (first, (first, second), None)
    assert made.pattern is pattern
    assert made.adjacency()[1] is adjacency[1]
    assert made.with_walks().walk_sets == ()


def test_a_layer_s_arguments_make_a_topology_or_are_one() -> None:
    x, ready = torch.ones(3, 1), Topology(PATH, 3)
    assert Topology.of(x, ready) is ready
    assert Topology.of(x, PATH, torch.ones(4), torch.tensor([0, 0, 0])).num_graphs == 1


@pytest.mark.parametrize(
    "features",
    [torch.arange(8.0).view(4, 2), torch.arange(4), torch.zeros(4, 3, dtype=torch.uint8)],
)
def test_features_of_edges_are_kept(features: Tensor) -> None:
    made = Topology.from_data(Data(edge_index=PATH, edge_attr=features, num_nodes=3))
    same = Topology.of(torch.ones(3, 1), PATH, edge_attr=features)
    for topology in (
        made,
        same,
        made.with_walks(walks(3)),
        made.to("cpu"),
        pickle.loads(pickle.dumps(made)),
    ):
        assert_close(topology.edge_attr, features, rtol=0, atol=0)
    assert Topology(PATH, 3).edge_attr is None


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_features_of_a_sparse_matrix_are_those_of_its_entries() -> None:
    """In the order in which PyG's ToSparseTensor puts them: by target, then by source."""
    data = Data(edge_index=PATH.flip(1), edge_attr=PATH.flip(1).mT.float(), num_nodes=3)
    data = ToSparseTensor(layout=torch.sparse_csr)(data)
    topology = Topology.from_data(data)
    assert_close(topology.edge_index.mT.float(), topology.edge_attr)


def counter(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """A compiler that counts its calls."""
    counter.count += 1
    return module.forward


class Waits(TorchDispatchMode):
    """Counts the operations for which an accelerator is waited for.

    ``Tensor.tolist`` is counted by its caller.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.equal,
            torch.ops.aten.nonzero,
        )
        return func(*args, **(kwargs or {}))


def test_values_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of edges, weights, features, positions, batch and walks together, before training."""
    data = Data(
        edge_index=PATH,
        edge_weight=torch.ones(4),
        edge_attr=torch.ones(4, 1),
        pos=torch.ones(3, 2),
        num_nodes=3,
    )
    draw = AddWalks(ResampledWalks(budget=2, hops=1), torch.Generator().manual_seed(0), sets=2)
    batch, counts, tolist = Batch.from_data_list([draw(data), draw(data)]), [], Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda x: counts.append(1) or tolist(x))
    with Waits() as waits:
        topology = Topology.from_data(batch)
        assert (waits.count, len(counts)) == (0, 1)
        topology.with_walks(*topology.walk_sets)
        assert (waits.count, len(counts)) == (0, 2)
        topology.to("cpu")
        assert (waits.count, len(counts)) == (0, 2)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_are_the_same_topology(copied: Callable[[Topology], Topology]) -> None:
    topology = cases.random_walks(2)
    graph = example_topologies()["ragged"]
    graph = graph.with_walks(topology(graph))
    graph.adjacency()
    again = copied(graph)
    assert repr(again) == repr(graph)
    assert_close(again.adjacency()[1], graph.adjacency()[1])
    assert_close(again.walks.to_dense(), graph.walks.to_dense())


def test_moving_keeps_everything() -> None:
    graph, _ = batch_topologies(
        [example_topologies()["weighted"], example_topologies()["ring"]], interleaved=True
    )
    graph = Topology(
        graph.edge_index, 20, graph.edge_weight, graph.batch, torch.ones(20, 2), walks(20), 5
    )
    moved = graph.to("cpu")
    assert repr(moved) == repr(graph)
    assert (moved.device, moved.num_graphs) == (torch.device("cpu"), 5)
    for name in ("edge_index", "edge_weight", "batch", "pos"):
        assert torch.equal(getattr(moved, name), getattr(graph, name))


def test_deriving_more_does_not_compile_again() -> None:
    """Compiled code depends on what it reads of a topology, and on nothing else kept there."""
    torch.compiler.reset()
    topology, x = Topology(PATH, 3), torch.ones(3, 2)
    mask = PowerSeriesMask(hops=2)
    compiled = torch.compile(
        lambda topology, x: mask(topology).matmul(x), backend=counter, fullgraph=True
    )
    counter.count = 0
    mask.prepare(topology)
    expected = mask(topology).matmul(x)
    for _ in range(3):
        assert_close(compiled(topology, x), expected)
        topology.derive(lambda topology: topology.num_nodes)
        topology = topology.with_walks(walks(3))
    assert counter.count == 1


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


NAN, INF = float("nan"), float("inf")
ZEROS = torch.zeros(3, dtype=torch.long)
def test_half_precision_degrees_do_not_saturate() -> None:
    """The hub of 70,000 ones: float16 has no such number."""
    size = 70_000
    star = torch.stack([torch.arange(1, size + 1), torch.zeros(size, dtype=torch.long)])
    pattern, weight = Topology(star, size + 1, ones(size).half()).adjacency("rw")
    assert_close(weight, torch.full((size,), 1 / size, dtype=torch.float32))
    assert pattern.nnz == size


def test_caches_made_in_inference_mode_serve_training() -> None:
    topology = example_topologies()["weighted"]
    with torch.inference_mode():
        topology.adjacency("sym")
        blocks = topology.blocks
        expected = (
            topology.local_index,
            blocks.position,
            blocks.slots(topology.pattern),
            topology.pattern.mT.row,
        )
    assert not topology.adjacency("sym")[1].is_inference()
    assert not any(part.is_inference() for part in expected)
    scale = torch.ones(1, requires_grad=True)
    (scale * topology.adjacency("sym")[1]).sum().backward()
