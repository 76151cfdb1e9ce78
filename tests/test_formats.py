"""All formats of a graph give the same topology."""

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

# A directed graph of four nodes with a self-loop and an isolated node, sorted by row of the
# adjacency.
EDGES = torch.tensor([[2, 0, 1, 1], [0, 1, 1, 2]])


def weights() -> Tensor:
    return torch.tensor([0.5, -1.0, 2.0, 3.0])


def coo(weight: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(EDGES.flip(0), weight, (4, 4), check_invariants=True)


def dense(weight: Tensor) -> Tensor:
    return torch.zeros(4, 4).index_put((EDGES[1], EDGES[0]), weight)


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
    "data-transformed": lambda w: Topology.from_data(
        ToSparseTensor(layout=torch.sparse_csr)(Data(edge_index=EDGES, edge_weight=w, num_nodes=4))
    ),
    "data-x": lambda w: Topology.from_data(
        Data(x=torch.ones(4, 1), edge_index=EDGES, edge_weight=w)
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("read", FORMATS.values(), ids=FORMATS)
def test_formats_agree_and_carry_the_gradient(read: Callable[[Tensor], Topology]) -> None:
    weight = weights().requires_grad_()
    topology = read(weight)
    assert (topology.num_nodes, topology.num_edges, topology.num_graphs) == (4, 4, 1)
    pattern, value = topology.adjacency(None)
    assert_close(pattern.to_dense(value), dense(weight))
    grads = []
    for graph in (topology, Topology(EDGES, 4, weight)):
        pattern, value = graph.adjacency("sym")
        loss = (pattern.to_dense(value) * torch.arange(16.0).reshape(4, 4)).sum()
        grads.append(torch.autograd.grad(loss, weight))
    assert_close(*grads)


class Stored:
    """A stand-in for ``torch_sparse.SparseTensor``, an optional package."""

    def coo(self) -> tuple[Tensor, Tensor, Tensor]:
        return EDGES[1], EDGES[0], weights()

    def sizes(self) -> list[int]:
        return [4, 4]


def test_a_sparse_tensor_is_read_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_formats, "SparseTensor", Stored)
    pattern, weight = Topology(Stored()).adjacency(None)
    assert_close(pattern.to_dense(weight), dense(weights()))


def test_parallel_edges_add_in_every_format() -> None:
    twice, weight = torch.cat([EDGES, EDGES], 1), torch.cat([weights(), weights()])
    matrix = torch.sparse_coo_tensor(twice.flip(0), weight, (4, 4), check_invariants=True)
    for topology in (Topology(twice, 4, weight), Topology(matrix)):
        pattern, value = topology.adjacency(None)
        assert pattern.nnz == 4
        assert_close(pattern.to_dense(value), 2 * dense(weights()))


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
    block = dense(weights())
    assert_close(pattern.to_dense(weight), torch.block_diag(block, torch.zeros(2, 2), block))


def test_a_batch_of_trailing_empty_graphs_keeps_them() -> None:
    graphs = [Data(edge_index=EDGES, num_nodes=4), Data(edge_index=EDGES[:, :0], num_nodes=0)]
    assert Topology.from_data(Batch.from_data_list(graphs)).num_graphs == 2
