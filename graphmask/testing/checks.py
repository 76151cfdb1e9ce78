"""All laws of a mask, an operator, a sampler, a feature map or a layer, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy

import torch
from torch import Tensor, nn

from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask
from graphmask.operators import Execution, MaskOperator
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

from .graphs import cast, example_topologies, join, remade
from .laws import (
    NodeFunction,
    assert_adjoint,
    assert_batch_independent,
    assert_close,
    assert_edge_order_invariant,
    assert_entries,
    assert_executions_agree,
    assert_gradients,
    assert_matmul,
    assert_permutation_equivariant,
    assert_round_trip,
    assert_unbiased,
    default_dtype,
    features_of,
    generator_of,
    global_rng_untouched,
    require,
)


def check_mask(
    mask: TopologicalMask, topology: Topology | Sequence[Topology] | None = None
) -> None:
    """All laws of masks: operators, equivariance, batching, derivatives, round trips.

    No chance in ``forward``.

    Args:
        mask: the mask; copies are examined.
        topology: where, or a list of where. (default: :obj:`None`, all of
            :func:`example_topologies`)

    Raises:
        AssertionError: for the first law that breaks.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_mask, example_topologies
        >>> check_mask(0.5 * gm.masks.GlobalMask() + gm.masks.WalkMask(hops=2), example_topologies()["ring"])
    """
    with default_dtype(torch.float64):
        examined = deepcopy(mask).double()
        graphs, apply = _choose(topology), _applied(examined)
        for graph in graphs:
            prepared = examined.prepare(graph)
            with global_rng_untouched():
                operator, again = examined(prepared), examined(prepared)
            require(
                operator.heads == examined.heads,
                f"{mask!r} has {mask.heads} heads, its operator {operator.heads}",
            )
            assert_close(again.to_dense(), operator.to_dense(), "a mask on one topology twice", 0.0)
            check_operator(operator)
            assert_permutation_equivariant(apply, prepared, ordered=examined.ordered)
            assert_edge_order_invariant(apply, prepared)
            assert_gradients(_on(apply, prepared), features_of(graph, 2), module=examined)
        last = graphs[-1]
        assert_round_trip(
            examined, lambda m, dtype: _applied(m)(features_of(last, 3), cast(last, dtype))
        )
    assert_batch_independent(apply, graphs, dtype=torch.float64)
    assert_batch_independent(_applied(deepcopy(mask).float()), graphs, dtype=torch.float32)


def check_operator(operator: MaskOperator, executions: Sequence[Execution] | None = None) -> None:
    """All laws of operators and of their transposes.

    Products, adjoint, entries, and agreement of the executions.

    Args:
        operator: the operator, on a graph small enough for its dense matrix.
        executions: see :func:`assert_executions_agree`.

    Raises:
        AssertionError: for the first law that breaks.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import check_operator
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> check_operator(gm.operators.GlobalOperator(edge))
    """
    for each in (operator, operator.mT):
        assert_matmul(each)
        assert_adjoint(each)
        assert_entries(each)
        assert_executions_agree(each, executions)


def check_sampler(sampler: WalkSampler, topology: Topology | None = None, draws: int = 400) -> None:
    """All laws of samplers: unbiased unless they say otherwise, a function of the generator, the same alone and in a batch.

    Where a sampler is differentiable, its gradient is that of finite differences and unbiased for
    that of the powers. Where it has ``num_walks``, its error falls at least as fast as their inverse
    square root.

    Args:
        sampler: the sampler.
        topology: where. (default: :obj:`None`, a batch of weighted, directed and signed graphs and
            multigraphs)
        draws: R, see :func:`assert_unbiased`.

    Raises:
        AssertionError: for the first law that breaks.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_sampler, example_topologies
        >>> check_sampler(gm.walks.IIDWalks(num_walks=8, hops=2), example_topologies()["ring"], draws=200)
    """
    examples = example_topologies()
    parts = [examples[name] for name in ("weighted", "directed", "signed", "multigraph")]
    with default_dtype(torch.float64):
        graph = join(parts, interleaved=True)[0] if topology is None else topology
        generator = generator_of()
        with global_rng_untouched():
            walks = sampler(graph, generator)
        found, wanted = (walks.num_nodes, walks.num_hops), (graph.num_nodes, sampler.hops)
        require(found == wanted, f"{sampler!r} drew walks of (N, K) = {found} and not {wanted}")
        again = sampler(graph, generator_of()).to_dense()
        assert_close(again, walks.to_dense(), f"draws of {sampler!r} from equal generators", 0.0)
        _assert_walks_batch(sampler, [graph, *parts])
        if not sampler.unbiased:
            return
        powers = _powers(graph, sampler)
        drawn = torch.stack([sampler(graph, generator).to_dense() for _ in range(draws)])
        assert_unbiased(drawn, powers, repr(sampler))
        if sampler.differentiable:
            _assert_differentiable(sampler, graph, draws)
        if hasattr(sampler, "num_walks"):
            _assert_error_falls(sampler, graph, (drawn - powers).square().mean(), powers)


def check_feature_map(feature_map: FeatureMap, channels: int) -> None:
    """All laws of feature maps.

    Non-negative where they say so, node by node, as many for queries as for keys, deterministic.

    Scores from ``forward`` are, within each graph and up to a positive factor per query and head,
    those from ``queries`` and ``keys``.

    Args:
        feature_map: phi; copies are examined.
        channels: d, of its input.

    Raises:
        AssertionError: for the first law that breaks.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_feature_map
        >>> check_feature_map(gm.features.EluPlusOne(), channels=5)
    """
    phi = deepcopy(feature_map).double()
    x = torch.randn(2, 3, channels, generator=generator_of(), dtype=torch.float64)
    for name in ("queries", "keys"):
        of = getattr(phi, name)
        with global_rng_untouched():
            features = of(x)
        require(
            features.shape[:-1] == x.shape[:-1],
            f"`{name}` turned {list(x.shape)} into {list(features.shape)}",
        )
        below = not phi.nonnegative or bool((features >= 0).all())
        require(
            below and not bool(features.isnan().any()), f"`{name}` gave features below 0, or NaN"
        )
        assert_close(of(x[1, 2:]), features[1, 2:], f"`{name}` of a node alone and among others")
        assert_gradients(of, x, module=phi)
        assert_round_trip(phi, _call(name, x))
    require(
        phi.queries(x).shape == phi.keys(x).shape,
        "queries and keys differ in their numbers of features",
    )
    _assert_scaled(phi, channels)


def _assert_scaled(phi: FeatureMap, channels: int) -> None:
    """Scores from ``forward`` are those from ``queries`` and ``keys``, up to a positive factor per row."""
    q, k = torch.randn(2, 6, 2, channels, generator=generator_of(), dtype=torch.float64)
    batch = torch.tensor([1, 0, 1, 0, 0, 1])
    with global_rng_untouched():
        found = phi(q, k, batch)
    parts = (*found,), (phi.queries(q), phi.keys(k))
    there, plain = (
        torch.einsum("ihm,jhm->hij", *part) * (batch[:, None] == batch) for part in parts
    )
    whole = there.abs().sum(-1, keepdim=True), plain.abs().sum(-1, keepdim=True)
    assert_close(
        there / whole[0],
        plain / whole[1],
        "rows of scores from `forward`, and from `queries` and `keys`",
    )


def check_layer(
    layer: nn.Module,
    channels: int,
    topology: Topology | Sequence[Topology] | None = None,
    per_graph: bool = False,
) -> None:
    """All laws of layers ``layer(x, topology)``.

    Equivariance, batching, derivatives, round trips; no chance.

    Args:
        layer: the layer; copies in evaluation mode are examined.
        channels: C, of its input.
        topology: where, or a list of where. (default: :obj:`None`, all of
            :func:`example_topologies`)
        per_graph: whether the output is ``[B, ...]`` and not ``[N, ...]``.

    Raises:
        AssertionError: for the first law that breaks.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.testing import check_layer, example_topologies
        >>> layer = gm.nn.TopologicalAttention(4, heads=2, mask=gm.masks.GlobalMask())
        >>> check_layer(layer, channels=4, topology=example_topologies()["ring"])
    """
    with default_dtype(torch.float64):
        examined = deepcopy(layer).double().eval()
        graphs = _choose(topology)
        for graph in graphs:
            x, prepared = features_of(graph, channels), _prepare(examined, graph)
            with global_rng_untouched():
                assert_close(
                    examined(x, graph), examined(x, graph), "a layer on one graph twice", 0.0
                )
            ordered = any(
                mask.ordered for mask in examined.modules() if isinstance(mask, TopologicalMask)
            )
            assert_permutation_equivariant(examined, prepared, channels, per_graph, ordered)
            assert_edge_order_invariant(examined, prepared, channels)
            assert_gradients(_on(examined, prepared), x, module=examined)
        last = graphs[-1]
        assert_round_trip(
            examined, lambda m, dtype: m(features_of(last, channels), cast(last, dtype))
        )
    assert_batch_independent(examined, graphs, channels, torch.float64, per_graph)
    assert_batch_independent(deepcopy(examined).float(), graphs, channels, torch.float32, per_graph)


def _assert_walks_batch(sampler: WalkSampler, graphs: Sequence[Topology]) -> None:
    for interleaved in (False, True):
        together, places = join(graphs, interleaved)
        drawn = sampler(together, generator_of()).to_dense()
        for graph, place in zip(graphs, places, strict=True):
            alone = sampler(graph, generator_of()).to_dense()
            assert_close(
                drawn[:, place][:, :, place],
                alone,
                f"draws of {sampler!r} in a batch and alone",
                0.0,
            )


def _assert_differentiable(sampler: WalkSampler, graph: Topology, draws: int) -> None:
    """Derivatives with respect to the edge weights, of one draw and on average."""
    weight = (
        torch.ones(graph.num_edges) if graph.edge_weight is None else graph.edge_weight.double()
    )
    leaf = weight.clone().requires_grad_()
    live, generator = remade(graph, edge_weight=leaf), generator_of()
    powers = _powers(live, sampler)
    above = torch.rand(powers.shape, generator=generator)
    require(
        sampler(live, generator_of()).weight.requires_grad,
        f"{sampler!r} says it is differentiable, and is not",
    )
    # A sum: fast finite differences of many outputs forgive much.
    assert_gradients(
        lambda w: (sampler(remade(graph, edge_weight=w), generator_of()).to_dense() * above).sum(),
        weight,
    )

    def slope(value: Tensor) -> Tensor:
        return torch.autograd.grad((value * above).sum(), leaf)[0].unsqueeze(0)

    target = slope(powers)
    drawn = torch.stack([slope(sampler(live, generator).to_dense()) for _ in range(draws)])
    assert_unbiased(drawn, target, f"gradient of {sampler!r}")


def _assert_error_falls(
    sampler: WalkSampler, graph: Topology, error: Tensor, powers: Tensor
) -> None:
    """The mean square error of 16 times the walks is at most 16^-0.8 of that of the walks."""
    larger, generator = copy(sampler), generator_of()
    larger.num_walks = 16 * sampler.num_walks  # type: ignore[attr-defined]
    drawn = torch.stack([larger(graph, generator).to_dense() for _ in range(100)])
    left = float((drawn - powers).square().mean() / error) if error > 0 else 0.0
    require(
        left <= 16**-0.8,
        f"16 times the walks of {sampler!r} leave {left:.2f} of its mean square error, allowed 16^-0.8",
    )


def _choose(topology: Topology | Sequence[Topology] | None) -> list[Topology]:
    chosen = example_topologies().values() if topology is None else topology
    return [
        cast(each, torch.float64) for each in ([chosen] if isinstance(chosen, Topology) else chosen)
    ]


def _applied(mask: nn.Module) -> NodeFunction:
    """``M @ x`` with nodes first."""
    return lambda x, topology: (mask(mask.prepare(topology)) @ x).transpose(0, 1)  # type: ignore[operator]


def _on(function: NodeFunction, topology: Topology) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, topology)


def _call(name: str, x: Tensor) -> Callable[[nn.Module, torch.dtype], Tensor]:
    return lambda module, dtype: getattr(module, name)(x.to(dtype))


def _prepare(module: nn.Module, topology: Topology) -> Topology:
    for each in module.modules():
        topology = each.prepare(topology) if isinstance(each, TopologicalMask) else topology
    return topology


def _powers(topology: Topology, sampler: WalkSampler) -> Tensor:
    pattern, weight = topology.adjacency(sampler.normalization)
    W = pattern.to_dense(weight.double())
    return torch.stack([torch.linalg.matrix_power(W, hop) for hop in range(sampler.hops + 1)])
