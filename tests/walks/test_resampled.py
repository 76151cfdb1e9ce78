from __future__ import annotations

import cases
import pytest
import torch
from counting import Written
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.testing import assert_unbiased, check_sampler, example_topologies
from graphmask.walks import ResampledWalks, resampled
from graphmask.walks.resampled import _multiply_scipy, _multiply_torch, _Rows, find_threshold, thin

# Ties, zeros and numbers of very different size.
SIZES = st.lists(
    st.one_of(st.sampled_from([0.0, 0.1, 0.1, 0.3, 1.0, 1e-20, 1e20]), st.floats(1e-6, 1e6)), min_size=2, max_size=20
)


@given(SIZES, st.integers(1, 12))
def test_the_threshold_is_that_of_optimal_resampling(sizes: list[float], budget: int) -> None:
    numbers = torch.tensor(sizes)
    if int((numbers > 0).sum()) <= budget:
        return
    found = find_threshold(numbers.unsqueeze(0), budget)
    assert_close(float(found), reference.resampling_threshold(numbers, budget), rtol=1e-9, atol=0)
    assert_close(float((numbers / found).clamp(max=1).sum()), float(budget), rtol=1e-9, atol=0)


@pytest.mark.parametrize("tiny", [0.0, 1e-20, 1e-300])
@pytest.mark.parametrize("count", [1, 9, 10, 11])
def test_the_threshold_of_ties_beside_nothing(count: int, tiny: float) -> None:
    """As many equal numbers as the budget: rounding must not set all of them apart."""
    sizes = torch.tensor([[0.1] * count + [tiny] * 3])
    assert (find_threshold(sizes, 10) <= 0.11).all()


def rows_of(dense: Tensor) -> _Rows:
    row, col = dense.nonzero(as_tuple=True)
    ptr = torch.zeros(len(dense) + 1, dtype=torch.long)
    ptr[1:] = torch.bincount(row, minlength=len(dense)).cumsum(0)
    return _Rows(ptr, col, dense[row, col])


def dense_of(rows: _Rows, width: int) -> Tensor:
    row = torch.arange(len(rows.ptr) - 1).repeat_interleave(rows.counts)
    return rows.weight.new_zeros(len(rows.ptr) - 1, width).index_put((row, rows.col), rows.weight, accumulate=True)


@given(st.integers(0, 6), st.integers(1, 7), st.floats(0, 1), st.integers(0, 99))
def test_both_products_are_the_product(height: int, size: int, density: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def matrix(rows: int) -> Tensor:
        value = torch.randn(rows, size, generator=generator)
        return value * (torch.rand(rows, size, generator=generator) < density)

    left, right = matrix(height), matrix(size)
    for multiply in (_multiply_scipy, _multiply_torch):
        product = multiply(rows_of(left), rows_of(right))
        assert_close(dense_of(product, size), left @ right)
        assert product.ptr[-1] == len(product.col) == len(product.weight)


@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "ragged"])
def test_both_products_draw_unbiased_walks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other orders within a row draw other walks, of the same law."""
    topology, sampler = example_topologies()[name], ResampledWalks(budget=64, hops=3)
    expected = sampler(topology, torch.Generator()).to_dense()
    monkeypatch.setattr(resampled, "multiply", _multiply_torch)
    assert_close(sampler(topology, torch.Generator()).to_dense(), expected)


def row(*weights: float) -> _Rows:
    return rows_of(torch.tensor([weights]))


def test_thinning_leaves_short_rows_alone() -> None:
    short = row(1.0, -2.0, 3.0)
    assert thin(short, 3, torch.tensor([0.5])) is short


@pytest.mark.parametrize("draw", [0.001, 0.3, 0.999])
def test_thinning_keeps_large_weights_and_signs(draw: float) -> None:
    thinned = dense_of(thin(row(10.0, -8.0, 0.5, -0.5, 0.25, 0.25), 4, torch.tensor([draw])), 6)[0]
    assert_close(thinned[:2], torch.tensor([10.0, -8.0]))
    assert int((thinned != 0).sum()) == 4
    alive = thinned[2:][thinned[2:] != 0]
    assert_close(alive.abs(), torch.full((2,), 0.75))
    assert (thinned * torch.tensor([1, -1, 1, -1, 1, 1]) >= 0).all()


def test_thinning_is_unbiased(generator: torch.Generator) -> None:
    weights = torch.tensor([[3.0, -1.0, 0.5, 0.2, -0.2, 0.1, 2.0, 0.0625]])
    draws = torch.rand(2000, generator=generator)
    drawn = torch.stack([dense_of(thin(rows_of(weights), 3, draw.reshape(1)), 8) for draw in draws])
    assert_unbiased(drawn, weights, "thinned rows")
    assert ((drawn != 0).sum(-1) - 3).abs().max() <= 1


def test_rows_are_thinned_independently_of_each_other() -> None:
    first, second = torch.tensor([3.0, 1.0, 0.5, 0.25]), torch.tensor([1.0, 1.0, 1.0, 1.0])
    both = thin(rows_of(torch.stack([first, second])), 2, torch.tensor([0.3, 0.6]))
    alone = [thin(rows_of(each.unsqueeze(0)), 2, torch.tensor([draw])) for each, draw in ((first, 0.3), (second, 0.6))]
    assert_close(dense_of(both, 4), torch.cat([dense_of(each, 4) for each in alone]), rtol=0, atol=0)


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "ragged"])
def test_walks_are_exact_where_balls_fit_the_budget(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    W = reference.adjacency(topology.edge_index, topology.num_nodes, topology.edge_weight, normalization)
    walks = ResampledWalks(budget=13, hops=5, normalization=normalization)(topology)
    assert_close(walks.to_dense(), reference.walk_powers(W, 5))


def test_no_row_exceeds_the_budget_by_more_than_rounding() -> None:
    edges = torch.randint(300, (2, 3000), generator=torch.Generator().manual_seed(0))
    walks = ResampledWalks(budget=7, hops=3)(Topology(edges, 300), torch.Generator().manual_seed(0))
    for hop in (1, 2, 3):
        counts = torch.bincount(walks.row[walks.hop == hop].long(), minlength=300)
        assert counts.max() <= 8
        assert counts.double().mean() > 6.5


def test_a_hub_costs_its_cap_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A star of 5,000 leaves: every row that is multiplied by has at most ``cap`` entries."""
    widths = []

    def counted(left: _Rows, right: _Rows) -> _Rows:
        widths.append(int(right.counts.max()))
        return _multiply_scipy(left, right)

    monkeypatch.setattr(resampled, "multiply", counted)
    leaf = torch.arange(1, 5001)
    edges = torch.stack([leaf, torch.zeros_like(leaf)])
    ResampledWalks(budget=4, hops=3, cap=16)(Topology(torch.cat([edges, edges.flip(0)], 1), 5001))
    assert max(widths) <= 17


