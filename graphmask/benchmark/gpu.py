"""Attention by pairs on a GPU beside FlexAttention and SDPA: ``python -m graphmask.benchmark.gpu``.

Half precision (bfloat16), 8 heads of 64 channels, 64 entries in each row: a ring of nodes, each
with the 64 nearest, so that FlexAttention's blocks are as few as they can be. Times are medians of
single runs between CUDA events. Bandwidth counts what is gathered, keys and values of every entry,
against a copy of one GiB, which counts what it reads and writes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from graphmask.kernels import HopValues, Pattern, pair_attention

HEADS, CHANNELS, ENTRIES, HOPS = 8, 64, 64, 8
SIZES = (32_768, 1_048_576)

# Nodes up to which a dense bias, N^2 numbers per run, is built.
_DENSE = 32_768

_RUNS, _WARM_UP = 20, 5


class Timed(NamedTuple):
    """Milliseconds of one side."""

    nodes: int
    side: str
    forward: float
    both: float


def main() -> int:
    """Times all sides and prints them.

    Returns:
        0, or 2 where there is no GPU.
    """
    if not torch.cuda.is_available():
        print("graphmask.benchmark.gpu needs a CUDA device, and torch sees none", file=sys.stderr)
        return 2
    copied = time_copy()
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}; a copy moves {copied / 1e12:.2f} TB/s"
    )
    print(
        f"{'nodes':>9}  {'side':<16} {'forward ms':>10} {'fwd+bwd ms':>10} {'gathered TB/s':>13} {'of copy':>8}"
    )
    for nodes in SIZES:
        for timed in time_all(nodes):
            gathered = nodes * ENTRIES * HEADS * CHANNELS * 2 * 2 / (timed.forward / 1e3)
            share = (
                f"{gathered / 1e12:13.2f} {gathered / copied:8.2f}" if timed.side == "pairs" else ""
            )
            print(
                f"{nodes:>9}  {timed.side:<16} {timed.forward:>10.3f} {timed.both:>10.3f} {share}"
            )
    return 0


def ring(nodes: int, entries: int, device: str) -> Pattern:
    """Each node with the ``entries`` nodes around it."""
    row = torch.arange(nodes, device=device).unsqueeze(1)
    col = (row + torch.arange(entries, device=device) - entries // 2) % nodes
    counts = torch.full((nodes,), entries, device=device)
    return Pattern.from_counts(counts, col.sort(1).values.flatten(), nodes)


def time_all(nodes: int) -> list[Timed]:
    """All sides that serve so many nodes."""
    generator = torch.Generator("cuda").manual_seed(0)
    q, k, v = (
        torch.rand(nodes, HEADS, CHANNELS, device="cuda", dtype=torch.bfloat16, generator=generator)
        .transpose(0, 1)
        .requires_grad_()
        for _ in range(3)
    )
    found = [_time(nodes, "pairs", _pairs(nodes, q, k, v), (q, k, v))]
    found.append(_time(nodes, "FlexAttention", _flex(nodes, q, k, v), (q, k, v)))
    if nodes <= _DENSE:
        found.append(_time(nodes, "SDPA with a bias", _biased(nodes, q, k, v), (q, k, v)))
    return found


def time_copy(size: int = 2**30) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * size / (_milliseconds(lambda: target.copy_(source)) / 1e3)


def _pairs(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    pattern = ring(nodes, ENTRIES, "cuda")
    table = torch.rand(pattern.nnz, HOPS + 1, device="cuda")
    coefficients = torch.rand(HEADS, HOPS + 1, device="cuda").requires_grad_()

    def run() -> Tensor:
        numerator, normaliser = pair_attention(pattern, q, k, v, HopValues(table, coefficients))
        return numerator / normaliser.unsqueeze(-1)

    return run


def _flex(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(batch: Any, head: Any, i: Any, j: Any) -> Any:
        return (j - i + ENTRIES // 2) % nodes < ENTRIES

    blocks = create_block_mask(near, None, None, nodes, nodes, device="cuda", _compile=True)
    attend = torch.compile(flex_attention)
    return lambda: attend(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), block_mask=blocks)


def _biased(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    place = torch.arange(nodes, device="cuda")
    bias = torch.full((nodes, nodes), float("-inf"), device="cuda", dtype=torch.bfloat16)
    bias[
        place.unsqueeze(1),
        (place.unsqueeze(1) + torch.arange(ENTRIES, device="cuda") - ENTRIES // 2) % nodes,
    ] = 0
    return lambda: scaled_dot_product_attention(
        q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), attn_mask=bias
    )


def _time(nodes: int, side: str, attend: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> Timed:
    """Forward without a graph, and forward with the gradients of q, k and v."""
    above = torch.ones_like(attend())

    def both() -> None:
        torch.autograd.grad(attend(), leaves, above)

    with torch.no_grad():
        forward = _milliseconds(attend)
    return Timed(nodes, side, forward, _milliseconds(both))


def _milliseconds(run: Callable[[], object]) -> float:
    """The median of several runs, after a warm-up."""
    for _ in range(_WARM_UP):
        run()
    times = []
    for _ in range(_RUNS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return median(times)


if __name__ == "__main__":
    sys.exit(main())
