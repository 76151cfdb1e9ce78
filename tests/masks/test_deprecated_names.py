"""Old names of masks and of their arguments, which work and warn for one release."""

from __future__ import annotations

import pytest
import torch

from graphmask import masks
from graphmask.config import from_config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Hadamard", masks.HadamardMask),
        ("Kronecker", masks.KroneckerMask),
        ("MatrixProduct", masks.ProductMask),
        ("Symmetrized", masks.SymmetrizedMask),
        ("Transposed", masks.TransposedMask),
    ],
)
def test_old_classes_warn(old: str, new: type) -> None:
    with pytest.warns(DeprecationWarning, match=f"use `graphmask.masks.{new.__name__}`"):
        assert getattr(masks, old) is new
    with pytest.raises(AttributeError, match="has no attribute 'Unknown'"):
        _ = masks.Unknown


@pytest.mark.parametrize(
    ("cls", "old", "new", "value", "required"),
    [
        (masks.PowerSeriesMask, "order", "hops", 2, {}),
        (masks.ShortestPathMask, "max_hops", "hops", 2, {}),
        (masks.GridDiffusionMask, "t", "scale", 2.0, {"shape": 3}),
        (masks.HypercubeMask, "t", "scale", 2.0, {}),
    ],
)
def test_old_arguments_warn(cls: type, old: str, new: str, value: float, required: dict) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old}=\.\.\..*use `{cls.__name__}\({new}="):
        mask = cls(**required, **{old: value})
    assert torch.as_tensor(getattr(mask, new)).item() == pytest.approx(value)
    with (
        pytest.warns(DeprecationWarning, match=f"{new}="),
        pytest.raises(TypeError, match=f"`{old}` is the old name of `{new}`"),
    ):
        cls(**required, **{old: value, new: value})


def test_old_names_in_configs_warn() -> None:
    config = {"class": "graphmask.masks.Transposed", "arguments": {}}
    config["arguments"]["mask"] = {
        "class": "graphmask.masks.PowerSeriesMask",
        "arguments": {"order": 7, "heads": 2},
    }
    with (
        pytest.warns(DeprecationWarning, match="use `graphmask.masks.TransposedMask`"),
        pytest.warns(DeprecationWarning, match=r"use `PowerSeriesMask\(hops=...\)`"),
    ):
        mask = from_config(config)
    assert repr(mask) == "PowerSeriesMask(hops=7, heads=2, alpha=NonNegative).mT"


def test_old_attributes_warn() -> None:
    with pytest.warns(DeprecationWarning, match="use `ShortestPathMask.hops`"):
        assert masks.ShortestPathMask(hops=5).max_hops == 5
