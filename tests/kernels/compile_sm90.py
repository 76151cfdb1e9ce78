"""Compiles all kernels for compute capability 9.0, without a GPU.

A script, since Triton must not interpret them here.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class AbsentGPU:
    """A driver of a GPU that is not there."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


kernels: dict[str, Any] = {}
run = JITFunction.run


def compile_only(self: JITFunction, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
    kernels[self.fn.__name__] = run(self, *args, grid=grid, warmup=True, **options)


def main() -> None:
    driver.set_active(AbsentGPU())
    JITFunction.run = compile_only
    from graphmask.kernels import Pattern, _pairs_triton, _spmm_triton
    from graphmask.kernels._options import Options

    nodes = 64
    row = torch.arange(nodes).repeat_interleave(40)
    pattern = Pattern.from_coo(row, torch.arange(40).repeat(nodes), (nodes, nodes))
    values = torch.zeros(4, pattern.nnz), None
    hops = torch.zeros(pattern.nnz, 9), torch.zeros(4, 9)
    for channels, dtype in ((16, torch.float32), (64, torch.bfloat16), (128, torch.float16)):
        q = torch.zeros(nodes, 4, channels, dtype=dtype).transpose(0, 1)
        size = torch.zeros(nodes, 4).mT
        grads = torch.zeros(nodes, 4, channels).transpose(0, 1), size, size
        for mask, normalized in product((values, hops), (False, True)):
            inputs = q, q, q, *mask, pattern.tensors, Options(normalized=normalized)
            _pairs_triton.attend(*inputs)
            _pairs_triton.differentiate_rows(*grads, *inputs)
            _pairs_triton.differentiate_columns(*grads, *inputs)
            if channels == 64:
                for name in ("_attend", "_differentiate_rows", "_differentiate_columns"):
                    ptx = kernels[name].asm["ptx"]
                    assert "ld.global.v4" in ptx, f"{name} does not read 16 bytes at once"
    x = torch.zeros(4, nodes, 300)
    _spmm_triton.spmm(values[0], x, *pattern.tensors)
    _spmm_triton.sddmm(x, x, *pattern.tensors)
    assert all(kernel.asm["cubin"] for kernel in kernels.values())
    print(*sorted(kernels))


if __name__ == "__main__":
    main()
