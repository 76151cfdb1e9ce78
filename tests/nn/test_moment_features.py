"""Moments under a mask without scores."""

from __future__ import annotations

import cases
import pytest
import torch
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.nn import MomentFeatures
from graphmask.testing import assert_batch_independent, assert_rotation_equivariant
from graphmask.testing.graphs import replace


def mask(heads: int = 2) -> gm.masks.PowerSeriesMask:
    return gm.masks.PowerSeriesMask(2, heads=heads, alpha=gm.masks.NonNegative)


@pytest.mark.parametrize("name", ["weighted", "ragged", "empty", "single"])
def test_features_are_the_definition(name: str) -> None:
    topology, layer = cases.placed()[name], MomentFeatures(mask(), gm.values.MomentInvariants())
    M = mask()(topology).to_dense()
    weight = M / M.sum(-1, keepdim=True)
    same = reference.global_mask(topology.num_nodes, topology.batch)[0]
    pos = topology.pos - same @ topology.pos / same.sum(1, keepdim=True)
    expected = reference.moment_invariants(weight, pos, layer.values.epsilon)
    assert layer.out_channels == 16
    assert_close(layer(topology), expected.flatten(1))
    first = MomentFeatures(mask(), gm.values.Moments())(topology)
    expected = reference.moments(weight, pos.new_empty(len(pos), 2, 0), pos, 1, 0)
    assert_close(first, expected.flatten(1))


def test_features_know_neither_pose_nor_batch_mates() -> None:
    layer, graphs = MomentFeatures(gm.masks.GlobalMask()), list(cases.placed().values())
    for topology in graphs:
        assert_rotation_equivariant(lambda x, topology: layer(topology), topology)
    assert_batch_independent(lambda x, topology: layer(topology), graphs, dtype=torch.float64)


def test_walks_are_drawn_and_coefficients_learn() -> None:
    walks = gm.masks.WalkMask(2, heads=2, alpha=gm.masks.NonNegative)
    layer, topology = MomentFeatures(walks), cases.placed()["weighted"]
    layer(topology).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    layer.reset_parameters()


def test_wrong_arguments_raise() -> None:
    topology = cases.placed()["ring"]
    with pytest.raises(TypeError, match="`topology` must be a Topology"):
        MomentFeatures(mask())(topology.edge_index)
    with pytest.raises(TypeError, match="`mask` must be a TopologicalMask"):
        MomentFeatures("global")
    with pytest.raises(ValueError, match="with positions"):
        MomentFeatures(mask())(replace(topology, pos=None))
    with pytest.raises(ValueError, match="`mask` must be non-negative"):
        MomentFeatures(-1.0 * gm.masks.GlobalMask())(topology)
