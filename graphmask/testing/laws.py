"""One law, one function, which raises AssertionError where the law is broken.

Letters: N nodes, H heads, C channels, B graphs, R draws, P parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from torch.func import functional_call

from graphmask.kernels import Pattern
from graphmask.operators import Dense, Execution, Lifted, MaskOperator, Pairs
from graphmask.topology import Topology

from ._numbers import assert_close, default_dtype, features_of, generator_of, require
from .chance import probability_of_sums, worst_score
from .graphs import astype, batch_topologies, permute, replace

# The probability that a correct implementation fails a statistical test.
FALSE_ALARM = 1e-4

NodeFunction = Callable[[Tensor, Topology], Tensor]


def assert_matmul(operator: MaskOperator) -> None:
    """``operator @ x`` and ``operator.rows`` agree with ``to_dense()``; ``@`` broadcasts as matmul.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_matmul
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> assert_matmul(gm.operators.GlobalOperator(edge))
    """
    dense = operator.to_dense()
    heads, n, _ = dense.shape
    message = f"{operator!r} has a dense matrix of shape {list(dense.shape)}"
    require(dense.shape == operator.shape, message)
    batches = [(), (heads,), (1,), (3, heads), (2, 1), (2, 3, 1), (3 if heads == 1 else heads,)]
    for shape in [(n,), *((*sizes, n, 1 + len(sizes)) for sizes in batches)]:
        x = torch.randn(shape, generator=generator_of(), dtype=dense.dtype)
        law = f"{operator!r} @ x, for x {list(shape)}, and its dense product"
        assert_close(operator @ x, dense @ x, law)
    nodes = torch.randperm(n, generator=generator_of())[: n - n // 3]
    law = f"rows of {operator!r} and of its dense matrix"
    assert_close(operator.rows(nodes), dense[:, nodes], law)


def assert_adjoint(operator: MaskOperator) -> None:
    """``<y, M x> = <M^T y, x>`` for every head, and the transpose of the transpose is M.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_adjoint
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> assert_adjoint(gm.operators.GlobalOperator(edge))
    """
    generator, dtype = generator_of(), operator.to_dense().dtype
    x, y = (torch.randn(*operator.shape[:2], 1, generator=generator, dtype=dtype) for _ in range(2))
    left, right = (y * (operator @ x)).sum(1), ((operator.mT @ y) * x).sum(1)
    assert_close(left, right, f"<y, M x> and <M.mT y, x> of {operator!r}")
    law = f"{operator!r} and the transpose of its transpose"
    assert_close(operator.mT.mT @ x, operator @ x, law)


def assert_entries(operator: MaskOperator) -> None:
    """``nonnegative``, ``entries()`` and ``lookup`` of an operator agree with its dense matrix.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_entries
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> assert_entries(gm.operators.GlobalOperator(edge))
    """
    dense, n = operator.to_dense(), operator.num_nodes
    nonnegative = not operator.nonnegative or bool((dense >= 0).all())
    require(nonnegative, f"{operator!r} says it is non-negative, and is not")
    entries = operator.entries()
    if entries is not None:
        actual = entries.pattern.to_dense(entries.value).expand_as(dense)
        assert_close(actual, dense, f"entries of {operator!r} and M")
    index = torch.randperm(n * n, generator=generator_of())[: n * n // 2 + 1].sort().values
    values = operator.lookup(Pattern.from_coo(index // n, index % n, (n, n)))
    if values is not None:
        expected = dense.flatten(1)[:, index]
        law = f"single entries of {operator!r} and of M"
        assert_close(values.expand_as(expected), expected, law)


def assert_executions_agree(
    operator: MaskOperator, executions: Sequence[Execution] | None = None
) -> None:
    """``operator.attend`` agrees with the definition by every execution that supports M.

    Args:
        operator: M.
        executions: the executions. (default: :obj:`None`, those of the library, ``Lifted`` also in
            one slice per feature)

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_executions_agree
        >>> edge = gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)
        >>> assert_executions_agree(gm.operators.GlobalOperator(edge))
    """
    generator, M = generator_of(), operator.to_dense()
    shape = operator.heads if operator.heads > 1 else 3, operator.num_nodes
    q, k = torch.rand(2, *shape, 4, generator=generator, dtype=M.dtype)
    v = torch.randn(*shape, 3, generator=generator, dtype=M.dtype)
    score = q @ k.mT
    for execution in (None, *(executions or (Pairs(), Lifted(), Lifted(memory=1), Dense()))):
        if execution is None or execution.refusal(operator) is None:
            sums = operator.attend(q, k, v, execution)
            names = f"{operator!r}, by {execution!r} and by definition"
            assert_close(sums.numerator, (M * score) @ v, f"numerators of {names}")
            assert sums.denominator is not None
            weights = M if operator.sums_itself else M.abs()
            assert_close(sums.denominator, (weights * score).sum(-1), f"denominators of {names}")


def assert_permutation_equivariant(
    function: NodeFunction,
    topology: Topology,
    channels: int = 3,
    per_graph: bool = False,
    ordered: bool = False,
) -> None:
    """Permuting the nodes permutes the rows of ``function(x, topology)``; outputs per graph stay.

    Walks on the topology are permuted with it; a function that draws its own breaks this law unless
    they are exact.

    Args:
        function: returns ``[N, ...]``, or ``[B, ...]`` with ``per_graph``.
        topology: the graph.
        channels: C, of x.
        per_graph: whether the output is per graph.
        ordered: whether the nodes of each graph keep their order, for functions that depend on it.

    Example:
        >>> from graphmask.testing import assert_permutation_equivariant, example_topologies
        >>> pair = example_topologies()["pair"]
        >>> assert_permutation_equivariant(lambda x, topology: x - x.sum(0), pair)
    """
    perm = torch.randperm(topology.num_nodes, generator=generator_of())
    perm = _order_within_graphs(perm, topology) if ordered else perm
    x = features_of(topology, channels)
    expected = function(x, topology)
    actual = function(x[perm], permute(topology, perm))
    law = "a function of permuted nodes and its permuted result"
    assert_close(actual, expected if per_graph else expected[perm], law)


def _order_within_graphs(perm: Tensor, topology: Topology) -> Tensor:
    """A permutation that mixes graphs as ``perm`` does, and keeps the order within each graph."""
    graph = torch.zeros_like(perm) if topology.batch is None else topology.batch
    ordered = torch.empty_like(perm)
    ordered[torch.argsort(graph[perm], stable=True)] = torch.argsort(graph, stable=True)
    return ordered


def assert_edge_order_invariant(
    function: NodeFunction, topology: Topology, channels: int = 3
) -> None:
    """``function(x, topology)`` does not depend on the order in which edges are listed.

    Example:
        >>> from graphmask.testing import assert_edge_order_invariant, example_topologies
        >>> pair = example_topologies()["pair"]
        >>> assert_edge_order_invariant(lambda x, topology: x * topology.num_edges, pair)
    """
    perm = torch.randperm(topology.num_edges, generator=generator_of())
    shuffled = replace(
        topology,
        edge_index=topology.edge_index[:, perm],
        edge_weight=None if topology.edge_weight is None else topology.edge_weight[perm],
        edge_attr=None if topology.edge_attr is None else topology.edge_attr[perm],
    )
    x = features_of(topology, channels)
    law = "a function of shuffled edges and of the edges"
    assert_close(function(x, shuffled), function(x, topology), law)


def assert_batch_independent(
    function: NodeFunction,
    topologies: Sequence[Topology],
    channels: int = 3,
    dtype: torch.dtype | None = None,
    per_graph: bool = False,
) -> None:
    """``function(x, topology)`` of each graph is the same alone and in a batch, sorted or not.

    Args:
        function: returns ``[N, ...]``, or ``[B, ...]`` with ``per_graph``.
        topologies: the graphs of the batch.
        channels: C, of x.
        dtype: of x and all weights; it sets the allowed distance.
        per_graph: whether the output is per graph.

    Example:
        >>> from graphmask.testing import assert_batch_independent, example_topologies
        >>> assert_batch_independent(lambda x, topology: 2 * x, list(example_topologies().values()))
    """
    with default_dtype(dtype or torch.get_default_dtype()):
        graphs = [astype(graph, torch.get_default_dtype()) for graph in topologies]
        inputs = [features_of(graph, channels, seed) for seed, graph in enumerate(graphs)]
        alone = [function(x, graph) for x, graph in zip(inputs, graphs, strict=True)]
        for name in ("sorted", "interleaved"):
            union, rows = batch_topologies(graphs, interleaved=name == "interleaved")
            x = torch.empty(union.num_nodes, channels)
            output = function(x.index_copy(0, torch.cat(rows), torch.cat(inputs)), union)
            if per_graph:
                counts = [graph.num_graphs for graph in graphs]
                rows = list(torch.arange(union.num_graphs).split(counts))
            for index, (row, expected) in enumerate(zip(rows, alone, strict=True)):
                assert_close(output[row], expected, f"graph {index} in a batch ({name}) and alone")


def assert_translation_invariant(
    function: NodeFunction, topology: Topology, channels: int = 3, offset: float = 10.0
) -> None:
    """``function(x, topology)`` stays the same where all positions move by one offset.

    Args:
        function: a function of positions among others.
        topology: the graph.
        channels: C, of x.
        offset: of each coordinate.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_translation_invariant
        >>> pair = gm.Topology(torch.tensor([[0], [1]]), pos=torch.rand(2, 3).double())
        >>> assert_translation_invariant(lambda x, topology: topology.pos.diff(dim=0), pair)
    """
    pos, x = positions_of(topology), features_of(topology, channels)
    moved = replace(topology, pos=pos + offset)
    # Positions that lose no more digits by moving.
    near = replace(topology, pos=(pos + offset) - offset)
    law = "a function of positions, and of positions that were all moved"
    assert_close(function(x, moved), function(x, near), law)


def assert_rotation_equivariant(
    function: NodeFunction,
    topology: Topology,
    channels: int = 3,
    turn: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Check that the result of ``function(x, topology)`` turns with rotated, mirrored positions.

    Args:
        function: a function of positions among others.
        topology: the graph.
        channels: C, of x.
        turn: turns a result by an orthogonal matrix Q ``[D, D]``, for positions ``Q p``. (default:
            :obj:`None`, results stay as they are)

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_rotation_equivariant
        >>> pair = gm.Topology(torch.tensor([[0], [1]]), pos=torch.rand(2, 3).double())
        >>> length, turn = lambda x, t: t.pos.diff(dim=0).norm(dim=1), lambda p, Q: p @ Q.mT
        >>> assert_rotation_equivariant(length, pair)
        >>> assert_rotation_equivariant(lambda x, topology: topology.pos, pair, turn=turn)
    """
    pos, x = positions_of(topology), features_of(topology, channels)
    result = function(x, topology)
    for seed in range(2):
        dim = pos.shape[1]
        Q = torch.randn(dim, dim, generator=generator_of(seed), dtype=torch.float64)
        Q = torch.linalg.qr(Q).Q.to(pos.dtype)
        Q[0] *= (-1) ** seed * torch.det(Q).sign()  # a rotation, and a reflection
        expected = result if turn is None else turn(result, Q.to(result.dtype))
        law = "a function of turned positions and its turned result"
        assert_close(function(x, replace(topology, pos=pos @ Q.mT)), expected, law)


