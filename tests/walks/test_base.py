from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.testing import check_sampler, example_topologies, global_rng_untouched
from graphmask.walks import (
    AntitheticWalks,
    FixedLength,
    IIDWalks,
    RepellingWalks,
    ResampledWalks,
    Walks,
    WalkSampler,
)

SAMPLERS = (
    IIDWalks(num_walks=4, hops=3),
    RepellingWalks(num_walks=4, hops=3),
    cases.random_walks(3),
)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


def weighted() -> Topology:
    return example_topologies()["weighted"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: Walks, other: Walks) -> bool:
    return torch.equal(one.to_dense(), other.to_dense())


def test_a_sampler_is_abstract() -> None:
    with pytest.raises(TypeError, match="_draw"):
        WalkSampler(hops=2)


@every_sampler
def test_equal_generators_draw_equal_walks_and_go_on(sampler: WalkSampler) -> None:
    generator = seeded()
    first, second = sampler(weighted(), generator), sampler(weighted(), generator)
    assert not same(first, second)
    assert same(first, sampler(weighted(), seeded()))
    assert not same(first, sampler(weighted(), seeded(1)))


@pytest.mark.global_rng
@every_sampler
def test_without_a_generator_chance_comes_from_the_system(sampler: WalkSampler) -> None:
    with global_rng_untouched():
        drawn = [sampler(weighted()) for _ in range(2)]
    torch.manual_seed(0)
    again = sampler(weighted())
    torch.manual_seed(0)
    assert not same(again, sampler(weighted()))
    assert not same(*drawn)


@every_sampler
def test_a_graph_has_the_same_walks_wherever_it_stands(sampler: WalkSampler) -> None:
    """Between nodes of other graphs, and in front of them."""
    alone = sampler(weighted(), seeded()).to_dense()
    place = torch.arange(13) * 3 + 1
    batch = torch.zeros(50, dtype=torch.long).index_fill(0, place, 1)
    other = torch.tensor([[0, 2], [2, 0]])
    edges = torch.cat([other, place[weighted().edge_index]], 1)
    weight = torch.cat([torch.ones(2), weighted().edge_weight])
    inside = sampler(Topology(edges, 50, weight, batch), seeded()).to_dense()
    assert torch.equal(inside[:, place][:, :, place], alone)


@every_sampler
@pytest.mark.parametrize("hops", [0, 1])
def test_few_hops(sampler: WalkSampler, hops: int) -> None:
    short = type(sampler)(hops=hops)
    walks = short(weighted(), seeded())
    assert walks.num_hops == hops
    assert_close(walks.to_dense()[0], torch.eye(13))


@every_sampler
@pytest.mark.parametrize("num_nodes", [0, 1, 5])
def test_no_edges(sampler: WalkSampler, num_nodes: int) -> None:
    walks = sampler(Topology(torch.empty(2, 0, dtype=torch.long), num_nodes), seeded())
    assert_close(walks.to_dense()[0], torch.eye(num_nodes), check_dtype=False)
    assert walks.nnz == num_nodes


@every_sampler
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
)
def test_weights_of_any_precision(sampler: WalkSampler, dtype: torch.dtype) -> None:
    graph = Topology(weighted().edge_index, 13, weighted().edge_weight.to(dtype))
    walks = sampler(graph, seeded())
    assert walks.weight.dtype == torch.promote_types(dtype, torch.float32)
    assert_close(walks.to_dense()[0], torch.eye(13), check_dtype=False)


def test_samplers_that_choose_by_weight_refuse_a_gradient() -> None:
    """And name those that carry one."""
    graph = Topology(weighted().edge_index, 13, weighted().edge_weight.requires_grad_())
    sampler = Deterministic(hops=1)
    expected = (
        "`edge_weight` must be without gradient for Deterministic, .* IIDWalks, .* PowerSeriesMask"
    )
    with pytest.raises(ValueError, match=expected):
        sampler(graph, seeded())
    with torch.no_grad():
        assert not sampler(graph, seeded()).weight.requires_grad


def test_repr() -> None:
    law = "length_law=Geometric(p_halt=0.2)"
    assert repr(IIDWalks(3, 0.2, 5)) == f"IIDWalks(num_walks=3, hops=5, {law})"
    law = "length_law=Antithetic(Geometric(p_halt=0.2))"
    assert repr(AntitheticWalks(4, 0.2, 3)) == f"AntitheticWalks(num_walks=4, hops=3, {law})"
    law = "length_law=FixedLength(length=3)"
    repelling = RepellingWalks(27, hops=3, length_law=FixedLength(3))
    assert repr(repelling) == f"RepellingWalks(num_walks=27, hops=3, {law})"


@pytest.mark.parametrize("kind", [IIDWalks, AntitheticWalks, RepellingWalks])
def test_the_former_name_of_the_number_of_walks_warns(kind: type) -> None:
    with pytest.warns(DeprecationWarning, match="num_walks"):
        assert kind(n_walks=5).num_walks == 5


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: IIDWalks()(torch.tensor([[0], [1]])), TypeError, "`topology` must be a Topology"),
    (lambda: ResampledWalks()(weighted(), 0), TypeError, "`generator`"),
    (lambda: IIDWalks(hops=-1), ValueError, "`hops` must be at least 0"),
    (lambda: IIDWalks(hops=2.0), TypeError, "`hops`"),
    (lambda: ResampledWalks(normalization="row"), ValueError, "`normalization`"),
    (lambda: IIDWalks(num_walks=0), ValueError, "`num_walks` must be at least 1"),
    (lambda: IIDWalks(num_walks="4"), TypeError, "`num_walks`"),
    (lambda: IIDWalks(p_halt=1.0), ValueError, "`p_halt`"),
    (lambda: IIDWalks(p_halt=-0.1), ValueError, "`p_halt`"),
    (lambda: IIDWalks(p_halt=float("nan")), ValueError, "`p_halt`"),
    (lambda: IIDWalks(p_halt="a"), TypeError, "`p_halt`"),
    (lambda: AntitheticWalks(p_halt=1.0), ValueError, "`p_halt`"),
    (lambda: AntitheticWalks(p_halt=None), TypeError, "`p_halt`"),
    (lambda: RepellingWalks(num_walks=0), ValueError, "`num_walks` must be at least 1"),
    (
        lambda: IIDWalks(p_halt=0.1, length_law=FixedLength(8)),
        ValueError,
        "`p_halt` must be left out beside `length_law`",
    ),
    (
        lambda: RepellingWalks(p_halt=0.1, length_law=FixedLength(8)),
        ValueError,
        "`p_halt` must be left out",
    ),
    (
        lambda: IIDWalks(length_law=0.1),
        TypeError,
        "`length_law` must be a LengthLaw, such as .*, got float",
    ),
    (lambda: ResampledWalks(budget=0), ValueError, "`budget` must be at least 1"),
    (lambda: ResampledWalks(width=0), ValueError, "`width` must be at least 1"),
    (lambda: ResampledWalks(budget=2.5), TypeError, "`budget`"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()


class Deterministic(WalkSampler):
    """What a user may write: all of W, one hop."""

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pattern, weight = topology.adjacency(self.normalization)
        nodes = torch.arange(topology.num_nodes)
        row, col = torch.cat([nodes, pattern.row.long()]), torch.cat([nodes, pattern.col.long()])
        hop = (torch.arange(len(row)) >= len(nodes)).long()
        return row, col, hop, torch.cat([torch.ones(len(nodes)), weight])


def test_samplers_can_be_written() -> None:
    check_sampler(Deterministic(hops=1), draws=20)
