"""The graph that all masks and layers read."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import cases
import numpy as np
import pytest
import torch
from builders import NO_EDGES, seeded, star
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import ToSparseTensor

from graphmask import Topology, attention, reference
from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import replace
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, TruncatedWalks, Walks, WalkSampler

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
every_normalization = pytest.mark.parametrize("normalization", ["sym", "rw", None])


def walks(num_nodes: int, row: int = 0, col: int = 0) -> Walks:
    node = torch.ones(1, dtype=torch.long)
    return Walks.from_entries(row * node, col * node, 0 * node, torch.ones(1), num_nodes, 1)


@every_normalization
@pytest.mark.parametrize("name", cases.TOPOLOGIES)
def test_the_adjacency_is_its_definition(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    pattern, weight = topology.adjacency(normalization)
    position = pattern.row.long() * topology.num_nodes + pattern.col
    assert (position.diff() > 0).all()
    W = pattern.to_dense(weight)
    assert_close(W, cases.adjacency_reference(topology, normalization))
    assert normalization != "sym" or torch.linalg.matrix_norm(W, ord=2) <= 1 + 1e-12


@every_normalization
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph"])
def test_the_adjacency_has_derivatives_and_takes_many_weights(
    name: str, normalization: str
) -> None:
    topology = example_topologies()[name]

    def entries(weight: Tensor) -> Tensor:
        return replace(topology, edge_weight=weight).adjacency(normalization)[1]

    assert_gradients(entries, topology.edge_weight)
    weights = torch.randn(2, 3, topology.num_edges, generator=seeded())
    pattern, values = topology.adjacency(normalization, weights)
    assert (pattern, values.shape) == (topology.pattern, (2, 3, pattern.nnz))
    assert_close(values.flatten(0, 1), torch.stack([entries(w) for w in weights.flatten(0, 1)]))


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_weights_of_nodes_whose_weights_are_all_zero_have_no_gradient(normalization: str) -> None:
    edges = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    weight = torch.tensor([1.0, 1.0, 2.0, 2.0, 0.0, 0.0]).requires_grad_()
    pattern, value = Topology(edges, 5, weight).adjacency(normalization)
    dense = reference.adjacency(edges, 5, weight, normalization)
    assert_close(pattern.to_dense(value), dense)
    output = torch.rand(5, 5, generator=seeded())
    for W in (pattern.to_dense(value), dense):
        (grad,) = torch.autograd.grad((W * output).sum(), weight)
        assert_close(grad[4:], torch.zeros(2))


def test_the_adjacency_is_computed_once_and_learned_weights_are_read_each_time() -> None:
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
    assert_close(pattern.to_dense(value), cases.adjacency_reference(topology, None) * 2)


def test_ranks_and_sizes_of_graphs_in_any_order() -> None:
    topology = Topology(NO_EDGES, batch=torch.tensor([2, 0, 2, 0, 0]), num_graphs=4)
    assert topology.graph_sizes.tolist() == [3, 0, 2, 0]
    assert topology.local_index.tolist() == [0, 0, 1, 1, 2]
    assert (topology.largest_graph, topology.blocks.shapes) == (3, ((4, 3),))
    single = Topology(PATH, 3)
    assert (single.num_graphs, single.largest_graph, single.graph_sizes.tolist()) == (1, 3, [3])
    assert (single.local_index.tolist(), single.blocks.shapes) == ([0, 1, 2], ((1, 3),))
    empty = Topology(NO_EDGES, 0)
    assert (empty.num_nodes, empty.num_edges, empty.pattern.nnz) == (0, 0, 0)
    assert Topology(NO_EDGES, 0, batch=torch.empty(0, dtype=torch.long)).graph_sizes.sum() == 0


def test_numbers_of_numpy_are_numbers() -> None:
    edge_index = torch.tensor([[0, 1], [1, 0]])
    assert type(Topology(edge_index, np.int64(3)).num_nodes) is int
    with pytest.raises(TypeError, match="`num_nodes` must be an integer, got bool"):
        Topology(edge_index, np.bool_(1))


def test_nodes_are_counted_by_any_argument() -> None:
    for argument in (
        {"num_nodes": 3},
        {"batch": torch.zeros(3, dtype=torch.long)},
        {"pos": torch.zeros(3, 2)},
    ):
        assert Topology(PATH, **argument).num_nodes == 3


def test_walks_are_joined_to_the_same_graph() -> None:
    plain = Topology(PATH, 3)
    adjacency, pattern = plain.adjacency(), plain.pattern
    first, second = walks(3), walks(3, 1, 2)
    joined = plain.with_walks(first, second)
    assert (joined.walks, joined.walk_sets, plain.walks) == (first, (first, second), None)
    assert joined.pattern is pattern
    assert joined.adjacency()[1] is adjacency[1]
    assert joined.with_walks().walk_sets == ()
    assert repr(plain) == "Topology(num_nodes=3, num_edges=4, num_graphs=1)"
    assert "walks=2 x Walks(num_nodes=3" in repr(joined)
    with pytest.raises(AttributeError):
        plain.num_nodes = 4


def test_a_layer_takes_a_topology_or_its_parts() -> None:
    x, ready = torch.ones(3, 1), Topology(PATH, 3)
    assert Topology.of(x, ready) is ready
    assert Topology.of(x, PATH, torch.ones(4), torch.tensor([0, 0, 0])).num_graphs == 1


@pytest.mark.parametrize(
    "edge_attr",
    [torch.arange(8.0).view(4, 2), torch.arange(4), torch.zeros(4, 3, dtype=torch.uint8)],
)
def test_features_of_edges_are_kept(edge_attr: Tensor) -> None:
    topology = Topology.from_data(Data(edge_index=PATH, edge_attr=edge_attr, num_nodes=3))
    from_edges = Topology.of(torch.ones(3, 1), PATH, edge_attr=edge_attr)
    copies = topology.with_walks(walks(3)), topology.to("cpu"), pickle.loads(pickle.dumps(topology))
    for graph in (topology, from_edges, *copies):
        assert_close(graph.edge_attr, edge_attr, rtol=0, atol=0)
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
    "copied",
    [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: x.to("cpu")],
)
def test_copies_are_the_same_topology(copied: Callable[[Topology], Topology]) -> None:
    graph = replace(example_topologies()["ragged"], pos=torch.ones(23, 2), num_graphs=5)
    graph = graph.with_walks(cases.random_walks(2)(graph))
    graph.adjacency()
    again = copied(graph)
    assert (repr(again), again.num_graphs) == (repr(graph), 5)
    for name in ("edge_index", "edge_weight", "batch", "pos"):
        assert torch.equal(getattr(again, name), getattr(graph, name))
    assert_close(again.adjacency()[1], graph.adjacency()[1])
    assert_close(again.walks.to_dense(), graph.walks.to_dense())


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


@pytest.mark.usefixtures("single_by_default")
def test_weights_keep_their_precision_and_are_summed_in_single() -> None:
    """A hub of 70,000 ones: float16 has no such number."""
    assert Topology(PATH, 3).adjacency()[1].dtype == torch.float32
    for dtype, expected in ((torch.float64,) * 2, (torch.float16, torch.float32)):
        assert Topology(PATH, 3, torch.ones(4, dtype=dtype)).adjacency()[1].dtype == expected
    ones = torch.ones(70_000, dtype=torch.float16)
    pattern, weight = Topology(star(70_000).edge_index, 70_001, ones).adjacency("rw")
    assert_close(weight, torch.full((70_000,), 1 / 70_000))
    assert pattern.nnz == 70_000


def test_structure_derived_in_inference_mode_serve_training() -> None:
    topology = example_topologies()["weighted"]
    with torch.inference_mode():
        topology.adjacency("sym")
        blocks = topology.blocks
        cached = (
            topology.local_index,
            blocks.position,
            blocks.slots(topology.pattern),
            topology.pattern.mT.row,
        )
    assert not topology.adjacency("sym")[1].is_inference()
    assert not any(x.is_inference() for x in cached)
    scale = torch.ones(1, requires_grad=True)
    (scale * topology.adjacency("sym")[1]).sum().backward()


@pytest.mark.parametrize("sampler", [TruncatedWalks(0.0, 1), IIDWalks(4, hops=1)])
def test_walks_drawn_in_inference_mode_serve_training(sampler: WalkSampler) -> None:
    with torch.inference_mode():
        topology = WalkMask(1, sampler=sampler).prepare(Topology(PATH, 3))
    q = torch.ones(3, 1, 2, requires_grad=True)
    attention(q, q, q, WalkMask(1, sampler=sampler)(topology)).sum().backward()


def test_changes_in_place_are_read() -> None:
    edges, weight, pos = PATH.clone(), torch.ones(4), torch.zeros(3, 2)
    topology = Topology(edges, 3, weight, pos=pos)
    walked = topology.with_walks(TruncatedWalks(0.0, 1)(topology))
    copied = copy.deepcopy(walked)
    before = topology.pattern.to_dense(topology.adjacency()[1])
    assert topology.nonnegative
    pos.add_(1.0)
    assert walked.walks is not None
    weight[0] = -2.0
    assert not topology.nonnegative
    edges.copy_(edges.flip(0))
    expected = Topology(edges, 3, weight)
    for changed in (topology, topology.with_walks()):
        pattern, values = changed.adjacency()
        assert_close(pattern.to_dense(values), expected.pattern.to_dense(expected.adjacency()[1]))
    with pytest.raises(ValueError, match="changed in place: draw the walks again"):
        walked.walks  # noqa: B018
    assert_close(copied.pattern.to_dense(copied.adjacency()[1]), before)
    assert copied.walks is not None
    assert topology.with_walks(TruncatedWalks(0.0, 1)(topology)).walks is not None
    copied.edge_weight.neg_()
    for stale in (copied, copy.deepcopy(copied), pickle.loads(pickle.dumps(copied))):
        assert not stale.nonnegative
        with pytest.raises(ValueError, match="changed in place"):
            stale.walk_sets  # noqa: B018
    edges[0, 0] = 7
    with pytest.raises(ValueError, match=r"`edge_index` must be node ids .* got 7"):
        topology.adjacency()


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_values_of_compressed_matrices_are_copied(layout: torch.layout) -> None:
    """Their changes are not counted: weights and what is derived from them must not part."""
    matrix = torch.tensor([[0.0, 2.0], [2.0, 0.0]]).to_sparse(layout=layout)
    topology = Topology(matrix)
    matrix.values().mul_(3)
    assert topology.edge_weight.tolist() == topology.adjacency(None)[1].tolist() == [2.0, 2.0]


def test_tensors_made_in_inference_mode_are_copied() -> None:
    with torch.inference_mode():
        weight, pos = torch.ones(2), torch.ones(2, 1)
        topology = Topology(torch.tensor([[0, 1], [1, 0]]), 2, weight, pos=pos)
        weight.mul_(3), pos.mul_(3)
    assert topology.edge_weight.tolist() == topology.adjacency(None)[1].tolist() == [1.0, 1.0]
    assert topology.pos.tolist() == [[1.0], [1.0]]


def test_the_sign_of_learned_weights_is_read_in_each_call() -> None:
    """Fused optimisers and ``.data`` change them in ways that torch does not count."""
    weight = torch.nn.Parameter(torch.ones(4))
    topology = Topology(PATH, 3, weight)
    operators = [PowerSeriesMask(2)(topology)]
    weight.data[0] = -1.0
    assert not topology.nonnegative
    operators.append(PowerSeriesMask(2)(topology))
    assert [operator.nonnegative for operator in operators] == [True, False]


@pytest.mark.parametrize(
    "order", [[0, 0, 1], [0, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 2.0], [True, False, False]]
)
def test_an_order_that_is_none_is_refused(order: list[float]) -> None:
    path = Topology(torch.tensor([[0, 1], [1, 2]]), 3)
    with pytest.raises(ValueError, match=r"`order` must be .*each.* node"):
        path.permute(torch.tensor(order))