def positions_of(topology: Topology) -> Tensor:
    """The positions of a topology that must have some."""
    require(topology.pos is not None, f"{topology!r} has no positions")
    assert topology.pos is not None
    return topology.pos


def assert_gradients(
    function: Callable[..., Tensor], *inputs: Tensor, module: nn.Module | None = None
) -> None:
    """First and second derivatives by autograd are finite differences, in random directions.

    Args:
        function: a function of the inputs.
        inputs: float64 tensors.
        module: a module in float64 that the function calls; derivatives by its parameters are
            checked too.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_gradients
        >>> assert_gradients(torch.sin, torch.tensor([1.0, 2.0], dtype=torch.float64))
    """
    bound = _Bound(function, module)
    parameters = dict(bound.named_parameters())
    leaves = [*inputs, *parameters.values()]
    point = torch.cat([x.detach().flatten() for x in leaves]).requires_grad_()

    def run(point: Tensor) -> Tensor:
        pieces = point.split([x.numel() for x in leaves])
        values = [piece.view(x.shape) for piece, x in zip(pieces, leaves, strict=True)]
        replaced = dict(zip(parameters, values[len(inputs) :], strict=True))
        return functional_call(bound, replaced, tuple(values[: len(inputs)]))

    outputs = run(point)
    if outputs.numel() and outputs.requires_grad:
        grad = torch.randn(outputs.shape, generator=generator_of(), dtype=outputs.dtype)
        try:
            gradcheck(run, point, fast_mode=True)
            gradgradcheck(run, point, grad.requires_grad_(), fast_mode=True)
        except GradcheckError as error:
            raise AssertionError(f"derivatives differ from finite differences: {error}") from error


