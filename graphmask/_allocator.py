"""Memory that large tensors free on the CPU, kept by the process for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

import torch

# Nodes from which tensors of a training step exceed what glibc keeps when they are freed.
LARGE = 2**14

# Parameters of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4


def keep_freed_memory(num_nodes: int, device: torch.device) -> None:
    """Keep all memory that this process frees, once it holds a large graph on the CPU.

    glibc returns blocks of more than 32 MiB to the system when they are freed, and every step then
    waits for the pages of new ones. Other allocators and systems are left as they are, and so is
    glibc where the environment has ``GRAPHMASK_KEEP_MEMORY=0`` or its own ``MALLOC_`` settings.
    """
    if not torch.compiler.is_compiling() and device.type == "cpu" and num_nodes >= LARGE:
        set_allocator()


@cache
def set_allocator() -> bool:
    """Keep freed memory from now on, unless the environment has settings; return whether."""
    is_set = any(name.startswith("MALLOC_") for name in os.environ)
    return not is_set and os.environ.get("GRAPHMASK_KEEP_MEMORY") != "0" and keep_all()


def keep_all() -> bool:
    """Take all blocks from the heap, and never return its end to the system."""
    return call_libc("mallopt", M_MMAP_MAX, 0) and call_libc("mallopt", M_TRIM_THRESHOLD, -1)


def call_libc(name: str, *arguments: int) -> bool:
    """Call a function of glibc with integers, and return whether it exists and returned not 0."""
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return function is not None and bool(function(*arguments))
