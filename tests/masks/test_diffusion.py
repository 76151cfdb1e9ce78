from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import expm_multiply
from scipy.special import ive
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import DiffusionMask
from graphmask.masks._truncation import (
    chebyshev_coefficients,
    count_chebyshev,
    count_neumann,
    count_taylor,
)
from graphmask.masks.coefficients import poisson
from graphmask.operators import (
    ChebyshevOperator,
    PowerSeriesOperator,
    ProductOperator,
    ResolventOperator,
)
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import batch_topologies, replace

TIMES = [0.01, 0.5, 3.0, 30.0, 300.0]
TOLERANCES = [1e-2, 1e-6, 1e-12]


def random_graph(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Topology:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(n - 1, (2, 3 * n), generator=generator)  # the last node stays isolated
    weight = torch.rand(3 * n, generator=generator, dtype=dtype)
    return Topology(torch.cat([ends, ends.flip(0)], 1), n, torch.cat([weight, weight]))


def dense(topology: Topology, normalization: Any = "sym") -> Tensor:
    pattern, weight = topology.adjacency(normalization)
    return pattern.to_dense(weight)


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("t", TIMES)
def test_counts_are_the_least_that_keep_the_tail(t: float, tolerance: float) -> None:
    """Of both series at x = 1, where all terms add; summed from the smallest."""
    k = np.arange(2000)
    taylor = np.exp(k * math.log(t) - t - np.array([math.lgamma(each + 1) for each in k]))
    chebyshev = np.where(k > 0, 2, 1) * ive(k, t)
    for size, count in ((taylor, count_taylor), (chebyshev, count_chebyshev)):
        found = count(t, tolerance)
        assert (
            size[found:][::-1].sum()
            <= tolerance * (1 + 1e-6)
            < size[found - 1 :][::-1].sum() * (1 + 2e-2)
        )


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("a", [1e-6, 0.3, 0.9, 0.999])
def test_the_neumann_series_keeps_its_tail_and_that_of_its_derivative(
    a: float, tolerance: float
) -> None:
    order = count_neumann(a, tolerance)
    k = np.arange(order + 1, order + 100_000)
    assert (a**k).sum() <= tolerance / (1 - a) * (1 + 1e-9)
    assert (k * a ** (k - 1.0)).sum() <= tolerance / (1 - a) ** 2 * (1 + 1e-9)


@pytest.mark.parametrize("t", TIMES)
def test_coefficients_are_bessel_functions(t: float) -> None:
    order = count_chebyshev(t, 1e-14)
    found = chebyshev_coefficients(torch.tensor([t]).log(), order)[0]
    k = np.arange(order + 1)
    assert_close(found, torch.from_numpy(np.where(k > 0, 2, 1) * ive(k, t)), rtol=1e-11, atol=2e-15)


def test_derivatives_of_the_coefficients() -> None:
    log_t = torch.tensor([0.3, 2.0])
    assert_gradients(lambda s: chebyshev_coefficients(s, 20), log_t)
    assert_gradients(lambda s: poisson(s, 20), log_t)


@pytest.mark.global_rng  # scipy's estimate of norms draws from it
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("t", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_heat_is_within_the_tolerance_of_scipy(
    t: float, tolerance: float, normalization: str
) -> None:
    topology = random_graph(1000)
    L = torch.eye(1000) - dense(topology, normalization)
    x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(expm_multiply(-t * sp.csr_matrix(L.numpy()), x.numpy()))
    mask = DiffusionMask(scale=t, tolerance=tolerance, normalization=normalization)
    error = (mask(topology) @ x)[0] - expected
    order = 2 if normalization == "sym" else math.inf
    assert (error.norm(order, dim=0) <= tolerance * x.norm(order, dim=0) + 1e-12).all()


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("a", [0.2, 0.9, 0.99])
def test_the_resolvent_is_within_the_tolerance(a: float, normalization: str) -> None:
    topology = random_graph(300)
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.solve(torch.eye(300) - a * dense(topology, normalization), x)
    mask = DiffusionMask(kernel="resolvent", scale=a, tolerance=1e-6, normalization=normalization)
    error = (mask(topology) @ x)[0] - expected
    order = 2 if normalization == "sym" else math.inf
    assert (error.norm(order, dim=0) <= 1e-6 / (1 - a) * x.norm(order, dim=0)).all()


def test_without_normalisation_the_bound_is_relative_to_that_of_the_kernel() -> None:
    topology = random_graph(100)
    W, x = dense(topology, None), torch.eye(100)
    bound = math.sqrt(W.sum(0).max() * W.sum(1).max())
    expected = torch.matrix_exp(-(torch.eye(100) - W))
    error = (DiffusionMask(tolerance=1e-5, normalization=None)(topology) @ x)[0] - expected
    assert torch.linalg.matrix_norm(error, 2) <= 1e-5 * math.exp(bound - 1)


def test_chebyshev_is_taken_where_it_halves_the_products_of_an_undirected_graph() -> None:
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


def test_the_resolvent_solves_where_the_graph_is_undirected() -> None:
    graphs, mask = example_topologies(), DiffusionMask(kernel="resolvent")
    assert isinstance(mask(graphs["weighted"]), ResolventOperator)
    assert isinstance(mask(graphs["directed"]), PowerSeriesOperator)


def test_signs_are_those_of_the_weights() -> None:
    graphs = example_topologies()
    for kernel in ("heat", "resolvent"):
        assert DiffusionMask(kernel=kernel)(graphs["directed"]).nonnegative
        assert not DiffusionMask(kernel=kernel)(graphs["signed"]).sums_itself


@pytest.mark.parametrize("options", [{"scale": 90.0}, {"kernel": "resolvent", "scale": 0.8}])
def test_derivatives_by_weights_of_undirected_edges(options: dict[str, Any]) -> None:
    """One weight for both directions: the graph stays undirected."""
    topology = example_topologies()["weighted"]
    mask = DiffusionMask(2, tolerance=1e-13, **options)
    x = torch.randn(13, 2, generator=torch.Generator().manual_seed(0))

    def product(half: Tensor) -> Tensor:
        operator = mask(replace(topology, edge_weight=torch.cat([half, half])))
        assert isinstance(
            operator, (ResolventOperator, ProductOperator)
        )  # the last node is isolated
        return operator @ x

    assert_gradients(product, topology.edge_weight[: topology.num_edges // 2], module=mask)


def test_isolated_nodes_keep_their_value_however_long_it_takes() -> None:
    topology = random_graph(50)
    operator = DiffusionMask(scale=60.0)(topology)
    assert_close(
        (operator @ torch.ones(50))[0, -1], torch.tensor(math.exp(-60.0)), rtol=1e-6, atol=0
    )
    v = torch.arange(50.0).reshape(50, 1, 1)
    assert_close(attention(torch.ones_like(v), torch.ones_like(v), v, operator)[-1], v[-1])


@pytest.mark.parametrize(
    "options", [{"scale": 1.0}, {"scale": 100.0}, {"kernel": "resolvent", "scale": 0.95}]
)
def test_single_precision_at_size(options: dict[str, Any]) -> None:
    topology = random_graph(2000, dtype=torch.float32)
    wide = random_graph(2000)
    mask = DiffusionMask(**options).float()
    x = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    found = (mask(topology) @ x.float())[0]
    assert found.dtype == torch.float32
    expected = (mask.double()(replace(wide, edge_weight=topology.edge_weight.double())) @ x)[0]
    size = expected.norm(dim=0)
    assert ((found - expected).norm(dim=0) <= 5e-6 * size).all()


def test_half_precision_comes_back_in_half_precision() -> None:
    topology = random_graph(20, dtype=torch.float32)
    for kernel in ("heat", "resolvent"):
        found = DiffusionMask(kernel=kernel).float()(topology) @ torch.ones(
            20, 1, dtype=torch.bfloat16
        )
        assert found.dtype == torch.bfloat16


def test_batch_mates_do_not_change_the_number_of_terms() -> None:
    small, large = random_graph(5), random_graph(300, seed=1)
    mask = DiffusionMask(scale=20.0, tolerance=1e-2)
    batch, (place, _) = batch_topologies([small, large], interleaved=True)
    x = torch.randn(305, 2, generator=torch.Generator().manual_seed(0))
    assert_close((mask(batch) @ x)[:, place], mask(small) @ x[place], rtol=1e-12, atol=1e-12)


def test_costs_are_said_in_terms() -> None:
    topology = random_graph(100)
    nnz = topology.pattern.nnz
    assert DiffusionMask(scale=2.0)(topology).cost == count_taylor(2.0, 1e-6) * nnz + 100
    assert str(DiffusionMask()).endswith("O(E terms) per column")
