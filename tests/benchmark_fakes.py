"""Implementations that misbehave, in a module that worker processes can import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmask.benchmark import Implementation, Problem, Workload

TRIAL_NODES = 64


@dataclass(frozen=True)
class Fake(Implementation):
    """Calls a function of the number of nodes in its call."""

    function: Callable[[int], object]

    def build(self, problem: Problem, prepared: None) -> Workload:
        def call() -> Tensor:
            self.function(problem.num_nodes)
            return problem.x.sin()

        return Workload(call, (problem.x,))


class FakePrepared(Fake):
    """Calls the function while it prepares."""

    def prepare(self, problem: Problem) -> bool:
        self.function(problem.num_nodes)
        return True

    def build(self, problem: Problem, prepared: bool) -> Workload:
        assert prepared
        return Workload(problem.x.sin, (problem.x,), entries=3 * problem.num_nodes)


def make_fake(function: Callable[[int], object], fake: type[Fake] = Fake) -> Fake:
    return fake(function.__name__, "", function)


def idle(nodes: int) -> None:
    pass


def sleep_from_256(nodes: int) -> None:
    time.sleep(60 if nodes >= 256 else 0)


def sleep_quadratically(nodes: int) -> None:
    time.sleep(3e-6 * nodes**2 if nodes > TRIAL_NODES else 0)


def sleep_half_a_second(nodes: int) -> None:
    time.sleep(0.5 if nodes > TRIAL_NODES else 0)


def allocate_from_256(nodes: int) -> None:
    torch.ones(2**29 if nodes >= 256 else 1).sum()


def allocate_64_mib(nodes: int) -> None:
    torch.ones(2**24 if nodes > TRIAL_NODES else 1).sum()


def fail_from_256(nodes: int) -> None:
    if nodes >= 256:
        raise RuntimeError("the fake\nfailed")


def exit_from_256(nodes: int) -> None:
    if nodes >= 256:
        os._exit(3)
