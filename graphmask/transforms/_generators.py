"""Generators that travel to worker processes as bytes.

A ``torch.Generator`` is pickled with its state as a tensor, which a spawned worker expects in
shared memory and cannot open.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from graphmask._checks import type_error
from graphmask._random import generator_from, seed_from

PackedGenerator: TypeAlias = tuple[str, bytes] | None


class CarriesGenerator:
    """Mixin of an object with an attribute ``generator``, a ``torch.Generator`` or None."""

    generator: torch.Generator | None
    _worker: tuple[int, torch.Generator | None] | None = None

    @property
    def source(self) -> torch.Generator | None:
        """The generator to draw from.

        Every worker process of a ``DataLoader`` has a copy of the generator as it was in the parent
        process, the same in all workers and epochs. In its place comes one by the generator's seed,
        that of the worker, which the loader draws anew in each epoch, and the printed form of this
        object: objects that share a generator draw other numbers.
        """
        info = get_worker_info()
        if info is None or self.generator is None:
            return self.generator
        if self._worker is None or self._worker[0] != info.seed:
            seed = self.generator.initial_seed() & (2**63 - 1)
            self._worker = (
                info.seed,
                generator_from(seed, info.seed, zlib.crc32(repr(self).encode())),
            )
        return self._worker[1]

    def uniform(self, *size: int) -> Tensor:
        """Uniform numbers from 0 to 1."""
        source = self.source
        if source is None:
            source = torch.Generator().manual_seed(seed_from(None))
        return torch.rand(size, generator=source, device=source.device)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "_worker"}
        return {**state, "generator": _pack(self.generator)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "generator": _unpack(state["generator"])}.items():
            setattr(self, name, value)


def check_generator(generator: torch.Generator | None) -> torch.Generator | None:
    """A generator, or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise type_error("generator", "a torch.Generator or None", generator)
    return generator


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
