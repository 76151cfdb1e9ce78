"""Whatever combines, runs: masks x feature maps x heads x precisions x sizes of graphs.

Of every combination attention is its dense definition, forward and backward, and the rows of its
matrix are those that it multiplies by; or it is refused, as listed here. `make test` draws some
combinations of each mask, `make test-full` runs all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import cycle, product
from typing import Any, NamedTuple

import cases
import pytest
import torch
from torch import Tensor

import graphmask as gm
from graphmask.attention import attention_rows
from graphmask.features.scores import Exponentials, SquaredProducts
from graphmask.testing import batch_topologies
from graphmask.testing.graphs import astype, replace

# Heads of the mask and of attention.
HEADS = ((1, 1), (1, 3), (2, 2))

# The type of inputs; that of all weights, which autocast leaves in single precision; and the
# distance allowed between two computations, relative to their norm. Gradients may be twice as far.
PRECISIONS = {
    "float64": (torch.float64, torch.float64, 1e-6),
    "float32": (torch.float32, torch.float32, 1e-3),
    "bfloat16": (torch.bfloat16, torch.bfloat16, 0.1),
    "float16": (torch.float16, torch.float16, 2e-2),
    "autocast": (torch.bfloat16, torch.float32, 0.1),
}

# Rounding is magnified by the largest terms of a sum over the sum itself; rows in which this is
# more are not compared.
CONDITION = {"float64": 1e3, "float32": 1e2, "bfloat16": 10.0, "float16": 10.0, "autocast": 10.0}

SIZES = ("no graph", "no node", "one node", "few nodes", "batch")

# Refusals that are documented: masks by the beginning of their names, sizes, and the error.
RIPPLES = tuple(f"ripple-{kind}" for kind in ("line", "plane", "signed", "space", "features"))
REFUSALS = (
    (
        ("toeplitz", "grid-diffusion", "kronecker", *RIPPLES),
        ("one node",),
        r"of graphs of .* nodes each, as `shape` says",
    ),
)


class Combination(NamedTuple):
    """What is combined."""

    mask: cases.Case
    phi: cases.Case
    heads: tuple[int, int]
    precision: str
    size: str

    def __str__(self) -> str:
        heads = "{} of {} heads".format(*self.heads)
        return f"{self.mask} x {self.phi}, {heads}, {self.precision}, {self.size}"

    @property
    def refusal(self) -> str | None:
        """The error that is documented, if any."""
        for names, sizes, error in REFUSALS:
            shaped = self.mask.name.startswith(names) and not self.mask.name.endswith("one-node")
            if shaped and self.size in sizes:
                return error
        return None


def combinations(mask: cases.Case) -> Iterator[Combination]:
    """All of a mask; feature maps vary fastest."""
    for heads, precision, size in product(HEADS, PRECISIONS, SIZES):
        for phi in cases.FEATURES:
            yield Combination(mask, phi, heads, precision, size)


def graph_of(mask: cases.Case, size: str, seed: int = 0) -> gm.Topology:
    """A graph that the mask is defined on, or one of none or one of its nodes."""
    graphs = list(mask.topologies().values())
    single = [graph for graph in graphs if graph.batch is None]
    few = [graph for graph in single if 1 < graph.num_nodes < 30] or single[-1:]
    graph = few[seed % len(few)]
    if size == "few nodes":
        return graph
    if size == "batch":
        batches = [graph for graph in graphs if graph.batch is not None]
        union = batches[-1] if batches else batch_topologies([graph, graph], interleaved=True)[0]
        # Graphs 0, 2, ... have no nodes, and neither has the last.
        return replace(union, batch=2 * union.batch + 1, num_graphs=2 * union.num_graphs + 2)
    nodes, none = int(size == "one node"), torch.empty(0, dtype=torch.long)
    return replace(
        graph,
        edge_index=none.expand(2, 0),
        num_nodes=nodes,
        edge_weight=None,
        batch=none if size == "no graph" else None,
        num_graphs=None,
        pos=None if graph.pos is None else graph.pos[:nodes],
        x=None if graph.x is None else graph.x[:nodes],
        edge_attr=None if graph.edge_attr is None else graph.edge_attr[:0],
    )


def make_mask(case: cases.Case, heads: int) -> Any:
    """The mask, or its first head alone."""
    mask = case.make()
    if isinstance(mask, gm.masks.HeadwiseMask):
        return gm.masks.HeadwiseMask(list(mask.masks)[:heads])  # they have one head each
    if heads < mask.heads:
        for parameter in mask.parameters():
            parameter.data = parameter.data[:heads] if len(parameter) == mask.heads else parameter
        for module in mask.modules():
            module.heads = heads
    return mask


class Problem:
    """A mask on a graph, and attention under it by definition."""

    def __init__(self, mask: cases.Case, heads: tuple[int, int], precision: str, size: str) -> None:
        self.heads, self.precision = heads[1], precision
        self.dtype, dtype, self.allowed = PRECISIONS[precision]
        self.seed = [*PRECISIONS].index(precision) + HEADS.index(heads)
        self.topology = astype(graph_of(mask, size, self.seed), dtype)
        self.mask = make_mask(mask, heads[0]).to(dtype)
        with self.context():
            self.topology = self.mask.prepare(self.topology)
            self.operator = self.mask(self.topology)
        n = self.topology.num_nodes
        self.dense = (
            cases.mask_reference(self.mask, self.topology) if n else torch.zeros(heads[0], 0, 0)
        )

    def context(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "autocast")

    def inputs(self, seed: int = 0) -> list[Tensor]:
        """q, k and v."""
        generator, n = torch.Generator().manual_seed(seed), self.topology.num_nodes
        shapes = [(n, self.heads, channels) for channels in (5, 5, 3)]
        return [
            torch.randn(shape, generator=generator).to(self.dtype).requires_grad_()
            for shape in shapes
        ]

    def make_phi(self, case: cases.Case) -> Any:
        return case.make().to(PRECISIONS[self.precision][1])

    def execution(self, case: cases.Case, phi: Any) -> gm.operators.Execution | None:
        """Another one for every feature map, in turn; None where it cannot serve both."""
        turn = (cases.FEATURES.index(case) + self.seed) % (len(cases.EXECUTIONS) + 1)
        execution = (None, *cases.EXECUTIONS)[turn]
        refused = execution and execution.refusal(self.operator, phi.scores)
        return None if refused else execution

    def compare(self, case: cases.Case) -> None:
        """Assert that attention is its definition."""
        q, k, v = qkv = self.inputs()
        phi = self.make_phi(case)
        with self.context():
            out = gm.attention(q, k, v, self.operator, phi, self.execution(case, phi))
            nodes = torch.arange(len(q)).flip(0)
            rows = attention_rows(q, k, self.operator, nodes, phi)
        assert (out.shape, out.dtype) == (v.shape, v.dtype), "shape or type of the output"
        assert rows.shape == (len(q), self.heads, len(q)), "shape of the rows"
        expected, sound = self.definition(case, deepcopy(phi).double(), *qkv)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)) * sound
        assert out.isfinite().all() or self.dtype == torch.float16, "forward is not finite"
        assert not out.isnan().any(), "forward is NaN"
        self.assert_close("forward", out.where(sound, 0), expected * sound)
        again = torch.einsum("ihj,jhd->ihd", rows.double(), v.double()).flip(0)
        self.assert_close("rows @ v", again.where(sound, 0), expected * sound)
        # Sums that nearly cancel divide by so little that half precision overflows.
        if not len(q) or out.isinf().any():
            return
        leaves = [*qkv, *self.mask.parameters()]
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        actual = torch.autograd.grad((out * weight).sum(), leaves, **options)
        exact = torch.autograd.grad((expected * weight).sum(), leaves, **options)
        references = case.reference, case.key_reference or case.reference
        smooth = [
            self.smooth(partial(reference, deepcopy(phi).double()), x)
            for reference, x in zip(references, (q, k), strict=True)
        ]
        rows = smooth + [torch.ones(())] * (len(leaves) - 2)
        for number, (one, two, kept) in enumerate(zip(actual, exact, rows, strict=True)):
            self.assert_close(f"gradient of leaf {number}", one * kept, two * kept, times=2)

    def smooth(self, features: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Rows ``[N, H, 1]`` whose features have no kink within rounding of half precision.

        Their gradient depends on the side of the kink on which they are rounded. Where all features
        of a row are nearly 0, rounding in single precision changes them by more than is allowed.
        """
        smooth = torch.ones(*x.shape[:2], 1, dtype=torch.bool)
        if self.dtype.itemsize > 2:
            return smooth

        def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
            x = x.detach().requires_grad_()
            out = features(x)
            weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
            return torch.autograd.grad((out * weight).sum(), x)[0], (out * weight).detach()

        def size(x: Tensor) -> Tensor:
            return x.norm(dim=2, keepdim=True)

        x = x.detach().double()
        generator, (center, out) = torch.Generator().manual_seed(0), gradient(x)
        smooth &= torch.finfo(torch.float32).eps * size(x) * size(center) <= self.allowed * size(
            out
        )
        for _ in range(8):
            sign = torch.randint(2, x.shape, generator=generator) * 2 - 1
            change = gradient(x * (1 + 2 * torch.finfo(self.dtype).eps * sign))[0] - center
            smooth &= size(change) <= 0.2 * size(center)
        return smooth

    def definition(
        self, case: cases.Case, phi: Any, q: Tensor, k: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The output, and the rows ``[N, H, 1]`` in which rounding is not magnified."""
        queries = case.reference(phi, q.double())
        keys = (case.key_reference or case.reference)(phi, k.double())
        score = torch.einsum("ihm,jhm->hij", queries, keys)
        score = score.exp() if isinstance(phi.scores, Exponentials) else score
        if isinstance(phi.scores, SquaredProducts):
            score = score.clamp(min=0) ** 2
        mixed = self.dense * score
        size = self.dense if self.operator.sums_itself else self.dense.abs()
        total = (mixed.abs() if phi.scores.signed else size * score).sum(2)
        empty = total == 0
        expected = torch.einsum("hij,jhd->hid", mixed, v.double())
        expected = (expected / total.where(~empty, 1.0).unsqueeze(-1)).transpose(0, 1)
        with torch.no_grad():
            largest = torch.zeros_like(total)
            if len(q):
                largest = self.dense.abs().amax((1, 2))[:, None] * score.abs().amax(2)
            magnified = torch.maximum(mixed.abs().sum(2), largest) / total.abs()
            sound = ((magnified < CONDITION[self.precision]) | empty).mT.unsqueeze(-1)
        return expected, sound

    def assert_close(self, name: str, actual: Tensor, expected: Tensor, times: int = 1) -> None:
        assert actual.shape == expected.shape, f"{name} has shape {list(actual.shape)}"
        assert actual.isfinite().all(), f"{name} is not finite"
        actual, expected = actual.detach().double(), expected.detach().double()
        distance = float((actual - expected).norm() / (1 + expected.norm()))
        assert distance <= times * self.allowed, f"{name} is off by {distance:.1e}"


def faults(combined: Iterator[Combination]) -> list[str]:
    """A line for every combination that is neither its definition nor refused as documented."""
    lines, key, problem = [], None, None
    for combination in combined:
        mask, phi, *setting = combination
        try:
            if key != (mask, *setting):
                problem, key = Problem(mask, *setting), (mask, *setting)
            problem.compare(phi)
            fault = combination.refusal and "is not refused"
        except AssertionError as error:
            fault = str(error)
        except Exception as error:
            refusal = combination.refusal if isinstance(error, (ValueError, TypeError)) else None
            documented = refusal and re.search(refusal, str(error))
            fault = None if documented else f"{type(error).__name__}: {str(error)[:200]}"
        if fault:
            lines.append(f"{combination}: {fault}")
    return lines


# A sample of what is combined with each mask, and all of it.
parametrize_with_samples = pytest.mark.parametrize(
    ("mask", "sample"),
    [
        pytest.param(mask, size, id=f"{mask}-{size or 'all'}", marks=marks)
        for size, marks in ((True, ()), (False, (pytest.mark.slow, pytest.mark.whole)))
        for mask in cases.MASKS
    ],
)


@parametrize_with_samples
def test_combinations(mask: cases.Case, sample: bool) -> None:
    everything = list(combinations(mask))
    some = random.Random(str(mask)).sample(everything, 2) if sample else everything
    lines = faults(iter(some))
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    ("mask", "phi"),
    [
        ("chunks-causal", "hybrid-signs"),
        ("tree-polynomial", "relu"),
        ("diffusion-resolvent", "elu-plus-one"),
        ("hadamard-fourier", "relu"),
        ("rfd", "identity"),
        ("hypercube", "softmax"),
        ("global", "softmax"),
    ],
)
def test_combinations_that_have_failed(mask: str, phi: str) -> None:
    """Rows and scores that cancel, one head in several, estimates of any sign, empty graphs."""
    (case,) = (case for case in cases.MASKS if case.name == mask)
    some = (one for one in combinations(case) if (one.phi.name, one.precision) == (phi, "float64"))
    lines = faults(some)
    assert not lines, "\n".join(lines)


def results_of(
    problem: Problem, phi: Any, qkv: list[Tensor], nodes: Tensor, execution: Any
) -> Iterator[tuple[str, Tensor]]:
    """What attention gives at some nodes: outputs, rows, products, and two derivatives."""
    q, k, v = qkv = [x.detach().clone().requires_grad_() for x in qkv]
    yield "rows", attention_rows(q, k, problem.operator, nodes, phi)
    yield "products", (problem.operator @ v.transpose(0, 1))[:, nodes]
    yield "transposed products", (problem.operator.mT @ v.transpose(0, 1))[:, nodes]
    execution = None if execution and execution.refusal(problem.operator, phi.scores) else execution
    result = gm.attention(q, k, v, problem.operator, phi, execution)[nodes]
    yield f"output by {execution}", result
    for order in ("first", "second"):
        weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(0))
        total = (result * weight).sum()
        grads = torch.autograd.grad(total, qkv, create_graph=True, materialize_grads=True)
        result = torch.cat([grad[nodes].flatten(1) for grad in grads], 1)
        yield f"{order} derivative by {execution}", result


def leaks(mask: cases.Case, settings: list[Any]) -> list[str]:
    """Results at the nodes of some graphs that read numbers of another one."""
    problem, lines = Problem(mask, (2, 2), "float64", "batch"), []
    batch, clean = problem.topology.batch, problem.inputs()
    inside = batch == batch[0]
    outside = (~inside).nonzero().squeeze(1)
    for value, case, execution in settings:
        phi = problem.make_phi(case)
        broken = [x.detach().masked_fill(inside[:, None, None], value) for x in clean]
        results = (results_of(problem, phi, qkv, outside, execution) for qkv in (broken, clean))
        lines += [
            f"{mask} x {case}: {value} in another graph alters the {name}"
            for (name, actual), (_, expected) in zip(*results, strict=True)
            if not torch.allclose(actual, expected, 1e-6, 1e-6)
        ]
    return lines


# What breaks a graph, under which features; executions take turns.
BROKEN = [
    (value, case, execution)
    for (value, case), execution in zip(
        product((torch.nan, torch.inf), cases.FEATURES),
        cycle((None, *cases.EXECUTIONS)),
        strict=False,
    )
]


@parametrize_with_samples
def test_what_is_not_finite_stays_in_its_graph(mask: cases.Case, sample: bool) -> None:
    lines = leaks(mask, random.Random(str(mask)).sample(BROKEN, 1) if sample else BROKEN)
    assert not lines, "\n".join(lines)
