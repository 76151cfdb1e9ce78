"""Lines of learned coefficients: those that the masks hold, of every mask of a model."""

from __future__ import annotations

import pytest
import torch

import graphmask as gm
from graphmask.view import alphas

pytest.importorskip("matplotlib")


def test_lines_are_the_coefficients() -> None:
    mask = gm.masks.WalkMask(hops=4, heads=2, alpha=gm.masks.Diffusion)
    model = gm.nn.TopologicalTransformer(
        3, 8, 2, num_layers=2, heads=2, mask=mask + gm.masks.WalkMask(hops=2, heads=2)
    )
    learned = model.layers[1].attention.mask.masks[0].coefficients
    with torch.no_grad():
        learned.log_scale.copy_(torch.tensor([0.5, -1.0]))
    figure = alphas(model)
    assert len(figure.axes) == 4
    axes = next(
        each
        for each in figure.axes
        if each.get_title().startswith("layers.1") and "Diffusion" in each.get_title()
    )
    first, second, start, _ = (list(line.get_ydata()) for line in axes.get_lines())
    assert torch.allclose(torch.tensor([first, second], dtype=torch.float), learned(), atol=1e-6)
    assert torch.allclose(
        torch.tensor(start, dtype=torch.float), gm.masks.Diffusion(4)()[0], atol=1e-6
    )
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["head 0: scale 1.65", "head 1: scale 0.368", "start"]
    assert torch.allclose(
        learned.log_scale, torch.tensor([0.5, -1.0])
    )  # drawing resets a copy alone


def test_models_without_coefficients_are_refused() -> None:
    with pytest.raises(ValueError, match="with a mask of learned coefficients"):
        alphas(gm.nn.TopologicalAttention(8, 2, gm.masks.GlobalMask()))
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module"):
        alphas("model")
