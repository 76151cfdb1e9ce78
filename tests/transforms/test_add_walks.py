from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from graphmask import Topology
from graphmask.masks import GRFMask, StitchedMask, WalkMask
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, WalkSampler

SAMPLER = ResampledWalks(budget=2, hops=3)
LISTED = IIDWalks(num_walks=5, p_halt=0.4, hops=3)
SAMPLERS = pytest.mark.parametrize("sampler", [SAMPLER, LISTED], ids=repr)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graph(num_nodes: int, seed: int = 0) -> Data:
    edges = torch.randint(num_nodes, (2, 4 * num_nodes), generator=seeded(seed))
    weight = torch.rand(4 * num_nodes, generator=seeded(seed))
    return Data(edge_index=edges, edge_weight=weight, num_nodes=num_nodes)


def stored(data: Data) -> dict[str, Tensor]:
    return {name: torch.as_tensor(value) for name, value in data if name.startswith("walk_")}


@SAMPLERS
def test_what_is_written_is_what_is_drawn(sampler: WalkSampler) -> None:
    walks = Topology.from_data(AddWalks(sampler, seeded())(graph(9))).walks
    expected = sampler(Topology.from_data(graph(9)), seeded())
    assert_close(walks.to_dense(), expected.to_dense(), rtol=0, atol=0)
    assert walks.num_hops == 3
    assert walks.nonnegative == expected.nonnegative


def flat(data: Data) -> dict[str, Tensor]:
    """What is stored, where a batch makes a vector of a number."""
    return {name: value.flatten() for name, value in stored(data).items()}


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
    draw = AddWalks(ResampledWalks(budget=2, hops=1, normalization=normalization), seeded(), sets=2)
    graphs = [draw(graph(size, size)) for size in (5, 9)]
    (batch,) = DataLoader(graphs, batch_size=2, generator=seeded())
    for data in (*graphs, batch, *batch.to_data_list()):
        assert [walks.normalization for walks in Topology.from_data(data).walk_sets] == [
            normalization
        ] * 2


def test_batches_of_different_normalisations_are_refused() -> None:
    graphs = [
        AddWalks(ResampledWalks(hops=1, normalization=each))(graph(5)) for each in ("sym", "rw")
    ]
    with pytest.raises(
        ValueError,
        match="`walk_normalization` must be the same for all graphs of a batch, got 1 to 2",
    ):
        Topology.from_data(Batch.from_data_list(graphs))


@SAMPLERS
def test_several_sets_are_independent_and_kept_apart(sampler: WalkSampler) -> None:
    first, second = Topology.from_data(AddWalks(sampler, seeded(), sets=2)(graph(9))).walk_sets
    source = seeded()
    for walks in (first, second):
        assert_close(
            walks.to_dense(),
            sampler(Topology.from_data(graph(9)), source).to_dense(),
            rtol=0,
            atol=0,
        )
    assert not torch.equal(first.to_dense(), second.to_dense())


def test_chance_goes_on_from_graph_to_graph() -> None:
    transform = AddWalks(SAMPLER, seeded())
    first, second = transform(graph(9)), transform(graph(9))
    assert not torch.equal(first.walk_table, second.walk_table)


@SAMPLERS
@pytest.mark.parametrize("before", [SAMPLER, LISTED], ids=repr)
def test_drawing_again_replaces(before: WalkSampler, sampler: WalkSampler) -> None:
    twice = AddWalks(sampler, seeded())(AddWalks(before, sets=3)(graph(9)))
    assert_close(stored(twice), stored(AddWalks(sampler, seeded())(graph(9))))
    assert len(Topology.from_data(twice).walk_sets) == 1


@pytest.mark.parametrize("sets", [1, 2])
@SAMPLERS
def test_loaders_join_walks_block_by_block(sampler: WalkSampler, sets: int) -> None:
    transform = AddWalks(sampler, seeded(), sets)
    graphs = [transform(graph(size, size)) for size in (5, 1, 9)]
    (batch,) = DataLoader(graphs, batch_size=3, generator=seeded())
    joined = Topology.from_data(batch).walk_sets
    assert len(joined) == sets
    for number, walks in enumerate(joined):
        alone = [Topology.from_data(each).walk_sets[number].to_dense() for each in graphs]
        for hop in range(4):
            assert_close(
                walks.to_dense()[hop],
                torch.block_diag(*(each[hop] for each in alone)),
                rtol=0,
                atol=0,
            )


