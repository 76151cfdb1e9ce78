"""Checks of all laws of a mask, an operator, a sampler, a feature map or a layer, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from graphmask.attention import attention
from graphmask.features import FeatureMap
from graphmask.masks import GlobalMask, TopologicalMask
from graphmask.masks.base import draw_walks
from graphmask.operators import Execution, MaskOperator
from graphmask.topology import Topology
from graphmask.values import ValueMap
from graphmask.walks import WalkSampler

from ._numbers import assert_close, default_dtype, features_of, generator_of, require
from .graphs import astype, batch_topologies, example_topologies, replace
from .laws import (
    NodeFunction,
    assert_adjoint,
    assert_batch_independent,
    assert_edge_order_invariant,
    assert_entries,
    assert_executions_agree,
    assert_gradients,
    assert_matmul,
    assert_permutation_equivariant,
    assert_round_trip,
    assert_translation_invariant,
    assert_unbiased,
    global_rng_untouched,
)


def check_mask(
    mask: TopologicalMask, topology: Topology | Sequence[Topology] | None = None
) -> None:
    """Check all laws of masks: operators, equivariance, batching, derivatives, round trips.

    ``forward`` must not draw random numbers.

    Args:
        mask: the mask; copies are tested.
        topology: a graph or graphs. (default: :obj:`None`, all of :func:`example_topologies`)

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_mask, example_topologies
        >>> mask = 0.5 * gm.masks.GlobalMask() + gm.masks.WalkMask(hops=2)
        >>> check_mask(mask, example_topologies()["ring"])
    """
    with default_dtype(torch.float64):
        double = deepcopy(mask).double()
        graphs = _graphs(topology)
        for graph in graphs:
            prepared = double.prepare(graph)
            with global_rng_untouched():
                operator, again = double(prepared), double(prepared)
            message = f"{mask!r} has {mask.heads} heads, its operator {operator.heads}"
            require(operator.heads == double.heads, message)
            assert_close(again.to_dense(), operator.to_dense(), "a mask on one topology twice", 0.0)
            check_operator(operator)
    _check_function(_multiply_by, double, graphs, double.prepare, 3, ordered=double.ordered)


def check_operator(operator: MaskOperator, executions: Sequence[Execution] | None = None) -> None:
    """Check all laws of operators and their transposes: products, adjoint, entries, executions.

    Args:
        operator: the operator, on a graph small enough for its dense matrix.
        executions: see :func:`assert_executions_agree`.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import check_operator
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> check_operator(gm.operators.GlobalOperator(edge))
    """
    for matrix in (operator, operator.mT):
        assert_matmul(matrix)
        assert_adjoint(matrix)
        assert_entries(matrix)
        assert_executions_agree(matrix, executions)


def check_sampler(sampler: WalkSampler, topology: Topology | None = None, draws: int = 400) -> None:
    """Check all laws of samplers.

    Draws depend on the generator alone, are the same alone and in a batch, and unbiased unless the
    sampler says otherwise. Where a sampler is differentiable, its gradient is that of finite
    differences and unbiased for that of the powers. Where it has ``num_walks``, its error falls at
    least as fast as their inverse square root.

    Args:
        sampler: the sampler.
        topology: a graph. (default: :obj:`None`, a batch of weighted, directed and signed graphs
            and multigraphs)
        draws: R, see :func:`assert_unbiased`.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_sampler, example_topologies
        >>> sampler = gm.walks.IIDWalks(num_walks=8, hops=2)
        >>> check_sampler(sampler, example_topologies()["ring"], draws=200)
    """
    examples = example_topologies()
    parts = [examples[name] for name in ("weighted", "directed", "signed", "multigraph")]
    with default_dtype(torch.float64):
        graph = batch_topologies(parts, interleaved=True)[0] if topology is None else topology
        generator = generator_of()
        with global_rng_untouched():
            walks = sampler(graph, generator)
        actual, expected = (walks.num_nodes, walks.num_hops), (graph.num_nodes, sampler.hops)
        message = f"{sampler!r} drew walks of (N, K) = {actual} and not {expected}"
        require(actual == expected, message)
        again = sampler(graph, generator_of()).to_dense()
        assert_close(again, walks.to_dense(), f"draws of {sampler!r} from equal generators", 0.0)
        _assert_walks_batch(sampler, [graph, *parts])
        if not sampler.unbiased:
            return
        powers = _expected(graph, sampler)
        drawn = torch.stack([sampler(graph, generator).to_dense() for _ in range(draws)])
        assert_unbiased(drawn, powers, repr(sampler))
        if sampler.differentiable:
            _assert_differentiable(sampler, graph, draws)
        if hasattr(sampler, "num_walks"):
            _assert_error_falls(sampler, graph, (drawn - powers).square().mean(), powers)


def check_feature_map(feature_map: FeatureMap, channels: int) -> None:
    """Check all laws of feature maps.

    Features are non-negative where the map says so, deterministic, independent between nodes, and
    as many for queries as for keys. Scores from ``forward`` are, within each graph and up to a
    positive factor per query and head, those from ``queries`` and ``keys``.

    Args:
        feature_map: phi; copies are tested.
        channels: d, of its input.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_feature_map
        >>> check_feature_map(gm.features.EluPlusOne(), channels=5)
    """
    phi = deepcopy(feature_map).double()
    x = torch.randn(2, 3, channels, generator=generator_of(), dtype=torch.float64)
    for name in ("queries", "keys"):
        function = getattr(phi, name)
        with global_rng_untouched():
            features = function(x)
        shapes = f"{list(x.shape)} into {list(features.shape)}"
        require(features.shape[:-1] == x.shape[:-1], f"`{name}` turned {shapes}")
        valid = not features.isnan().any() and (not phi.nonnegative or features.min() >= 0)
        require(bool(valid), f"`{name}` gave features below 0, or NaN")
        law = f"`{name}` of a node alone and among others"
        assert_close(function(x[1, 2:]), features[1, 2:], law)
        assert_gradients(function, x, module=phi)
        assert_round_trip(phi, partial(_call_on, name, x))
    equal = phi.queries(x).shape == phi.keys(x).shape
    require(equal, "queries and keys differ in their numbers of features")
    _assert_scores_agree(phi, channels)


def _assert_scores_agree(phi: FeatureMap, channels: int) -> None:
    """Scores by ``forward`` are those by ``queries`` and ``keys``, up to a positive row factor."""
    q, k = torch.randn(2, 6, 2, channels, generator=generator_of(), dtype=torch.float64)
    graph = torch.tensor([1, 0, 1, 0, 0, 1])
    with global_rng_untouched():
        pairs = [phi(q, k, graph), (phi.queries(q), phi.keys(k))]
    scores = [torch.einsum("ihm,jhm->hij", *pair) * (graph[:, None] == graph) for pair in pairs]
    together, alone = (score / score.abs().sum(-1, keepdim=True) for score in scores)
    law = "rows of scores from `forward`, and from `queries` and `keys`"
    assert_close(together, alone, law)


def check_value_map(
    values: ValueMap,
    channels: int,
    heads: int = 1,
    topology: Topology | Sequence[Topology] | None = None,
) -> None:
    """Check all laws of value maps, of attention under :class:`~graphmask.masks.GlobalMask`.

    Outputs have as many channels as the map says, and depend on differences of positions alone;
    permutations of nodes, batching, derivatives, round trips; ``forward`` must not draw random
    numbers. Whether they turn with positions is another law: :func:`assert_rotation_equivariant`.

    Args:
        values: the map; copies are tested.
        channels: d, of the values of one head.
        heads: H. (default: :obj:`1`)
        topology: a graph or graphs with positions. (default: :obj:`None`, all of
            :func:`example_topologies`, placed in space at random)

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_value_map
        >>> check_value_map(gm.values.RelativeValues(), channels=2)
    """
    width, C = values.out_channels(channels), heads * channels
    with default_dtype(torch.float64):
        double = deepcopy(values).double()
        graphs = _placed() if topology is None else _graphs(topology)
        attend = _attend_to(double, heads)
        for graph in graphs:
            x = features_of(graph, C)
            with global_rng_untouched():
                out = attend(x, graph)
            message = f"{values!r} gave {list(out.shape)}, and says it has {width} channels"
            require(out.shape == (graph.num_nodes, heads * width), message)
            assert_close(attend(x, graph), out, "a value map on one topology twice", 0.0)
            assert_translation_invariant(attend, graph, C)
    _check_function(lambda m: _attend_to(m, heads), double, graphs, lambda graph: graph, C)


def _placed() -> list[Topology]:
    """The example graphs in space."""
    graphs = example_topologies().values()
    return [replace(graph, pos=features_of(graph, 3, seed=1)) for graph in graphs]


def _attend_to(values: Any, heads: int) -> NodeFunction:
    def attend(x: Tensor, topology: Topology) -> Tensor:
        v = x.unflatten(1, (heads, -1))
        return attention(v, v, v, GlobalMask()(topology), values=values).flatten(1)

    return attend


def check_layer(
    layer: nn.Module,
    channels: int,
    topology: Topology | Sequence[Topology] | None = None,
    per_graph: bool = False,
) -> None:
    """Check all laws of layers ``layer(x, topology)``.

    Equivariance, batching, derivatives, round trips; ``forward`` must not draw random numbers.

    Args:
        layer: the layer; copies in evaluation mode are tested.
        channels: C, of its input.
        topology: a graph or graphs. (default: :obj:`None`, all of :func:`example_topologies`)
        per_graph: whether the output is ``[B, ...]`` and not ``[N, ...]``.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_layer, example_topologies
        >>> layer = gm.nn.TopologicalAttention(4, heads=2, mask=gm.masks.GlobalMask())
        >>> check_layer(layer, channels=4, topology=example_topologies()["ring"])
    """
    with default_dtype(torch.float64):
        double = deepcopy(layer).double().eval()
        masks = [module for module in double.modules() if isinstance(module, TopologicalMask)]
        ordered = any(getattr(module, "ordered", False) for module in double.modules())
        graphs = _graphs(topology)
        for graph in graphs:
            x = features_of(graph, channels)
            with global_rng_untouched():
                law = "a layer on one graph twice"
                assert_close(double(x, graph), double(x, graph), law, 0.0)

    def prepare(graph: Topology) -> Topology:
        # Walks are drawn for all masks, then each finds what it reads.
        prepared = draw_walks(masks, graph)
        for mask in masks:
            prepared = mask.prepare(prepared)
        return prepared

    _check_function(lambda m: m, double, graphs, prepare, channels, per_graph, ordered)


def _check_function(
    function_of: Callable[[Any], NodeFunction],
    module: nn.Module,
    graphs: Sequence[Topology],
    prepare: Callable[[Topology], Topology],
    channels: int,
    per_graph: bool = False,
    ordered: bool = False,
) -> None:
    """Laws of the function of nodes that a float64 module is."""
    function = function_of(module)
    with default_dtype(torch.float64):
        for graph in graphs:
            x, prepared = features_of(graph, channels), prepare(graph)
            assert_permutation_equivariant(function, prepared, channels, per_graph, ordered)
            assert_edge_order_invariant(function, prepared, channels)
            assert_gradients(lambda x, graph=prepared: function(x, graph), x, module=module)
        last, x = graphs[-1], features_of(graphs[-1], channels)
        assert_round_trip(module, lambda m, dtype: function_of(m)(x.to(dtype), astype(last, dtype)))
    single = function_of(deepcopy(module).float())
    assert_batch_independent(function, graphs, channels, torch.float64, per_graph)
    assert_batch_independent(single, graphs, channels, torch.float32, per_graph)


def _assert_walks_batch(sampler: WalkSampler, graphs: Sequence[Topology]) -> None:
    for interleaved in (False, True):
        union, ids = batch_topologies(graphs, interleaved)
        drawn = sampler(union, generator_of()).to_dense()
        for graph, nodes in zip(graphs, ids, strict=True):
            alone = sampler(graph, generator_of()).to_dense()
            law = f"draws of {sampler!r} in a batch and alone"
            assert_close(drawn[:, nodes][:, :, nodes], alone, law, 0.0)


def _assert_differentiable(sampler: WalkSampler, graph: Topology, draws: int) -> None:
    """Derivatives with respect to the edge weights, of one draw and on average."""
    weight = torch.ones(graph.num_edges) if graph.edge_weight is None else graph.edge_weight
    leaf = weight.double().clone().requires_grad_()
    live, generator = replace(graph, edge_weight=leaf), generator_of()
    powers = _expected(live, sampler)
    grad_output = torch.rand(powers.shape, generator=generator)
    differentiable = sampler(live, generator_of()).weight.requires_grad
    require(differentiable, f"{sampler!r} says it is differentiable, and is not")

    def weighted_sum(weight: Tensor) -> Tensor:
        walks = sampler(replace(graph, edge_weight=weight), generator_of())
        return (walks.to_dense() * grad_output).sum()

    # A sum, since fast finite differences of many outputs miss errors.
    assert_gradients(weighted_sum, weight.double())

    def gradient(value: Tensor) -> Tensor:
        return torch.autograd.grad((value * grad_output).sum(), leaf)[0].unsqueeze(0)

    target = gradient(powers)
    drawn = torch.stack([gradient(sampler(live, generator).to_dense()) for _ in range(draws)])
    assert_unbiased(drawn, target, f"gradient of {sampler!r}")


def _assert_error_falls(
    sampler: WalkSampler, graph: Topology, error: Tensor, powers: Tensor
) -> None:
    """The mean square error of 16 times the walks is at most 16^-0.8 of that of the walks."""
    larger, generator = copy(sampler), generator_of()
    larger.num_walks = 16 * sampler.num_walks  # type: ignore[attr-defined]
    drawn = torch.stack([larger(graph, generator).to_dense() for _ in range(100)])
    ratio = float((drawn - powers).square().mean() / error) if error > 0 else 0.0
    message = f"leave {ratio:.2f} of its mean square error, allowed 16^-0.8"
    require(ratio <= 16**-0.8, f"16 times the walks of {sampler!r} {message}")


def _graphs(topology: Topology | Sequence[Topology] | None) -> list[Topology]:
    if topology is None:
        topology = list(example_topologies().values())
    graphs = [topology] if isinstance(topology, Topology) else topology
    return [astype(graph, torch.float64) for graph in graphs]


def _multiply_by(mask: Any) -> NodeFunction:
    """``M @ x`` with nodes first."""
    return lambda x, topology: (mask(mask.prepare(topology)) @ x).transpose(0, 1)


def _call_on(name: str, x: Tensor, module: nn.Module, dtype: torch.dtype) -> Tensor:
    return getattr(module, name)(x.to(dtype))


def _expected(topology: Topology, sampler: WalkSampler) -> Tensor:
    """The matrices that the walks of a sampler estimate."""
    if sampler.normalization == "shells":
        reach = topology.pattern.to_dense(torch.ones(topology.pattern.nnz))
        reach = (reach + torch.eye(topology.num_nodes) > 0).double()
        balls = [torch.linalg.matrix_power(reach, hop) > 0 for hop in range(sampler.hops + 1)]
        return torch.stack([balls[0], *(b & ~a for a, b in pairwise(balls))]).double()
    pattern, weight = topology.adjacency(sampler.normalization)
    W = pattern.to_dense(weight.double())
    return torch.stack([torch.linalg.matrix_power(W, hop) for hop in range(sampler.hops + 1)])
