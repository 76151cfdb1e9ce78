"""One law, one function. Letters: N nodes, H heads, C channels, B graphs, R draws, P parts."""

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

from .chance import probability_of_sums, worst_score
from .graphs import cast, join, permute, remade

# Distance allowed between two computations of one thing, relative to the largest number: rounding
# of some operations.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}

# A right implementation may fail a law of chance once in this many runs.
FALSE_ALARM = 1e-4

NodeFunction = Callable[[Tensor, Topology], Tensor]


def assert_matmul(operator: MaskOperator) -> None:
    """``operator @ x`` and ``operator.rows`` are those of ``to_dense()``, and broadcast as :func:`torch.matmul` does.

    Args:
        operator: M.

    Raises:
        AssertionError: where a product, or a row, is not that of the dense matrix.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_matmul
        >>> assert_matmul(gm.operators.GlobalOperator(gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)))
    """
    dense = operator.to_dense()
    heads, n, _ = dense.shape
    require(
        dense.shape == operator.shape,
        f"{operator!r} has a dense matrix of shape {list(dense.shape)}",
    )
    for shape in (
        (n,),
        (n, 3),
        (heads, n, 2),
        (1, n, 1),
        (3, heads, n, 2),
        (2, 1, n, 3),
        (2, 3, 1, n, 1),
    ):
        x = torch.randn(shape, generator=generator_of(), dtype=dense.dtype)
        assert_close(
            operator @ x, dense @ x, f"{operator!r} @ x, for x {list(shape)}, and its dense product"
        )
    nodes = torch.randperm(n, generator=generator_of())[: n - n // 3]
    assert_close(
        operator.rows(nodes), dense[:, nodes], f"rows of {operator!r} and of its dense matrix"
    )


def assert_adjoint(operator: MaskOperator) -> None:
    """``<y, M x> = <M^T y, x>`` for every head, and the transpose of the transpose is M.

    Args:
        operator: M.

    Raises:
        AssertionError: where the two sides differ.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_adjoint
        >>> assert_adjoint(gm.operators.GlobalOperator(gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)))
    """
    generator, dtype = generator_of(), operator.to_dense().dtype
    x, y = (torch.randn(*operator.shape[:2], 1, generator=generator, dtype=dtype) for _ in range(2))
    left, right = (y * (operator @ x)).sum(1), ((operator.mT @ y) * x).sum(1)
    assert_close(left, right, f"<y, M x> and <M.mT y, x> of {operator!r}")
    assert_close(
        operator.mT.mT @ x, operator @ x, f"{operator!r} and the transpose of its transpose"
    )


def assert_entries(operator: MaskOperator) -> None:
    """What an operator says of its entries is true.

    ``nonnegative``, ``entries()`` and ``lookup``, as far as known.

    Args:
        operator: M.

    Raises:
        AssertionError: for an entry that is not as told.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_entries
        >>> assert_entries(gm.operators.GlobalOperator(gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)))
    """
    dense, n = operator.to_dense(), operator.num_nodes
    require(
        not operator.nonnegative or bool((dense >= 0).all()),
        f"{operator!r} says it is non-negative, and is not",
    )
    known = operator.entries()
    if known is not None:
        assert_close(
            known.pattern.to_dense(known.value).expand_as(dense),
            dense,
            f"entries of {operator!r} and M",
        )
    some = torch.randperm(n * n, generator=generator_of())[: n * n // 2 + 1].sort().values
    found = operator.lookup(Pattern.from_coo(some // n, some % n, (n, n)))
    if found is not None:
        expected = dense.flatten(1)[:, some]
        assert_close(
            found.expand_as(expected), expected, f"single entries of {operator!r} and of M"
        )


def assert_executions_agree(
    operator: MaskOperator, executions: Sequence[Execution] | None = None
) -> None:
    """``operator.attend`` is its definition on the dense matrix, by every execution that does not refuse.

    Args:
        operator: M.
        executions: which. (default: :obj:`None`, those of the library, ``Lifted`` also in one slice
            per feature)

    Raises:
        AssertionError: for a numerator or denominator that is not its definition.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.testing import assert_executions_agree
        >>> assert_executions_agree(gm.operators.GlobalOperator(gm.Topology(torch.tensor([[0], [1]]), num_nodes=2)))
    """
    generator, M = generator_of(), operator.to_dense()
    heads = operator.heads if operator.heads > 1 else 3
    q, k = (
        torch.rand(heads, operator.num_nodes, 4, generator=generator, dtype=M.dtype)
        for _ in range(2)
    )
    v = torch.randn(heads, operator.num_nodes, 3, generator=generator, dtype=M.dtype)
    score = q @ k.mT
    for execution in (None, *(executions or (Pairs(), Lifted(), Lifted(memory=1), Dense()))):
        if execution is None or execution.refusal(operator) is None:
            found = operator.attend(q, k, v, execution)
            which = f"{operator!r}, by {execution!r} and by definition"
            assert_close(found.numerator, (M * score) @ v, f"numerators of {which}")
            size = M if operator.sums_itself else M.abs()
            assert_close(found.denominator, (size * score).sum(-1), f"denominators of {which}")


def assert_permutation_equivariant(
    function: NodeFunction,
    topology: Topology,
    channels: int = 3,
    per_graph: bool = False,
    ordered: bool = False,
) -> None:
    """Renaming the nodes renames the rows of ``function(x, topology)``, and leaves outputs per graph as they are.

    Walks on the topology are renamed with it; a function that draws its own breaks this law unless
    they are exact.

    Args:
        function: gives ``[N, ...]``, or ``[B, ...]`` with ``per_graph``.
        topology: where.
        channels: of x.
        per_graph: whether the output is per graph.
        ordered: whether nodes are renamed without a change of their order within each graph, for
            functions that read it.

    Raises:
        AssertionError: where the result depends on the names of nodes.

    Example:
        >>> from graphmask.testing import assert_permutation_equivariant, example_topologies
        >>> assert_permutation_equivariant(lambda x, topology: x - x.sum(0), example_topologies()["pair"])
    """
    order = torch.randperm(topology.num_nodes, generator=generator_of())
    order = _restore_order(order, topology) if ordered else order
    x = features_of(topology, channels)
    expected = function(x, topology)
    actual = function(x[order], permute(topology, order))
    assert_close(
        actual,
        expected if per_graph else expected[order],
        "a function of renamed nodes and it renamed",
    )


def _restore_order(order: Tensor, topology: Topology) -> Tensor:
    """A renaming that mixes graphs as ``order`` does, and keeps the order of the nodes of each."""
    batch = torch.zeros_like(order) if topology.batch is None else topology.batch
    kept = torch.empty_like(order)
    kept[torch.argsort(batch[order], stable=True)] = torch.argsort(batch, stable=True)
    return kept


def assert_edge_order_invariant(
    function: NodeFunction, topology: Topology, channels: int = 3
) -> None:
    """``function(x, topology)`` does not depend on the order in which edges are listed.

    Args:
        function: anything of x and a topology.
        topology: where.
        channels: of x.

    Raises:
        AssertionError: where the result depends on the order of edges.

    Example:
        >>> from graphmask.testing import assert_edge_order_invariant, example_topologies
        >>> assert_edge_order_invariant(lambda x, topology: x * topology.num_edges, example_topologies()["pair"])
    """
    order = torch.randperm(topology.num_edges, generator=generator_of())
    weight = None if topology.edge_weight is None else topology.edge_weight[order]
    features = None if topology.edge_attr is None else topology.edge_attr[order]
    shuffled = remade(
        topology, edge_index=topology.edge_index[:, order], edge_weight=weight, edge_attr=features
    )
    x = features_of(topology, channels)
    assert_close(
        function(x, shuffled),
        function(x, topology),
        "a function of shuffled edges and of the edges",
    )


def assert_batch_independent(
    function: NodeFunction,
    topologies: Sequence[Topology],
    channels: int = 3,
    dtype: torch.dtype | None = None,
    per_graph: bool = False,
) -> None:
    """Graphs get from ``function(x, topology)`` in a batch, sorted or interleaved, what they get alone.

    Args:
        function: gives ``[N, ...]``, or ``[B, ...]`` with ``per_graph``.
        topologies: the graphs of the batch.
        channels: of x.
        dtype: of x and all weights; it sets the allowed distance. (default: :obj:`None`, the
            default dtype)
        per_graph: whether the output is per graph.

    Raises:
        AssertionError: for the first graph that its batch mates changed.

    Example:
        >>> from graphmask.testing import assert_batch_independent, example_topologies
        >>> assert_batch_independent(lambda x, topology: 2 * x, list(example_topologies().values()))
    """
    with default_dtype(dtype or torch.get_default_dtype()):
        graphs = [cast(each, torch.get_default_dtype()) for each in topologies]
        parts = [features_of(each, channels, seed) for seed, each in enumerate(graphs)]
        alone = [function(x, each) for x, each in zip(parts, graphs, strict=True)]
        for how in ("sorted", "interleaved"):
            together, places = join(graphs, interleaved=how == "interleaved")
            x = torch.empty(together.num_nodes, channels).index_copy(
                0, torch.cat(places), torch.cat(parts)
            )
            found = function(x, together)
            if per_graph:
                places = list(
                    torch.arange(together.num_graphs).split([each.num_graphs for each in graphs])
                )
            for number, (place, expected) in enumerate(zip(places, alone, strict=True)):
                assert_close(found[place], expected, f"graph {number} in a batch ({how}) and alone")


def assert_gradients(
    function: Callable[..., Tensor], *inputs: Tensor, module: nn.Module | None = None
) -> None:
    """First and second derivatives by autograd are those by finite differences, along random directions.

    Args:
        function: of the inputs.
        inputs: float64 tensors.
        module: in float64; the function calls it, and derivatives by its parameters are looked at
            too.

    Raises:
        AssertionError: for the first derivative that differs.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_gradients
        >>> assert_gradients(torch.sin, torch.tensor([1.0, 2.0], dtype=torch.float64))
    """
    bound = _Bound(function, module)
    parameters = dict(bound.named_parameters())
    parts = [*inputs, *parameters.values()]
    point = torch.cat([part.detach().flatten() for part in parts]).requires_grad_()

    def run(point: Tensor) -> Tensor:
        pieces = point.split([part.numel() for part in parts])
        shaped = [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]
        given = dict(zip(parameters, shaped[len(inputs) :], strict=True))
        return functional_call(bound, given, tuple(shaped[: len(inputs)]))

    outputs = run(point)
    if outputs.numel() and outputs.requires_grad:
        above = torch.randn(
            outputs.shape, generator=generator_of(), dtype=outputs.dtype
        ).requires_grad_()
        try:
            gradcheck(run, point, fast_mode=True)
            gradgradcheck(run, point, above, fast_mode=True)
        except GradcheckError as error:
            raise AssertionError(f"derivatives differ from finite differences: {error}") from error


class _Bound(nn.Module):
    """A function and the module that it calls, so that its parameters can be given."""

    def __init__(self, function: Callable[..., Tensor], module: nn.Module | None) -> None:
        super().__init__()
        self.function, self.module = function, module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def assert_round_trip(module: nn.Module, call: Callable[[nn.Module, torch.dtype], Tensor]) -> None:
    """Copies, state dicts and casts to float32 and back keep what a float64 module computes.

    Args:
        module: the module.
        call: runs a module of a given dtype.

    Raises:
        AssertionError: for the first copy that computes something else.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_round_trip
        >>> assert_round_trip(torch.nn.LayerNorm(2).double(), lambda m, dtype: m(torch.arange(2, dtype=dtype)))
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
    assert_close(
        run(single.to(torch.float64)),
        expected,
        "a module cast to float32 and back, and before",
        1e-4,
    )


def assert_unbiased(drawn: Tensor, target: Tensor, what: str = "a draw", often: int = 100) -> None:
    """The mean of R independent draws ``[R, P, ...]`` is the target ``[P, ...]``, as far as R draws can tell.

    Entries on which all draws agree must be right. Entries that are often non-zero lie within 4
    standard errors (or Bonferroni's bound, where there are many), and sums over each of the P parts
    pass Hotelling's test. A right sampler fails in one of 10,000 runs.

    Args:
        drawn: the draws.
        target: their expectation.
        what: what is drawn.
        often: draws in which an entry must be non-zero to be judged by itself.

    Raises:
        AssertionError: where the mean is too far from the target.

    Example:
        >>> import torch
        >>> from graphmask.testing import assert_unbiased
        >>> assert_unbiased(torch.rand(500, 1, 3, generator=torch.Generator().manual_seed(0)), torch.full((1, 3), 0.5))
    """
    drawn, target = drawn.double().flatten(2), target.double().flatten(1)
    worst, allowed = worst_score(drawn, target, often, FALSE_ALARM)
    require(
        worst <= allowed,
        f"{what}: an entry is {worst:.1f} standard errors off its target, allowed {allowed:.1f}",
    )
    chance = probability_of_sums(drawn, target, generator_of())
    require(
        chance >= FALSE_ALARM,
        f"{what}: sums of entries are off their targets, with probability {chance:.0e}",
    )


@contextmanager
def global_rng_untouched() -> Iterator[None]:
    """The global random states of torch, numpy and python are after the block what they were before.

    Raises:
        AssertionError: where one of them changed.

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


def require(true: bool, otherwise: str) -> None:
    """Raise ``AssertionError(otherwise)`` unless true."""
    if not true:
        raise AssertionError(otherwise)


def assert_close(
    actual: Tensor, expected: Tensor, law: str, tolerance: float | None = None
) -> None:
    """Equal shapes, and a distance small against the largest number, in the coarser of both dtypes."""
    require(
        actual.shape == expected.shape,
        f"{law} have shapes {list(actual.shape)} and {list(expected.shape)}",
    )
    allowed = (
        max(TOLERANCE[actual.dtype], TOLERANCE[expected.dtype]) if tolerance is None else tolerance
    )
    if actual.numel():
        left, right = actual.detach().double(), expected.detach().double()
        distance = float((left - right).abs().max() / (1 + right.abs().max()))
        require(distance <= allowed, f"{law} differ by {distance:.1e}, allowed {allowed:.0e}")


def generator_of(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def _global_states() -> dict[str, object]:
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (kind, np.asarray(keys).tobytes(), *rest),
        "python": random.getstate(),
    }


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Another default dtype within the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def features_of(topology: Topology, channels: int, seed: int = 0) -> Tensor:
    """Node features ``[N, C]`` in the default dtype, the same numbers in every dtype."""
    x = torch.randn(topology.num_nodes, channels, generator=generator_of(seed), dtype=torch.float64)
    return x.to(torch.get_default_dtype())
