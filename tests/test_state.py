"""The state dict of a mask or feature map is all of its state, and tables keep their digits."""

from __future__ import annotations

from typing import Any

import cases
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

pytestmark = pytest.mark.usefixtures("single_by_default")

CHANNELS = 5  # of all registered feature maps
over_all = pytest.mark.parametrize("case", [*cases.MASKS, *cases.FEATURES], ids=str)


def outputs(module: Any, case: cases.Case) -> Any:
    if case in cases.MASKS:
        graph = list(case.topologies().values())[-1]
        return module(module.prepare(graph)).to_dense()
    x = torch.randn(5, CHANNELS, generator=torch.Generator().manual_seed(0))
    return module.queries(x), module.keys(x)


@over_all
def test_the_state_dict_is_all_of_the_state(case: cases.Case) -> None:
    trained = cases.scrambled(cases.seeded(case.make))
    empty = cases.seeded(case.make).to_empty(device="cpu")
    for tensor in (*empty.parameters(), *empty.buffers()):
        if tensor.is_floating_point():
            tensor.data.fill_(torch.nan)
    empty.load_state_dict(trained.state_dict())
    assert_close(outputs(empty, case), outputs(trained, case), rtol=0, atol=0)


@over_all
def test_tables_keep_their_digits_in_half_precision(case: cases.Case) -> None:
    module = cases.seeded(case.make)
    tables = {name: table.clone() for name, table in tables_of(module).items()}
    assert_close(tables_of(module.half()), tables, rtol=0, atol=0)
    assert {weight.dtype for weight in module.parameters()} <= {torch.float16}


def tables_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: x for name, x in module.named_buffers() if x.is_floating_point() and x.numel()}


def test_no_number_of_a_buffer_is_outside_of_the_state_dict() -> None:
    for module in cases.registered():
        if isinstance(module, nn.Module):
            names = {name for name, x in module.named_buffers() if x.numel()}
            assert names <= module.state_dict().keys(), module
