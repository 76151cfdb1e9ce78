"""Means, variances and scales of estimates by random features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from cases.graphs import generator, normal
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from graphmask import attention, features, masks, reference
from graphmask.features import (
    HybridRandomFeatures,
    OptimalPositiveFeatures,
    PoissonFeatures,
    PositiveRandomFeatures,
    SharpPositiveFeatures,
    TrigonometricFeatures,
)
from graphmask.normalizers.row_sums import divide
from graphmask.testing import assert_unbiased, example_topologies

Make = Callable[..., Any]

every_estimator = pytest.mark.parametrize(
    "make", cases.features.ESTIMATORS.values(), ids=cases.features.ESTIMATORS
)
every_coupling = pytest.mark.parametrize("coupling", cases.features.COUPLINGS, ids=repr)


def pair(n: int = 4, scale: float = 0.6) -> Tensor:
    return scale * normal(2, n, 5, seed=3)


def redrawn(phi: Any, draws: int, of: Callable[[Any], Tensor]) -> Tensor:
    source, values = generator(11), []
    for _ in range(draws):
        phi.redraw(source)
        values.append(of(phi))
    return torch.stack(values)


def scores(phi: Any, q: Tensor, k: Tensor) -> Tensor:
    return phi.queries(q) @ phi.keys(k).mT


@every_estimator
@every_coupling
def test_estimates_of_the_softmax_kernel_are_unbiased(
    make: Make, coupling: features.Coupling
) -> None:
    q, k = pair()
    drawn = redrawn(make(8, coupling=coupling), 600, lambda phi: scores(phi, q, k))
    assert_unbiased(drawn, (5**-0.5 * q @ k.mT).exp(), "scores")


@every_estimator
def test_scales_are_kept(make: Make) -> None:
    q, k = pair(scale=0.4)
    drawn = redrawn(make(64, scale=1.3), 600, lambda phi: scores(phi, q, k))
    assert_unbiased(drawn, (1.3 * q @ k.mT).exp(), "scores")


def test_randomized_attention_is_unbiased_for_softmax_attention_and_linear_one_is_close() -> None:
    """Directions of each query's own; the ratio of unbiased sums is biased."""
    source = generator(3)
    q, k, v = torch.randn(3, 6, 4, generator=source, dtype=torch.float64) * 0.9
    exact = (q @ k.mT).softmax(1)

    def draw() -> Tensor:
        j = torch.multinomial(exact, 1, generator=source).squeeze(1)
        noise = torch.randn(6, 4, generator=source, dtype=torch.float64)
        return reference.randomized_attention(q, k, v, j, noise)

    assert_unbiased(torch.stack([draw() for _ in range(3000)]), exact @ v, "randomized attention")


def test_proposals_from_data_lower_the_error_of_attention() -> None:
    """On queries and keys that they have not seen."""
    q, k = cases.features.data(2.0)
    exact = (5**-0.5 * q[20:] @ k[20:].mT).softmax(1)

    def error(phi: Any) -> Tensor:
        phi.calibrate(q[:20], k[:20])

        def distance(phi: Any) -> Tensor:
            scores = phi.queries(q[20:]) @ phi.keys(k[20:]).mT
            return (scores / scores.sum(1, keepdim=True) - exact).norm() / exact.norm()

        return redrawn(phi, 60, distance).median()

    class FavorPlus(PositiveRandomFeatures):
        def calibrate(self, q: Tensor, k: Tensor) -> None:
            pass

    errors = [error(make(5, 32)) for make in (features.LinearRandomizedFeatures, FavorPlus)]
    assert errors[0] < 0.8 * errors[1]


@every_coupling
def test_estimates_of_the_gaussian_kernel_are_unbiased(coupling: features.Coupling) -> None:
    (q, k), phi = pair(), TrigonometricFeatures(5, 8, coupling, scale=0.7)
    drawn = redrawn(phi, 600, lambda phi: scores(phi, q, k))
    assert_unbiased(drawn, (-0.7 * torch.cdist(q, k).square() / 2).exp(), "scores")


def test_gradients_of_hybrid_estimates_are_unbiased() -> None:
    """Though the signs in them have none."""
    q, k = pair(scale=0.4)
    q.requires_grad_()

    def gradient(score: Tensor) -> Tensor:
        return torch.autograd.grad(score.sum(), q)[0]

    drawn = redrawn(HybridRandomFeatures(5, 16), 800, lambda phi: gradient(scores(phi, q, k)))
    assert_unbiased(drawn, gradient((5**-0.5 * q @ k.mT).exp()), "gradients")


