from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, _blocks
from graphmask._blocks import Blocks, find_widths
from graphmask.kernels import Pattern
from graphmask.masks import GlobalMask
from graphmask.operators import (
    Dense,
    GlobalOperator,
    MaskOperator,
    PowerSeriesOperator,
    SparseOperator,
)
from graphmask.operators._grids import graphs_by_size
from graphmask.testing import example_topologies


def interleaved(*sizes: int) -> Tensor:
    """Graph of each node, the nodes of all graphs in turns."""
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rank = torch.cat([torch.arange(size) for size in sizes])
    return batch[torch.argsort(rank, stable=True)]


def stacked(*sizes: int) -> tuple[Topology, Blocks]:
    topology = Topology(
        torch.empty(2, 0, dtype=torch.long), batch=interleaved(*sizes), num_graphs=len(sizes)
    )
    return topology, topology.blocks


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups as cheap as their padding, so that small graphs make several of them."""
    monkeypatch.setattr(_blocks, "_GROUP_COST", 20)


SIZES = [(3,), (0,), (0, 4, 0), (5, 1, 9, 5, 2), (2, 2, 2), tuple(range(12))]
every_size = pytest.mark.parametrize("sizes", SIZES, ids=str)


@every_size
@pytest.mark.usefixtures("narrow")
def test_every_node_has_a_place_in_its_graph_and_the_rest_is_zero(sizes: tuple[int, ...]) -> None:
    topology, blocks = stacked(*sizes)
    x = torch.arange(1.0, 6 * topology.num_nodes + 1).reshape(2, -1, 3)
    parts = blocks.split(x)
    assert [tuple(part.shape) for part in parts] == [(2, *shape, 3) for shape in blocks.shapes]
    actual = sorted(graph[graph[:, 0] > 0].tolist() for part in parts for graph in part[1])
    wanted = sorted(x[1, topology.batch == graph].tolist() for graph in range(len(sizes)))
    assert actual == wanted
    assert sum(int((part != 0).sum()) for part in parts) == x.numel()
    assert_close(blocks.map(lambda part: part[:1], [x]), x[:1])


@every_size
@pytest.mark.usefixtures("narrow")
def test_entries_are_written_where_their_nodes_are(sizes: tuple[int, ...]) -> None:
    topology, blocks = stacked(*sizes)
    generator = torch.Generator().manual_seed(0)
    dense = GlobalOperator(topology).to_dense()[0] * torch.rand(
        (topology.num_nodes,) * 2, generator=generator
    )
    row, col = dense.nonzero(as_tuple=True)
    pattern = Pattern.from_coo(row, col, (topology.num_nodes,) * 2)
    made = blocks.scatter(dense[row, col].unsqueeze(0), blocks.slots(pattern))
    x = torch.rand(1, topology.num_nodes, 2, generator=generator)
    actual = blocks.map(lambda part, block: block @ part, [x], made)
    assert_close(actual[0], dense @ x[0])


def test_equal_graphs_in_order_are_viewed() -> None:
    x, batch = torch.arange(36.0).view(2, 6, 3), torch.arange(3).repeat_interleave(2)
    topology = Topology(torch.empty(2, 0, dtype=torch.long), batch=batch)
    (part,) = topology.blocks.split(x)
    assert part.shape == (2, 3, 2, 3)
    assert part.data_ptr() == x.data_ptr()
    assert_close(topology.blocks.map(lambda part: part[:1], [x]), x[:1])
    assert not stacked(2, 2, 2)[1].is_view


def test_groups_are_exact_where_asked() -> None:
    topology, _ = stacked(0, 4, 3, 4, 0)
    blocks = topology.derive(graphs_by_size)
    x = torch.arange(1.0, 12).reshape(1, 11, 1)
    parts = blocks.split(x)
    assert [part.shape[2] for part in parts] == [3, 4]
    assert (parts[1] > 0).all()
    actual = blocks.map(lambda part: part / part.shape[2], [x])
    assert_close(actual.flatten(), x.flatten() / topology.graph_sizes[topology.batch])


def test_coinciding_entries_add() -> None:
    topology = Topology(torch.empty(2, 0, dtype=torch.long), 2)
    pattern = Pattern.from_coo(torch.tensor([0, 0]), torch.tensor([1, 1]), (2, 2))
    (block,) = topology.blocks.scatter(torch.tensor([[1.0, 2.0]]), topology.blocks.slots(pattern))
    assert block.tolist() == [[[[0, 3], [0, 0]]]]


def test_slots_are_kept_with_the_pattern_for_the_same_blocks_only() -> None:
    edges = torch.tensor([[0, 1, 3], [1, 0, 2]])
    topology, other = (
        Topology(edges, batch=torch.tensor(batch)) for batch in ([0, 0, 1, 1], [0, 0, 0, 0])
    )
    pattern = topology.pattern
    assert topology.blocks.slots(pattern) is topology.blocks.slots(pattern)
    assert topology.blocks.slots(pattern).tolist() == [1, 2, 5]
    assert other.blocks.slots(pattern).tolist() == [1, 4, 11]
    assert topology.with_walks().blocks is topology.blocks


@pytest.mark.parametrize(
    "sizes", [[10, 11, 12, 40], [1, 1, 1, 1000], list(range(1, 60)), [7]], ids=str
)
def test_widths_are_those_of_least_cost(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all ways to cut a few sizes in two, and every single group."""
    monkeypatch.setattr(_blocks, "_GROUP_COST", 500)

    def cost(widths: list[int]) -> float:
        ends = [0, *widths]
        return sum(500 + b * b * sum(a < size <= b for size in sizes) for a, b in pairwise(ends))

    actual = find_widths(np.array(sizes)).tolist()
    assert actual[-1] == max(sizes)
    assert cost(actual) <= min(cost(sorted({cut, max(sizes)})) for cut in sizes)


