"""Attention by pairs on a GPU beside FlexAttention and SDPA with a bias.

Half precision (bfloat16), 8 heads of 64 channels, 64 entries in each row: a ring of nodes, each
with the 64 nearest, so that FlexAttention's blocks are as few as they can be. Times are medians of
single runs between CUDA events. Bandwidth counts what is gathered, keys and values of every entry,
against a copy, which counts what it reads and writes. Without a GPU only ``--smoke`` runs, on the
CPU. No GPU has run it yet: its figures belong into docs/performance.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import torch
from runner import Row, Study, numbers, print_table
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from graphmask.kernels import HopValues, Pattern, pair_attention

HEADS, CHANNELS, ENTRIES, HOPS = 8, 64, 64, 8

# Nodes up to which a dense bias, N^2 numbers per run, is built.
DENSE = 32_768


def ring(nodes: int, device: str) -> Pattern:
    """Join each node with the 64 nodes around it."""
    row = torch.arange(nodes, device=device).unsqueeze(1)
    col = (row + torch.arange(ENTRIES, device=device) - ENTRIES // 2) % nodes
    counts = torch.full((nodes,), ENTRIES, device=device)
    return Pattern.from_counts(counts, col.sort(1).values.flatten(), nodes)


def compare(nodes: int, device: str, runs: int) -> Iterator[Row]:
    """Yield milliseconds of every implementation, forward, and with the gradients of q, k and v."""
    generator = torch.Generator(device).manual_seed(0)
    shape, options = (nodes, HEADS, CHANNELS), {"device": device, "generator": generator}
    q, k, v = (
        torch.rand(shape, dtype=torch.bfloat16, **options).transpose(0, 1).requires_grad_()  # type: ignore[arg-type]
        for _ in range(3)
    )
    attends = {"pairs": by_pairs(nodes, q, k, v)}
    if device == "cuda":
        attends["FlexAttention"] = by_flex_attention(nodes, q, k, v)
    if nodes <= DENSE:
        attends["SDPA with a bias"] = by_bias(nodes, q, k, v)
    copied = copy_rate(device, runs)
    for name, attend in attends.items():
        forward, both = time_attention(attend, (q, k, v), device, runs)
        gathered = nodes * ENTRIES * HEADS * CHANNELS * 2 * 2 / (forward / 1e3)
        pairs = name == "pairs"
        yield {
            "nodes": nodes,
            "implementation": name,
            "forward_ms": forward,
            "both_ms": both,
            "gathered_tb_s": gathered / 1e12 if pairs else None,
            "of_copy": gathered / copied if pairs else None,
        }


def time_attention(
    attend: Callable[[], Tensor], leaves: Sequence[Tensor], device: str, runs: int
) -> tuple[float, float]:
    """Time forward without a graph, and forward with the gradients of the leaves."""
    with torch.no_grad():
        forward = milliseconds(attend, device, runs)
    grad_output = torch.ones_like(attend())
    return forward, milliseconds(
        lambda: torch.autograd.grad(attend(), leaves, grad_output), device, runs
    )


def by_pairs(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    """Attend by this library's kernel, mask values from hops."""
    pattern = ring(nodes, q.device.type)
    table = torch.rand(pattern.nnz, HOPS + 1, device=q.device)
    coefficients = torch.rand(HEADS, HOPS + 1, device=q.device).requires_grad_()

    def attend() -> Tensor:
        numerator, denominator = pair_attention(pattern, q, k, v, HopValues(table, coefficients))
        return numerator / denominator.unsqueeze(-1)

    return attend


def by_flex_attention(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    """Attend by torch's compiled block-sparse kernel."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(batch: Any, head: Any, i: Any, j: Any) -> Any:
        return (j - i + ENTRIES // 2) % nodes < ENTRIES

    blocks = create_block_mask(near, None, None, nodes, nodes, device="cuda", _compile=True)
    attend = torch.compile(flex_attention)
    return lambda: attend(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), block_mask=blocks)


def by_bias(nodes: int, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    """Attend by dense softmax attention with minus infinity off the ring."""
    node = torch.arange(nodes, device=q.device).unsqueeze(1)
    near = (node + torch.arange(ENTRIES, device=q.device) - ENTRIES // 2) % nodes
    bias = torch.full((nodes, nodes), float("-inf"), device=q.device, dtype=torch.bfloat16)
    bias[node, near] = 0
    return lambda: scaled_dot_product_attention(
        q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), attn_mask=bias
    )


def copy_rate(device: str, runs: int, size: int = 2**26) -> float:
    """Measure bytes per second that a copy reads and writes."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / (milliseconds(lambda: target.copy_(source), device, runs) / 1e3)


def milliseconds(call: Callable[[], object], device: str, runs: int) -> float:
    """Return the median of several runs after a warm-up of a quarter as many."""
    times = []
    for run in range(-(-runs // 4) + runs):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            end.synchronize()
            elapsed = start.elapsed_time(end)
        else:
            began = time.perf_counter()
            call()
            elapsed = 1e3 * (time.perf_counter() - began)
        times += [elapsed] if run >= -(-runs // 4) else []
    return median(times)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"nodes": [128], "runs": 2})
    study.add_argument("--nodes", type=numbers(int), default=[32_768, 1_048_576])
    study.add_argument("--runs", type=int, default=20)
    options = study.parse(arguments)
    if not torch.cuda.is_available() and not options.smoke:
        raise SystemExit("gpu.py needs a CUDA device, and torch sees none")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    measured = (row for nodes in options.nodes for row in compare(nodes, device, options.runs))
    rows = study.collect(measured, options)
    print_table(f"Attention with {ENTRIES} entries per row on {device}", rows)
    return rows


if __name__ == "__main__":
    main()
