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
_COMBINATIONS = (
    "HadamardMask",
    "KroneckerMask",
    "ProductMask",
    "ScaledMask",
    "SumMask",
    "SymmetrizedMask",
    "TransposedMask",
    "TopologicalMask",
)

_FAMILIES = (Coefficients, DistanceFunction, EdgeFunction)


@cache
def known_masks() -> dict[str, type[TopologicalMask]]:
    """The masks by the names that the command line takes.

    Example:
        >>> from graphmask.view import known_masks
        >>> known_masks()["power-series"].__name__
        'PowerSeriesMask'
    """
    names = [name for name in masks.__all__ if name.endswith("Mask") and name not in _COMBINATIONS]
    return {_hyphenate(name.removesuffix("Mask")): getattr(masks, name) for name in names}


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
    cls, arguments = known_masks()[name], _read_arguments(text, rest)
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


def _hyphenate(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _read_arguments(text: str, rest: str) -> dict[str, Any]:
    pairs = [item.split("=", 1) for item in rest.split(",")] if rest else []
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise value_error("mask", "name:argument=value,argument=value", f"{text!r}")
    return {name.strip(): _read_value(value.strip()) for name, value in pairs}


def _read_value(text: str) -> Any:
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    call = re.fullmatch(r"([A-Za-z]\w*)(?:\(([\d.e+-]+)\))?", text)
    cls = getattr(masks, call[1], None) if call else None
    if call and isinstance(cls, type) and issubclass(cls, _FAMILIES):
        return _with_scale(cls, call[2])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _with_scale(cls: Any, scale: str | None) -> Any:
    if scale is None:
        return cls
    if "scale" not in inspect.signature(cls).parameters:
        raise value_error("mask", f"{cls.__name__} without a scale", f"{cls.__name__}({scale})")
    return partial(cls, scale=float(scale))
