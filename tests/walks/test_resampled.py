from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import cases
import pytest
import torch
from builders import NO_EDGES, seeded, star
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense_of, rows_of
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.testing import check_sampler, example_topologies
from graphmask.walks import ResampledWalks, Walks, _resampling, resampled
from graphmask.walks._resampling import Plan
from graphmask.walks._rows import find_thresholds, thin

BODIES: list[ModuleType | None] = [None]
if resampled._compiled() is not None:
    BODIES.append(resampled._compiled())

# Ties, zeros and numbers of very different size.
SIZES = st.lists(
    st.one_of(st.sampled_from([0.0, 0.1, 0.1, 0.3, 1.0, 1e-20, 1e20]), st.floats(1e-6, 1e6)),
    min_size=2,
    max_size=20,
)


@pytest.fixture(params=BODIES, ids=["torch", "numba"][: len(BODIES)])
def body(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways to draw, where numba is installed."""
    monkeypatch.setattr(resampled, "_compiled", lambda: request.param)
    return request.param


@pytest.fixture
def few_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all products are sampled."""
    monkeypatch.setattr(Plan, "formed", 4)
    monkeypatch.setattr(Plan, "sampled", 5)


def powers(topology: Topology, hops: int, normalization: str = "sym") -> Tensor:
    W = reference.adjacency(
        topology.edge_index, topology.num_nodes, topology.edge_weight, normalization
    )
    return reference.walk_powers(W, hops)


def random_graph(nodes: int, edges: int, seed: int = 0) -> Topology:
    return Topology(
        torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed)), nodes
    )


def pairs_per_row(walks: Walks) -> Tensor:
    return walks.pattern.rowptr.diff().double()


@given(SIZES, st.integers(1, 12))
def test_the_threshold_is_that_of_optimal_resampling(sizes: list[float], budget: int) -> None:
    numbers = torch.tensor(sizes)
    if int((numbers > 0).sum()) <= budget:
        return
    actual = find_thresholds(numbers, torch.tensor([len(sizes)]), budget)
    assert_close(float(actual), reference.resampling_threshold(numbers, budget), rtol=1e-9, atol=0)
    assert_close(float((numbers / actual).clamp(max=1).sum()), float(budget), rtol=1e-9, atol=0)


@pytest.mark.parametrize("tiny", [0.0, 1e-20, 1e-300])
@pytest.mark.parametrize("count", [1, 9, 10, 11])
def test_the_threshold_of_ties_beside_nothing(count: int, tiny: float) -> None:
    """As many equal numbers as the budget: rounding must not set all of them apart."""
    sizes = torch.tensor([0.1] * count + [tiny] * 3)
    assert (find_thresholds(sizes, torch.tensor([count + 3]), 10) <= 0.11).all()


def test_rows_have_thresholds_of_their_own() -> None:
    sizes, counts = torch.tensor([3.0, 1.0, 0.5, 0.25, 1.0, 1.0, 1.0]), torch.tensor([4, 0, 3])
    actual = find_thresholds(sizes, counts, torch.tensor([2, 2, 1]))
    alone = [
        reference.resampling_threshold(sizes[:4], 2),
        0.0,
        reference.resampling_threshold(sizes[4:], 1),
    ]
    assert_close(actual, torch.tensor(alone))


@pytest.mark.parametrize("draw", [0.001, 0.3, 0.999])
def test_thinning_keeps_large_weights_and_signs(draw: float) -> None:
    row = rows_of(torch.tensor([[10.0, -8.0, 0.5, -0.5, 0.25, 0.25]]))
    thinned = dense_of(thin(row, 4, torch.tensor([draw])), 6)[0]
    assert_close(thinned[:2], torch.tensor([10.0, -8.0]))
    assert int((thinned != 0).sum()) == 4
    alive = thinned[2:][thinned[2:] != 0]
    assert_close(alive.abs(), torch.full((2,), 0.75))
    assert (thinned * torch.tensor([1, -1, 1, -1, 1, 1]) >= 0).all()


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize(
    "sampler", [ResampledWalks(3, hops=3), ResampledWalks(3, hops=3, width=6)], ids=str
)
def test_laws_of_both_bodies(sampler: ResampledWalks) -> None:
    check_sampler(sampler)


@pytest.mark.slow
@pytest.mark.usefixtures("body", "few_terms")
def test_laws_where_products_are_sampled() -> None:
    check_sampler(ResampledWalks(3, hops=3, width=4))