def test_hybrid_estimates_are_exact_for_equal_and_opposite_vectors() -> None:
    phi, x = HybridRandomFeatures(5, 24, num_signs=2), pair()[0]
    for other in (x, -x):
        exact = (5**-0.5 * (x * other).sum(-1)).exp()
        assert_close(scores(phi, x, other).diagonal(), exact)


def log_moment(a: float, channels: int, square: float) -> float:
    """The log of the mean square of one feature's estimate, relative to the kernel's square."""
    log = channels * math.log(1 - 4 * a) - channels / 2 * math.log(1 - 8 * a)
    return log + (2 * (1 - 4 * a) / (1 - 8 * a) - 1) * square


@pytest.mark.parametrize(("channels", "square"), [(16, 8.86), (5, 0.1), (64, 100.0), (1, 2.0)])
def test_the_optimal_curvature_is_that_of_the_least_variance(channels: int, square: float) -> None:
    best = reference.optimal_curvature(square, channels)
    phi = OptimalPositiveFeatures(channels, 1, scale=1.0)
    side = torch.zeros(1, channels)
    side[0, 0] = math.sqrt(square)
    phi.calibrate(side, torch.zeros(1, channels))
    assert float(phi.curvature) == pytest.approx(best)
    around = [log_moment(best + step, channels, square) for step in (-1e-3, 0, 1e-3)]
    assert min(around) == around[1]


@pytest.mark.parametrize("curvature", [0.0, -0.1, -0.6])
def test_variances_are_those_of_the_formula(curvature: float) -> None:
    """Every feature is an independent estimate."""
    phi = OptimalPositiveFeatures(5, 20_000, features.IID(), scale=1.0)
    phi.curvature.fill_(curvature)
    q, k = pair(1, scale=0.3)
    estimates = phi.queries(q) * phi.keys(k) * phi.num_features / (q @ k.mT).exp()
    expected = math.exp(log_moment(curvature, 5, float((q + k).square().sum())))
    assert float(estimates.square().mean()) == pytest.approx(expected, rel=0.05)


def mean_log_moment(phi: Any, q: Tensor, k: Tensor) -> float:
    """Over all pairs, from the buffers of a sharp or optimal map."""
    a = phi.curvature.expand(phi.channels)
    z = (q.unsqueeze(1) + k) * phi.scale**0.5 @ getattr(phi, "basis", torch.eye(phi.channels))
    factor = (1 - 4 * a).log() - (1 - 8 * a).log() / 2
    exponent = (2 * (1 - 4 * a) / (1 - 8 * a) - 1) * z.square().mean((0, 1))
    return float((factor + exponent).sum())


def test_the_sharp_map_has_the_least_variance_of_its_class() -> None:
    q, k = cases.features.data(3.0)
    optimal, sharp = OptimalPositiveFeatures(5, 4, seed=4), SharpPositiveFeatures(5, 4, seed=4)
    assert_close(sharp.queries(q), optimal.queries(q))  # before they are calibrated
    for phi in (optimal, sharp):
        phi.calibrate(q, k)
    least = mean_log_moment(sharp, q, k)
    assert least < mean_log_moment(optimal, q, k) - 0.3
    other = SharpPositiveFeatures(5, 4)
    for size in (1e-3, 1e-2, 1.0):
        turn = normal(5, 5)
        other.basis.copy_(sharp.basis @ torch.linalg.matrix_exp(size * (turn - turn.mT)))
        for curvature in (sharp.curvature, sharp.curvature * (1 + size * normal(5, seed=1)).abs()):
            other.curvature.copy_(curvature)
            assert mean_log_moment(other, q, k) > least


def relative_error(phi: Any, q: Tensor, k: Tensor) -> float:
    exact = (phi.scale * q @ k.mT).exp()
    errors = redrawn(phi, 400, lambda phi: scores(phi, q, k) / exact - 1)
    return float(errors.square().mean().sqrt())


def test_errors_come_in_the_order_of_the_papers() -> None:
    """Couplings of FAVOR+ on short queries, then maps on longer, anisotropic ones, at equal m."""
    q, k = 0.5 * normal(2, 10, 16)
    maps = [PositiveRandomFeatures(16, 16, coupling) for coupling in cases.features.COUPLINGS]
    iid, orthogonal, simplex = (relative_error(phi, q, k) for phi in maps)
    assert simplex < orthogonal < iid
    q, k = (2 * x * torch.linspace(0.1, 2, 16) for x in (q, k))
    sharp, optimal = SharpPositiveFeatures(16, 16), OptimalPositiveFeatures(16, 16)
    for phi in (optimal, sharp):
        phi.calibrate(q, k)
    maps = [sharp, optimal, PositiveRandomFeatures(16, 16)]
    errors = [relative_error(phi, q, k) for phi in maps]
    assert errors == sorted(errors)
    assert errors[0] < errors[2] / 3


