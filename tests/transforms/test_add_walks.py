"""Walks are stored with a graph as they are drawn, and read from batches and renamed nodes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, WalkSampler

SAMPLER = ResampledWalks(budget=2, hops=3)
LISTED = IIDWalks(num_walks=5, p_halt=0.4, hops=3)
SAMPLERS = pytest.mark.parametrize("sampler", [SAMPLER, LISTED], ids=["resampled", "iid"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graph(num_nodes: int, seed: int = 0) -> Data:
    edges = torch.randint(num_nodes, (2, 4 * num_nodes), generator=seeded(seed))
    weight = torch.rand(4 * num_nodes, generator=seeded(seed))
    return Data(edge_index=edges, edge_weight=weight, num_nodes=num_nodes)


def graphs(transform: AddWalks) -> list[Data]:
    return [transform(graph(size, size)) for size in (5, 1, 9)]


def stored(data: Data) -> dict[str, Tensor]:
    return {name: torch.as_tensor(value) for name, value in data if name.startswith("walk_")}


@SAMPLERS
def test_sets_of_walks_are_stored_as_they_are_drawn(sampler: WalkSampler) -> None:
    """One after the other: the generator goes on, from set to set and from graph to graph."""
    transform, generator = AddWalks(sampler, seeded(), sets=2), seeded()
    for _ in range(2):
        data = transform(graph(9))
        drawn = [sampler(Topology.from_data(graph(9)), generator) for _ in range(2)]
        for walks, expected in zip(Topology.from_data(data).walk_sets, drawn, strict=True):
            assert_close(walks.to_dense(), expected.to_dense(), rtol=0, atol=0)
            assert (walks.num_hops, walks.nonnegative) == (3, expected.nonnegative)
        assert not torch.equal(drawn[0].to_dense(), drawn[1].to_dense())


@SAMPLERS
def test_pairs_are_stored_with_their_table(sampler: WalkSampler) -> None:
    data = AddWalks(sampler, seeded())(graph(9))
    walks = sampler(Topology.from_data(graph(9)), seeded())
    assert set(stored(data)) == {"walk_index", "walk_table", "walk_normalization"}
    assert torch.equal(data.walk_index, torch.stack([walks.pattern.row, walks.pattern.col]))
    assert torch.equal(data.walk_table, walks.table)
    assert data.walk_index.dtype == torch.int32


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_the_normalisation_is_stored_and_batched(normalization: str | None) -> None:
    batch = Batch.from_data_list(
        graphs(AddWalks(ResampledWalks(2, 1, normalization), seeded(), sets=2))
    )
    for data in (batch, *batch.to_data_list()):
        walk_sets = Topology.from_data(data).walk_sets
        assert [walks.normalization for walks in walk_sets] == [normalization] * 2


def test_batches_of_different_normalisations_are_an_error() -> None:
    transforms = [AddWalks(ResampledWalks(hops=1, normalization=name)) for name in ("sym", "rw")]
    batch = Batch.from_data_list([transform(graph(5)) for transform in transforms])
    message = "`walk_normalization` must be the same for all graphs of a batch, got 1 to 2"
    with pytest.raises(ValueError, match=message):
        Topology.from_data(batch)
    batch = Batch.from_data_list([AddWalks(sampler)(graph(5)) for sampler in (SAMPLER, LISTED)])
    assert Topology.from_data(batch).walks.num_nodes == 10


@SAMPLERS
@pytest.mark.parametrize("before", [SAMPLER, LISTED], ids=["resampled", "iid"])
def test_drawing_again_replaces(before: WalkSampler, sampler: WalkSampler) -> None:
    twice = AddWalks(sampler, seeded())(AddWalks(before, sets=3)(graph(9)))
    assert_close(stored(twice), stored(AddWalks(sampler, seeded())(graph(9))))


@pytest.mark.parametrize("sets", [1, 2])
@SAMPLERS
def test_batches_join_walks_block_by_block_in_any_order(sampler: WalkSampler, sets: int) -> None:
    examples = graphs(AddWalks(sampler, seeded(), sets))
    batch = Batch.from_data_list(examples)
    before = Topology.from_data(batch).walk_sets
    assert len(before) == sets
    alone = zip(*(Topology.from_data(data).walk_sets for data in examples), strict=True)
    for walks, blocks in zip(before, alone, strict=True):
        for hop in range(4):
            expected = torch.block_diag(*(block.to_dense()[hop] for block in blocks))
            assert_close(walks.to_dense()[hop], expected, rtol=0, atol=0)
    # Nothing is sorted where nodes are in order.
    assert before[0].table is batch.walk_table
    assert_close(before[0].pattern.row, batch.walk_index[0], rtol=0, atol=0)
    order = torch.randperm(15, generator=seeded())
    batch.batch = batch.batch[order]
    for name in ("edge_index", *(name for name in stored(batch) if "index" in name)):
        batch[name] = order.argsort()[batch[name].long()]
    after = Topology.from_data(batch).walk_sets
    for old, new in zip(before, after, strict=True):
        assert_close(new.to_dense(), old.to_dense()[:, order][:, :, order], rtol=0, atol=0)
        assert new.nonnegative == old.nonnegative
        assert ((new.pattern.row.long() * 15 + new.pattern.col).diff() > 0).all()


@SAMPLERS
def test_stored_walks_carry_no_gradient(sampler: WalkSampler) -> None:
    """What is stored outlives the graph that a gradient flows through."""
    data = graph(9)
    data.edge_weight.requires_grad_()
    message = r"`edge_weight` must be without gradient, since stored walks carry none"
    with pytest.raises(ValueError, match=message):
        AddWalks(ResampledWalks(2, 3))(data)
    with torch.no_grad():
        assert not any(value.requires_grad for value in stored(AddWalks(sampler)(data)).values())


def test_walks_on_half_of_the_nodes_are_an_error() -> None:
    data = AddWalks(SAMPLER, seeded())(graph(9))
    with pytest.raises(ValueError, match="`walk_index` must be node ids from 0 to N - 1 = 3"):
        Topology.from_data(data.subgraph(torch.tensor([0, 1, 2, 3])))
