"""Masks under autocast and in half precision: everything is computed in single precision."""

from __future__ import annotations

from copy import deepcopy

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import FourierMask, RFDMask, TopologicalMask
from graphmask.testing.graphs import astype

pytestmark = pytest.mark.usefixtures("single_by_default")
over_masks = pytest.mark.parametrize("case", cases.MASKS, ids=str)
over_halves = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)


def single(case: cases.Case) -> tuple[TopologicalMask, Topology]:
    mask = cases.seeded(case.make).float()
    return mask, mask.draw_walks(astype(list(case.topologies().values())[-1], torch.float32))


@over_masks
def test_autocast_changes_nothing(case: cases.Case) -> None:
    mask, graph = single(case)
    eye = torch.eye(graph.num_nodes)
    expected, dense = mask(graph) @ eye, mask(graph).to_dense()
    with torch.autocast("cpu", torch.bfloat16):
        operator = mask(graph)
        assert_close(operator @ eye, expected, rtol=0, atol=0)
        assert_close(operator.to_dense(), dense, rtol=0, atol=0)


@over_halves
@over_masks
def test_half_parameters_are_computed_with_in_single(case: cases.Case, half: torch.dtype) -> None:
    mask, graph = single(case)
    rounded, x = deepcopy(mask), torch.eye(graph.num_nodes)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.to(half).float()
    out, expected = mask.to(half)(graph) @ x, rounded(graph) @ x
    assert out.dtype == torch.float32
    assert_close(out, expected, rtol=0, atol=0)
    parameters = [weight for weight in mask.parameters() if weight.requires_grad]
    if parameters and out.requires_grad:
        grads = torch.autograd.grad(out.square().sum(), parameters)
        wide = [weight for weight in rounded.parameters() if weight.requires_grad]
        for grad, exact in zip(
            grads, torch.autograd.grad(expected.square().sum(), wide), strict=True
        ):
            assert_close(grad, exact.to(half))


@over_halves
@pytest.mark.parametrize("make", [RFDMask, FourierMask])
def test_frequencies_stay_single(make: type[TopologicalMask], half: torch.dtype) -> None:
    mask = make()
    expected = {name: buffer.clone() for name, buffer in mask.named_buffers()}
    assert {weight.dtype for weight in mask.to(half).parameters()} == {half}
    assert_close(dict(mask.named_buffers()), expected, rtol=0, atol=0)
    assert {buffer.dtype for buffer in mask.double().buffers()} == {torch.float64}
