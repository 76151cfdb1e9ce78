from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from graphmask import Topology, attention, masks, nn, operators, reference
from graphmask.features import Identity, SoftmaxScores, TrigonometricSoftmaxFeatures
from graphmask.operators import Dense, Lifted, Pairs, SparseOperator
from graphmask.testing import assert_gradients, example_topologies, global_rng_untouched
from graphmask.testing.graphs import replace

EXECUTIONS = pytest.mark.parametrize("execution", [Pairs(), Dense()], ids=repr)


def qkv(n: int, heads: int = 2, channels: int = 3, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(n, heads, channels, generator=generator) for _ in range(3)]


def path(num_nodes: int, weight: Tensor | None = None, **options: Any) -> Topology:
    step = torch.arange(num_nodes - 1)
    edges = torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])])
    return Topology(edges, num_nodes, weight, **options)


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
    found = attention(q, k, v, mask(topology), SoftmaxScores(), execution)
    assert_close(found, expected.transpose(0, 1))


@EXECUTIONS
def test_a_positive_mask_is_a_bias_of_its_logarithm(execution: operators.Execution) -> None:
    topology = path(6, torch.linspace(0.1, 2.0, 10))
    q, k, v = qkv(6)
    bias = sparse(topology).to_dense().log()
    expected = scaled_dot_product_attention(*(x.transpose(0, 1) for x in (q, k, v)), attn_mask=bias)
    assert_close(
        attention(q, k, v, sparse(topology), SoftmaxScores(), execution), expected.transpose(0, 1)
    )


def test_a_scale_is_kept() -> None:
    topology = path(4)
    q, k, v = qkv(4, channels=4)
    twice = attention(2 * q, k, v, sparse(topology), SoftmaxScores())
    assert_close(attention(q, k, v, sparse(topology), SoftmaxScores(scale=1.0)), twice)


def test_unmasked_attention_is_that_of_torch_in_each_graph() -> None:
    topology = example_topologies()["ragged"]
    q, k, v = qkv(topology.num_nodes)
    found = attention(q, k, v, masks.GlobalMask()(topology), SoftmaxScores())
    for graph in range(topology.num_graphs):
        place = topology.batch == graph
        alone = scaled_dot_product_attention(*(x[place].transpose(0, 1) for x in (q, k, v)))
        assert_close(found[place], alone.transpose(0, 1))


@EXECUTIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_large_scores_do_not_overflow(execution: operators.Execution, dtype: torch.dtype) -> None:
    topology = path(6)
    q, k, v = (x.to(dtype).requires_grad_() for x in qkv(6, scale=100.0))
    assert (q[:, 0] @ k[:, 0].T).abs().max() > 1e4
    found = attention(q, k, v, sparse(topology), SoftmaxScores(), execution)
    expected = attention(
        *(x.double() for x in (q, k, v)), sparse(topology), SoftmaxScores(), execution
    )
    assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)
    slopes = torch.autograd.grad(found.square().sum(), (q, k, v))
    assert all(slope.isfinite().all() for slope in slopes)


@EXECUTIONS
def test_entries_that_are_zero_do_not_drown_the_others(execution: operators.Execution) -> None:
    """The largest score of a row, which all are divided by, is one that the mask lets pass."""
    topology = path(3)
    q = torch.ones(3, 1, 1, dtype=torch.float32)
    k = torch.tensor([0.0, 0.0, 1e4], dtype=torch.float32).reshape(3, 1, 1)
    v = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float32).reshape(3, 1, 1)
    mask = sparse(topology, torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float32))
    assert_close(
        attention(q, k, v, mask, SoftmaxScores(), execution).flatten(),
        torch.tensor([2.0, 1.0, 0.0]).float(),
    )


