"""Normalizers, the last step of attention, under every mask and in every execution."""

from __future__ import annotations

import cases
import pytest
import torch
from builders import seeded
from cases.graphs import edgeless
from oracles import pattern_of
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.attention import attention_rows
from graphmask.features import (
    Identity,
    Normalized,
    PositiveRandomFeatures,
    ReLU,
    SoftmaxScores,
    UnitPlusCosine,
)
from graphmask.normalizers import DegreeScaled, RMSNormalizer, RowSums, Sink, Unnormalized
from graphmask.operators import Dense, Lifted, Pairs
from graphmask.testing import assert_gradients, example_topologies


def qkv(n: int, heads: int = 2) -> list[Tensor]:
    draws = (torch.randn(n, heads, 3, generator=seeded(i)) for i in range(3))
    return [draw.double().requires_grad_() for draw in draws]


def check_sums(operator: gm.operators.MaskOperator, dense: Tensor) -> None:
    """Sums and their gradients are the definition's in all executions, whatever the signs."""
    q, k, v = qkv(operator.num_nodes, max(operator.heads, 2))
    phi = [reference.relu_features(x, 1e-3) for x in (q, k)]
    expected = reference.attention_sums(*phi, v, dense.double())
    grad_output = torch.randn(expected.shape, generator=seeded(9)).double()
    expected_grads = torch.autograd.grad(expected, (q, k, v), grad_output, retain_graph=True)
    executions = [None, Dense(), *([Pairs()] if operator.entries() else [Lifted()])]
    for execution in executions:
        out = gm.attention(q, k, v, operator, ReLU(), execution, Unnormalized())
        tolerance = {"rtol": 1e-4, "atol": 1e-5}
        assert_close(out, expected.to(out.dtype), **tolerance)
        grads = torch.autograd.grad(out, (q, k, v), grad_output.to(out.dtype), retain_graph=True)
        assert_close(grads, expected_grads, **tolerance)


@pytest.mark.parametrize("case", cases.MASKS, ids=str)
def test_sums_without_a_denominator_are_the_definition(case: cases.Case) -> None:
    mask = case.make()
    for topology in list(case.topologies().values())[:2]:
        topology = mask.prepare(topology)
        with torch.no_grad():
            dense = cases.mask_reference(mask, topology)
            operator = mask(topology)
        check_sums(operator, dense)


@pytest.mark.parametrize("case", cases.OPERATORS, ids=str)
def test_operators_sum_without_a_denominator(case: cases.Case) -> None:
    topology = next(iter(case.topologies().values()))
    with torch.no_grad():
        operator = case.make(topology)
        dense = operator.to_dense()
    check_sums(operator, dense)


def test_wide_masks_of_any_sign_are_served_without_a_denominator() -> None:
    """Their absolute row sums are not known."""
    topology = edgeless(20_000)
    mask = gm.masks.GlobalMask()(topology) + -1.0 * gm.masks.CausalMask()(topology)
    x = torch.ones(20_000, 1, 1)
    with pytest.raises(ValueError, match="denominator"):
        gm.attention(x, x, x, mask, ReLU(0))
    out = gm.attention(x, x, x, mask, ReLU(0), normalizer=Unnormalized())
    assert_close(out.flatten(), 19_999.0 - torch.arange(20_000))


def test_row_sums_are_the_default() -> None:
    topology = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    mask, inputs = gm.masks.PowerSeriesMask(2)(topology), [x.float() for x in qkv(3)]
    expected = gm.attention(*inputs, mask)
    assert_close(gm.attention(*inputs, mask, normalizer=RowSums()), expected, rtol=0, atol=0)


def test_root_mean_squares_are_those_of_heads() -> None:
    x, norm = torch.randn(4, 2, 3, generator=seeded()), RMSNormalizer(2)
    norm.gain.data = torch.tensor([1.0, 3.0])
    square = norm(x, None).square().mean(-1)
    assert_close(square, torch.tensor([1.0, 9.0]).expand(4, 2), rtol=1e-4, atol=1e-4)
    assert_close(norm(1e-12 * x, None), 1e-6 * norm.gain[:, None] * x * 1e-3, rtol=1e-2, atol=1e-9)
    with pytest.raises(ValueError, match="of 2 heads, as q"):
        RMSNormalizer(3)(x, None)
    norm.reset_parameters()
    assert norm.gain.tolist() == [1.0, 1.0]


def test_rows_of_attention_are_those_of_its_normalizer() -> None:
    topology = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    mask, (q, k, v) = gm.masks.PowerSeriesMask(2)(topology), [x.float() for x in qkv(3)]
    for normalizer in (RowSums(), Unnormalized()):
        rows = attention_rows(q, k, mask, torch.arange(3), ReLU(), normalizer)
        out = gm.attention(q, k, v, mask, ReLU(), normalizer=normalizer)
        assert_close(torch.einsum("ihj,jhd->ihd", rows, v), out)
    with pytest.raises(ValueError, match="linear in the values"):
        attention_rows(q, k, mask, torch.arange(3), ReLU(), RMSNormalizer(2))


def test_scores_start_at_one_and_stay_between_zero_and_two() -> None:
    phi, x = UnitPlusCosine(2), torch.randn(5, 2, 3, generator=seeded())
    scores = torch.einsum("ihm,jhm->hij", phi.queries(x), phi.keys(x))
    assert_close(scores, torch.ones(2, 5, 5), rtol=0, atol=0)
    for scale in (1e30, 1e-30, 1.0):
        phi.gain.data = torch.tensor([50.0, -50.0])
        scores = torch.einsum("ihm,jhm->hij", phi.queries(scale * x), phi.keys(scale * x))
        assert scores.min() > -1e-6
        assert scores.max() < 2 + 1e-6
    with pytest.raises(ValueError, match="of 3 heads, as q and k"):
        phi.queries(torch.zeros(5, 3, 3))
    zero = torch.zeros(1, 2, 3, requires_grad=True)
    phi.queries(zero).sum().backward()
    assert zero.grad.isfinite().all()


