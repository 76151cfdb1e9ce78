"""Options of pair attention."""

from __future__ import annotations

from typing import NamedTuple

# The arguments by which operators receive options.
OPTIONS = "bool signed, bool normalized, bool exponentials, bool plus_one"


class Options(NamedTuple):
    """The sums that pair attention computes.

    Args:
        signed: whether the denominator sums absolute values of the mask, and not the mask itself.
        normalized: whether there is a denominator.
        exponentials: whether scores are exponentials of inner products, and not these.
        plus_one: whether scores are inner products plus one.
    """

    signed: bool = True
    normalized: bool = True
    exponentials: bool = False
    plus_one: bool = False
