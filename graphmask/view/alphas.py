"""What masks have learned: the coefficients of each hop, per head, as lines."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from graphmask._checks import type_error, value_error
from graphmask.extras import require
from graphmask.masks import Coefficients

# In inches.
_WIDTH, _HEIGHT = 4.2, 3.0

_COLUMNS = 3


def alphas(model: nn.Module) -> Any:
    r"""The learned coefficients of a model's masks: a panel per mask, a line per head.

    Masks are read as :math:`\sum_k \alpha_k W^k`; of masks that are products of factors, the lines
    are those of the factors' :math:`\alpha` or f, whichever is learned. Each panel's title names
    the family of the coefficients, and the legend what is
    left of a family with one scale: the scale. The dotted line is what that family started from.

    Args:
        model: any module with masks on coefficients in it.

    Returns:
        A matplotlib figure.

    Raises:
        TypeError: where the model is no module.
        ValueError: where none of its masks has coefficients.
        MissingExtraError: without matplotlib.

    Cost: O(H K) per mask.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.view import alphas
        >>> model = gm.nn.TopologicalAttention(8, heads=2, mask=gm.masks.WalkMask(hops=3, heads=2, alpha=gm.masks.PageRank))
        >>> figure = alphas(model)
        >>> [axes.get_title() for axes in figure.axes]
        ['mask.coefficients: PageRank']
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    found = {
        name or type(model).__name__: each
        for name, each in model.named_modules()
        if isinstance(each, Coefficients)
    }
    if not found:
        raise value_error(
            "model",
            "with a mask of learned coefficients in it, such as WalkMask",
            type(model).__name__,
        )
    columns = min(len(found), _COLUMNS)
    lines = math.ceil(len(found) / columns)
    # A figure of its own, without pyplot: no window system is asked for and no global state is left
    # behind.
    figure = require("matplotlib.figure", extra="viz").Figure(
        figsize=(_WIDTH * columns, _HEIGHT * lines), layout="constrained"
    )
    for number, (name, each) in enumerate(found.items()):
        _draw(figure.add_subplot(lines, columns, number + 1), name, each)
    return figure


def _draw(axes: Any, name: str, coefficients: Coefficients) -> None:
    with torch.no_grad():
        learned, start = coefficients().cpu(), _start_of(coefficients)
        names = [_say(coefficients, head) for head in range(coefficients.heads)]
    hops = range(coefficients.hops + 1)
    for name_of_head, alpha in zip(names, learned.tolist(), strict=True):
        axes.plot(hops, alpha, "o-", markersize=4, label=name_of_head)
    axes.plot(hops, start.tolist(), ":", color="0.4", label="start")
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=0)
    axes.set_title(f"{name}: {type(coefficients).__name__}", fontsize=9)
    axes.set(xlabel="hop", ylabel="coefficient", xticks=list(hops))
    axes.legend(fontsize=7, frameon=False)


def _start_of(coefficients: Coefficients) -> Tensor:
    """What the first head started from.

    The family's own start is deterministic, so that a copy can be reset.
    """
    fresh = deepcopy(coefficients)
    fresh.reset_parameters()
    return fresh()[0].cpu()


def _say(coefficients: Coefficients, head: int) -> str:
    scale = getattr(coefficients, "scale", None)
    return (
        f"head {head}"
        if not isinstance(scale, Tensor)
        else f"head {head}: scale {float(scale[head]):.3g}"
    )
