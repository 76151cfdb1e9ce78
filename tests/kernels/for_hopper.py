"""Compiles all kernels for compute capability 9.0, without a GPU.

A script, since triton must not interpret them here.
"""

from __future__ import annotations

from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class Absent:
    """A driver of a GPU that is not there."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


made: dict[str, Any] = {}
run = JITFunction.run


def compile_only(self: JITFunction, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
    made[self.fn.__name__] = run(self, *args, grid=grid, warmup=True, **options)


def main() -> None:
    driver.set_active(Absent())
    JITFunction.run = compile_only
    from graphmask.kernels import Pattern, _pairs_triton, _spmm_triton

    nodes = 64
    row = torch.arange(nodes).repeat_interleave(40)
    pattern = Pattern.from_coo(row, torch.arange(40).repeat(nodes), (nodes, nodes))
    flipped = pattern.mT
    sides = pattern.rowptr, pattern.col, flipped.rowptr, flipped.col, pattern.order, flipped.order
    structure = _pairs_triton.Structure(*sides)
    for channels, kind in ((16, torch.float32), (64, torch.bfloat16), (128, torch.float16)):
        q, k, v = (torch.zeros(nodes, 4, channels, dtype=kind).transpose(0, 1) for _ in range(3))
        above, size = torch.zeros(nodes, 4, channels).transpose(0, 1), torch.zeros(nodes, 4).mT
        for mask in (
            (torch.zeros(4, pattern.nnz), None),
            (torch.zeros(pattern.nnz, 9), torch.zeros(4, 9)),
        ):
            _pairs_triton.attend(q, k, v, *mask, structure, True)
            _pairs_triton.differentiate_rows(above, size, q, k, v, *mask, structure, True)
            _pairs_triton.differentiate_columns(above, size, q, k, v, *mask, structure, True)
            if channels == 64:
                for name in ("_attend", "_differentiate_rows", "_differentiate_columns"):
                    assert "ld.global.v4" in made[name].asm["ptx"], (
                        f"{name} does not read 16 bytes at once"
                    )
    x = torch.zeros(4, nodes, 300)
    _spmm_triton.spmm(torch.zeros(4, pattern.nnz), x, *sides[:2], flipped.col, flipped.order)
    _spmm_triton.sddmm(x, x, pattern.col, flipped.col, flipped.order)
    assert all(each.asm["cubin"] for each in made.values())
    print(*sorted(made))


if __name__ == "__main__":
    main()
