"""Plots of the coefficients that masks have learned."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from graphmask._checks import type_error, value_error
from graphmask._deprecation import deprecated_alias
from graphmask._plots import make_figure
from graphmask.masks import Coefficients


def plot_hop_coefficients(model: nn.Module) -> Any:
    r"""Plot the learned coefficients of a model's masks: a panel per mask, a line per head.

    Masks are read as :math:`\sum_k \alpha_k W^k`; for masks that are products of factors, the lines
    are those of the factors' :math:`\alpha` or f, whichever is learned. The title of a panel names
    the family of the coefficients, and the legend the scale of a family that has one. The dotted
    line shows the values that the family starts from.

    Args:
        model: any module with masks on coefficients in it.

    Returns:
        A matplotlib figure.

    Raises:
        TypeError: where the model is no module.
        ValueError: where none of its masks has coefficients.
        MissingExtraError: without matplotlib.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.view import plot_hop_coefficients
        >>> mask = gm.masks.WalkMask(hops=3, heads=2, alpha=gm.masks.PageRank)
        >>> figure = plot_hop_coefficients(gm.nn.TopologicalAttention(8, heads=2, mask=mask))
        >>> [axes.get_title() for axes in figure.axes]
        ['mask.coefficients: PageRank']
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    modules = {name or type(model).__name__: module for name, module in model.named_modules()}
    panels = {name: x for name, x in modules.items() if isinstance(x, Coefficients)}
    if not panels:
        expected = "with a mask of learned coefficients in it, such as WalkMask"
        raise value_error("model", expected, type(model).__name__)
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = make_figure(4.2 * columns, 3.0 * lines)
    for index, (name, coefficients) in enumerate(panels.items()):
        _draw(figure.add_subplot(lines, columns, index + 1), name, coefficients)
    return figure


def _draw(axes: Any, name: str, coefficients: Coefficients) -> None:
    fresh = deepcopy(coefficients)
    fresh.reset_parameters()
    with torch.no_grad():
        learned, start = coefficients().cpu().tolist(), fresh()[0].cpu().tolist()
        scale = getattr(coefficients, "scale", None)
    hops = range(coefficients.hops + 1)
    for head, alpha in enumerate(learned):
        suffix = f": scale {float(scale[head]):.3g}" if isinstance(scale, Tensor) else ""
        axes.plot(hops, alpha, "o-", markersize=4, label=f"head {head}{suffix}")
    axes.plot(hops, start, ":", color="0.4", label="start")
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=0)
    axes.set_title(f"{name}: {type(coefficients).__name__}", fontsize=9)
    axes.set(xlabel="hop", ylabel="coefficient", xticks=list(hops))
    axes.legend(fontsize=7, frameon=False)


alphas = deprecated_alias("alphas", plot_hop_coefficients)
