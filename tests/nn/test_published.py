"""The trained models of the repository are read, and their cards name what they are."""

from __future__ import annotations

import pytest
import torch
from scripts import ROOT

from graphmask.nn import TopologicalTransformer

FOLDERS = sorted(path.parent for path in (ROOT / "pretrained").glob("*/config.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_published_models_are_read(folder: object) -> None:
    model = TopologicalTransformer.from_pretrained(folder)
    count = sum(parameter.numel() for parameter in model.parameters())
    card = (folder / "README.md").read_text()
    assert f"of {count:,} parameters" in card
    assert f'from_pretrained("pretrained/{folder.name}")' in card
    assert (folder / "model.safetensors").stat().st_size < 2**21
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_there_are_published_models() -> None:
    assert FOLDERS
