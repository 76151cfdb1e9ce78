from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from cases import graphs
from cases.graphs import normal
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from graphmask import Topology, attention, masks, nn, operators, reference
from graphmask.attention import attention_rows
from graphmask.features import (
    HybridRandomFeatures,
    Identity,
    PositiveRandomFeatures,
    SoftmaxScores,
    TrigonometricSoftmaxFeatures,
)
from graphmask.operators import Dense, Lifted, Pairs, SparseOperator
from graphmask.testing import assert_gradients, example_topologies, global_rng_untouched
from graphmask.testing.graphs import replace

EXECUTIONS = pytest.mark.parametrize("execution", [Pairs(), Dense()], ids=repr)


def qkv(n: int, heads: int = 2, channels: int = 3, scale: float = 1.0) -> list[Tensor]:
    return list(scale * normal(3, n, heads, channels))


def path(num_nodes: int, weight: Tensor | None = None, **options: Any) -> Topology:
    return Topology(graphs.path(num_nodes).edge_index, num_nodes, weight, **options)


def sparse(topology: Topology, values: Tensor | None = None) -> SparseOperator:
    pattern, weight = topology.adjacency(None)
    return SparseOperator(topology, pattern, weight.unsqueeze(0) if values is None else values)


@EXECUTIONS
@pytest.mark.parametrize("name", ["weighted", "signed", "ragged", "empty", "single"])
def test_attention_is_its_definition(execution: operators.Execution, name: str) -> None:
    mask = cases.series.walk_mask()
    topology = mask.prepare(example_topologies()[name])
    q, k, v = qkv(topology.num_nodes)
    weighted = cases.mask_reference(mask, topology) * reference.softmax_scores(q, k, 3**-0.5)
    total = weighted.abs().sum(-1, keepdim=True)
    expected = (weighted / torch.where(total == 0, 1.0, total)) @ v.transpose(0, 1)
    out = attention(q, k, v, mask(topology), SoftmaxScores(), execution)
    assert_close(out, expected.transpose(0, 1))


@EXECUTIONS
def test_a_positive_mask_is_a_bias_of_its_logarithm(execution: operators.Execution) -> None:
    mask = sparse(path(6, torch.linspace(0.1, 2.0, 10)))
    q, k, v = qkv(6)
    heads_first = [x.transpose(0, 1) for x in (q, k, v)]
    expected = scaled_dot_product_attention(*heads_first, attn_mask=mask.to_dense().log())
    for out in (
        attention(q, k, v, mask, SoftmaxScores(), execution),
        attention(3**-0.5 * q, k, v, mask, SoftmaxScores(scale=1.0), execution),
    ):
        assert_close(out, expected.transpose(0, 1))


def test_unmasked_attention_is_that_of_torch_in_each_graph() -> None:
    topology = example_topologies()["ragged"]
    q, k, v = qkv(topology.num_nodes)
    out = attention(q, k, v, masks.GlobalMask()(topology), SoftmaxScores())
    for graph in range(topology.num_graphs):
        nodes = topology.batch == graph
        alone = scaled_dot_product_attention(*(x[nodes].transpose(0, 1) for x in (q, k, v)))
        assert_close(out[nodes], alone.transpose(0, 1))


@EXECUTIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_large_scores_do_not_overflow(execution: operators.Execution, dtype: torch.dtype) -> None:
    leaves = [x.to(dtype).requires_grad_() for x in qkv(6, scale=100.0)]
    assert (leaves[0][:, 0] @ leaves[1][:, 0].T).abs().max() > 1e4
    out, expected = (
        attention(*inputs, sparse(path(6)), SoftmaxScores(), execution)
        for inputs in (leaves, [x.double() for x in leaves])
    )
    assert_close(out.double(), expected, rtol=1e-3, atol=1e-3)
    grads = torch.autograd.grad(out.square().sum(), leaves)
    assert all(grad.isfinite().all() for grad in grads)