EXECUTIONS = pytest.mark.parametrize("execution", [Pairs(), Dense()], ids=repr)


@EXECUTIONS
@pytest.mark.parametrize("name", ["signed", "ragged", "empty", "single"])
@pytest.mark.parametrize("feature_map", [ReLU(), SoftmaxScores(scale=1.0)], ids=repr)
def test_sinks_are_null_values(
    feature_map: gm.features.FeatureMap, name: str, execution: gm.operators.Execution
) -> None:
    topology = example_topologies()[name]
    mask = cases.series.walk_mask()
    topology = mask.prepare(topology)
    sink, (q, k, v) = cases.scrambled(Sink(2)), qkv(topology.num_nodes)
    with torch.no_grad():
        operator, dense = mask(topology), cases.mask_reference(mask, topology)
    scores = (
        torch.einsum("ihm,jhm->hij", q.relu() + 1e-3, k.relu() + 1e-3)
        if isinstance(feature_map, ReLU)
        else reference.softmax_scores(q, k, 1.0)
    )
    leaves = q, k, v, sink.null
    expected = reference.sink_attention(scores, v, dense, sink.null)
    out = gm.attention(q, k, v, operator, feature_map, execution, sink)
    assert_close(out, expected)
    grad_output = torch.randn(out.shape, generator=seeded(9)).double()
    grads = (
        torch.autograd.grad(x, leaves, grad_output, retain_graph=True) for x in (out, expected)
    )
    assert_close(*grads)
    rows = attention_rows(q, k, operator, torch.arange(len(q)), feature_map, sink)
    assert_close(torch.einsum("ihj,jhd->ihd", rows, v), expected)


@EXECUTIONS
def test_sinks_of_scores_of_any_size(execution: gm.operators.Execution) -> None:
    """Beside scores that are too small a sink takes all, beside large ones nothing."""
    mask, sink = gm.masks.GlobalMask()(edgeless(2)), Sink(1)
    if isinstance(execution, Pairs):
        mask = gm.operators.SparseOperator(
            mask.topology, pattern_of(torch.ones(2, 2)), torch.ones(1, 4)
        )
    v = torch.ones(2, 1, 1)
    for size, expected in ((1e4, 1.0), (-1e4, 0.0)):
        q = torch.full((2, 1, 1), size).requires_grad_()
        out = gm.attention(q, v, v, mask, SoftmaxScores(1.0), execution, sink)
        assert_close(out, torch.full_like(out, expected))
        grads = torch.autograd.grad(out.sum(), (q, sink.null))
        assert all(grad.isfinite().all() for grad in grads)


def test_sinks_and_degrees_have_derivatives_of_both_orders() -> None:
    topology = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    walks = cases.series.walk_mask()
    topology = walks.prepare(topology)
    normalizer = cases.scrambled(DegreeScaled(2, Sink(2)))

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return gm.attention(
            q, k, v, walks(topology), SoftmaxScores(), Pairs(), normalizer=normalizer
        )

    assert_gradients(run, *(x.detach() for x in qkv(3)), module=normalizer)


@pytest.mark.parametrize("name", ["directed", "ragged", "empty", "single", "multi"])
def test_degrees_scale_means(name: str) -> None:
    topology = example_topologies().get(name) or edgeless(4)
    normalizer, (q, k, v) = cases.scrambled(DegreeScaled(2)), qkv(topology.num_nodes)
    operator = gm.masks.GlobalMask()(topology)
    degree = (topology.edge_index[1] == torch.arange(topology.num_nodes)[:, None]).sum(1)
    plain = gm.attention(q, k, v, operator)
    expected = reference.degree_scaled(plain, degree, normalizer.weight)
    assert_close(gm.attention(q, k, v, operator, normalizer=normalizer), expected)
    normalizer.reset_parameters()
    assert_close(gm.attention(q, k, v, operator, normalizer=normalizer), plain)
    with pytest.raises(ValueError, match="`rows` must be the rows of a topology"):
        normalizer(plain, plain)


@pytest.mark.parametrize(
    "normalizer", [Unnormalized(), Sink(2), DegreeScaled(2, Sink(2))], ids=repr
)
@pytest.mark.parametrize(
    "feature_map",
    [PositiveRandomFeatures(3, 4), Normalized(PositiveRandomFeatures(3, 4))],
    ids=repr,
)
def test_scores_up_to_a_factor_need_a_division(
    normalizer: gm.normalizers.Normalizer, feature_map: gm.features.FeatureMap
) -> None:
    mask, x = gm.masks.GlobalMask()(edgeless(2)), torch.ones(2, 2, 3)
    for run in (
        lambda: gm.attention(x, x, x, mask, feature_map, normalizer=normalizer),
        lambda: attention_rows(x, x, mask, torch.arange(2), feature_map, normalizer),
    ):
        with pytest.raises(ValueError, match="known up to a factor"):
            run()


def test_unknown_normalizers_raise() -> None:
    x = torch.ones(2, 1, 1)
    mask = gm.masks.GlobalMask()(edgeless(2))
    with pytest.raises(TypeError, match=r"`normalizer` must be a Normalizer, such as RowSums\(\)"):
        gm.attention(x, x, x, mask, Identity(), normalizer="rms")
