"""Three executions of masked attention, equal up to rounding, and the choice among them.

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
from graphmask.kernels import Pattern
from graphmask.kernels.columns import runs_columns
from graphmask.kernels.pairs import runs_compiled
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._grids import BlockwiseOperator, pairs_within_graphs
from ._slices import run_slices, slice_width
from .base import Attended, Entries, MaskOperator, Rule

# Bytes that all mask blocks of a batch may take before their execution is no longer chosen.
BLOCK_MEMORY = 2**28

# Bytes of mask blocks from which on a forced Dense() warns.
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

# Building an entry of a block that graphs of one size share costs this much of a multiply-add in a
# sparse product: chosen as DENSE_COST is, on grids and hypercubes of 64 to 4,096 nodes.
_BUILD_COST = 4


class Execution(ABC):
    """A way to compute :func:`graphmask.operators.attend`.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> operator = gm.masks.PowerSeriesMask(hops=1)(path)
        >>> q, k, v = torch.rand(3, 3, 1, 4)
        >>> by_pairs = gm.attention(q, k, v, operator, execution=gm.operators.Pairs())
        >>> by_blocks = gm.attention(q, k, v, operator, execution=gm.operators.Dense())
        >>> bool(torch.allclose(by_pairs, by_blocks))
        True
    """

    @abstractmethod
    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        """The reason why this execution cannot serve a mask with these scores, or :obj:`None`."""

    @abstractmethod
    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        """Multiply-adds per head, in units of a sparse product's."""

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        """Numbers that its largest intermediate holds, where its memory is not bounded."""
        return 0

    @abstractmethod
    def _run(
        self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores
    ) -> Attended: ...

    def __call__(
        self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores = _PRODUCTS
    ) -> Attended:
        """Numerator and denominator.

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

    On CPUs, with the extra ``fast``, masks that are compiled for it form and multiply 16 columns of
    all nodes at a time in the cache, and store no lifted keys.

    The denominator needs entries of known sign: masks that may be negative raise an error.

    Args:
        memory: bytes of a slice; one feature is the least. (default: 256 MiB)
    """

    memory: int = SLICE_MEMORY

    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        if not scores.factored:
            return f"its products cannot sum {scores!r}, which are no sums of features"
        if mask.sums_itself or not scores.normalized:
            return None
        return (
            "its entries may be negative and their absolute values, which the denominator sums, "
            "are not known"
        )

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        return mask.unit_cost * mask.cost * m * (d + 1)

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        whole = mask.topology.part.is_whole
        if whole and runs_columns(v, q.numel() * (v.shape[-1] + 1)):
            known = mask._attend_columns(q, k, v, scores.normalized)
            if known is not None:
                sums, total = known
                return Attended(sums.to(v.dtype), None if total is None else total.to(v.dtype))
        values = append_ones(v, scores)
        width = slice_width(self.memory, mask.topology, values)
        slices = run_slices(partial(_lifted_slice, mask, values), width, q, k)
        return split_sums(sum(slices, start=torch.zeros_like(values)), scores)


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
        cost = entries.pattern.nnz * (m + d + 1)
        compiled = runs_compiled(mask.topology.device, cost * mask.heads)
        return COMPILED_COST * cost if compiled else cost

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        entries = mask.entries()
        assert entries is not None
        pattern, values = entries
        return Attended(*scores.attend_pairs(pattern, q, k, v, values, mask.sums_itself))


