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
    act: Callable[[int], object]

    def build(self, problem: Problem, prepared: None) -> Workload:
        def call() -> Tensor:
            self.act(problem.num_nodes)
            return problem.x.sin()

        return Workload(call, (problem.x,))


class FakePrepared(Fake):
    """Acts while it prepares, not in the call."""

    def prepare(self, problem: Problem) -> bool:
        self.act(problem.num_nodes)
        return True

    def build(self, problem: Problem, prepared: bool) -> Workload:
        assert prepared
        return Workload(problem.x.sin, (problem.x,), entries=3 * problem.num_nodes)


def rest(nodes: int) -> None:
    pass


def sleep_from_256(nodes: int) -> None:
    time.sleep(60 if nodes >= 256 else 0)


def sleep_quadratically(nodes: int) -> None:
    time.sleep(3e-6 * nodes**2 if nodes > TRIAL_NODES else 0)


def sleep_20_ms(nodes: int) -> None:
    time.sleep(0.02 if nodes > TRIAL_NODES else 0)


def hoard_from_256(nodes: int) -> None:
    torch.ones(2**29 if nodes >= 256 else 1).sum()


def hoard_64_mib(nodes: int) -> None:
    torch.ones(2**24 if nodes > TRIAL_NODES else 1).sum()


def fail_from_256(nodes: int) -> None:
    if nodes >= 256:
        raise RuntimeError("the fake\nfailed")


def die_from_256(nodes: int) -> None:
    if nodes >= 256:
        os._exit(3)
