"""The machine, its load, and the versions that a figure depends on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path

import psutil
import torch

from graphmask._checks import type_error, value_error
from graphmask.extras import version_of

GIB = 2**30


def describe_machine(threads: int | None = None) -> dict[str, str]:
    """Describe the machine and the versions in short texts.

    Args:
        threads: of the calls. (default: :obj:`None`, torch's own number)

    Returns:
        ``cpu``, ``cores``, ``threads``, ``memory``, ``gpu``, ``load`` (over the last minute),
        ``os``, ``python``, ``torch``, ``torch-geometric``, ``numba``, ``graphmask`` and ``date``
        (UTC).

    Example:
        >>> from graphmask._machine import describe_machine
        >>> describe_machine(threads=2)["threads"]
        '2'
    """
    return {
        "cpu": _cpu_model(),
        "cores": str(_usable_cores()),
        "threads": str(threads or torch.get_num_threads()),
        "memory": f"{total_memory() / GIB:.1f} GiB",
        "gpu": ", ".join(list_accelerators()) or "none",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "os": platform.platform(),
        "python": platform.python_version(),
        **{
            name: version_of(name) or "absent"
            for name in ("torch", "torch-geometric", "numba", "graphmask")
        },
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def summarize(machine: dict[str, str]) -> str:
    """Join the description into one line."""
    return "; ".join(f"{name} {value}" for name, value in machine.items())


def list_accelerators() -> list[str]:
    """List the accelerators that torch sees, CUDA devices with their memory."""
    if torch.cuda.is_available():
        devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return [f"{device.name} ({device.total_memory / GIB:.0f} GiB)" for device in devices]
    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    return [] if accelerator is None else [accelerator.type]


def total_memory(device: str | torch.device = "cpu") -> int:
    """Return the bytes of memory of the machine, or of a CUDA device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def check_device(device: str) -> None:
    """Raise an error unless the device is the CPU or a CUDA device that torch sees."""
    if not isinstance(device, str):
        raise type_error("device", "a string", device)
    try:
        device_type = torch.device(device).type
    except RuntimeError:
        device_type = ""
    if device_type not in ("cpu", "cuda"):
        raise value_error("device", "'cpu' or a CUDA device such as 'cuda' or 'cuda:1'", device)
    if device_type == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise value_error(
            "device", f"one of the {torch.cuda.device_count()} CUDA devices that torch sees", device
        )
