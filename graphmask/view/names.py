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

_MADE_OF_OTHERS = (
    "HadamardMask",
    "KroneckerMask",
    "ProductMask",
    "ScaledMask",
    "SumMask",
    "SymmetrizedMask",
    "TransposedMask",
    "TopologicalMask",
)


@cache
def known_masks() -> dict[str, type[TopologicalMask]]:
    """The masks that have a name of their own.

    Example:
        >>> from graphmask.view import known_masks
        >>> known_masks()["power-series"].__name__
        'PowerSeriesMask'
    """
    found = {
        name: getattr(masks, name)
        for name in masks.__all__
        if name.endswith("Mask") and name not in _MADE_OF_OTHERS
    }
    return {_spell(name.removesuffix("Mask")): kind for name, kind in found.items()}


def make_mask(text: str) -> TopologicalMask:
    """A mask from its name and arguments.

    Values are numbers, ``True``, ``False``, ``None``, shapes such as ``28x28``, and classes of
    :mod:`graphmask.masks` such as ``alpha=Diffusion``, with a starting scale as in
    ``alpha=Diffusion(2)``. ``budget=16`` is short for a ``ResampledWalks`` of that budget.

    Args:
        text: ``name`` or ``name:argument=value,argument=value``.

    Raises:
        ValueError: for an unknown name, and for arguments that the mask does not take or refuses.

    Example:
        >>> from graphmask.view import make_mask
        >>> make_mask("walk:hops=2,heads=3,alpha=Diffusion")
        WalkMask(hops=2, heads=3, alpha=Diffusion)
    """
    name, _, rest = text.partition(":")
    if name not in known_masks():
        raise value_error("mask", f"one of {', '.join(known_masks())}", name)
    kind, arguments = known_masks()[name], _read_arguments(text, rest)
    takes = inspect.signature(kind).parameters
    if "budget" in arguments and "sampler" in takes:
        hops = arguments.get("hops", takes["hops"].default)
        arguments["sampler"] = ResampledWalks(arguments.pop("budget"), hops)
    unknown = sorted(set(arguments) - set(takes))
    if unknown:
        raise value_error(
            "mask", f"{name} with some of the arguments {', '.join(takes)}", f"{text!r}"
        )
    missing = [each for each, facts in takes.items() if facts.default is facts.empty]
    if set(missing) - set(arguments):
        raise value_error(
            "mask",
            f"{name} with its {', '.join(missing)}, such as {name}:{missing[0]}=28x28",
            f"{text!r}",
        )
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _spell(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _read_arguments(text: str, rest: str) -> dict[str, Any]:
    pairs = [part.partition("=") for part in rest.split(",")] if rest else []
    if any(not name or not mark or not value for name, mark, value in pairs):
        raise value_error("mask", "name:argument=value,argument=value", f"{text!r}")
    return {name.strip(): _read_value(value.strip()) for name, _, value in pairs}


def _read_value(text: str) -> Any:
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    called = re.fullmatch(r"([A-Za-z]\w*)(?:\(([\d.e+-]+)\))?", text)
    kind = getattr(masks, called[1], None) if called else None
    if (
        called
        and isinstance(kind, type)
        and issubclass(kind, (Coefficients, DistanceFunction, EdgeFunction))
    ):
        return _with_scale(kind, called[2])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _with_scale(kind: Any, scale: str | None) -> Any:
    if scale is None:
        return kind
    if "scale" not in inspect.signature(kind).parameters:
        raise value_error("mask", f"{kind.__name__} without a scale", f"{kind.__name__}({scale})")
    return partial(kind, scale=float(scale))
