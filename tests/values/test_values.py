"""Maps of values, under every mask and in every execution."""

from __future__ import annotations

import random
from typing import Any

import cases
import pytest
import torch
from builders import seeded
from cases.graphs import edgeless
from models import assert_compiles, attention, features
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.attention import attention_rows
from graphmask.features import (
    Identity,
    ReLU,
    SoftmaxScores,
    TrigonometricSoftmaxFeatures,
    UnitPlusCosine,
)
from graphmask.normalizers import RMSNormalizer, RowSums, Unnormalized
from graphmask.operators import Dense, Lifted, Pairs
from graphmask.testing import assert_rotation_equivariant
from graphmask.testing.graphs import astype, replace

EXECUTIONS = (None, Pairs(), Lifted(), Dense())


def qkv(n: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [
        torch.randn(n, 2, 4, generator=seeded(i), dtype=torch.float64).to(dtype) for i in range(3)
    ]


def centred(topology: gm.Topology) -> Tensor:
    """Positions about the mean of their graph, by definition."""
    same, pos = reference.global_mask(topology.num_nodes, topology.batch)[0], topology.pos.double()
    return pos - same @ pos / same.sum(1, keepdim=True)


def weights(q: Tensor, k: Tensor, dense: Tensor) -> Tensor:
    """``M_ij k(q_i, k_j)``, ``[H, N, N]``."""
    phi = [reference.relu_features(x, 1e-3) for x in (q, k)]
    return dense.double() * torch.einsum("ihm,jhm->hij", *phi)


def check(case: cases.ValueCase, operator: Any, dense: Tensor) -> None:
    """Outputs and their gradients are those of the definition, in all executions."""
    values, topology = case.make().double(), operator.topology
    if values.needs_nonnegative and not operator.nonnegative:
        return
    pos = topology.pos.double().requires_grad_()
    topology = operator.topology = replace(topology, pos=pos)
    inputs = [x.requires_grad_() for x in qkv(operator.num_nodes)]
    leaves = [*inputs, pos, *values.parameters()]
    q, k, v = inputs
    expected = case.reference(values, weights(q, k, dense), v, centred(topology))
    weight = torch.randn(expected.shape, generator=seeded(9), dtype=torch.float64)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    grads = torch.autograd.grad(expected, leaves, weight, True, materialize_grads=True)
    for execution in EXECUTIONS:
        if execution is None or execution.refusal(operator) is None:
            options = ReLU(), execution, Unnormalized(), values
            out = gm.attention(q, k, v, operator, *options)
            assert_close(out, expected, **tolerance)
            actual = torch.autograd.grad(out, leaves, weight, True, materialize_grads=True)
            assert_close(actual, grads, **tolerance)


@pytest.mark.parametrize("case", cases.MASKS, ids=str)
def test_attention_is_its_definition_under_every_mask(case: cases.Case) -> None:
    mask = case.make().double()
    for topology in list(case.topologies().values())[-2:]:
        topology = mask.prepare(astype(cases.with_positions(topology), torch.float64))
        with torch.no_grad():
            operator, dense = mask(topology), cases.mask_reference(mask, topology)
        (value_case,) = random.Random(f"{case}{topology.num_nodes}").sample(cases.VALUES, 1)
        check(value_case, operator, dense)


@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_every_map_is_its_definition(case: cases.ValueCase) -> None:
    for name, topology in cases.placed().items():
        mask = gm.masks.PowerSeriesMask(2, heads=2, alpha=gm.masks.NonNegative)
        topology = replace(topology, edge_weight=None) if name == "signed" else topology
        for make in (mask.double(), gm.masks.GlobalMask()):
            with torch.no_grad():
                operator = make(astype(topology, torch.float64))
                dense = operator.to_dense()
            check(case, operator, dense)


@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_normalizers_divide_what_is_decoded(case: cases.ValueCase) -> None:
    topology = cases.placed()["ragged"]
    operator, (q, k, v) = gm.masks.GlobalMask()(topology), qkv(topology.num_nodes)
    values = case.make().double()
    a = weights(q, k, operator.to_dense())
    sums = case.reference(values, a, v, centred(topology))
    mean = case.reference(values, a / a.sum(-1, keepdim=True), v, centred(topology))
    norm = RMSNormalizer(2).double()
    for normalizer, expected in ((RowSums(), mean), (norm, norm(sums, None))):
        if case.make().needs_nonnegative and normalizer is norm:
            continue
        out = gm.attention(q, k, v, operator, ReLU(), None, normalizer, values)
        assert_close(out, expected)
    rows = attention_rows(q, k, operator, torch.arange(len(q)), ReLU()).transpose(0, 1)
    encoded = values(v, topology)
    decoded = encoded.decode(torch.einsum("hij,jhd->ihd", rows, encoded.values))
    both = [x for x in decoded if x is not None]
    assert_close(torch.cat(both, -1), mean)


@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_positions_far_from_the_origin_lose_no_more_digits(case: cases.ValueCase) -> None:
    """All positions move by a million, in single precision, in two interleaved graphs."""
    pos = torch.rand(40, 3, generator=seeded(), dtype=torch.float64) * 100
    batch, none = torch.arange(40) % 2, torch.empty(2, 0, dtype=torch.long)
    far = (pos + 1e6).float()
    near = far.double() - 1e6
    q, k, v = qkv(40, torch.float32)
    outputs = []
    for place in (far, near.float(), near):
        topology = gm.Topology(none, 40, batch=batch, pos=place)
        operator = gm.masks.GlobalMask()(topology)
        outputs.append(gm.attention(q, k, v, operator, values=case.make()))
    assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)
    assert_close(outputs[0], outputs[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in cases.VALUES if case.turn], ids=str)
