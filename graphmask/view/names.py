"""Masks by name, with their arguments, as the command line writes them: ``walk:hops=4,heads=2``."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache, partial
from typing import Any

from graphmask import masks
from graphmask._checks import value_error
from graphmask.masks import Coefficients, DistanceFunction, EdgeFunction, TopologicalMask
from graphmask.walks import ResampledWalks

# Masks of other masks, and the base class, are not made by name.
_COMBINATIONS = re.compile("Hadamard|Kronecker|Product|Scaled|Sum|Symmetrized|Transposed|Topolog")


@cache
def known_masks() -> dict[str, type[TopologicalMask]]:
    """The masks by the names that the command line takes.

    Example:
        >>> from graphmask.view import known_masks
        >>> known_masks()["power-series"].__name__
        'PowerSeriesMask'
    """
    names = [name.removesuffix("Mask") for name in masks.__all__ if name.endswith("Mask")]
    boundary = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
    return {
        boundary.sub("-", name).lower(): getattr(masks, f"{name}Mask")
        for name in names
        if not _COMBINATIONS.match(name)
    }


def make_mask(text: str) -> TopologicalMask:
    """Make a mask from its name and arguments.

    Values are numbers, ``True``, ``False``, ``None``, shapes such as ``28x28``, and classes of
    :mod:`graphmask.masks` such as ``alpha=Diffusion``, with a starting scale as in
    ``alpha=Diffusion(2)``. ``budget=16`` is short for a ``ResampledWalks`` of that budget.

    Args:
        text: ``name`` or ``name:argument=value,argument=value``.

    Raises:
        ValueError: for an unknown name, and for arguments that the mask does not take.

    Example:
        >>> from graphmask.view import make_mask
        >>> make_mask("walk:hops=2,heads=3,alpha=Diffusion")
        WalkMask(hops=2, heads=3, alpha=Diffusion)
    """
    name, _, rest = text.partition(":")
    if name not in known_masks():
        raise value_error("mask", f"one of {', '.join(known_masks())}", name)
    pairs = [item.split("=", 1) for item in rest.split(",")] if rest else []
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise value_error("mask", "name:argument=value,argument=value", f"{text!r}")
    arguments = {key.strip(): _read_value(value.strip()) for key, value in pairs}
    cls = known_masks()[name]
    parameters = inspect.signature(cls).parameters
    if "budget" in arguments and "sampler" in parameters:
        hops = arguments.get("hops", parameters["hops"].default)
        arguments["sampler"] = ResampledWalks(arguments.pop("budget"), hops)
    if not set(arguments) <= set(parameters):
        expected = f"{name} with some of the arguments {', '.join(parameters)}"
        raise value_error("mask", expected, f"{text!r}")
    required = [key for key, value in parameters.items() if value.default is value.empty]
    if not set(required) <= set(arguments):
        expected = f"{name} with its {', '.join(required)}, such as {name}:{required[0]}=28x28"
        raise value_error("mask", expected, f"{text!r}")
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _read_value(text: str) -> Any:
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    name, _, scale = text.removesuffix(")").partition("(")
    cls = getattr(masks, name, None)
    if inspect.isclass(cls) and issubclass(cls, (Coefficients, DistanceFunction, EdgeFunction)):
        if scale and "scale" not in inspect.signature(cls).parameters:
            raise value_error("mask", f"{name} without a scale", text)
        return partial(cls, scale=float(scale)) if scale else cls  # type: ignore[call-arg]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