@EXECUTIONS
def test_zeros_of_the_mask_do_not_count_for_the_largest_score(
    execution: operators.Execution,
) -> None:
    """All scores of a row are divided by the largest; heads have zeros of their own."""
    k = torch.tensor([0.0, 0.0, 1e4], dtype=torch.float32).reshape(3, 1, 1)
    v = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    mask = sparse(path(3), torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float32))
    out = attention(torch.ones_like(k), k, v.float(), mask, SoftmaxScores(), execution)
    assert_close(out.flatten(), torch.tensor([2.0, 1.0, 0.0]).float())
    values = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    q, v = torch.zeros(3, 2, 1), v.expand(3, 2, 1)
    out = attention(q, q, v, sparse(path(3), values), SoftmaxScores(), execution)
    assert_close(out[..., 0], torch.tensor([[2.0, 0.0], [3.0, 2.0], [0.0, 2.0]]))


@EXECUTIONS
def test_estimates_are_normalised_by_themselves(execution: operators.Execution) -> None:
    topology = path(3, torch.tensor([1.0, -0.5, 3.0, 1.0]))
    mask = SparseOperator(topology, *sparse(topology).entries(), estimate=True)
    v = torch.ones(3, 1, 1)
    assert_close(attention(*torch.zeros(2, 3, 1, 1), v, mask, SoftmaxScores(), execution), v)
    signed = attention(v, v, v, mask, Identity(), execution)
    assert_close(signed, attention(v, v, v, sparse(topology), Identity(), execution))


@EXECUTIONS
@pytest.mark.parametrize("feature_map", [SoftmaxScores(), Identity()], ids=repr)
def test_gradients_of_both_orders(execution: operators.Execution, feature_map: Any) -> None:
    topology = path(5, batch=torch.zeros(5, dtype=torch.long))
    weight = torch.linspace(-1, 2, 8)

    def run(q: Tensor, k: Tensor, v: Tensor, weight: Tensor) -> Tensor:
        return attention(
            q, k, v, sparse(replace(topology, edge_weight=weight)), feature_map, execution
        )

    assert_gradients(run, *qkv(5), weight)


@pytest.mark.parametrize("feature_map", [SoftmaxScores(), Identity()], ids=repr)
@pytest.mark.parametrize(
    "make",
    [cases.series.walk_mask, masks.GlobalMask, lambda: cases.series.walk_mask(masks.PageRank)],
)
def test_layers_apply_the_rows_of_their_attention_map(
    feature_map: Any, make: Callable[[], Any]
) -> None:
    layer = cases.seeded(lambda: nn.TopologicalAttention(4, 2, make(), feature_map=feature_map))
    assert_rows_are_attention(layer, layer.mask.prepare(example_topologies()["ragged"]))


def assert_rows_are_attention(layer: nn.TopologicalAttention, topology: Topology) -> None:
    x = normal(topology.num_nodes, layer.qkv.in_features)
    rows = layer.attention_rows(torch.arange(topology.num_nodes), x, topology)
    v = layer.qkv(x).unflatten(1, (3, 2, -1))[:, 2]
    out = layer.out(torch.einsum("ihj,jhd->ihd", rows, v).flatten(1))
    assert_close(out, layer(x, topology))


def test_estimated_scores_are_summed_with_their_signs_under_signed_masks() -> None:
    """The normaliser takes absolute values of the mask alone."""
    topology = example_topologies()["signed"]
    phi, mask = TrigonometricSoftmaxFeatures(3, 4), sparse(topology)
    q, k, v = qkv(topology.num_nodes, scale=3.0)
    queries, keys = phi(q, k)
    assert (torch.einsum("ihm,jhm->hij", queries, keys) < 0).any()
    expected = reference.attention(queries, keys, v, mask.to_dense(), mask.to_dense().abs())
    for execution in (Pairs(), Dense()):
        assert_close(attention(q, k, v, mask, phi, execution), expected)
    walks = cases.series.walk_mask()
    layer = cases.seeded(lambda: nn.TopologicalAttention(6, 2, walks, feature_map=phi))
    assert_rows_are_attention(layer, topology)