@pytest.mark.slow
@pytest.mark.usefixtures("body", "few_terms")
def test_a_sampled_product_and_what_follows_are_independent() -> None:
    """On a complete graph of uneven weights all stages draw at every hop.

    One number for two of them would bias the walks.
    """
    nodes = torch.cartesian_prod(torch.arange(8), torch.arange(8)).mT
    weight = torch.rand(64, generator=seeded()) ** 2
    check_sampler(ResampledWalks(4, hops=2, width=5), Topology(nodes, 8, weight), draws=1000)


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "ragged"])
def test_walks_are_exact_where_balls_fit_the_budget(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    walks = ResampledWalks(budget=13, hops=5, normalization=normalization)(topology)
    assert_close(walks.to_dense(), powers(topology, 5, normalization))


@pytest.mark.usefixtures("body")
def test_a_dense_ball_that_fits_a_large_budget_is_exact() -> None:
    """Its products have 150 * 150 terms, more than 64 * width: these are formed all the same."""
    nodes = torch.arange(150)
    topology = Topology(torch.cartesian_prod(nodes, nodes).mT, 150)
    sampler = ResampledWalks(budget=150, hops=2)
    assert _resampling.FORMED * sampler.width < 150**2
    assert_close(sampler(topology).to_dense(), powers(topology, 2))


@pytest.mark.usefixtures("body")
def test_a_path_of_small_weights_beside_a_crowd_is_exact() -> None:
    """Its balls fit the budget, though its scores lie far below the threshold of the crowd."""
    path = torch.stack([torch.arange(60, 65), torch.arange(61, 66)])
    crowd = torch.randint(60, (2, 600), generator=seeded())
    edges = torch.cat([crowd, path, path.flip(0)], 1)
    weight = torch.cat([torch.ones(600), torch.full((10,), 0.01)])
    topology = Topology(edges, 66, weight)
    sampler = ResampledWalks(budget=6, hops=3, normalization=None)
    drawn = sampler(topology, torch.Generator()).to_dense()
    expected = powers(topology, 3, None)
    assert_close(drawn[:, 60:], expected[:, 60:])
    assert not torch.allclose(drawn[:, :60], expected[:, :60])


@pytest.mark.usefixtures("body")
def test_a_pair_is_stored_for_all_hops_or_dropped_for_all() -> None:
    """Where walking is exact, every hop of a stored pair is its power times one factor."""
    topology = random_graph(80, 400)
    sampler = ResampledWalks(budget=10, hops=4, width=80)
    walks, exact = sampler(topology, torch.Generator()).to_dense(), powers(topology, 4)
    stored = (walks != 0).any(0)
    assert ((walks != 0) == (exact != 0) & stored).all()
    factor = (walks[:, stored] / exact[:, stored]).nan_to_num(nan=0.0)
    assert_close(
        torch.where(exact[:, stored] != 0, factor, factor.amax(0)), factor.amax(0).expand_as(factor)
    )
    score = (exact.abs() * 0.7 ** torch.arange(5.0).reshape(-1, 1, 1)).sum(0)
    raised = (factor.amax(0) * score[stored])[factor.amax(0) > 1 + 1e-9]
    assert_close(raised, raised.mean().expand_as(raised))
    assert (score[stored][factor.amax(0) < 1 + 1e-9] >= raised.mean() * (1 - 1e-9)).all()


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("nodes", [300, 2_000])
def test_rows_store_the_budget_on_average(nodes: int) -> None:
    walks = ResampledWalks(budget=20, hops=4)(random_graph(nodes, 5 * nodes), torch.Generator())
    counts = pairs_per_row(walks)
    assert 19 < counts.mean() < 21
    assert counts.max() <= 81
    assert counts.max() > 22


@pytest.mark.usefixtures("body")
def test_every_node_keeps_its_pair_with_itself() -> None:
    drawn = ResampledWalks(budget=1, hops=3)(random_graph(200, 2_000), torch.Generator()).to_dense()
    assert_close(drawn[0], torch.eye(200), rtol=0, atol=0)


@pytest.mark.usefixtures("body")
def test_each_graph_of_a_batch_has_the_budget_of_its_own_nodes() -> None:
    small, large = random_graph(100, 300), random_graph(400, 6_000, seed=1)
    edges = torch.cat([small.edge_index, large.edge_index + 100], 1)
    batch = torch.arange(500).ge(100).long()
    counts = pairs_per_row(
        ResampledWalks(budget=12, hops=3)(Topology(edges, 500, batch=batch), torch.Generator())
    )
    assert 11 < counts[:100].mean() < 13
    assert 11 < counts[100:].mean() < 13


@pytest.mark.usefixtures("body")
def test_a_hub_costs_no_more_than_its_samples() -> None:
    """Rows of 2,000 terms are not formed, and the hub's own row stays within its limit."""
    topology = star(2_000, undirected=True)
    walks = ResampledWalks(budget=4, hops=3)(topology, torch.Generator())
    assert pairs_per_row(walks).max() <= 17
    drawn = ResampledWalks(budget=4, hops=2, normalization="rw")
    walks = drawn(topology, torch.Generator())
    back = (walks.row == 0) & (walks.col == 0) & (walks.hop == 2)
    assert_close(
        walks.weight[back], torch.ones(1)
    )  # every walk from the hub is back after two hops


def test_a_hub_forms_few_terms_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = []

    def counted(left: object, right: object, number: int, draw: Tensor) -> object:
        actual = sample(left, right, number, draw)
        largest.append(int(actual.counts.max()))
        return actual

    sample = _resampling.sample_product
    monkeypatch.setattr(_resampling, "sample_product", counted)
    monkeypatch.setattr(resampled, "_compiled", lambda: None)
    ResampledWalks(budget=4, hops=3, width=4)(star(5_000, undirected=True), torch.Generator())
    assert 8 <= max(largest) <= 2 * 8 + 1


@pytest.mark.usefixtures("body")
def test_terms_that_cancel_do_not_count_twice() -> None:
    """Node 3 is reached by weights 1, -1 and 1: through nothing it goes on."""
    edges = torch.tensor([[1, 2, 4, 3, 3, 3], [0, 0, 0, 1, 2, 4]])
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 1.0])
    topology = Topology(edges, 5, weight)
    walks = ResampledWalks(budget=8, hops=2, normalization=None)(topology)
    assert_close(walks.to_dense(), powers(topology, 2, None))
    assert walks.to_dense()[2, 0, 3] == 1