def test_a_group_is_worth_its_launches() -> None:
    """128 molecules make few groups, and padding does not double the work."""
    sizes = torch.randint(10, 41, (128,), generator=torch.Generator().manual_seed(0))
    _, blocks = stacked(*sizes.tolist())
    assert len(blocks.shapes) <= 4
    assert blocks.area < 1.6 * int(sizes.square().sum())


def global_mask(topology: Topology) -> MaskOperator:
    return GlobalMask()(topology)


def walks(topology: Topology) -> MaskOperator:
    pattern, weight = topology.adjacency()
    return SparseOperator(topology, pattern, torch.stack([weight, -weight]))


def series(topology: Topology) -> MaskOperator:
    return PowerSeriesOperator(
        topology, *topology.adjacency(), torch.tensor([[1.0, 0.5, 0.25], [0.5, 1.0, 0.125]]), True
    )


@pytest.mark.parametrize("planted", [float("nan"), float("inf"), 1e300], ids=str)
@pytest.mark.parametrize("make", [global_mask, walks, series], ids=lambda make: make.__name__)
@pytest.mark.parametrize("execution", [None, Dense()], ids=repr)
def test_nothing_leaks_from_padding_or_from_another_graph(
    make: Callable[[Topology], MaskOperator], execution: Dense | None, planted: float
) -> None:
    """Graph 0 holds what no sum survives.

    The others, narrower and wider, are as they were, and so are their gradients.
    """
    topology = example_topologies()["ragged"]
    generator = torch.Generator().manual_seed(0)
    clean = [torch.rand(2, topology.num_nodes, width, generator=generator) for width in (4, 4, 3)]
    for graph in range(topology.num_graphs):
        kept = topology.batch != graph
        results = []
        for bad in (None, planted):
            leaves = [x.clone() for x in clean]
            if bad is not None:
                for x in leaves:
                    x[:, ~kept] = bad
            leaves = [x.requires_grad_() for x in leaves]
            attended = make(topology).attend(*leaves, execution)
            total = (
                attended.numerator[:, kept].square().sum()
                + attended.denominator[:, kept].square().sum()
            )
            grads = torch.autograd.grad(total, leaves)
            results.append(
                [
                    attended.numerator[:, kept],
                    attended.denominator[:, kept],
                    *(grad[:, kept] for grad in grads),
                ]
            )
        assert all(part.isfinite().all() for part in results[1])
        assert_close(results[1], results[0], rtol=0, atol=0)
