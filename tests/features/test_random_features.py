"""What is true of estimates: their means, their variances, their scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import attention, features, masks, nn, reference
from graphmask.attention import divide
from graphmask.features import (
    HybridRandomFeatures,
    OptimalPositiveFeatures,
    PositiveRandomFeatures,
    SharpPositiveFeatures,
    TrigonometricFeatures,
)
from graphmask.testing import assert_unbiased, example_topologies

Make = Callable[..., Any]

every_estimator = pytest.mark.parametrize(
    "make", cases.features.ESTIMATORS.values(), ids=cases.features.ESTIMATORS
)
every_coupling = pytest.mark.parametrize("coupling", cases.features.COUPLINGS, ids=repr)


def pair(n: int = 4, scale: float = 0.6) -> Tensor:
    return scale * torch.randn(2, n, 5, generator=torch.Generator().manual_seed(3))


def redrawn(phi: Any, draws: int, of: Callable[[Any], Tensor]) -> Tensor:
    generator, found = torch.Generator().manual_seed(11), []
    for _ in range(draws):
        phi.redraw(generator)
        found.append(of(phi))
    return torch.stack(found)


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


@every_coupling
def test_estimates_of_the_gaussian_kernel_are_unbiased(coupling: features.Coupling) -> None:
    q, k = pair()
    drawn = redrawn(
        TrigonometricFeatures(5, 8, coupling, scale=0.7), 600, lambda phi: scores(phi, q, k)
    )
    assert_unbiased(drawn, (-0.7 * torch.cdist(q, k).square() / 2).exp(), "scores")


def test_gradients_of_hybrid_estimates_are_unbiased() -> None:
    """Though signs have none."""
    q, k = pair(scale=0.4)
    q.requires_grad_()

    def slope(phi: Any) -> Tensor:
        return torch.autograd.grad(scores(phi, q, k).sum(), q)[0]

    exact = torch.autograd.grad((5**-0.5 * q @ k.mT).exp().sum(), q)[0]
    assert_unbiased(redrawn(HybridRandomFeatures(5, 16), 800, slope), exact, "gradients")


def test_where_hybrid_estimates_are_exact() -> None:
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
    phi = OptimalPositiveFeatures(5, 1, features.IID(), scale=1.0)
    phi.curvature.fill_(curvature)
    q, k = pair(1, scale=0.3)
    drawn = redrawn(phi, 20_000, lambda phi: scores(phi, q, k))[:, 0] / (q @ k.mT).exp()
    expected = math.exp(log_moment(curvature, 5, float((q + k).square().sum())))
    assert float(drawn.square().mean()) == pytest.approx(expected, rel=0.05)


def mean_log_moment(phi: Any, q: Tensor, k: Tensor) -> float:
    """Over all pairs, from the buffers of a sharp or optimal map."""
    a = phi.curvature.expand(phi.channels)
    z = (q.unsqueeze(1) + k) * phi.scale**0.5 @ getattr(phi, "basis", torch.eye(phi.channels))
    each = (
        (1 - 4 * a).log()
        - (1 - 8 * a).log() / 2
        + (2 * (1 - 4 * a) / (1 - 8 * a) - 1) * z.square().mean((0, 1))
    )
    return float(each.sum())


def test_the_sharp_map_has_the_least_variance_of_its_class() -> None:
    q, k = cases.features.data(3.0)
    optimal, sharp, other = (
        OptimalPositiveFeatures(5, 4),
        SharpPositiveFeatures(5, 4),
        SharpPositiveFeatures(5, 4),
    )
    for phi in (optimal, sharp):
        phi.calibrate(q, k)
    least = mean_log_moment(sharp, q, k)
    assert least < mean_log_moment(optimal, q, k) - 0.3
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2, 1.0):
        turn = torch.linalg.matrix_exp(
            size * (lambda x: x - x.mT)(torch.randn(5, 5, generator=generator))
        )
        other.basis.copy_(sharp.basis @ turn)
        other.curvature.copy_(
            sharp.curvature * (1 + size * torch.randn(5, generator=generator)).abs()
        )
        assert mean_log_moment(other, q, k) > least
        other.curvature.copy_(sharp.curvature)
        assert mean_log_moment(other, q, k) > least


def test_sharp_is_optimal_before_it_has_seen_data() -> None:
    x = pair()[0]
    maps = [kind(5, 8, seed=4) for kind in (SharpPositiveFeatures, OptimalPositiveFeatures)]
    assert_close(maps[0].queries(x), maps[1].queries(x))


def test_data_of_unit_variance_is_assumed() -> None:
    phi, assumed = OptimalPositiveFeatures(64, 1), float(OptimalPositiveFeatures(64, 1).curvature)
    phi.calibrate(*torch.randn(2, 4000, 64, generator=torch.Generator().manual_seed(0)))
    assert float(phi.curvature) == pytest.approx(assumed, rel=1e-2)


def relative_error(phi: Any, q: Tensor, k: Tensor) -> float:
    exact = (phi.scale * q @ k.mT).exp()
    return float(
        redrawn(phi, 400, lambda phi: scores(phi, q, k) / exact - 1).square().mean().sqrt()
    )


def test_errors_come_in_the_order_of_the_papers() -> None:
    """Couplings of FAVOR+ on short queries, then maps on longer, anisotropic ones, at equal m."""
    q, k = 0.5 * torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))
    iid, orthogonal, simplex = (
        relative_error(PositiveRandomFeatures(16, 16, coupling), q, k)
        for coupling in cases.features.COUPLINGS
    )
    assert simplex < orthogonal < iid
    q, k = (2 * x * torch.linspace(0.1, 2, 16) for x in (q, k))
    plus, optimal, sharp = (
        kind(16, 16)
        for kind in (PositiveRandomFeatures, OptimalPositiveFeatures, SharpPositiveFeatures)
    )
    for phi in (optimal, sharp):
        phi.calibrate(q, k)
    errors = [relative_error(phi, q, k) for phi in (sharp, optimal, plus)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2] / 3


@every_estimator
def test_nothing_overflows_or_sees_batch_mates(make: Make) -> None:
    phi = make(8)
    q, k = torch.randn(2, 7, 2, 5, generator=torch.Generator().manual_seed(0)) * 40
    batch = torch.tensor([1, 0, 1, 3, 0, 1, 3])
    together = phi(q, k, batch)
    assert all(part.isfinite().all() for part in together)
    assert_close(phi(q, k, batch, 4), together, rtol=0, atol=0)
    for graph in (0, 1, 3):
        place = batch == graph
        assert_close(
            [part[place] for part in together],
            list(phi(q[place], k[place])),
            rtol=1e-12,
            atol=1e-200,
        )


@every_estimator
def test_no_nodes_give_no_features(make: Make) -> None:
    empty = torch.zeros(0, 2, 5)
    for batch in (None, torch.zeros(0, dtype=torch.long)):
        assert [part.shape for part in make(8)(empty, empty, batch, 1)] == [
            part.shape for part in make(8)(empty, empty, None)
        ]


@every_estimator
def test_attention_in_single_precision_on_long_queries(make: Make) -> None:
    """Scores beyond the largest float32 number."""
    topology = example_topologies()["ragged"]
    q, k, v = (
        20 * torch.randn(topology.num_nodes, 2, 5, generator=torch.Generator().manual_seed(0))
        for _ in range(3)
    )
    leaves = [x.float().requires_grad_() for x in (q, k, v)]
    found = attention(*leaves, masks.GlobalMask()(topology), make(16))
    assert found.isfinite().all()
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(found.sum(), leaves))


@pytest.mark.parametrize("kind", [PositiveRandomFeatures, SharpPositiveFeatures])
def test_attention_is_that_of_the_plain_features(kind: type) -> None:
    topology = example_topologies()["ragged"]
    q, k, v = torch.randn(3, topology.num_nodes, 2, 5, generator=torch.Generator().manual_seed(0))
    phi = kind(5, 8)
    dense = reference.global_mask(topology.num_nodes, topology.batch)
    expected = reference.attention(phi.queries(q), phi.keys(k), v, dense)
    assert_close(attention(q, k, v, masks.GlobalMask()(topology), phi), expected)


def test_features_keep_their_precision_under_autocast() -> None:
    phi, x = PositiveRandomFeatures(5, 8).float(), pair()[0].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close([phi.queries(x), phi.keys(x)], [phi.queries(x)] * 2, rtol=0, atol=0)
        found = phi.queries(x)
    assert_close(found, phi.queries(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [lambda: PositiveRandomFeatures(2, 6), lambda: HybridRandomFeatures(2, 8)]
)
def test_compiles_as_one_graph(make: Callable[[], Any]) -> None:
    torch.compiler.reset()
    layer = cases.seeded(
        lambda: nn.TopologicalAttention(4, 2, masks.GlobalMask(), feature_map=make())
    )
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    assert_close(
        torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology), layer(x, topology)
    )


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
    slope = torch.autograd.grad(out.sum(), normaliser)[0]
    assert_close(slope, torch.tensor([[-1.5e30]], dtype=torch.float32))
    assert divide(numerator * 1e-10, normaliser * 1e-10).eq(0).all()