class _Bound(nn.Module):
    """A function and the module that it calls, so that its parameters can be replaced."""

    def __init__(self, function: Callable[..., Tensor], module: nn.Module | None) -> None:
        super().__init__()
        self.function, self.module = function, module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def assert_round_trip(module: nn.Module, call: Callable[[nn.Module, torch.dtype], Tensor]) -> None:
    """Copies, state dicts and conversion to float32 and back keep the output of a float64 module.

    ``call`` runs a module of a dtype.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_round_trip
        >>> norm = torch.nn.LayerNorm(2).double()
        >>> assert_round_trip(norm, lambda module, dtype: module(torch.arange(2, dtype=dtype)))
    """

    def run(module: nn.Module, dtype: torch.dtype = torch.float64) -> Tensor:
        with default_dtype(dtype):
            result = call(module, dtype)
        require(result.dtype == dtype, f"a module in {dtype} gave {result.dtype}")
        return result

    expected = run(module)
    assert_close(run(deepcopy(module)), expected, "a deep copy and its original", 0.0)
    other = deepcopy(module)
    for parameter in other.parameters():
        parameter.data.add_(1)
    other.load_state_dict(module.state_dict())
    assert_close(run(other), expected, "a loaded state dict and its original", 0.0)
    single = deepcopy(module).to(torch.float32)
    assert_close(run(single, torch.float32), expected, "a module in float32 and in float64", 1e-4)
    law = "a module converted to float32 and back, and before"
    assert_close(run(single.to(torch.float64)), expected, law, 1e-4)


