from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.masks import Diffusion, Free, GRFMask, NonNegative, WalkMask
from graphmask.testing import assert_unbiased, example_topologies
from graphmask.walks import IIDWalks, ResampledWalks

EXACT = ResampledWalks(budget=64, hops=4)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def redrawn(topology: Topology, sampler: ResampledWalks, sets: int, seed: int) -> Topology:
    source = generator(seed)
    return topology.with_walks(*(sampler(topology, source) for _ in range(sets)))


@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "ragged"])
@pytest.mark.parametrize("kind", [WalkMask, GRFMask])
def test_exact_where_balls_fit_the_budget(kind: type, name: str) -> None:
    topology = example_topologies()[name]
    mask = cases.scrambled(kind(3, 2, Free, sampler=EXACT))
    assert_close(mask(mask.prepare(topology)).to_dense(), mask.target(topology).to_dense())


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_the_target_is_the_power_series(normalization: str) -> None:
    topology = example_topologies()["directed"]
    W = reference.adjacency(topology.edge_index, 13, topology.edge_weight, normalization)
    sampler = ResampledWalks(hops=3, normalization=normalization)
    walk, grf = (cases.scrambled(kind(3, 2, sampler=sampler)) for kind in (WalkMask, GRFMask))
    assert_close(walk.target(topology).to_dense(), reference.power_series(W, walk.alpha()))
    factor = reference.power_series(W, grf.f())
    assert_close(grf.target(topology).to_dense(), factor @ factor.mT)


def test_the_target_of_a_symmetric_graph_is_the_convolution() -> None:
    topology = example_topologies()["weighted"]
    W = reference.adjacency(topology.edge_index, 13, topology.edge_weight)
    mask = GRFMask(3, 1, partial(Diffusion, scale=0.5))
    alpha = reference.convolution(mask.f())
    assert_close(mask.target(topology).to_dense(), reference.power_series(W, alpha))
    assert_close(alpha[0, :4], reference.diffusion(1.0, 3), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [WalkMask, GRFMask])
@pytest.mark.parametrize("name", ["directed", "signed"])
def test_masks_on_independent_walks_are_unbiased(kind: type, name: str) -> None:
    topology = example_topologies()[name]
    mask = cases.scrambled(kind(3, 1, Free, sampler=cases.random_walks(3)))
    drawn = [mask(redrawn(topology, mask.sampler, mask.num_sets, seed)).to_dense().detach() for seed in range(300)]
    assert_unbiased(torch.stack(drawn), mask.target(topology).to_dense().detach(), repr(mask))


def test_shared_walks_are_definite_and_biased_on_the_diagonal() -> None:
    topology = example_topologies()["weighted"]
    mask = GRFMask(3, shared_walks=True, sampler=cases.random_walks(3))
    drawn = [mask(redrawn(topology, mask.sampler, 1, seed)).to_dense().detach()[0] for seed in range(100)]
    assert all(torch.linalg.eigvalsh(each).min() > -1e-10 for each in drawn)
    target = mask.target(topology).to_dense()[0].detach()
    excess = (torch.stack(drawn).mean(0) - target).diagonal()
    assert excess.min() > -1e-2
    assert excess.max() > 1e-1


def test_the_seed_draws_the_same_walks_at_every_call() -> None:
    topology = example_topologies()["weighted"]
    first, second, third = (WalkMask(3, sampler=cases.random_walks(3), seed=seed) for seed in (0, 0, 1))
    dense = first(first.prepare(topology)).to_dense()
    assert torch.equal(first(first.prepare(topology)).to_dense(), dense)
    assert torch.equal(second(second.prepare(topology)).to_dense(), dense)
    assert not torch.equal(third(third.prepare(topology)).to_dense(), dense)


def test_walks_that_are_there_are_read() -> None:
    topology = redrawn(example_topologies()["weighted"], EXACT, 1, seed=0)
    mask = WalkMask(3, sampler=IIDWalks(n_walks=1, hops=3))
    assert mask.prepare(topology) is topology


def test_two_sets_are_independent() -> None:
    topology = example_topologies()["weighted"]
    mask = GRFMask(3, sampler=cases.random_walks(3))
    first, second = mask.prepare(topology).walk_sets
    assert not torch.equal(first.to_dense(), second.to_dense())
    assert len(GRFMask(3, shared_walks=True, sampler=mask.sampler).prepare(topology).walk_sets) == 1


def test_longer_walks_serve_shorter_masks() -> None:
    topology = redrawn(example_topologies()["weighted"], EXACT, 1, seed=0)
    short, long = (WalkMask(hops, alpha=Diffusion) for hops in (2, 4))
    expected = reference.power_series(
        reference.adjacency(topology.edge_index, 13, topology.edge_weight), reference.diffusion(1.0, 2).unsqueeze(0)
    )
    assert_close(short(topology).to_dense(), expected, rtol=1e-6, atol=1e-6)
    assert long(topology).entries().pattern is short(topology).entries().pattern


def test_signs_are_known_from_coefficients_and_walks() -> None:
    positive = redrawn(example_topologies()["weighted"], EXACT, 2, seed=0)
    negative = redrawn(example_topologies()["signed"], EXACT, 2, seed=0)
    assert WalkMask(2, alpha=NonNegative)(positive).nonnegative
    assert GRFMask(2, f=NonNegative)(positive).nonnegative
    assert not WalkMask(2, alpha=NonNegative)(negative).nonnegative
    assert not WalkMask(2, alpha=Free)(positive).nonnegative
    assert not GRFMask(2, f=Free)(positive).nonnegative


def test_entries_are_counted_by_the_budget() -> None:
    """The cost is linear: entries per node do not depend on the number of nodes."""
    mask = WalkMask(4, sampler=ResampledWalks(budget=5, hops=4))
    for size in (100, 1000):
        edges = torch.randint(size, (2, 8 * size), generator=generator(0))
        operator = mask(mask.prepare(Topology(edges, size)))
        assert 15 * size < operator.cost <= size * (1 + 4 * 6)


def graph() -> Topology:
    return example_topologies()["weighted"]


def with_gradient() -> Topology:
    return Topology(graph().edge_index, 13, graph().edge_weight.clone().requires_grad_())


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: WalkMask(2)(graph()), ValueError, r"`topology` must be with 1 set\(s\) of walks"),
    (lambda: GRFMask(2)(redrawn(graph(), EXACT, 1, 0)), ValueError, r"`topology` must be with 2 set\(s\) of walks"),
    (lambda: WalkMask(5)(redrawn(graph(), EXACT, 1, 0)), ValueError, "walks of at least 5 hops.*num_hops=4"),
    (lambda: GRFMask(5)(redrawn(graph(), EXACT, 2, 0)), ValueError, "walks of at least 5 hops"),
    (lambda: WalkMask(5, sampler=EXACT), ValueError, "`sampler` must be of at least 5 hops"),
    (lambda: WalkMask(sampler=3), TypeError, "`sampler` must be a WalkSampler"),
    (lambda: WalkMask(seed="a"), TypeError, "`seed`"),
    (lambda: WalkMask(seed=-1), ValueError, "`seed`"),
    (lambda: WalkMask(hops=-1), ValueError, "`hops`"),
    (lambda: GRFMask(hops=1.0), TypeError, "`hops`"),
    (lambda: WalkMask(2).prepare(with_gradient()), ValueError, "`edge_weight` must be without gradient"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(call: Callable[[], object], error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        call()


def test_weights_without_gradient_recording_are_served() -> None:
    mask = WalkMask(2)
    with torch.no_grad():
        assert mask(mask.prepare(with_gradient())).heads == 1
