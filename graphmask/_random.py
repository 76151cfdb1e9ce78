"""Counter-based random numbers: a pure function of a seed and of what the number is for.

A draw for (hop 3 of node 5) is the same whatever else is drawn, on every device: that is what makes
a graph's walks the same alone and inside any batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._precision import double_dtype, to_double

# Constants of the 64-bit finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as signed
# numbers.
_GOLDEN = -7046029254386353131
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685


def seed_from(generator: torch.Generator | None) -> int:
    """A 62-bit seed taken from a generator, or from the operating system where none is given."""
    if generator is None:
        return torch.Generator().seed() & (2**62 - 1)
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def generator_from(seed: int | None, *counters: int) -> torch.Generator | None:
    """A generator for what the counters number; :obj:`None` where there is no seed."""
    if seed is None:
        return None
    return torch.Generator().manual_seed(int(_shift(stream(seed, *counters), 1)))


def uniform(seed: int | Tensor, *counters: Tensor | int) -> Tensor:
    """Doubles in [0, 1), one for each position of the broadcast counters."""
    state = stream(seed, *counters)
    digits = 53 if double_dtype(state.device) == torch.float64 else 24
    return to_double(_shift(state, 64 - digits)) * 2.0**-digits


def stream(seed: int | Tensor, *counters: Tensor | int) -> Tensor:
    """Seeds for more counters: ``uniform(stream(seed, a), b)`` is ``uniform(seed, a, b)``."""
    state = torch.as_tensor(seed)
    for counter in counters:
        count = (
            counter.long()
            if isinstance(counter, Tensor)
            else torch.tensor(counter, device=state.device)
        )
        state = mix(state.to(count.device) + count * _GOLDEN)
    return state


def mix(x: Tensor) -> Tensor:
    """Integers with all 64 bits mixed, a bijection."""
    x = x.long() + _GOLDEN
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch shifts signed numbers arithmetically."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