def test_outputs_turn_with_positions(case: cases.ValueCase) -> None:
    mask = gm.masks.PowerSeriesMask(2, heads=2, alpha=gm.masks.NonNegative)
    values = case.make()

    def run(x: Tensor, topology: gm.Topology) -> Tensor:
        x = x.unflatten(1, (2, 4))
        return gm.attention(x, x, x, mask(topology), values=values)

    for topology in cases.placed().values():
        if topology.nonnegative:
            assert_rotation_equivariant(run, topology, 8, case.turn)


def test_second_moments_of_centimetres_keep_their_digits_in_a_scene_of_a_kilometre() -> None:
    """Products of positions are up to 250,000, those of offsets 0.0001."""
    place = torch.tensor([[0.0, 0, 0], [1000, 0, 0]]).repeat_interleave(5, 0)
    pos = place + 0.01 * torch.randn(10, 3, generator=seeded())
    near = torch.combinations(torch.arange(5)).mT
    edges = torch.cat([near, near.flip(0), near + 5, near.flip(0) + 5], 1)
    topology = gm.Topology(edges, pos=pos.float())
    ones = torch.ones(10, 1, 1, dtype=torch.float32)
    operator, values = gm.masks.PowerSeriesMask(1)(topology), gm.values.Moments(order=2)
    out = gm.attention(ones, ones, ones, operator, ReLU(0), None, Unnormalized(), values)
    assert out.dtype == torch.float32
    expected = reference.moments(operator.to_dense(), ones, pos.float(), 2, 0)
    assert_close(out, expected.float(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_phases_and_positions_are_wide_in_half_precision(
    case: cases.ValueCase, dtype: torch.dtype
) -> None:
    """Half of it would be lost at positions of 1,000."""
    topology = cases.placed()["ragged"]
    topology = replace(topology, pos=1000 + topology.pos)
    operator, values = gm.masks.GlobalMask()(topology), case.make()
    half = qkv(topology.num_nodes, dtype)
    wide = [x.double() for x in half]
    expected = gm.attention(*wide, operator, values=values).detach()
    out = gm.attention(*half, operator, values=values)
    assert out.dtype == dtype
    scale = 1 + float(expected.abs().max())
    assert_close(out.double(), expected, rtol=0, atol=8 * torch.finfo(dtype).eps * scale)
    with torch.autocast("cpu", torch.bfloat16):
        single = gm.attention(*(x.float() for x in half), operator, values=values)
    assert_close(single.double(), expected, rtol=0, atol=1e-5 * scale)
    out = gm.attention(*half, operator, values=values.to(dtype))
    assert out.isfinite().all()


def test_turning_positions_and_frequencies_changes_nothing() -> None:
    topology = cases.placed()["weighted"]
    values, (q, k, v) = gm.values.RotaryValues(2, 4).double(), qkv(topology.num_nodes)
    operator = gm.masks.GlobalMask()
    expected = gm.attention(q, k, v, operator(topology), values=values)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(), dtype=torch.float64)).Q
    values.frequency.data = values.frequency.data @ turn.mT
    turned = replace(topology, pos=topology.pos @ turn.mT)
    assert_close(gm.attention(q, k, v, operator(turned), values=values), expected)


def test_frequencies_are_random_directions_of_given_lengths() -> None:
    values = gm.values.RotaryValues(3, 8, dim=2, lowest=0.5, highest=4.0)
    assert_close(values.frequency.norm(dim=-1), torch.tensor([0.5, 1, 2, 4]).expand(3, 4))
    other = gm.values.RotaryValues(3, 8, dim=2, lowest=0.5, highest=4.0, seed=1)
    assert (other.frequency != values.frequency).any(-1).all()


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (0, 0), (0, 3, 0)], ids=str)
@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_graphs_without_nodes_or_neighbours(case: cases.ValueCase, sizes: tuple[int, ...]) -> None:
    topology = cases.with_positions(edgeless(*sizes))
    values = case.make()
    inputs = [x.float().requires_grad_() for x in qkv(topology.num_nodes)]
    for mask in (gm.masks.GlobalMask(), 0.0 * gm.masks.GlobalMask()):
        out = gm.attention(*inputs, mask(topology), values=values)
        assert out.shape == (topology.num_nodes, 2, values.out_channels(4))
        grads = torch.autograd.grad(out.sum(), inputs, materialize_grads=True)
        assert all(x.isfinite().all() for x in (out, *grads))


