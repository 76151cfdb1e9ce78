"""Peak memory of this process above a baseline, and a limit on its growth.

One class per kind of device.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from abc import ABC, abstractmethod
from pathlib import Path

import psutil
import torch

from graphmask._machine import total_memory

MIB = 2**20

# Parameters of glibc's mallopt, and the value of the first that glibc works its own way up to and
# no further.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 32 * MIB
_ANY = 2**30 - 1
_SMALL_BLOCK = 2**16

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Memory(ABC):
    """Memory of one device as this process uses it; a baseline is taken when it is made."""

    @abstractmethod
    def limit(self, growth: int) -> None:
        """Refuse allocations of more than ``growth`` bytes above the present."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the peak so far, and from here on see to it that only memory in use counts."""

    @abstractmethod
    def peak(self) -> float:
        """MiB above the baseline, at most since the last reset."""

    @abstractmethod
    def relax(self, keep: bool = False) -> None:
        """From here on time counts, not memory; ``keep``: nothing that is freed is given back."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all calls have ended."""

    @abstractmethod
    def release(self) -> None:
        """Give back what is kept but not used, where idle processes would starve the running one."""


class HostMemory(Memory):
    """Resident memory.

    The limit and the reset of the peak need Linux; elsewhere the peak is that of the whole process,
    and the limit is looked at after the call.
    """

    def __init__(self) -> None:
        _trim()
        self._baseline = _resident()

    def limit(self, growth: int) -> None:
        """By the kernel: allocations beyond it fail, in torch and elsewhere."""
        if sys.platform == "linux":
            import resource

            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + growth, hard))

    def reset(self) -> None:
        """By the kernel. What is freed is given back at once.

        The peak is not that of the allocator's habits.
        """
        _trim()
        _keep_freed(_SMALL_BLOCK)
        if _CLEAR.exists():
            # 5: the peak of the resident set becomes its present size.
            _CLEAR.write_text("5")

    def peak(self) -> float:
        """Of the resident set."""
        return max(_peak_resident() - self._baseline, 0) / MIB

    def relax(self, keep: bool = False) -> None:
        """As in a process that has run for a while.

        Freed blocks are kept at hand, but not the largest; or all of them.
        """
        _keep_freed(_ANY if keep else _LARGEST_KEPT)

    def synchronize(self) -> None:
        """Calls on the CPU have ended when they return."""

    def release(self) -> None:
        """Kept: a training loop would have its freed memory at hand, too."""


class CudaMemory(Memory):
    """What torch's allocator holds on a CUDA device."""

    def __init__(self, device: str = "cuda") -> None:
        # Some of torch's functions want a number, not "cuda".
        index = torch.device(device).index
        self._device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        gc.collect()
        self._baseline = torch.cuda.memory_allocated(self._device)

    def limit(self, growth: int) -> None:
        """By torch's allocator."""
        share = (torch.cuda.memory_reserved(self._device) + growth) / total_memory(self._device)
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0), self._device)

    def reset(self) -> None:
        """By torch's allocator."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> float:
        """Of tensors alone, without what the allocator keeps in reserve."""
        return max(torch.cuda.max_memory_allocated(self._device) - self._baseline, 0) / MIB

    def relax(self, keep: bool = False) -> None:
        """Nothing: torch's allocator counts what is in use."""

    def synchronize(self) -> None:
        """Calls return before they have ended."""
        torch.cuda.synchronize(self._device)

    def release(self) -> None:
        """The reserve: devices are shared by all contenders of a size."""
        torch.cuda.empty_cache()


def memory_of(device: str) -> Memory:
    """The memory of a device, with its baseline taken now."""
    return CudaMemory(device) if torch.device(device).type == "cuda" else HostMemory()


def _trim() -> None:
    gc.collect()
    _call_libc("malloc_trim", 0)


def _keep_freed(size: int) -> None:
    """Blocks of more than ``size`` bytes go back to the system when they are freed."""
    _call_libc("mallopt", _M_MMAP_THRESHOLD, size)
    _call_libc("mallopt", _M_TRIM_THRESHOLD, 2 * size)


def _call_libc(name: str, *arguments: int) -> None:
    """A function of glibc; where there is none, the peak holds what the allocator keeps."""
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function is not None:
        function(*arguments)


def _status(field: str) -> int:
    """Bytes of a field of Linux' process status."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def _resident() -> int:
    return _status("VmRSS") if _STATUS.exists() else psutil.Process().memory_info().rss


def _peak_resident() -> int:
    if _STATUS.exists():
        return _status("VmHWM")
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