def test_masks_without_support_raise_on_large_graphs() -> None:
    topology = graphs.edgeless(20_000)
    x, mask = torch.ones(20_000, 1, 1, dtype=torch.float32), masks.GlobalMask()(topology)
    for execution, message in (
        (None, r"`mask` must be sparse, or of graphs small enough .* for Exponentials"),
        (Lifted(), r"Lifted.* cannot run .*its products cannot sum Exponentials"),
    ):
        with pytest.raises(ValueError, match=message):
            attention(x, x, x, mask, SoftmaxScores(), execution)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@EXECUTIONS
def test_half_precision_is_summed_in_single(
    dtype: torch.dtype, execution: operators.Execution
) -> None:
    q, k, v = (x.to(dtype) for x in qkv(6))
    out = attention(q, k, v, sparse(path(6)), SoftmaxScores(), execution)
    assert out.dtype == dtype
    expected = attention(q.double(), k.double(), v.double(), sparse(path(6)), SoftmaxScores())
    assert_close(out.double(), expected, rtol=3e-2, atol=3e-2)


COMPILED = [
    (mask, phi)
    for mask in (cases.series.walk_mask, masks.GlobalMask)
    for phi in (SoftmaxScores(), Identity())
] + [
    (masks.GlobalMask, PositiveRandomFeatures(2, 6)),
    (masks.GlobalMask, HybridRandomFeatures(2, 8)),
]
COMPILED[1:-1] = [pytest.param(*row, marks=pytest.mark.slow) for row in COMPILED[1:-1]]


@pytest.mark.parametrize(("make", "feature_map"), COMPILED)
def test_feature_maps_compile_to_one_graph(feature_map: Any, make: Callable[[], Any]) -> None:
    torch.compiler.reset()
    layer = cases.seeded(lambda: nn.TopologicalAttention(4, 2, make(), feature_map=feature_map))
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x, parameters = normal(topology.num_nodes, 4), list(layer.parameters())
    with global_rng_untouched():
        out = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology)
    expected = layer(x, topology)
    assert_close(out, expected)
    assert_close(*(torch.autograd.grad(y.square().sum(), parameters) for y in (out, expected)))


def window(size: int) -> masks.ToeplitzMask:
    """A line on which a node sees the nodes up to one place away."""
    mask = masks.ToeplitzMask(size, signed=True)
    mask.raw.data = (torch.arange(1 - size, size).abs() < 2).to(mask.raw.dtype).unsqueeze(0)
    return mask


WINDOWS: dict[str, Callable[[], masks.TopologicalMask]] = {
    "alone": lambda: window(16),
    "scaled": lambda: 0.5 * window(16),
    "sum": lambda: window(16) + window(16).mT,
    "kronecker": lambda: masks.KroneckerMask(window(4), window(4)),
}


@pytest.mark.parametrize("make", WINDOWS.values(), ids=WINDOWS)
def test_zeros_of_a_mask_are_not_rounded_beside_large_scores(
    make: Callable[[], masks.TopologicalMask],
) -> None:
    mask = make()(graphs.edgeless(16, 16))
    q, k, v = qkv(32, scale=8.0)
    dense, score = mask.to_dense(), torch.einsum("ihd,jhd->hij", q, k) * 3**-0.5
    rows = torch.softmax(score.masked_fill(dense == 0, -torch.inf), -1)
    out = attention(q, k, v, mask, SoftmaxScores(), Dense())
    assert_close(out.transpose(0, 1), rows @ v.transpose(0, 1))
    nodes = torch.tensor([20, 3, 20])
    assert_close(attention_rows(q, k, mask, nodes, SoftmaxScores()), rows.transpose(0, 1)[nodes])
