"""Nothing in a layer reads a tensor's value on the host, or makes a shape of values.

No GPU waits, and graphs capture it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphmask.kernels import HopValues
from graphmask.masks import WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.operators import Dense, GlobalOperator, Pairs, SparseOperator
from graphmask.testing import example_topologies

WAITING = (
    "_local_scalar_dense", "nonzero", "nonzero_numpy", "masked_select", "equal", "is_nonzero",
    "bincount", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive",
    "_assert_async",
)  # fmt: skip


class NoWaiting(TorchDispatchMode):
    """Refuses what waits for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        sized = name != "repeat_interleave" or (kwargs or {}).get("output_size") is not None
        waits = name in WAITING or masked or not sized
        assert not waits, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


WAITS = (
    lambda x: x.max().item(),
    lambda x: x[x > 0],
    torch.nonzero,
    torch.unique,
    lambda x: torch.equal(x, x),
)


@pytest.mark.parametrize("wait", WAITS)
def test_waiting_is_noticed(wait: Callable[[torch.Tensor], Any]) -> None:
    x = torch.ones(3)
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        wait(x)


@pytest.mark.parametrize("case", cases.LAYERS, ids=str)
def test_layers_on_prepared_topologies(case: cases.Case) -> None:
    layer = cases.seeded(case.make).eval()
    topology = example_topologies()["ragged"]
    for module in layer.modules():
        topology = module.prepare(topology) if hasattr(module, "prepare") else topology
    x = torch.ones(topology.num_nodes, case.channels, requires_grad=True)
    layer(x, topology).sum().backward()  # structure that is made at first use
    with NoWaiting():
        layer(x, topology).square().sum().backward()


def test_attention_under_a_walk_mask_needs_no_first_use() -> None:
    mask = WalkMask(hops=2, heads=2)
    layer = cases.seeded(lambda: TopologicalAttention(4, 2, mask))
    topology = mask.prepare(example_topologies()["ragged"])
    x = torch.ones(topology.num_nodes, 4, requires_grad=True)
    with NoWaiting():
        layer(x, topology).square().sum().backward()


def test_values_made_from_hops_serve_all_uses_of_an_operator() -> None:
    """On a GPU masks hold them; here they are held by hand."""
    mask = WalkMask(hops=2, heads=2)
    topology = mask.prepare(example_topologies()["ragged"])
    (walks,) = topology.walk_sets
    coefficients = torch.tensor([[1.0, -0.5, 0.25], [0.5, 2.0, 1.0]], requires_grad=True)
    lazy = SparseOperator(topology, walks.pattern, HopValues(walks.table, coefficients))
    known = SparseOperator(topology, walks.pattern, walks.combine(coefficients))
    x = torch.linspace(0, 1, topology.num_nodes * 3).view(1, -1, 3).expand(2, -1, -1)
    for one, other in zip(
        _uses(lazy, x, Pairs(), Dense()), _uses(known, x, Pairs(), Dense()), strict=True
    ):
        torch.testing.assert_close(one, other)
        grads = [
            torch.autograd.grad(each.square().sum(), coefficients, retain_graph=True)
            for each in (one, other)
        ]
        torch.testing.assert_close(*grads)


def _uses(operator: Any, x: torch.Tensor, *executions: Any) -> list[torch.Tensor]:
    doubled = 2.0 * operator + operator.mT
    beside = GlobalOperator(operator.topology) + operator
    actual = [operator @ x, operator.mT @ x, operator.to_dense(), operator.lookup(operator.pattern)]
    actual += [
        doubled @ x,
        doubled.entries().value,
        doubled.attend(x, x, x).denominator,
        beside.attend(x, x, x).denominator,
    ]
    return actual + [operator.attend(x, x, x, each).numerator for each in executions]