@dataclass(frozen=True)
class Dense(Execution):
    """Graph by graph, each mask block built: for batches of small graphs.

    Graphs of similar size are stacked and padded to the widest of them. Padding of features and
    mask is zero and never read from anywhere, so that it adds exact zeros.

    The entries of a sparse mask are scattered into the blocks. A mask whose graphs of one size
    share a block builds that block once. Any other M, being block-diagonal, is multiplied by one
    identity per graph, stacked ``[N, max n]``: that product holds all blocks.

    Cost: ``max n`` products with M, unless its entries or blocks are known, and ``sum n^2 (m + d +
    1)`` per head; memory ``sum n^2``, or ``N max n``, per head. Signed masks are served.
    """

    def refusal(self, mask: MaskOperator, scores: Scores = _PRODUCTS) -> str | None:
        return None if mask.topology.part.is_whole else "its graph is in parts"

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        topology = mask.topology
        if isinstance(mask, BlockwiseOperator):
            return sum(
                size**2 * (_BUILD_COST + DENSE_COST * graphs * (m + d + 1))
                for graphs, size in mask.graphs.shapes
            )
        entries = mask.entries()
        building = mask.cost * topology.largest_graph if entries is None else entries.pattern.nnz
        return building + DENSE_COST * topology.blocks.area * (m + d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        largest = mask.topology.largest_graph
        if isinstance(mask, BlockwiseOperator):
            return largest**2
        return max(mask.num_nodes * largest, mask.topology.blocks.area)

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        attend: Callable[..., Tensor] = _attend_block
        sums_itself = mask.sums_itself or not scores.normalized
        if not (scores.factored and sums_itself):
            attend = partial(_attend_scored_block, scores=scores, sums_itself=sums_itself)
        if isinstance(mask, BlockwiseOperator):
            return _attend_shared_blocks(attend, mask, scores, q, k, v)
        blocks = mask.topology.blocks
        weights = [weight.to(v.dtype) for weight in _mask_blocks(mask, blocks, not scores.factored)]
        return attend_blocks(attend, blocks, scores, q, k, v, weights)

    def __call__(
        self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores = _PRODUCTS
    ) -> Attended:
        size = self.footprint(mask, q.shape[-1], v.shape[-1]) * mask.heads * v.element_size()
        if size > _WARNED:
            warn_once(
                "dense blocks",
                f"Dense() builds mask blocks of {format_bytes(size)} for graphs of up to "
                f"{mask.topology.largest_graph:,} nodes. Leave `execution` out, or use a mask with "
                "a sparse support, such as WalkMask, or one that is not negative.",
            )
        return super().__call__(mask, q, k, v, scores)


@dataclass(frozen=True)
class OwnRule:
    """The way to attend that an operator offers, for inner products only."""

    rule: Rule

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        return self.rule(q, k, v, scores)

    def __repr__(self) -> str:
        return "a rule of its own"


def choose(
    mask: MaskOperator, m: int, d: int, itemsize: int, scores: Scores = _PRODUCTS
) -> Execution | OwnRule:
    """The operator's own rule, or else the cheapest execution within the default memory.

    Args:
        mask: the operator.
        m: features of queries and keys.
        d: channels of values.
        itemsize: bytes of a number.
        scores: of pairs. (default: inner products)

    Raises:
        ValueError: where none can: a signed mask without known entries on graphs too large to build
            its blocks.
    """
    rule = mask._own_rule(d, scores) if scores.factored else None
    if rule is not None:
        return OwnRule(rule)
    executions: list[Execution] = []
    # The pairs of a sparse mask are never more work than its products.
    if mask.entries() is not None:
        executions.append(Pairs())
    elif Lifted().refusal(mask, scores) is None:
        executions.append(Lifted())
    is_small = Dense().footprint(mask, m, d) * mask.heads * itemsize <= BLOCK_MEMORY
    if is_small and mask.topology.part.is_whole:
        executions.append(Dense())
    if len(executions) == 1:
        return executions[0]
    if executions:
        costs = [execution.cost(mask, m, d) for execution in executions]
        return executions[costs.index(min(costs))]
    # Blocks of a graph in parts are in no process.
    whole = mask.topology.part.is_whole
    small = ", or of graphs small enough to build its blocks" if whole else ""
    forced = ", or execution=Dense()" if whole else ""
    if not scores.factored:
        expected = f"sparse{small}, for {scores!r} (use a walk mask{forced})"
        raise value_error("mask", expected, repr(mask))
    raise value_error(
        "mask",
        f"non-negative, or sparse{small} (the denominator sums absolute values: use non-negative "
        f"coefficients, a walk mask{forced})",
        f"{mask!r}, whose entries may be negative",
    )


def prefers_blocks(topology: Topology, pattern: Pattern) -> bool:
    """True if attention under a mask with these entries may be cheaper by its blocks."""
    square = pattern.shape == (topology.num_nodes, topology.num_nodes)
    return square and DENSE_COST * topology.blocks.area < pattern.nnz


def append_ones(v: Tensor, scores: Scores) -> Tensor:
    """``[H, N, d + 1]``, values with a column of ones, whose sum is the denominator.

    Values as they are where scores ask for none.
    """
    return torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1) if scores.normalized else v