@pytest.mark.slow
def test_the_two_bodies_draw_from_one_law() -> None:
    """Means of squares, entry by entry over many draws: the variances agree too."""
    if len(BODIES) < 2:
        pytest.skip("numba is not installed")
    topology, spread = example_topologies()["weighted"], []
    for each in BODIES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resampled, "_compiled", lambda each=each: each)
            generator = seeded()
            drawn = torch.stack(
                [
                    ResampledWalks(2, hops=3, width=3)(topology, generator).to_dense()
                    for _ in range(300)
                ]
            )
            spread.append((drawn - powers(topology, 3)).square().sum((1, 2, 3)))
    error = (spread[0].var() / 300 + spread[1].var() / 300).sqrt()
    assert abs(spread[0].mean() - spread[1].mean()) < 4 * error


def test_blocks_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    topology, sampler = example_topologies()["weighted"], cases.random_walks(3)
    for each in BODIES:
        monkeypatch.setattr(resampled, "_compiled", lambda each=each: each)
        whole = sampler(topology, torch.Generator()).to_dense()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resampled, "_TERMS", 1)
            patch.setattr(resampled, "_ROWS", 1)
            if each is not None:
                patch.setattr(each, "_BLOCK", 1)
            assert torch.equal(sampler(topology, torch.Generator()).to_dense(), whole)


def test_threads_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    topology, sampler = random_graph(300, 2_000), ResampledWalks(8, hops=3)
    compiled = resampled._compiled()
    if compiled is None:
        pytest.skip("numba is not installed")
    alone = sampler(topology, torch.Generator())
    monkeypatch.setattr(compiled, "_BLOCK", 32)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = sampler(topology, torch.Generator())
    assert torch.equal(alone.col, together.col)
    assert torch.equal(alone.weight, together.weight)


@pytest.mark.usefixtures("body")
def test_the_decay_favours_masks_that_fall_like_it() -> None:
    topology, errors = random_graph(200, 800), {}
    for decay in (0.2, 1.0):
        generator = seeded()
        drawn = torch.stack(
            [ResampledWalks(12, 4, decay=decay)(topology, generator).to_dense() for _ in range(20)]
        )
        for kernel in (0.2, 1.0):
            alpha = kernel ** torch.arange(5.0)
            missed = torch.einsum("t,rtij->rij", alpha, drawn - powers(topology, 4))
            errors[decay, kernel] = float(missed.square().mean())
    assert errors[0.2, 0.2] < errors[1.0, 0.2]
    assert errors[1.0, 1.0] < errors[0.2, 1.0]


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("edges", [NO_EDGES, torch.tensor([[0], [1]])], ids=["none", "one"])
def test_graphs_of_no_or_one_edge(edges: Tensor) -> None:
    for num_nodes in (2, 5):
        topology = Topology(edges, num_nodes)
        assert_close(ResampledWalks(budget=2, hops=2)(topology).to_dense(), powers(topology, 2))
    assert ResampledWalks(budget=1, hops=2)(Topology(NO_EDGES, 0)).nnz == 0


@pytest.mark.usefixtures("body")
def test_an_edge_of_nearly_no_weight_beside_equal_ones() -> None:
    """As many edges as the budget: rounding must not lose any."""
    weight = torch.full((11,), 0.1).index_fill(0, torch.tensor([3]), 1e-20)
    walks = ResampledWalks(budget=11, hops=1, normalization=None)(
        Topology(star(11).edge_index, 12, weight)
    )
    assert_close(walks.to_dense()[1, 0, 1:], weight, atol=1e-12, rtol=0)


def test_without_numba_torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampled, "HAS_NUMBA", False)
    assert resampled._compiled() is None


def test_the_width_follows_the_budget() -> None:
    widths = ResampledWalks(8).width, ResampledWalks(80).width, ResampledWalks(8, width=3).width
    assert widths == (64, 160, 3)
