from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from graphmask import Topology
from graphmask.masks import GRFMask, StitchedMask, WalkMask
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, WalkSampler

SAMPLER = ResampledWalks(budget=2, hops=3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graph(num_nodes: int, seed: int = 0) -> Data:
    edges = torch.randint(num_nodes, (2, 4 * num_nodes), generator=seeded(seed))
    weight = torch.rand(4 * num_nodes, generator=seeded(seed))
    return Data(edge_index=edges, edge_weight=weight, num_nodes=num_nodes)


def test_what_is_written_is_what_is_drawn() -> None:
    data = AddWalks(SAMPLER, seeded())(graph(9))
    walks = Topology.from_data(data).walks
    expected = SAMPLER(Topology.from_data(graph(9)), seeded())
    assert_close(walks.to_dense(), expected.to_dense(), rtol=0, atol=0)
    assert (walks.num_hops, data.walk_index.shape, data.walk_num_hops) == (3, (2, walks.nnz), 3)
    assert "walk_set" not in data


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_the_normalisation_is_stored_and_batched(normalization: str | None) -> None:
    draw = AddWalks(ResampledWalks(budget=2, hops=1, normalization=normalization), seeded(), sets=2)
    graphs = [draw(graph(size, size)) for size in (5, 9)]
    (batch,) = DataLoader(graphs, batch_size=2, generator=seeded())
    for data in (*graphs, batch, *batch.to_data_list()):
        assert [walks.normalization for walks in Topology.from_data(data).walk_sets] == [normalization] * 2


def test_batches_of_different_normalisations_are_refused() -> None:
    graphs = [AddWalks(ResampledWalks(hops=1, normalization=each))(graph(5)) for each in ("sym", "rw")]
    with pytest.raises(ValueError, match=r"`walk_normalization` must be the same for all graphs of a batch, got \[1, 2\]"):
        Topology.from_data(Batch.from_data_list(graphs))


@pytest.mark.parametrize("sampler", [SAMPLER, IIDWalks(n_walks=5, p_halt=0.4, hops=3)], ids=repr)
def test_several_sets_are_independent_and_kept_apart(sampler: WalkSampler) -> None:
    first, second = Topology.from_data(AddWalks(sampler, seeded(), sets=2)(graph(9))).walk_sets
    source = seeded()
    for walks in (first, second):
        assert_close(walks.to_dense(), sampler(Topology.from_data(graph(9)), source).to_dense(), rtol=0, atol=0)
    assert not torch.equal(first.to_dense(), second.to_dense())


def test_chance_goes_on_from_graph_to_graph() -> None:
    transform = AddWalks(SAMPLER, seeded())
    first, second = transform(graph(9)), transform(graph(9))
    assert not torch.equal(first.walk_weight, second.walk_weight)


def test_drawing_again_replaces() -> None:
    twice = AddWalks(IIDWalks(hops=1), sets=1)(AddWalks(SAMPLER, sets=2)(graph(9)))
    topology = Topology.from_data(twice)
    assert (len(topology.walk_sets), topology.walks.num_hops) == (1, 1)


@pytest.mark.parametrize("sets", [1, 2])
def test_loaders_join_walks_block_by_block(sets: int) -> None:
    transform = AddWalks(SAMPLER, seeded(), sets)
    graphs = [transform(graph(size, size)) for size in (5, 1, 9)]
    (batch,) = DataLoader(graphs, batch_size=3, generator=seeded())
    joined = Topology.from_data(batch).walk_sets
    assert len(joined) == sets
    for number, walks in enumerate(joined):
        alone = [Topology.from_data(each).walk_sets[number].to_dense() for each in graphs]
        for hop in range(4):
            assert_close(walks.to_dense()[hop], torch.block_diag(*(each[hop] for each in alone)), rtol=0, atol=0)


def test_batches_come_apart_again() -> None:
    transform = AddWalks(SAMPLER, seeded(), 2)
    graphs = [transform(graph(size, size)) for size in (5, 1, 9)]
    again = Batch.from_data_list(graphs).to_data_list()[2]
    for name in ("walk_index", "walk_hop", "walk_weight", "walk_set"):
        assert torch.equal(again[name], graphs[2][name])


def test_masks_read_what_was_stored() -> None:
    topology = Topology.from_data(AddWalks(SAMPLER, seeded(), sets=4)(graph(9)))
    for mask in (WalkMask(3), GRFMask(3), GRFMask(2, shared_walks=True), StitchedMask(degree=2, hops=3)):
        assert mask.prepare(topology) is topology
        assert mask(topology).shape == (1, 9, 9)


def test_positions_and_labels_stay() -> None:
    data = graph(9)
    data.pos, data.y = torch.ones(9, 3), torch.tensor([1])
    assert set(AddWalks(SAMPLER)(data).keys()) >= {"pos", "y", "edge_index", "edge_weight"}


@pytest.mark.parametrize("sampler", [SAMPLER, IIDWalks(n_walks=5, hops=3)], ids=repr)
def test_stored_walks_carry_no_gradient(sampler: WalkSampler) -> None:
    """Even where the sampler could: what is stored outlives the graph that a gradient flows through."""
    data = graph(9)
    data.edge_weight.requires_grad_()
    with pytest.raises(ValueError, match=r"`edge_weight` must be without gradient, since stored walks carry none"):
        AddWalks(sampler)(data)
    with torch.no_grad():
        assert not AddWalks(sampler)(data).walk_weight.requires_grad


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
def test_bad_input_is_refused_by_name(call: Callable[[], object], error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        call()