def split_sums(total: Tensor, scores: Scores) -> Attended:
    """The sums from those of values of :func:`append_ones`, with the shift of rows behind them."""
    if not scores.normalized:
        return Attended(total, None)
    if scores.shifted:
        return Attended(total[..., :-2], total[..., -2], total[..., -1].detach())
    return Attended(total[..., :-1], total[..., -1])


def attend_blocks(
    attend: Callable[..., Tensor],
    blocks: Blocks,
    scores: Scores,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *masks: Sequence[Tensor],
) -> Attended:
    """Both sums from ``attend(q, k, [v, 1], *masks)`` of each group ``[H, G, w, C]`` of graphs."""
    return split_sums(blocks.map(attend, (q, k, append_ones(v, scores)), *masks), scores)


def _mask_blocks(mask: MaskOperator, blocks: Blocks, exact_zeros: bool) -> list[Tensor]:
    """``[H, G, w, w]`` for each group of graphs.

    Args:
        mask: M.
        blocks: of its graphs.
        exact_zeros: whether its zeros must not be rounded, as under scores that may be of any size.
            They are exact where single entries are known; code that torch compiles has products.
    """
    topology, entries = mask.topology, mask.entries()
    if entries is None and exact_zeros and not torch.compiler.is_compiling():
        pattern = pairs_within_graphs(topology)
        values = mask.lookup(pattern)
        entries = None if values is None else Entries(pattern, values.expand(mask.heads, -1))
    slots = None if entries is None else blocks.slots(entries.pattern)
    if entries is not None and slots is not None:
        return blocks.scatter(entries.value, slots)
    dtype = torch.get_default_dtype() if entries is None else entries.value.dtype
    identity = one_hot(topology.local_index, topology.largest_graph).to(dtype)
    return [block[..., : block.shape[2]] for block in blocks.split(mask.matmul(identity))]


def _attend_shared_blocks(
    attend: Callable[..., Tensor],
    mask: BlockwiseOperator,
    scores: Scores,
    q: Tensor,
    k: Tensor,
    v: Tensor,
) -> Attended:
    """Both sums, graphs of one size ``[H, B, P, C]`` at a time, under the block they share."""

    def attend_size(*group: Tensor) -> Tensor:
        heads, _, size, _ = group[0].shape
        weight = mask.block(size).unsqueeze(1).to(q.dtype)
        graphs = BLOCK_MEMORY // (heads * size**2 * q.element_size())
        return torch.cat(run_slices(partial(attend, weight=weight), graphs, *group, dim=1), 1)

    return attend_blocks(attend_size, mask.graphs, scores, q, k, v)


def _attend_block(q: Tensor, k: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    return (weight * (q @ k.mT)) @ values


def _attend_scored_block(
    q: Tensor, k: Tensor, values: Tensor, weight: Tensor, scores: Scores, sums_itself: bool
) -> Tensor:
    score, *shift = scores.block(q, k, weight != 0)
    mixed, size = scores.terms(weight, score, sums_itself)
    if not scores.normalized:
        return mixed @ values
    return torch.cat([mixed @ values[..., :-1], size.sum(-1, keepdim=True), *shift], -1)
