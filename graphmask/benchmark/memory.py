"""Peak memory of this process above a baseline, and a limit on its growth.

Both classes have the same methods. The baseline is taken by the constructor.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import psutil
import torch

from graphmask._allocator import M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, call_libc, keep_all
from graphmask._machine import total_memory

if sys.platform != "win32":
    import resource

    _DATA = resource.RLIMIT_DATA

MIB = 2**20

# The largest threshold, and the number of mapped blocks, that glibc chooses by itself.
_LARGEST_KEPT, _MANY = 32 * MIB, 2**16
_SMALL_BLOCK = 2**16

_CLEAR = Path("/proc/self/clear_refs")


class HostMemory:
    """Resident memory.

    The limit and the reset of the peak need Linux; elsewhere the peak is that of the whole process,
    and the limit is checked after the call.
    """

    def __init__(self) -> None:
        _trim()
        self._baseline = psutil.Process().memory_info().rss

    def limit(self, growth: int) -> None:
        """Let allocations of more than ``growth`` bytes above the present fail."""
        if sys.platform == "linux":
            present, hard = psutil.Process().memory_info().data, resource.getrlimit(_DATA)[1]
            resource.setrlimit(_DATA, (present + growth, hard))

    def reset(self) -> None:
        """Forget the peak so far, and measure memory in use without the allocator's reserve."""
        _trim()
        _keep_freed(_SMALL_BLOCK)
        if _CLEAR.exists():
            # 5 sets the peak of the resident set to its present size.
            _CLEAR.write_text("5")

    def peak(self) -> float:
        """Return MiB above the baseline, at most since the last reset."""
        return max(_peak_resident() - self._baseline, 0) / MIB

    def relax(self, keep: bool = False) -> None:
        """Keep freed blocks, as a long-running process does; all of them where ``keep``."""
        if keep:
            keep_all()
        else:
            _keep_freed(_LARGEST_KEPT)

    def synchronize(self) -> None:
        """Do nothing: calls on the CPU have ended when they return."""

    def release(self) -> None:
        """Do nothing: a training loop would keep its freed memory, too."""


class CudaMemory:
    """Memory of the tensors on a CUDA device, without what torch's allocator keeps in reserve."""

    def __init__(self, device: str = "cuda") -> None:
        # Some of torch's functions want a number, not "cuda".
        index = torch.device(device).index
        self._device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        gc.collect()
        self._baseline = torch.cuda.memory_allocated(self._device)

    def limit(self, growth: int) -> None:
        share = (torch.cuda.memory_reserved(self._device) + growth) / total_memory(self._device)
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0), self._device)

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> float:
        return max(torch.cuda.max_memory_allocated(self._device) - self._baseline, 0) / MIB

    def relax(self, keep: bool = False) -> None:
        """Do nothing: the reserve is not counted."""

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def release(self) -> None:
        # All processes of a size share the device.
        torch.cuda.empty_cache()


def memory_of(device: str) -> HostMemory | CudaMemory:
    """Take the baseline of a device's memory."""
    return CudaMemory(device) if torch.device(device).type == "cuda" else HostMemory()


def _trim() -> None:
    gc.collect()
    call_libc("malloc_trim", 0)


def _keep_freed(size: int) -> None:
    """Return blocks of more than ``size`` bytes to the system when they are freed.

    Without glibc the peak includes what the allocator keeps.
    """
    call_libc("mallopt", M_MMAP_MAX, _MANY)
    call_libc("mallopt", M_MMAP_THRESHOLD, size)
    call_libc("mallopt", M_TRIM_THRESHOLD, 2 * size)


def _peak_resident() -> int:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    # macOS counts bytes, other systems KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
