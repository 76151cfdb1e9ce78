"""Each parameter of a model is in one group, with the weight decay of its kind."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from models import PATH, features, model
from torch import nn

from graphmask.features import LearnedFeatures, ReLU, UnitPlusCosine
from graphmask.masks import GlobalMask, OneHop, PowerSeriesMask
from graphmask.nn import SupportMax, parameter_groups
from graphmask.normalizers import DegreeScaled, RMSNormalizer
from graphmask.values import RotaryValues


@pytest.mark.parametrize("case", [*cases.LAYERS, *cases.MASKS, *cases.FEATURES], ids=str)
def test_each_parameter_is_in_one_group(case: cases.Case) -> None:
    module = cases.seeded(case.make)
    groups = parameter_groups(module, lr=0.1)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(map(id, module.parameters()))


def names_of(group: dict, module: nn.Module) -> set[str]:
    ids = set(map(id, group["params"]))
    return {name.split(".", 2)[-1] for name, value in module.named_parameters() if id(value) in ids}


def test_groups_have_the_decay_and_the_rate_of_their_kind() -> None:
    mask = PowerSeriesMask(1, 2, alpha=OneHop, edge_dim=3)
    transformer = model(
        mask=mask, feature_map=UnitPlusCosine(2), normalizer=RMSNormalizer(2), norm="batch_norm"
    )
    weights, vectors, masks = transformer.parameter_groups(0.1, mask_lr=0.5, weight_decay=0.2)
    settings = [(group["lr"], group["weight_decay"]) for group in (weights, vectors, masks)]
    assert settings == [(0.1, 0.2), (0.1, 0.0), (0.5, 0.0)]
    assert {"attention.qkv.weight", "attention.out.weight"} < names_of(weights, transformer)
    assert {"norm.module.weight", "attention.qkv.bias"} < names_of(vectors, transformer)
    assert names_of(masks, transformer) == {
        *(f"attention.mask.{name}" for name, _ in mask.named_parameters()),
        "attention.feature_map.gain",
        "attention.normalizer.gain",
    }


def test_frequencies_of_values_do_not_decay_and_convolutions_are_no_masks() -> None:
    transformer = model(
        mask=PowerSeriesMask(1, 2),
        conv=cases.seeded(lambda: SupportMax(4, 4)),
        feature_map=ReLU(),
        normalizer=DegreeScaled(2),
        values=RotaryValues(2, 2),
    )
    weights, vectors, masks = transformer.parameter_groups(0.1)
    assert "conv.lin.weight" in names_of(weights, transformer)
    assert {"attention.values.frequency", "conv.bias"} <= names_of(vectors, transformer)
    expected = {"attention.mask.alpha.raw", "attention.normalizer.weight"}
    assert names_of(masks, transformer) == expected


def test_layers_of_feature_maps_are_no_gains_and_empty_groups_are_left_out() -> None:
    groups = parameter_groups(cases.seeded(lambda: LearnedFeatures(2, 4)), lr=0.1)
    assert [group["name"] for group in groups] == ["weights", "vectors"]


def test_tied_parameters_are_named_once() -> None:
    tied = model(mask=GlobalMask())
    tied.layers[1] = tied.layers[0]
    found = [id(p) for group in tied.parameter_groups(0.1) for p in group["params"]]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_optimizers_take_them(optimizer: Callable) -> None:
    transformer = model(mask=PowerSeriesMask(1, 2))
    before = [parameter.detach().clone() for parameter in transformer.parameters()]
    stepping = optimizer(transformer.parameter_groups(0.1, mask_lr=0.0))
    transformer(features(3, 3), PATH).square().sum().backward()
    stepping.step()
    changed = {
        name: bool((parameter != old).any())
        for (name, parameter), old in zip(transformer.named_parameters(), before, strict=True)
    }
    assert not any(value for name, value in changed.items() if ".mask." in name)
    assert {changed["head.weight"], changed["encoder.bias"]} == {True}