@EXECUTIONS
def test_zeros_of_one_head_are_no_zeros_of_another(execution: operators.Execution) -> None:
    topology = path(3)
    q, k, v = (
        torch.zeros(3, 2, 1),
        torch.zeros(3, 2, 1),
        torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1).expand(3, 2, 1),
    )
    values = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    found = attention(q, k, v, sparse(topology, values), SoftmaxScores(), execution)
    assert_close(found[..., 0], torch.tensor([[2.0, 0.0], [3.0, 2.0], [0.0, 2.0]]))


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
def test_rows_of_the_map_are_those_that_attention_takes(
    feature_map: Any, make: Callable[[], Any]
) -> None:
    layer = cases.seeded(lambda: nn.TopologicalAttention(4, 2, make(), feature_map=feature_map))
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    rows = layer.attention_rows(torch.arange(topology.num_nodes), x, topology)
    v = layer.qkv(x).unflatten(1, (3, 2, -1))[:, 2]
    found = layer.out(torch.einsum("ihj,jhd->ihd", rows, v).flatten(1))
    assert_close(found, layer(x, topology))


def test_estimated_scores_are_summed_as_they_are_under_signed_masks() -> None:
    """By all executions, and in rows of the map: sizes are those of the mask alone."""
    topology = example_topologies()["signed"]
    phi, mask = TrigonometricSoftmaxFeatures(3, 4), sparse(topology)
    q, k, v = qkv(topology.num_nodes, scale=3.0)
    queries, keys = phi(q, k)
    scores = torch.einsum("ihm,jhm->hij", queries, keys)
    assert (scores < 0).any()
    expected = reference.attention(queries, keys, v, mask.to_dense(), mask.to_dense().abs())
    for execution in (Pairs(), Dense()):
        assert_close(attention(q, k, v, mask, phi, execution), expected)
    layer = cases.seeded(
        lambda: nn.TopologicalAttention(6, 2, cases.series.walk_mask(), feature_map=phi)
    )
    x = torch.randn(topology.num_nodes, 6, generator=torch.Generator().manual_seed(0))
    rows = layer.attention_rows(torch.arange(topology.num_nodes), x, topology)
    v = layer.qkv(x).unflatten(1, (3, 2, -1))[:, 2]
    assert_close(layer.out(torch.einsum("ihj,jhd->ihd", rows, v).flatten(1)), layer(x, topology))


def test_masks_without_support_are_refused_on_large_graphs() -> None:
    n = 20_000
    topology = Topology(torch.empty(2, 0, dtype=torch.long), n)
    x = torch.ones(n, 1, 1, dtype=torch.float32)
    with pytest.raises(
        ValueError, match=r"`mask` must be sparse, or of graphs small enough .* for Exponentials"
    ):
        attention(x, x, x, masks.GlobalMask()(topology), SoftmaxScores())
    with pytest.raises(
        ValueError, match=r"Lifted.* cannot run .*its products cannot sum Exponentials"
    ):
        attention(x, x, x, masks.GlobalMask()(topology), SoftmaxScores(), Lifted())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@EXECUTIONS
def test_half_precision_is_summed_in_single(
    half: torch.dtype, execution: operators.Execution
) -> None:
    topology = path(6)
    q, k, v = (x.to(half) for x in qkv(6))
    found = attention(q, k, v, sparse(topology), SoftmaxScores(), execution)
    assert found.dtype == half
    expected = attention(*(x.double() for x in (q, k, v)), sparse(topology), SoftmaxScores())
    assert_close(found.double(), expected, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("feature_map", [SoftmaxScores(), Identity()], ids=repr)
@pytest.mark.parametrize("make", [cases.series.walk_mask, masks.GlobalMask])
def test_compiles_as_one_graph(feature_map: Any, make: Callable[[], Any]) -> None:
    torch.compiler.reset()
    layer = cases.seeded(lambda: nn.TopologicalAttention(4, 2, make(), feature_map=feature_map))
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    expected = layer(x, topology)
    slopes = torch.autograd.grad(
        expected.square().sum(), list(layer.parameters()), retain_graph=True
    )
    with global_rng_untouched():
        found = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, expected)
    assert_close(torch.autograd.grad(found.square().sum(), list(layer.parameters())), slopes)
