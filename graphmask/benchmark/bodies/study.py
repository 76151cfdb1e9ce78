"""The run: every body of every operation in turn, after all have been seen to agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask.benchmark.measure import explain
from graphmask.benchmark.problem import Problem
from graphmask.benchmark.scenes import TORUS, Scene
from graphmask.benchmark.statistics import Spread
from graphmask.benchmark.turns import synchronizer, time_in_turn
from graphmask.kernels import Pattern
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks

from .bodies import BODIES, IN_USE, Body, Products

# Relative to the largest number of a result: sums of some hundred float32 terms in different
# orders.
_ROUNDING = 1e-4

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Race:
    """What to compare, and where.

    Args:
        bodies: see :data:`BODIES`; the one in use is among them. (default: all)
        nodes: sizes of the graphs.
        scenes: the graphs, whose walks of about 64 entries per node are the pattern. (default: an
            epsilon graph)
        rounds: in which all bodies are timed, at most.
        time_limit: seconds after which no round of an operation begins, from the fourth on.
        device: ``"cpu"`` or a CUDA device.
        seed: of graphs, walks and numbers.

    Raises:
        TypeError: for numbers of a wrong type.
        ValueError: for nothing to compare, sizes below 2, no rounds, or a limit that is not
            positive.
    """

    bodies: Sequence[Body] = BODIES
    nodes: Sequence[int] = (32_768,)
    scenes: Sequence[Scene] = (TORUS,)
    rounds: int = 9
    time_limit: float = 30.0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("nodes", "scenes"):
            if not getattr(self, name):
                raise value_error(name, "at least one", getattr(self, name))
        if IN_USE not in self.bodies:
            raise value_error(
                "bodies",
                f"with `{IN_USE.name}` among them",
                ", ".join(body.name for body in self.bodies),
            )
        for size in self.nodes:
            check_integer("nodes", size, 2)
        check_integer("rounds", self.rounds, 1)
        check_integer("seed", self.seed, 0)
        if not 0 < self.time_limit < math.inf:
            raise value_error("time_limit", "positive and finite", self.time_limit)


@dataclass(frozen=True)
class BodyTimes:
    """One body of one operation on one graph.

    Args:
        graph: its name.
        nodes: N.
        entries: of the pattern.
        operation: ``sddmm``, ``spmm`` or ``pairs``.
        body: its name.
        forward: seconds of a forward call, one per round.
        both: seconds of a forward and backward call, one per round.
        forward_ratios: of ``forward`` over that of the body in use, in the same rounds.
        both_ratios: the same of ``both``.
        note: why there are no times.
    """

    graph: str
    nodes: int
    entries: int
    operation: str
    body: str
    forward: tuple[float, ...] = ()
    both: tuple[float, ...] = ()
    forward_ratios: tuple[float, ...] = ()
    both_ratios: tuple[float, ...] = ()
    note: str = ""

    def row(self) -> dict[str, Any]:
        """As in a table."""
        row: dict[str, Any] = {
            "graph": self.graph,
            "nodes": self.nodes,
            "entries_per_node": self.entries / self.nodes,
            "operation": self.operation,
            "body": self.body,
            "rounds": len(self.forward),
        }
        for name, seconds, ratios in (
            ("forward", self.forward, self.forward_ratios),
            ("forward_backward", self.both, self.both_ratios),
        ):
            spread = Spread.of(ratios) if ratios else None
            row |= {
                f"{name}_s": median(seconds) if seconds else None,
                f"{name}_ratio": spread and spread.middle,
                f"{name}_ratio_low": spread and spread.low,
                f"{name}_ratio_high": spread and spread.high,
            }
        return row | {"note": self.note}


class Operation:
    """An operation with its inputs, ``[H, ...]``, leaves that want a gradient.

    Args:
        name: a field of :class:`Products`.
        inputs: of its call.
    """

    def __init__(self, name: str, *inputs: Tensor) -> None:
        self.name, self._inputs = name, inputs

    def call_of(self, products: Products) -> Callable[..., Any] | None:
        """What a body calls, or :obj:`None`."""
        return getattr(products, self.name)

    def forward(self, products: Products) -> tuple[Tensor, ...]:
        """The results, without autograd."""
        with torch.no_grad():
            return self._results(products)

    def both(self, products: Products) -> tuple[Tensor, ...]:
        """The gradients of all inputs, with ones above."""
        results = self._results(products)
        return torch.autograd.grad(
            results, self._inputs, [torch.ones_like(result) for result in results]
        )

    def _results(self, products: Products) -> tuple[Tensor, ...]:
        found = getattr(products, self.name)(*self._inputs)
        return found if isinstance(found, tuple) else (found,)


def make_operations(problem: Problem, pattern: Pattern) -> list[Operation]:
    """Each operation on features ``[4, N, 16]`` and on positive values ``[4, P]``."""
    q, k, v = (x.detach().transpose(0, 1).contiguous().abs().requires_grad_() for x in problem.qkv)
    generator = torch.Generator().manual_seed(0)
    value = torch.rand(q.shape[0], pattern.nnz, generator=generator).to(q.device).requires_grad_()
    return [
        Operation("sddmm", q, k),
        Operation("spmm", value, v),
        Operation("pairs", q, k, v, value),
    ]


def run(race: Race, progress: Progress = lambda _: None) -> Iterator[BodyTimes]:
    """Compare, graph by graph and operation by operation.

    A body whose results or gradients are not those of the one in use is told of and not timed.

    Args:
        race: what to compare.
        progress: is told what is going on, in short texts.

    Yields:
        A body on an operation; those that are not installed, or have no such operation of their
        own, say so or are left out.

    Example:
        >>> from graphmask.benchmark.bodies import Race, find_bodies, run
        >>> found = list(run(Race(find_bodies(["torch-int32"]), nodes=[64], rounds=3)))
        >>> [(each.operation, each.body) for each in found][:2]
        [('sddmm', 'in use'), ('sddmm', 'torch-int32')]
    """
    for nodes in race.nodes:
        for scene in race.scenes:
            progress(f"{scene.name}: the graph and its walks")
            problem = scene.make(nodes, race.seed, race.device)
            walks = ResampledWalks(budget=64, hops=8)(
                Topology(problem.edge_index, problem.num_nodes),
                torch.Generator().manual_seed(race.seed),
            )
            made, failed = _make(race.bodies, walks.pattern)
            blank = BodyTimes(scene.name, problem.num_nodes, walks.pattern.nnz, "", "")
            for operation in make_operations(problem, walks.pattern):
                progress(f"{scene.name}: {operation.name}")
                yield from _race(
                    operation, made, failed, race, replace(blank, operation=operation.name)
                )


def _make(bodies: Sequence[Body], pattern: Pattern) -> tuple[dict[str, Products], dict[str, str]]:
    """What the bodies that are installed have made, and why the others have nothing."""
    made = {body.name: body.make(pattern) for body in bodies if body.installed}
    return made, {body.name: "not installed" for body in bodies if not body.installed}


def _race(
    operation: Operation,
    made: dict[str, Products],
    failed: dict[str, str],
    race: Race,
    blank: BodyTimes,
) -> Iterator[BodyTimes]:
    runners = {
        name: products for name, products in made.items() if operation.call_of(products) is not None
    }
    faults = {
        name: _fault(operation, products, made[IN_USE.name]) for name, products in runners.items()
    }
    sound = [name for name in runners if not faults[name]]
    times = {}
    for kind, method in (("forward", operation.forward), ("both", operation.both)):
        calls = [partial(method, runners[name]) for name in sound]
        taken = time_in_turn(calls, race.rounds, race.time_limit, synchronizer(race.device))
        times[kind] = dict(zip(sound, taken, strict=True))
    for name in sound:
        yield replace(
            blank,
            body=name,
            forward=times["forward"][name],
            both=times["both"][name],
            forward_ratios=_over(times["forward"][name], times["forward"][IN_USE.name]),
            both_ratios=_over(times["both"][name], times["both"][IN_USE.name]),
        )
    for name, note in (faults | failed).items():
        if note:
            yield replace(blank, body=name, note=note)


def _over(seconds: Sequence[float], base: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(seconds, base, strict=True))


def _fault(operation: Operation, products: Products, base: Products) -> str:
    """Why a body cannot be timed.

    Empty where its results and gradients are those of the one in use.
    """
    try:
        for kind, method in (("results", operation.forward), ("gradients", operation.both)):
            for found, expected in zip(method(products), method(base), strict=True):
                wrong = float((found - expected).abs().max() / expected.abs().max())
                if not wrong <= _ROUNDING:
                    return f"its {kind} are off by {wrong:.2g} of the largest: not timed"
    except (RuntimeError, MemoryError, TypeError, ValueError, IndexError) as error:
        return explain(error).note
    return ""
