"""Files of tensors that are mapped into memory, in the format of safetensors.

Written and read here, since memory mapping needs no more than a header.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphmask._atomic import replacing

_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_ALIGNMENT = 8


def can_save(tensor: Tensor) -> bool:
    """Return True if a file can hold tensors of this type."""
    return tensor.dtype in _CODES and tensor.layout == torch.strided


def save_tensors(path: Path, tensors: Mapping[str, Tensor], owner: str) -> None:
    """Write tensors to a file that appears whole; ``owner`` names the graph that they are of."""
    # From large numbers to small ones, so that all are aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header: dict[str, object] = {"__metadata__": {"owner": owner}}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end = start + tensor.numel() * tensor.itemsize
        header[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with replacing(path) as aside, aside.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(bytes_of(tensors[name]))


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor as they lie in memory, row by row."""
    flat = tensor.detach().cpu().contiguous()
    # A tensor of one number is contiguous whatever its strides.
    return flat.as_strided((flat.numel(),), (1,)).view(torch.uint8).numpy().data


def map_tensors(path: Path, owner: str) -> dict[str, Tensor]:
    """The tensors of a file, whose values are read when they are used.

    Raises:
        FileNotFoundError: for a file that is missing.
        ValueError: for a damaged file, or one of another owner.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: write the graph again with `shard`")
    size = path.stat().st_size
    if size < 8:
        raise damaged(path, f"it has {size} bytes")
    content = np.memmap(path, np.uint8, mode="c")
    first = 8 + int.from_bytes(content[:8].tobytes(), "little")
    if first > size:
        raise damaged(path, "its header is cut off")
    try:
        header = json.loads(content[8:first].tobytes())
        found = header.pop("__metadata__")["owner"]
        ends = [field["data_offsets"][1] for field in header.values()]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    if found != owner:
        raise ValueError(f"{path} belongs to another graph: write the graph again with `shard`")
    if first + max(ends, default=0) != size:
        raise damaged(path, f"it has {size:,} bytes, not {first + max(ends, default=0):,}")
    return {name: _map(content, first, **field) for name, field in header.items()}


def _map(
    content: np.ndarray, first: int, dtype: str, shape: list[int], data_offsets: list[int]
) -> Tensor:
    if not math.prod(shape):
        return torch.empty(shape, dtype=_DTYPES[dtype])
    offset, count = first + data_offsets[0], math.prod(shape)
    flat = torch.frombuffer(content, dtype=_DTYPES[dtype], count=count, offset=offset)
    return flat.view(shape)


def damaged(path: Path, problem: str) -> ValueError:
    """The error for a damaged file."""
    return ValueError(f"{path} is damaged ({problem}): write the graph again with `shard`")