def test_layers_and_models_learn_maps_of_values() -> None:
    topology = cases.placed()["ragged"]
    rotary = gm.values.RotaryValues(2, 4)
    model = cases.seeded(
        lambda: gm.nn.TopologicalTransformer(3, 8, 5, 2, 2, gm.masks.GlobalMask(), values=rotary)
    )
    x = torch.randn(topology.num_nodes, 3, generator=seeded(), dtype=torch.float64)
    model(x, topology).sum().backward()
    first, second = (layer.attention.values.frequency for layer in model.layers)
    assert first is not second
    assert first.grad.abs().sum() > 0
    with pytest.raises(
        ValueError, match=r"`topology` must be with positions: Topology\(.*, pos=\)"
    ):
        model(x, topology.edge_index, batch=topology.batch)


def test_layers_with_maps_of_values_compile_as_one_graph() -> None:
    (case,) = (case for case in cases.VALUES if case.name == "all")
    mask = gm.masks.WalkMask(2, heads=2, alpha=gm.masks.NonNegative)
    layer = attention(mask, channels=8, values=case.make())
    assert_compiles(layer, features(23, 8), cases.placed()["ragged"])


HEADS, CLOUD = qkv(5, torch.float32), cases.with_positions(edgeless(5))
FLAT = replace(CLOUD, pos=CLOUD.pos[:, :2])


def attend(values: Any, topology: gm.Topology = CLOUD, mask: Any = None, **options: Any) -> Tensor:
    mask = gm.masks.GlobalMask() if mask is None else mask
    return gm.attention(*HEADS, mask(topology), values=values, **options)


ERRORS = {
    "pos": (lambda: attend(gm.values.RotaryValues(2, 4), edgeless(5)), "with positions"),
    "dim": (
        lambda: attend(gm.values.RotaryValues(2, 4), FLAT),
        r"positions of dimension 3, as `dim`, got pos of shape \[5, 2\]",
    ),
    "heads": (lambda: attend(gm.values.RotaryValues(1, 4)), "with H, d = 1, 4, as RotaryValues"),
    "channels": (lambda: attend(gm.values.RotaryValues(2, 8)), "H, d = 2, 8"),
    "odd": (lambda: gm.values.RotaryValues(2, 3), "`channels` must be even, got 3"),
    "lowest": (lambda: gm.values.RotaryValues(2, 4, lowest=0), "`lowest` must be positive"),
    "highest": (lambda: gm.values.RotaryValues(2, 4, highest=0.5), r"`highest` must be in \[1.0"),
    "order": (lambda: gm.values.Moments(order=3), "`order` must be 1 or 2, got 3"),
    "few": (lambda: attend(gm.values.Moments(channels=5)), "`v` must be of at least 5 channels"),
    "epsilon": (lambda: gm.values.MomentInvariants(epsilon=0), "`epsilon` must be positive"),
    "signed mask": (
        lambda: attend(gm.values.MomentInvariants(), mask=-1.0 * gm.masks.GlobalMask()),
        r"`mask` must be non-negative, and so must scores, for MomentInvariants\(dim=3",
    ),
    "signed scores": (
        lambda: attend(gm.values.MomentInvariants(), feature_map=Identity()),
        "`mask` must be non-negative, and so must scores.*scores of Identity",
    ),
    "estimated mask": (
        lambda: attend(gm.values.MomentInvariants(), mask=gm.masks.RFDMask(heads=2)),
        "`mask` must be non-negative",
    ),
    "estimated scores": (
        lambda: attend(
            gm.values.MomentInvariants(), feature_map=TrigonometricSoftmaxFeatures(4, 8)
        ),
        "scores of TrigonometricSoftmaxFeatures",
    ),
    "none": (lambda: gm.values.Compose([]), "`maps` must be value maps, got none"),
    "kind": (lambda: attend("rotary"), r"`values` must be a ValueMap, such as RelativeValues\(\)"),
    "part": (lambda: gm.values.Compose([RowSums()]), "`values` must be a ValueMap"),
}


@pytest.mark.parametrize("phi", [UnitPlusCosine(2), SoftmaxScores()], ids=repr)
def test_invariants_serve_scores_that_are_positive(phi: Any) -> None:
    assert attend(gm.values.MomentInvariants(), feature_map=phi).isfinite().all()


@pytest.mark.parametrize("name", ERRORS)
def test_wrong_arguments_raise(name: str) -> None:
    call, message = ERRORS[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
