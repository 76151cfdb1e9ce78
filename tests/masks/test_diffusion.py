from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
import torch
from cases.graphs import normal
from scipy.sparse.linalg import expm_multiply
from scipy.special import ive
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import DiffusionMask
from graphmask.masks._series import chebyshev_coefficients
from graphmask.masks._truncation import count_chebyshev, count_neumann, count_taylor
from graphmask.operators import (
    ChebyshevOperator,
    PowerSeriesOperator,
    ProductOperator,
    ResolventOperator,
)
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import batch_topologies, replace


def random_graph(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Topology:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(n - 1, (2, 3 * n), generator=generator)  # the last node stays isolated
    weight = torch.rand(3 * n, generator=generator, dtype=dtype)
    return Topology(torch.cat([ends, ends.flip(0)], 1), n, torch.cat([weight, weight]))


def dense(topology: Topology, normalization: Any = "sym") -> Tensor:
    pattern, weight = topology.adjacency(normalization)
    return pattern.to_dense(weight)


def assert_error(
    out: Tensor, expected: Tensor, x: Tensor, tolerance: float, normalization: str
) -> None:
    """The bound holds in the norm in which the adjacency has norm 1."""
    order = 2 if normalization == "sym" else math.inf
    error = (out[0] - expected).norm(order, dim=0)
    assert (error <= tolerance * x.norm(order, dim=0) + 1e-12).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("t", [0.01, 0.5, 3.0, 30.0, 300.0])
def test_series_of_the_heat_kernel_stop_at_the_first_small_tail(t: float, tolerance: float) -> None:
    """Both series at x = 1, where all terms add; summed from the smallest."""
    k = np.arange(2000)
    taylor, chebyshev = scipy.stats.poisson.pmf(k, t), np.where(k > 0, 2, 1) * ive(k, t)
    for terms, count in ((taylor, count_taylor), (chebyshev, count_chebyshev)):
        order = count(t, tolerance)
        assert terms[order:][::-1].sum() <= tolerance * (1 + 1e-6)
        assert terms[order - 1 :][::-1].sum() * (1 + 2e-2) > tolerance
    order = count_chebyshev(t, 1e-14)
    coefficients = chebyshev_coefficients(torch.tensor([t]).log(), order)[0]
    expected = torch.from_numpy(chebyshev[: order + 1])
    assert_close(coefficients, expected, rtol=1e-11, atol=2e-15)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("a", [1e-6, 0.3, 0.9, 0.999])
def test_the_neumann_series_keeps_its_tail_and_that_of_its_derivative(
    a: float, tolerance: float
) -> None:
    order = count_neumann(a, tolerance)
    k = np.arange(order + 1, order + 100_000)
    assert (a**k).sum() <= tolerance / (1 - a) * (1 + 1e-9)
    assert (k * a ** (k - 1.0)).sum() <= tolerance / (1 - a) ** 2 * (1 + 1e-9)


@pytest.mark.global_rng  # scipy's estimate of norms draws from it
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("t", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_heat_is_within_the_tolerance_of_scipy(
    t: float, tolerance: float, normalization: str
) -> None:
    topology, x = random_graph(1000), normal(1000, 4)
    L = torch.eye(1000) - dense(topology, normalization)
    expected = torch.from_numpy(expm_multiply(-t * sp.csr_matrix(L.numpy()), x.numpy()))
    mask = DiffusionMask(scale=t, tolerance=tolerance, normalization=normalization)
    assert_error(mask(topology) @ x, expected, x, tolerance, normalization)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("a", [0.2, 0.9, 0.99])
def test_the_resolvent_is_within_the_tolerance(a: float, normalization: str) -> None:
    topology, x = random_graph(300), normal(300, 4)
    expected = torch.linalg.solve(torch.eye(300) - a * dense(topology, normalization), x)
    mask = DiffusionMask(kernel="resolvent", scale=a, tolerance=1e-6, normalization=normalization)
    assert_error(mask(topology) @ x, expected, x, 1e-6 / (1 - a), normalization)


def test_without_normalisation_the_error_is_relative_to_the_kernel() -> None:
    topology = random_graph(100)
    W, x = dense(topology, None), torch.eye(100)
    bound = math.sqrt(W.sum(0).max() * W.sum(1).max())
    expected = torch.matrix_exp(-(torch.eye(100) - W))
    error = (DiffusionMask(tolerance=1e-5, normalization=None)(topology) @ x)[0] - expected
    assert torch.linalg.matrix_norm(error, 2) <= 1e-5 * math.exp(bound - 1)


def test_chebyshev_runs_where_it_halves_the_products_of_an_undirected_graph() -> None:
    graphs = example_topologies()
    short, long = DiffusionMask(scale=1.0), DiffusionMask(scale=50.0)
    assert isinstance(short(graphs["weighted"]), PowerSeriesOperator)
    assert isinstance(long(graphs["directed"]), PowerSeriesOperator)
    assert isinstance(
        DiffusionMask(scale=50.0, normalization="rw")(graphs["ring"]), PowerSeriesOperator
    )
    operator = long(graphs["ring"])
    assert isinstance(operator, ChebyshevOperator)
    assert 2 * (operator.coefficients.shape[1] - 1) <= count_taylor(50.0, 1e-6)
    assert operator.estimate
    assert not operator.nonnegative


def test_kernels_know_their_operator_and_sign() -> None:
    graphs, mask = example_topologies(), DiffusionMask(kernel="resolvent")
    assert isinstance(mask(graphs["weighted"]), ResolventOperator)
    assert isinstance(mask(graphs["directed"]), PowerSeriesOperator)
    for kernel in ("heat", "resolvent"):
        assert DiffusionMask(kernel=kernel)(graphs["directed"]).nonnegative
        assert not DiffusionMask(kernel=kernel)(graphs["signed"]).sums_itself


@pytest.mark.parametrize("options", [{"scale": 90.0}, {"kernel": "resolvent", "scale": 0.8}])
def test_undirected_edges_have_derivatives(options: dict[str, Any]) -> None:
    """One weight for both directions: the graph stays undirected."""
    topology, x = example_topologies()["weighted"], normal(13, 2)
    mask = DiffusionMask(2, tolerance=1e-13, **options)

    def product(half: Tensor) -> Tensor:
        operator = mask(replace(topology, edge_weight=torch.cat([half, half])))
        # The last node is isolated, which a factor of a product handles.
        assert isinstance(operator, (ResolventOperator, ProductOperator))
        return operator @ x

    assert_gradients(product, topology.edge_weight[: topology.num_edges // 2], module=mask)


def test_isolated_nodes_keep_their_value_for_any_time() -> None:
    operator = DiffusionMask(scale=60.0)(random_graph(50))
    value = (operator @ torch.ones(50))[0, -1]
    assert_close(value, torch.tensor(math.exp(-60.0)), rtol=1e-6, atol=0)
    v = torch.arange(50.0).reshape(50, 1, 1)
    assert_close(attention(torch.ones_like(v), torch.ones_like(v), v, operator)[-1], v[-1])


@pytest.mark.parametrize(
    "options", [{"scale": 1.0}, {"scale": 100.0}, {"kernel": "resolvent", "scale": 0.95}]
)
def test_low_precision_on_large_graphs(options: dict[str, Any]) -> None:
    topology, mask = random_graph(2000, dtype=torch.float32), DiffusionMask(**options).float()
    x = normal(2000, 8)
    out = (mask(topology) @ x.float())[0]
    assert out.dtype == torch.float32
    assert (mask(topology) @ x.bfloat16()).dtype == torch.bfloat16
    wide = replace(random_graph(2000), edge_weight=topology.edge_weight.double())
    expected = (mask.double()(wide) @ x)[0]
    assert ((out - expected).norm(dim=0) <= 5e-6 * expected.norm(dim=0)).all()


def test_batch_mates_do_not_change_the_number_of_terms() -> None:
    small, large, x = random_graph(5), random_graph(300, seed=1), normal(305, 2)
    mask = DiffusionMask(scale=20.0, tolerance=1e-2)
    batch, (nodes, _) = batch_topologies([small, large], interleaved=True)
    assert_close((mask(batch) @ x)[:, nodes], mask(small) @ x[nodes], rtol=1e-12, atol=1e-12)


def test_costs_count_terms() -> None:
    topology = random_graph(100)
    nnz = topology.pattern.nnz
    assert DiffusionMask(scale=2.0)(topology).cost == count_taylor(2.0, 1e-6) * nnz + 100
    assert str(DiffusionMask()).endswith("O(E terms) per column")