def test_one_hub_does_not_widen_all_rows() -> None:
    """A hub of all nodes beside many of 70 neighbours: rows are thinned with rows of their own length."""
    counts = []
    for size in (2_000, 4_000):
        source = torch.randint(size, (14 * size,), generator=torch.Generator().manual_seed(0))
        many = torch.stack([source, torch.arange(1, size // 5 + 1).repeat_interleave(70)])
        hub = torch.stack([torch.arange(1, size), torch.zeros(size - 1, dtype=torch.long)])
        topology = Topology(torch.cat([hub, many], 1), size)
        with Written() as written:
            ResampledWalks(budget=4, hops=1)(topology, torch.Generator())
        counts.append(written.count)
        assert written.largest < 4 * topology.num_edges
    assert counts[1] < 2.2 * counts[0]


@pytest.mark.parametrize(("budget", "cap"), [(2, 5), (5, 2), (3, 3)])
def test_thinning_rows_of_the_adjacency_and_of_walks_is_independent(budget: int, cap: int) -> None:
    """On a complete graph of uneven weights both happen at every hop; one draw for both would bias the walks."""
    nodes = torch.cartesian_prod(torch.arange(8), torch.arange(8)).mT
    weight = torch.rand(64, generator=torch.Generator().manual_seed(0)) ** 2
    check_sampler(ResampledWalks(budget, hops=2, cap=cap), Topology(nodes, 8, weight))


def test_blocks_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    topology, sampler = example_topologies()["weighted"], cases.random_walks(3)
    whole = sampler(topology, torch.Generator()).to_dense()
    monkeypatch.setattr(resampled, "_BLOCK_ENTRIES", 1)
    assert torch.equal(sampler(topology, torch.Generator()).to_dense(), whole)


def test_a_larger_budget_is_closer() -> None:
    topology = example_topologies()["weighted"]
    pattern, weight = topology.adjacency()
    target = torch.linalg.matrix_power(pattern.to_dense(weight), 3)
    errors = []
    for budget in (1, 2, 4, 8):
        generator = torch.Generator().manual_seed(0)
        sampler = ResampledWalks(budget, hops=3)
        drawn = torch.stack([sampler(topology, generator).to_dense()[3] for _ in range(50)])
        errors.append(float((drawn - target).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 20


def test_edges_of_no_weight_beside_equal_ones_end() -> None:
    edges = torch.stack([torch.arange(1, 12), torch.zeros(11, dtype=torch.long)])
    weight = torch.full((11,), 0.1).index_fill(0, torch.tensor([3]), 1e-20)
    walks = ResampledWalks(budget=10, hops=1, normalization=None)(Topology(edges, 12, weight))
    assert_close(walks.to_dense()[1, 0, 1:], weight, atol=1e-12, rtol=0)


def test_the_cap_is_at_least_64_by_default() -> None:
    assert (ResampledWalks(budget=8).cap, ResampledWalks(budget=100).cap, ResampledWalks(cap=3).cap) == (64, 100, 3)
    assert repr(ResampledWalks(8, 3)) == "ResampledWalks(budget=8, hops=3)"