def assert_unbiased(drawn: Tensor, target: Tensor, what: str = "a draw", often: int = 100) -> None:
    """The mean of R independent draws ``[R, P, ...]`` is the target ``[P, ...]``, up to chance.

    Entries on which all draws agree must equal the target. Entries that are often non-zero lie
    within 4 standard errors (or Bonferroni's bound, where there are many), and sums over each of
    the P parts pass Hotelling's test. An unbiased sampler fails in one of 10,000 runs.

    Args:
        drawn: the draws.
        target: their expectation.
        what: a name of the draws for the message.
        often: the number of draws in which an entry must be non-zero to be tested by itself.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_unbiased
        >>> drawn = torch.rand(500, 1, 3, generator=torch.Generator().manual_seed(0))
        >>> assert_unbiased(drawn, torch.full((1, 3), 0.5))
    """
    drawn, target = drawn.double().flatten(2), target.double().flatten(1)
    worst, allowed = worst_score(drawn, target, often, FALSE_ALARM)
    message = f"an entry is {worst:.1f} standard errors off its target, allowed {allowed:.1f}"
    require(worst <= allowed, f"{what}: {message}")
    chance = probability_of_sums(drawn, target, generator_of())
    message = f"sums of entries are off their targets, with probability {chance:.0e}"
    require(chance >= FALSE_ALARM, f"{what}: {message}")


@contextmanager
def global_rng_untouched() -> Iterator[None]:
    """The block leaves the global random states of torch, numpy and python unchanged.

    Example:
        >>> import torch
        >>> from graphmask.testing import global_rng_untouched
        >>> with global_rng_untouched():
        ...     x = torch.rand(2, generator=torch.Generator())
    """
    before = _global_states()
    yield
    changed = [name for name, state in _global_states().items() if state != before[name]]
    require(not changed, f"the global random state of {', '.join(changed)} was changed")


def _global_states() -> dict[str, object]:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (name, np.asarray(keys).tobytes(), *rest),
        "python": random.getstate(),
    }