@every_estimator
def test_nothing_overflows_or_depends_on_batch_mates(make: Make) -> None:
    phi, batch = make(8), torch.tensor([1, 0, 1, 3, 0, 1, 3])
    q, k = 40 * normal(2, 7, 2, 5)
    together = phi(q, k, batch)
    assert all(x.isfinite().all() for x in together)
    assert_close(phi(q, k, batch, 4), together, rtol=0, atol=0)
    for graph in (0, 1, 3):
        nodes = batch == graph
        alone = phi(q[nodes], k[nodes])
        assert_close([x[nodes] for x in together], list(alone), rtol=1e-12, atol=1e-200)
    empty = torch.zeros(0, 2, 5)
    for batch in (None, torch.zeros(0, dtype=torch.long)):
        shapes = [x.shape for x in phi(empty, empty, batch, 1)]
        assert shapes == [(0, 2, together[0].shape[-1])] * 2


@every_estimator
def test_attention_in_single_precision_on_long_queries(make: Make) -> None:
    """Scores beyond the largest float32 number."""
    topology = example_topologies()["ragged"]
    leaves = [x.float().requires_grad_() for x in 20 * normal(3, topology.num_nodes, 2, 5)]
    out = attention(*leaves, masks.GlobalMask()(topology), make(16))
    assert out.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), leaves))


@pytest.mark.parametrize("make", [PositiveRandomFeatures, SharpPositiveFeatures])
def test_attention_is_that_of_the_plain_features(make: type) -> None:
    topology, phi = example_topologies()["ragged"], make(5, 8)
    q, k, v = normal(3, topology.num_nodes, 2, 5)
    dense = reference.global_mask(topology.num_nodes, topology.batch)
    expected = reference.attention(phi.queries(q), phi.keys(k), v, dense)
    assert_close(attention(q, k, v, masks.GlobalMask()(topology), phi), expected)


def test_features_keep_their_precision_under_autocast() -> None:
    phi, x = PositiveRandomFeatures(5, 8).float(), pair()[0].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = [phi.queries(x), phi.keys(x)]
    assert_close(features, [phi.queries(x), phi.keys(x)], rtol=0, atol=0)


@every_estimator
def test_projections_are_functions_of_the_seed(make: Make) -> None:
    x = pair()[0]
    first = make(8, seed=1)
    assert_close(make(8, seed=1).queries(x), first.queries(x), rtol=0, atol=0)
    assert not torch.allclose(make(8, seed=2).queries(x), first.queries(x))
    before = first.queries(x)
    first.redraw(torch.Generator().manual_seed(1))
    other = make(8, seed=5)
    other.load_state_dict(first.state_dict())
    assert_close(other.queries(x), first.queries(x), rtol=0, atol=0)
    assert_close(first.queries(x), before, rtol=0, atol=0)


def test_projections_do_not_depend_on_the_default_type(single_by_default: None) -> None:
    single = PositiveRandomFeatures(5, 8).projection
    torch.set_default_dtype(torch.float64)
    assert_close(PositiveRandomFeatures(5, 8).projection.float(), single, rtol=0, atol=0)


def test_small_normalisers_have_gradients() -> None:
    """In single precision, where the square of their inverse overflows."""
    numerator = torch.full((1, 2), 3e-30, dtype=torch.float32, requires_grad=True)
    normaliser = torch.full((1, 1), 2e-30, dtype=torch.float32, requires_grad=True)
    out = divide(numerator, normaliser)
    assert_close(out, torch.full_like(out, 1.5))
    (grad,) = torch.autograd.grad(out.sum(), normaliser)
    assert_close(grad, torch.tensor([[-1.5e30]], dtype=torch.float32))
    assert divide(numerator * 1e-10, normaliser * 1e-10).eq(0).all()


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_counts_are_quantiles_of_poisson_laws(spread: float) -> None:
    phi, x = PoissonFeatures(4, 500), spread * normal(30, 4)
    phi.calibrate(x, x)
    uniform = torch.special.ndtr(phi.projection.double()).numpy()
    expected = stats.poisson(phi.product.double().numpy()).ppf(uniform)
    assert_close(phi.counts.double(), torch.from_numpy(expected), rtol=0, atol=0)


def test_counts_of_huge_rates_are_drawn_near_them() -> None:
    phi, x = PoissonFeatures(2, 10), 1e4 * normal(30, 2)
    phi.calibrate(x, x)
    assert ((phi.counts - phi.product).abs() < 12 * phi.product.sqrt()).all()


@every_estimator
def test_integers_are_refused(make: Make) -> None:
    phi = make(8)
    with pytest.raises(TypeError, match="`x` must be a floating-point tensor"):
        phi.queries(torch.ones(2, 5, dtype=torch.long))
