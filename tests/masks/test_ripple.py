"""Weights by rings of distance."""

from __future__ import annotations

import pytest
import torch
from cases.graphs import edgeless, generator
from cases.ripple import ripple
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.masks import Free, RippleMask, StickBreaking
from graphmask.operators import Lifted
from graphmask.operators.ripple import GridRippleOperator, RippleOperator, runs_by_pairs
from graphmask.testing import example_topologies


def kings_graph(rows: int, cols: int) -> gm.Topology:
    """Places of a grid, joined where a king moves: hops are Chebyshev distances."""
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(cols))
    distance = (place[:, None] - place[None]).abs().amax(-1)
    return gm.Topology((distance == 1).nonzero().mT, rows * cols)


def test_hops_of_kings_are_rings_of_grids() -> None:
    board = kings_graph(5, 6)
    by_hops, on_grid = ripple((0, 1, 3)), ripple((0, 1, 3), shape=(5, 6))
    assert_close(by_hops(board).to_dense(), on_grid(board).to_dense())


@pytest.mark.parametrize("shape", [(40,), (9, 11), (5, 4, 6)], ids=str)
def test_windows_and_pairs_attend_alike(shape: tuple[int, ...]) -> None:
    mask = ripple((0, 1, 4, 20), Free, shape=shape)
    grid = edgeless(torch.Size(shape).numel())
    q, k, v = torch.rand(3, grid.num_nodes, 2, 4, generator=torch.Generator().manual_seed(0))
    operator = mask(grid)
    x = v.transpose(0, 1)
    assert_close(operator @ x, operator.to_dense() @ x)
    assert_close(operator.mT @ x, operator.to_dense().mT @ x)
    sums = [
        gm.attention(
            q, k, v, operator, execution=execution, normalizer=gm.normalizers.Unnormalized()
        )
        for execution in (None, Lifted())
    ]
    assert_close(*sums)


def test_rounding_of_windows_is_that_of_sums_along_an_axis() -> None:
    """A small weight beside sums of 40,000 numbers, in single precision."""
    shape, radii = (200, 200), (0, 1)
    grid, alpha = edgeless(40_000), torch.tensor([[[1.0, 1.0, 0.0]]], dtype=torch.float32)
    x = torch.rand(40_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    actual, exact = (
        GridRippleOperator(grid, shape, radii, alpha.to(y.dtype)) @ y for y in (x, x.double())
    )
    assert ((actual - exact).abs() / exact).max() < 1e-4


def test_attention_chooses_pairs_where_these_are_few() -> None:
    plane, space = edgeless(64 * 64), edgeless(32**3)
    assert runs_by_pairs(plane, (64, 64), tuple(range(16)))
    assert runs_by_pairs(space, (32, 32, 32), tuple(range(4)))
    assert not runs_by_pairs(space, (32, 32, 32), (0, 12))
    assert isinstance(ripple()(example_topologies()["ring"]), RippleOperator)


@pytest.mark.parametrize("channels", [None, 3])
def test_wide_rings_of_any_sign_are_attended(channels: int | None) -> None:
    """Denominators of absolute weights, where near pairs are too many and grids are large."""
    grid = edgeless(144).with_features(torch.randn(144, 3, generator=generator(1)))
    mask = ripple((9,), Free, shape=(12, 12), channels=channels)
    inputs = [torch.randn(144, 2, 4, generator=generator(i), requires_grad=True) for i in (2, 3, 4)]
    q, k, v = inputs
    above = torch.randn(144, 2, 4, generator=generator(5))
    assert not runs_by_pairs(grid, (12, 12), (9,))
    for operator in (mask(grid), mask(grid).mT):
        operands = [*inputs, *mask.parameters()]
        out = gm.attention(q, k, v, operator)
        features = (x.relu() + 1e-3 for x in (q, k))
        expected = reference.attention(*features, v, operator.to_dense())
        assert_close(out, expected)
        found, exact = (
            torch.autograd.grad((x * above).sum(), operands, retain_graph=True)
            for x in (out, expected)
        )
        assert_close(found, exact)


def test_weights_break_a_stick() -> None:
    weights = StickBreaking(hops=30, heads=2)()
    assert_close(weights.sum(1), torch.ones(2))
    assert_close(weights[:, 1:-1], weights[:, :-2] / 2)
    extreme = StickBreaking(hops=3)
    extreme.raw.data = torch.tensor([[-200.0, 200.0, 0.0]])
    assert_close(extreme()[0, :2], torch.tensor([0.0, 1.0]))


def test_wrong_arguments_are_named() -> None:
    for radii in ((), (2, 1), (-1, 2), "12"):
        with pytest.raises(ValueError, match="`radii` must be"):
            RippleMask(radii)
    with pytest.raises(ValueError, match="`shape` must be of 1 or 2 or 3 axes"):
        RippleMask(2, shape=(2, 2, 2, 2))
    with pytest.raises(ValueError, match="of graphs of 2 x 3 = 6 nodes each"):
        RippleMask(2, shape=(2, 3))(edgeless(7))
    with pytest.raises(ValueError, match="with features"):
        RippleMask(2, shape=(2, 3), channels=4)(edgeless(6))
