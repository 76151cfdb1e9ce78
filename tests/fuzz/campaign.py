"""A campaign: a function of a seed that raises where the library is wrong, run on many seeds."""

from __future__ import annotations

import random
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphmask.testing._numbers import default_dtype

T = TypeVar("T")


class Refused(Exception):
    """The library refused a case with an error that it documents."""


class Draw:
    """Random choices of one case, all from its seed."""

    def __init__(self, *seed: object) -> None:
        self.random = random.Random(repr(seed))
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(62))

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return self.random.randint(low, high)

    def choice(self, options: Iterable[T]) -> T:
        return self.random.choice(list(options))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(dtype)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(max(high, 1), shape, generator=self.generator)

    def permutation(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator)

    def parameters(self, module: torch.nn.Module, scale: float = 0.7) -> Any:
        """Return the module with random parameters of both signs."""
        for parameter in module.parameters():
            parameter.data.copy_(scale * self.normal(*parameter.shape))
        return module


@dataclass
class Report:
    """Cases run, cases that the library refused, and faults by the seed that repeats them."""

    name: str
    cases: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds: dict[str, list[int]] = {}
        for seed, text in self.faults.items():
            kinds.setdefault(kind_of(text), []).append(seed)
        lines = [
            f"{self.name}: {self.cases:,} cases, {sum(self.refused.values()):,} refused, "
            f"{len(self.faults):,} faults of {len(kinds)} kinds, {self.seconds:.0f} s"
        ]
        lines += [f"  refused {count:,}: {kind}" for kind, count in self.refused.most_common(12)]
        for seeds in sorted(kinds.values(), key=len, reverse=True):
            repeat = f"python -m tests.fuzz {self.name} --seed {seeds[0]} --cases 1"
            lines += [f"  {len(seeds)} x {repeat}", f"    {self.faults[seeds[0]]}"]
        return "\n".join(lines)


def kind_of(text: str) -> str:
    """Return the message without numbers and names of files: equal for cases of one kind."""
    return re.sub(r"\d[\d.e+-]*|/\S+", "#", text.splitlines()[0])[:90]


def run(
    name: str, case: Callable[[int], None], seeds: Sequence[int], verbose: bool = False
) -> Report:
    """Run a campaign on seeds; every exception of a case but :class:`Refused` is a fault."""
    report, start = Report(name), time.perf_counter()
    for seed in seeds:
        report.cases += 1
        try:
            with default_dtype(torch.float32):
                case(seed)
        except Refused as refusal:
            report.refused[kind_of(str(refusal))] += 1
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            report.faults[seed] = text
            if verbose:
                traceback.print_exc()
    report.seconds = time.perf_counter() - start
    return report