@SAMPLERS
def test_batches_come_apart_again(sampler: WalkSampler) -> None:
    transform = AddWalks(sampler, seeded(), 3)
    graphs = [transform(graph(size, size)) for size in (5, 1, 9)]
    again = Batch.from_data_list(graphs).to_data_list()[2]
    assert_close(flat(again), flat(graphs[2]), rtol=0, atol=0)


def test_batches_of_pairs_are_in_order() -> None:
    """Nothing is sorted, and what is read is what was stored."""
    transform = AddWalks(SAMPLER, seeded())
    batch = Batch.from_data_list([transform(graph(size, size)) for size in (5, 1, 9)])
    walks = Topology.from_data(batch).walks
    assert walks.table is batch.walk_table
    assert_close(walks.pattern.row, batch.walk_index[0], rtol=0, atol=0)


@SAMPLERS
@pytest.mark.parametrize("sets", [1, 2])
def test_nodes_and_pairs_in_any_order(sampler: WalkSampler, sets: int) -> None:
    """Of a batch whose nodes were renamed, graphs interleaved."""
    transform = AddWalks(sampler, seeded(), sets)
    batch = Batch.from_data_list([transform(graph(size, size)) for size in (5, 1, 9)])
    before = Topology.from_data(batch)
    order = torch.randperm(15, generator=seeded())
    place = torch.empty_like(order).scatter_(0, order, torch.arange(15))
    batch.batch = batch.batch[order]
    for name in ("edge_index", *(each for each in stored(batch) if "index" in each)):
        batch[name] = place[batch[name].long()]
    after = Topology.from_data(batch)
    for old, new in zip(before.walk_sets, after.walk_sets, strict=True):
        assert_close(new.to_dense(), old.to_dense()[:, order][:, :, order], rtol=0, atol=0)
        assert new.nonnegative == old.nonnegative
        position = new.pattern.row.long() * 15 + new.pattern.col
        assert (position.diff() > 0).all()


def test_walks_of_different_samplers_are_batched() -> None:
    batch = Batch.from_data_list([AddWalks(sampler)(graph(5)) for sampler in (SAMPLER, LISTED)])
    assert Topology.from_data(batch).walks.num_nodes == 10


def test_walks_on_half_of_the_nodes_are_refused() -> None:
    data = AddWalks(SAMPLER, seeded())(graph(9))
    with pytest.raises(ValueError, match="`walk_index` must be node ids from 0 to N - 1 = 3"):
        Topology.from_data(data.subgraph(torch.tensor([0, 1, 2, 3])))


def test_masks_read_what_was_stored() -> None:
    topology = Topology.from_data(AddWalks(SAMPLER, seeded(), sets=4)(graph(9)))
    for mask in (
        WalkMask(3),
        GRFMask(3),
        GRFMask(2, shared_walks=True),
        StitchedMask(degree=2, hops=3),
    ):
        assert mask.prepare(topology) is topology
        assert mask(topology).shape == (1, 9, 9)


def test_positions_and_labels_stay() -> None:
    data = graph(9)
    data.pos, data.y = torch.ones(9, 3), torch.tensor([1])
    assert set(AddWalks(SAMPLER)(data).keys()) >= {"pos", "y", "edge_index", "edge_weight"}


@pytest.mark.parametrize("sampler", [SAMPLER, IIDWalks(num_walks=5, hops=3)], ids=repr)
def test_stored_walks_carry_no_gradient(sampler: WalkSampler) -> None:
    """Even where the sampler could.

    What is stored outlives the graph that a gradient flows through.
    """
    data = graph(9)
    data.edge_weight.requires_grad_()
    with pytest.raises(
        ValueError, match=r"`edge_weight` must be without gradient, since stored walks carry none"
    ):
        AddWalks(sampler)(data)
    with torch.no_grad():
        assert not any(value.requires_grad for value in stored(AddWalks(sampler)(data)).values())


def test_repr() -> None:
    assert repr(AddWalks(SAMPLER, sets=2)) == "AddWalks(ResampledWalks(budget=2, hops=3), sets=2)"


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: AddWalks(ResampledWalks), TypeError, "`sampler` must be a WalkSampler"),
    (lambda: AddWalks(SAMPLER, sets=0), ValueError, "`sets` must be at least 1"),
    (lambda: AddWalks(SAMPLER, sets=1.0), TypeError, "`sets`"),
    (lambda: AddWalks(SAMPLER, generator=0)(graph(3)), TypeError, "`generator`"),
    (lambda: AddWalks(SAMPLER)(Data(num_nodes=3)), ValueError, "`data` must be a graph"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()
