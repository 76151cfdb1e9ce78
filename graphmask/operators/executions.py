"""Three ways to sum the sentence of masked attention, equal to each other up to rounding.

Letters: H heads, N nodes, m features, d value channels, p entries per row, n nodes of a graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from graphmask._blocks import Blocks
from graphmask._checks import value_error
from graphmask._html import format_bytes
from graphmask._warnings import warn_once
from graphmask.features.scores import InnerProducts, Scores
from graphmask.kernels import Pattern, pair_attention, spmm
from graphmask.kernels.pairs import runs_compiled
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._slices import run_slices
from .base import Attended, MaskOperator

# Bytes that all mask blocks of a batch may take before their execution is no longer chosen.
BLOCK_MEMORY = 2**28

# Bytes of mask blocks from which on whoever asks for them is warned.
_WARNED = 2**30

# Bytes of one slice of lifted keys: smaller slices are computed twice under autograd, and their
# products are narrower.
SLICE_MEMORY = 2**28

_PRODUCTS = InnerProducts()

# A multiply-add of a dense product, and of the compiled body of attention by pairs, cost this much
# of one in torch's sparse products. Chosen so that the cheapest is picked, forward and backward
# with 4 heads of 16, with and without numba, on 128 molecules and on 16 clouds of 128 points, under
# walk masks of 16 and 64 pairs per node.
DENSE_COST = 0.2
COMPILED_COST = 0.25


class Execution(ABC):
    """A way to compute ``MaskOperator.attend``.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> operator = gm.masks.PowerSeriesMask(order=1)(path)
        >>> q, k, v = torch.rand(3, 3, 1, 4)
        >>> outs = [gm.attention(q, k, v, operator, execution=way) for way in (gm.operators.Pairs(), gm.operators.Dense())]
        >>> bool(torch.allclose(*outs))
        True
    """

    @abstractmethod
    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        """Why this execution cannot serve a mask with these scores, or :obj:`None`."""

    @abstractmethod
    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        """Multiply-adds per head, in units of a sparse product's."""

    @abstractmethod
    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        """Numbers that its largest intermediate holds."""

    @abstractmethod
    def _run(
        self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores
    ) -> Attended: ...

    def __call__(
        self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores = _PRODUCTS
    ) -> Attended:
        """Numerator and normaliser.

        Raises:
            ValueError: where this execution cannot serve the mask, or the scores.
        """
        reason = self.refusal(mask, scores)
        if reason:
            raise ValueError(f"{self!r} cannot run {mask!r}: {reason}")
        return self._run(mask, q, k, v, scores)


