"""Every way to write a graph is read as the same topology."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import ToSparseTensor

from graphmask import Topology, _formats
from graphmask.testing import example_topologies

# A directed graph of four nodes with a self-loop and an isolated node, sorted by row of the
# adjacency.
EDGES = torch.tensor([[2, 0, 1, 1], [0, 1, 1, 2]])


def weights() -> Tensor:
    return torch.tensor([0.5, -1.0, 2.0, 3.0])


def coo(weight: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(EDGES.flip(0), weight, (4, 4), check_invariants=True)


def sparse_tensor(weight: Tensor | None) -> object:
    library = pytest.importorskip("torch_sparse")
    return library.SparseTensor(row=EDGES[1], col=EDGES[0], value=weight, sparse_sizes=(4, 4))


FORMATS: dict[str, Callable[[Tensor], Topology]] = {
    "tensor": lambda w: Topology(EDGES, 4, w),
    "int32": lambda w: Topology(EDGES.int(), 4, w),
    "shuffled": lambda w: Topology(EDGES.flip(1), 4, w.flip(0)),
    "EdgeIndex": lambda w: Topology(EdgeIndex(EDGES, sparse_size=(4, 4)), edge_weight=w),
    "EdgeIndex-unsized": lambda w: Topology(EdgeIndex(EDGES), 4, w),
    "EdgeIndex-sorted": lambda w: Topology(
        EdgeIndex(EDGES, sparse_size=(4, 4), sort_order="col"), edge_weight=w
    ),
    "coo": lambda w: Topology(coo(w)),
    "csr": lambda w: Topology(coo(w).to_sparse_csr()),
    "csc": lambda w: Topology(coo(w).to_sparse_csc()),
    "SparseTensor": lambda w: Topology(sparse_tensor(w)),
    "data": lambda w: Topology.from_data(Data(edge_index=EDGES, edge_weight=w, num_nodes=4)),
    "data-adj_t": lambda w: Topology.from_data(Data(adj_t=coo(w).to_sparse_csr(), num_nodes=4)),
    "data-x": lambda w: Topology.from_data(
        Data(x=torch.ones(4, 1), edge_index=EDGES, edge_weight=w)
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta:UserWarning")
@pytest.mark.parametrize("read", FORMATS.values(), ids=FORMATS)
def test_formats_agree(read: Callable[[Tensor], Topology]) -> None:
    topology = read(weights())
    assert (topology.num_nodes, topology.num_edges, topology.num_graphs) == (4, 4, 1)
    dense = torch.zeros(4, 4).index_put((EDGES[1], EDGES[0]), weights())
    pattern, weight = topology.adjacency(None)
    assert_close(pattern.to_dense(weight), dense)


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta:UserWarning")
@pytest.mark.parametrize("read", FORMATS.values(), ids=FORMATS)
def test_formats_carry_the_gradient(read: Callable[[Tensor], Topology]) -> None:
    weight = weights().requires_grad_()
    pattern, value = read(weight).adjacency("sym")
    (pattern.to_dense(value) * torch.arange(16.0).reshape(4, 4)).sum().backward()
    again = weights().requires_grad_()
    pattern, value = Topology(EDGES, 4, again).adjacency("sym")
    (pattern.to_dense(value) * torch.arange(16.0).reshape(4, 4)).sum().backward()
    assert_close(weight.grad, again.grad)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_what_pyg_transforms_to_sparse_is_read() -> None:
    data = ToSparseTensor(layout=torch.sparse_csr)(
        Data(edge_index=EDGES, edge_weight=weights(), num_nodes=4)
    )
    topology = Topology.from_data(data)
    pattern, weight = topology.adjacency(None)
    assert_close(
        pattern.to_dense(weight), torch.zeros(4, 4).index_put((EDGES[1], EDGES[0]), weights())
    )


class Stored:
    """What is read of a ``torch_sparse.SparseTensor``, for where that is not installed."""

    def coo(self) -> tuple[Tensor, Tensor, Tensor]:
        return EDGES[1], EDGES[0], weights()

    def sizes(self) -> list[int]:
        return [4, 4]


def test_a_sparse_tensor_is_read_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_formats, "SparseTensor", Stored)
    pattern, weight = Topology(Stored()).adjacency(None)
    assert_close(pattern.to_dense(weight), coo(weights()).to_dense())


def test_parallel_edges_add_in_every_format() -> None:
    twice, weight = torch.cat([EDGES, EDGES], 1), torch.cat([weights(), weights()])
    matrix = torch.sparse_coo_tensor(twice.flip(0), weight, (4, 4), check_invariants=True)
    for topology in (Topology(twice, 4, weight), Topology(matrix)):
        pattern, value = topology.adjacency(None)
        assert pattern.nnz == 4
        assert_close(pattern.to_dense(value), 2 * coo(weights()).to_dense())


def test_a_batch_is_read_with_its_graphs() -> None:
    graphs = [
        Data(
            edge_index=EDGES,
            edge_weight=weights(),
            num_nodes=4,
            pos=torch.rand(4, 3, generator=torch.Generator()),
        ),
        Data(
            edge_index=EDGES[:, :0], edge_weight=weights()[:0], num_nodes=2, pos=torch.zeros(2, 3)
        ),
        Data(edge_index=EDGES, edge_weight=weights(), num_nodes=4, pos=torch.zeros(4, 3)),
    ]
    topology = Topology.from_data(Batch.from_data_list(graphs))
    assert topology.graph_sizes.tolist() == [4, 2, 4]
    assert topology.pos.shape == (10, 3)
    pattern, weight = topology.adjacency(None)
    block = coo(weights()).to_dense()
    assert_close(pattern.to_dense(weight), torch.block_diag(block, torch.zeros(2, 2), block))


def test_a_batch_of_trailing_empty_graphs_keeps_them() -> None:
    graphs = [Data(edge_index=EDGES, num_nodes=4), Data(edge_index=EDGES[:, :0], num_nodes=0)]
    assert Topology.from_data(Batch.from_data_list(graphs)).num_graphs == 2


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


WRONG_TYPE: list[tuple[tuple[object, ...], str]] = [
    (("graph", 4), "`edge_index` must be a tensor, EdgeIndex, torch sparse matrix"),
    ((None, 4), "`edge_index`"),
    (([[0], [1]], 4), "`edge_index`.*got list"),
    ((ones(2, 3), 4), "`edge_index` must be an integer tensor, got dtype torch.float"),
    ((ones(2, 3).bool(), 4), "`edge_index`.*torch.bool"),
    ((ones(2, 3).cfloat(), 4), "`edge_index`"),
    ((coo(weights().long()),), "`edge_weight` must be a floating-point tensor"),
]
WRONG_VALUE: list[tuple[tuple[object, ...], str]] = [
    ((ones(3, 2).long(), 4), r"`edge_index` must be of shape \[2, E\].*\[3, 2\]"),
    ((ones(2).long(), 4), r"`edge_index`.*\[2\]"),
    ((ones(3, 4).to_sparse_coo(),), r"`edge_index` must be a square matrix \[N, N\]"),
    ((EdgeIndex(EDGES, sparse_size=(4, 5)),), "square matrix"),
    ((EdgeIndex(EDGES, sparse_size=(4, 4)), 7), "`num_nodes`"),
    ((coo(weights()), 5), "`num_nodes` must be 4, the size of the sparse matrix"),
    ((coo(weights()), None, weights()), "`edge_weight` must be left out"),
]


def test_what_is_no_graph_raises() -> None:
    for error, rows in ((TypeError, WRONG_TYPE), (ValueError, WRONG_VALUE)):
        for arguments, expected in rows:
            with pytest.raises(error, match=expected):
                Topology(*arguments)
    with pytest.raises(ValueError, match="`data` must be a graph with `edge_index` or `adj_t`"):
        Topology.from_data(Data(x=ones(3, 1)))


def test_examples_are_what_they_say() -> None:
    examples = example_topologies()
    assert not examples["signed"].nonnegative
    assert examples["multigraph"].pattern.nnz < examples["multigraph"].num_edges
    assert (examples["ragged"].batch.diff() < 0).any()
    assert sorted(examples["ragged"].graph_sizes.tolist()) == [1, 2, 7, 13]
    assert {each.num_nodes for each in examples.values()} == {1, 2, 7, 13, 23}
