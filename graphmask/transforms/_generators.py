"""Generators that travel to worker processes as bytes.

A ``torch.Generator`` is pickled with its state as a tensor, which a spawned worker expects in
shared memory and cannot open.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

PackedGenerator: TypeAlias = tuple[str, bytes] | None


class CarriesGenerator:
    """Mixin of an object with an attribute ``generator``, a ``torch.Generator`` or None."""

    generator: torch.Generator | None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "generator": _pack(self.generator)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "generator": _unpack(state["generator"])}.items():
            setattr(self, name, value)


def _pack(generator: torch.Generator | None) -> PackedGenerator:
    if generator is None:
        return None
    return str(generator.device), generator.get_state().numpy().tobytes()


def _unpack(packed: PackedGenerator) -> torch.Generator | None:
    if packed is None:
        return None
    device, state = packed
    generator = torch.Generator(device)
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return generator
