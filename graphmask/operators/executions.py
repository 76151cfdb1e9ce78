"""Three ways to sum the sentence of masked attention, equal to each other up to rounding.

Letters: H heads, N nodes, m features, d value channels, p entries per row, n nodes of a graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.checkpoint import checkpoint

from graphmask._checks import refuse
from graphmask.kernels import pair_attention
from graphmask.kernels.primitives import in_one_type
from graphmask.topology import Topology

from .base import Attended, MaskOperator

# Bytes that all mask blocks of a batch may take before their execution is no longer chosen.
BLOCK_MEMORY = 2**28

# Bytes of one slice of lifted keys. On CPU larger temporaries go back to the system at every free, and faulting them in
# again costs more than the arithmetic (docs/benchmarks.md); an accelerator keeps its memory and wants fewer launches.
SLICE_MEMORY = {"cpu": 2**24}
SLICE_MEMORY_ELSEWHERE = 2**28

# A multiply-add of a dense product costs this much of one in a sparse product (measured: docs/benchmarks.md).
DENSE_COST = 0.2


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
    def refusal(self, mask: MaskOperator) -> str | None:
        """Why this execution cannot serve a mask, or :obj:`None`."""

    @abstractmethod
    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        """Multiply-adds per head, in units of a sparse product's."""

    @abstractmethod
    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        """Numbers that its largest intermediate holds."""

    @abstractmethod
    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Attended: ...

    def __call__(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Attended:
        """Numerator and normaliser.

        Raises:
            ValueError: where this execution cannot serve the mask.
        """
        reason = self.refusal(mask)
        if reason:
            raise ValueError(f"{self!r} cannot run {mask!r}: {reason}")
        return self._run(mask, q, k, v)


@dataclass(frozen=True)
class Lifted(Execution):
    r"""``q_i . [ M @ (k (x) [v, 1]) ]_i``, for any mask that can multiply a tall matrix.

    Cost: ``m (d + 1)`` products with M per head. The lifted keys, ``N m (d + 1)`` numbers per head, are made in slices of
    the m features that fit ``memory`` bytes; under autograd several slices are recomputed in the backward pass, so that the
    bound holds there too.

    The normaliser needs entries of known sign: masks that may be negative are refused.

    Args:
        memory: bytes of a slice; one feature is the least. (default: :obj:`None`, 16 MiB on CPU, 256 MiB elsewhere)
    """

    memory: int | None = None

    def refusal(self, mask: MaskOperator) -> str | None:
        if mask.nonnegative:
            return None
        return "its entries may be negative and their absolute values, which the normaliser sums, are not known"

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        return mask.cost * m * (d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Attended:
        q, k, v = in_one_type(q, k, v)
        values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
        memory = self.memory or SLICE_MEMORY.get(v.device.type, SLICE_MEMORY_ELSEWHERE)
        width = max(1, memory // max(1, values.numel() * values.element_size()))
        slices = list(zip(q.split(width, -1), k.split(width, -1), strict=True))
        if len(slices) == 1 or not torch.is_grad_enabled():
            parts = (_lifted_slice(mask, q_s, k_s, values) for q_s, k_s in slices)
        else:
            parts = (checkpoint(_lifted_slice, mask, q_s, k_s, values, use_reentrant=False) for q_s, k_s in slices)
        total = sum(parts, start=torch.zeros_like(values))
        return Attended(total[..., :-1], total[..., -1])


def _lifted_slice(mask: MaskOperator, q: Tensor, k: Tensor, values: Tensor) -> Tensor:
    lifted = (k.unsqueeze(-1) * values.unsqueeze(-2)).flatten(-2)
    mixed = mask.matmul(lifted).to(q.dtype).unflatten(-1, (k.shape[-1], -1))
    return torch.einsum("hnm,hnmd->hnd", q, mixed)


@dataclass(frozen=True)
class Pairs(Execution):
    """Scores at the entries of a sparse mask only: :func:`graphmask.kernels.pair_attention`.

    Cost: ``nnz (m + d + 1)`` per head; memory ``nnz`` per head, and in a compiled body (the extra ``fast`` on CPU, triton
    on GPUs) none. Signed masks are
    served.
    """

    def refusal(self, mask: MaskOperator) -> str | None:
        return None if mask.entries() is not None else "it has no sparse support"

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        entries = mask.entries()
        return float("inf") if entries is None else entries.pattern.nnz * (m + d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return 0

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Attended:
        pattern, values = mask.entries()  # type: ignore[misc]
        return Attended(*pair_attention(pattern, q, k, v, values, not mask.nonnegative))


@dataclass(frozen=True)
class Dense(Execution):
    """Graph by graph, each mask block built: for batches of small graphs. Graphs of equal size are stacked, none is padded.

    M is block-diagonal, so its product with one identity per graph, stacked ``[N, max n]``, holds all blocks.

    Cost: ``max n`` products with M and ``sum n^2 (m + d + 1)`` per head; memory ``N max n`` per head. Signed masks are served.
    """

    def refusal(self, mask: MaskOperator) -> str | None:
        return None

    def cost(self, mask: MaskOperator, m: int, d: int) -> float:
        widest = mask.topology.largest_graph
        return mask.cost * widest + DENSE_COST * mask.num_nodes * widest * (m + d + 1)

    def footprint(self, mask: MaskOperator, m: int, d: int) -> int:
        return mask.num_nodes * mask.topology.largest_graph

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Attended:
        q, k, v = in_one_type(q, k, v)
        topology = mask.topology
        rows = mask.matmul(one_hot(topology.local_index, topology.largest_graph).to(v.dtype)).to(v.dtype)

        def attend(nodes: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            weight = rows[:, nodes, : nodes.shape[1]] * (q @ k.mT)
            return weight @ v, weight.abs().sum(-1)

        return for_each_size(attend, topology, q, k, v)


def for_each_size(attend: Callable[..., tuple[Tensor, Tensor]], topology: Topology, *features: Tensor) -> Attended:
    """Both sums of ``attend(nodes [G, n], *features [H, G, n, C])``, called once for the graphs of each size n.

    Stacking graphs of equal size needs no padding, and so nothing can leak from it.
    """
    groups = topology.nodes_by_size
    found = [attend(nodes, *(x[:, nodes] for x in features)) for nodes in groups]
    back = torch.argsort(torch.cat([nodes.flatten() for nodes in groups]))
    numerator, normaliser = (torch.cat([x.flatten(1, 2) for x in part], 1)[:, back] for part in zip(*found, strict=True))
    return Attended(numerator, normaliser)


def choose(mask: MaskOperator, m: int, d: int, element_size: int) -> Execution:
    """The cheapest execution that can serve a mask within the default memory.

    Raises:
        ValueError: where none can: a signed mask without known entries on graphs too large to build its blocks.
    """
    options = [each for each in (Pairs(), Lifted(), Dense()) if each.refusal(mask) is None]
    fitting = [each for each in options if each.footprint(mask, m, d) * mask.heads * element_size <= BLOCK_MEMORY]
    if fitting:
        costs = [each.cost(mask, m, d) for each in fitting]
        return fitting[costs.index(min(costs))]
    raise refuse(
        "mask",
        "non-negative, or sparse, or of graphs small enough to build its blocks "
        "(the normaliser sums absolute values: use non-negative coefficients, a walk mask, or execution=Dense())",
        f"{mask!r}, whose entries may be negative",
    )