@dataclass(frozen=True)
class Lifted(Execution):
    r"""``q_i . [ M @ (k (x) [v, 1]) ]_i``, for any mask that can multiply a tall matrix.

    Cost: ``m (d + 1)`` products with M per head. The lifted keys, ``N m (d + 1)`` numbers per head,
    are made in slices of the m features that fit ``memory`` bytes; under autograd several slices
    are recomputed in the backward pass, so that the bound holds there too.

    The normaliser needs entries of known sign: masks that may be negative are refused.

    Args:
        memory: bytes of a slice; one feature is the least. (default: 256 MiB)
    """

    memory: int = SLICE_MEMORY

    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        if not scores.factored:
            return f"its products cannot sum {scores!r}, which are no sums of features"
        if mask.sums_itself:
            return None
        return "its entries may be negative and their absolute values, which the normaliser sums, are not known"

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        return mask.cost * m * (d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
        width = max(1, self.memory // max(1, values.numel() * values.element_size()))
        parts = run_slices(partial(_lifted_slice, mask, values), width, q, k)
        total = sum(parts, start=torch.zeros_like(values))
        return Attended(total[..., :-1], total[..., -1])


def _lifted_slice(mask: MaskOperator, values: Tensor, q: Tensor, k: Tensor) -> Tensor:
    lifted = (k.unsqueeze(-1) * values.unsqueeze(-2)).flatten(-2)
    mixed = mask.matmul(lifted).to(q.dtype).unflatten(-1, (k.shape[-1], -1))
    return torch.einsum("hnm,hnmd->hnd", q, mixed)


@dataclass(frozen=True)
class Pairs(Execution):
    """Scores at the entries of a sparse mask only: :func:`graphmask.kernels.pair_attention`.

    Cost: ``nnz (m + d + 1)`` per head; memory ``nnz`` per head, and in a compiled body (the extra
    ``fast`` on CPU, triton on GPUs) none. Signed masks are served.
    """

    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        return None if mask.entries() is not None else "it has no sparse support"

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        entries = mask.entries()
        if entries is None:
            return float("inf")
        work = entries.pattern.nnz * (m + d + 1)
        return (
            COMPILED_COST * work if runs_compiled(mask.topology.device, work * mask.heads) else work
        )

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        entries = mask.entries()
        assert entries is not None
        pattern, values = entries
        if scores.factored:
            return Attended(*pair_attention(pattern, q, k, v, values, not mask.sums_itself))
        q, k, v = in_one_type(q, k, v)
        return _attend_pairs(
            pattern,
            q,
            k,
            v,
            entries.value.to(v.dtype),
            scores,
            mask.sums_itself and not scores.signed,
        )


@dataclass(frozen=True)
class Dense(Execution):
    """Graph by graph, each mask block built: for batches of small graphs.

    Graphs of similar size are stacked and padded to the widest of them. At padded places features
    and mask are zeros that were never read from anywhere, so that they add exact zeros.

    The entries of a sparse mask are written to their places. Any other M, being block-diagonal, is
    multiplied by one identity
    per graph, stacked ``[N, max n]``: that product holds all blocks.

    Cost: ``max n`` products with M, unless its entries are known, and ``sum n^2 (m + d + 1)`` per
    head; memory ``sum n^2``, or ``N max n``, per head. Signed masks are served.
    """

    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        return None

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        topology = mask.topology
        entries = mask.entries()
        made = mask.cost * topology.largest_graph if entries is None else entries.pattern.nnz
        return made + DENSE_COST * topology.blocks.area * (m + d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return max(mask.num_nodes * mask.topology.largest_graph, mask.topology.blocks.area)

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        self._warn_of_size(mask, q.shape[-1], v)
        q, k, v = in_one_type(q, k, v)
        weights = [weight.to(v.dtype) for weight in _mask_blocks(mask)]
        if scores.factored:
            attend = _attend_block if mask.sums_itself else _attend_signed_block
        else:
            attend = partial(
                _attend_scored_block,
                scores=scores,
                sums_itself=mask.sums_itself and not scores.signed,
            )
        return attend_blocks(attend, mask.topology.blocks, q, k, v, weights)

    def _warn_of_size(self, mask: MaskOperator, m: int, v: Tensor) -> None:
        size = self.footprint(mask, m, v.shape[-1]) * mask.heads * v.element_size()
        if size > _WARNED:
            warn_once(
                "dense blocks",
                f"Dense() builds mask blocks of {format_bytes(size)} for graphs of up to {mask.topology.largest_graph:,} nodes. "
                "Leave `execution` out, or use a mask with a sparse support, such as WalkMask, or one that is not negative.",
            )


def prefers_blocks(topology: Topology, pattern: Pattern) -> bool:
    """Whether attention under a mask with these entries may be cheaper by its blocks."""
    square = pattern.shape == (topology.num_nodes, topology.num_nodes)
    return square and DENSE_COST * topology.blocks.area < pattern.nnz


def _mask_blocks(mask: MaskOperator) -> list[Tensor]:
    """``[H, G, w, w]`` for each group of graphs."""
    topology, entries = mask.topology, mask.entries()
    slots = None if entries is None else topology.blocks.slots(entries.pattern)
    if entries is not None and slots is not None:
        return topology.blocks.scatter(entries.value, slots)
    kind = torch.get_default_dtype() if entries is None else entries.value.dtype
    identity = one_hot(topology.local_index, topology.largest_graph).to(kind)
    stacked = topology.blocks.stack(
        mask.matmul(identity).transpose(0, 1), topology.blocks.rows(mask.heads)
    )
    return [part[..., : part.shape[2]] for part in stacked]


def _attend_block(q: Tensor, k: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    return (weight * (q @ k.mT)) @ values


def _attend_pairs(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weight: Tensor,
    scores: Scores,
    sums_itself: bool,
) -> Attended:
    """By scores that are formed first, one number per entry and head."""
    mixed = weight * scores.pairs(pattern, q, k, weight != 0)
    size = mixed if sums_itself else mixed.abs()
    return Attended(
        spmm(pattern, mixed, v), spmm(pattern, size, v.new_ones(*v.shape[:2], 1))[..., 0]
    )


def _attend_scored_block(
    q: Tensor, k: Tensor, values: Tensor, weight: Tensor, scores: Scores, sums_itself: bool
) -> Tensor:
    mixed = weight * scores.block(q, k, weight != 0)
    size = mixed if sums_itself else mixed.abs()
    return torch.cat([mixed @ values[..., :-1], size.sum(-1, keepdim=True)], -1)


def _attend_signed_block(q: Tensor, k: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    score = q @ k.mT
    return torch.cat(
        [(weight * score) @ values[..., :-1], (weight.abs() * score).sum(-1, keepdim=True)], -1
    )


def attend_blocks(
    attend: Callable[..., Tensor],
    blocks: Blocks,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *masks: Sequence[Tensor],
) -> Attended:
    """Both sums from ``attend(q, k, [v, 1], *masks)``, called for each group of graphs with tensors ``[H, G, w, C]``."""
    rows = blocks.rows(len(v))
    queries, keys, values = (x.transpose(0, 1) for x in (q, k, v))
    values = torch.cat([values, values.new_ones(*values.shape[:2], 1)], -1)
    groups = zip(*(blocks.stack(x, rows) for x in (queries, keys, values)), *masks, strict=True)
    total = blocks.unstack([attend(*group) for group in groups], rows).transpose(0, 1)
    return Attended(total[..., :-1], total[..., -1])


def choose(
    mask: MaskOperator, m: int, d: int, element_size: int, scores: Scores = _PRODUCTS
) -> Execution:
    """The cheapest execution that can serve a mask within the default memory.

    Raises:
        ValueError: where none can: a signed mask without known entries on graphs too large to build
            its blocks.
    """
    options = [each for each in (Pairs(), Lifted(), Dense()) if each.refusal(mask, scores) is None]
    fitting = [
        each
        for each in options
        if each.footprint(mask, m, d) * mask.heads * element_size <= BLOCK_MEMORY
    ]
    if fitting:
        costs = [each.cost(mask, m, d) for each in fitting]
        return fitting[costs.index(min(costs))]
    if not scores.factored:
        raise value_error(
            "mask",
            f"sparse, or of graphs small enough to build its blocks, for {scores!r} (use a walk mask, or execution=Dense())",
            repr(mask),
        )
    raise value_error(
        "mask",
        "non-negative, or sparse, or of graphs small enough to build its blocks "
        "(the normaliser sums absolute values: use non-negative coefficients, a walk mask, or execution=Dense())",
        f"{mask!r}, whose entries may be negative",
    )
