"""MaskOperator: an N x N matrix per head, known by what it does to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, overload

import torch
from torch import Tensor

from graphmask._checks import type_error, value_error
from graphmask._html import format_bytes, html_table
from graphmask.features.scores import InnerProducts, Scores
from graphmask.kernels import HopValues, Pattern
from graphmask.kernels.products import is_half, sum_dtype
from graphmask.topology import Topology

# Operators whose products cost more multiply-adds than this are not asked for their entries to be
# described.
_SOON = 1e8

if TYPE_CHECKING:
    from .executions import Execution


class Sign(IntEnum):
    """Sign of the entries of an operator: a fact of its construction, never read from values.

    Signs are ordered, so that the sign of a sum or product of operators is the least of theirs.
    """

    ANY = 0
    """Entries of any sign."""
    ESTIMATE = 1
    """Entries of any sign that estimate non-negative ones."""
    NONNEGATIVE = 2
    """Entries that are at least 0, whatever the parameters."""

    @classmethod
    def of(cls, nonnegative: bool, estimate: bool = False) -> Sign:
        """The sign of entries that are non-negative, or estimate non-negative ones, or neither."""
        return cls.NONNEGATIVE if nonnegative else cls.ESTIMATE if estimate else cls.ANY

    @property
    def flags(self) -> tuple[bool, bool]:
        """The arguments of :meth:`of`."""
        return self is Sign.NONNEGATIVE, self is Sign.ESTIMATE


class Attended(NamedTuple):
    """Both halves of the sentence: ``numerator [H, N, d]`` and ``normaliser [H, N]``."""

    numerator: Tensor
    normaliser: Tensor


class Entries(NamedTuple):
    """The sparse support of an operator and its values, given or to be made from hops.

    Every other entry is zero.
    """

    pattern: Pattern
    values: Tensor | HopValues

    @property
    def value(self) -> Tensor:
        """``[H, nnz]``."""
        return self.values.expand() if isinstance(self.values, HopValues) else self.values


class MaskOperator(ABC):
    r"""A matrix :math:`M` of shape ``[H, N, N]`` (H = 1.

    The same for all heads) that is never built.

    A subclass gives three methods: ``_matmul``, ``_transpose`` and ``to_dense``. Where its support
    is sparse it also gives ``_entries``, which unlocks :class:`~graphmask.operators.Pairs`; where
    single entries are cheap, ``lookup``. The public ``@``, ``.mT``, ``+``, ``*``, ``rows`` and
    ``attend`` are final.

    Args:
        topology: the graphs that M is block-diagonal over.
        heads: H.
        sign: what is known about the sign of all entries. From :attr:`Sign.ESTIMATE` on, the
            normaliser sums M itself; below, its absolute values. A bool says whether all entries
            are non-negative.
        cost: multiply-adds of ``M @ x`` per head and column of x.
    """

    def __init__(self, topology: Topology, heads: int, sign: Sign | bool, cost: float) -> None:
        self.topology, self.heads, self.cost = topology, heads, cost
        self.sign = Sign.of(sign) if isinstance(sign, bool) else sign

    @abstractmethod
    def _matmul(self, x: Tensor) -> Tensor:
        """``[H or 1, N, C] -> [H, N, C]`` in full precision."""

    @abstractmethod
    def _transpose(self) -> MaskOperator:
        """The operator of the transposed matrix."""

    @abstractmethod
    def to_dense(self) -> Tensor:
        """``[H, N, N]`` from the definition, without ``_matmul``.

        For tests and small graphs, O(N^2) or more.
        """

    def _entries(self) -> Entries | None:
        """The sparse support and its values, or :obj:`None` where M has none."""
        return None

    def lookup(self, pattern: Pattern) -> Tensor | None:
        """``[H, nnz]`` entries of M at the positions of a pattern, or :obj:`None` where they are not known singly."""
        return None

    def entries(self) -> Entries | None:
        """The sparse support and its values, or :obj:`None` where M has none."""
        if not hasattr(self, "_known_entries"):
            self._known_entries = self._entries()
        return self._known_entries

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.topology.num_nodes

    @property
    def nonnegative(self) -> bool:
        """Whether no entry can be negative."""
        return self.sign is Sign.NONNEGATIVE

    @property
    def estimate(self) -> bool:
        """Whether entries have any sign, and estimate non-negative ones."""
        return self.sign is Sign.ESTIMATE

    @property
    def sums_itself(self) -> bool:
        """Whether the normaliser sums M, and not its absolute values."""
        return self.sign >= Sign.ESTIMATE

    @property
    def shape(self) -> torch.Size:
        """``(H, N, N)``."""
        return torch.Size([self.heads, self.num_nodes, self.num_nodes])

    @property
    def mT(self) -> MaskOperator:  # noqa: N802
        """The transposed operator."""
        return self._transpose()

    @overload
    def __matmul__(self, x: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, x: MaskOperator) -> MaskOperator: ...
    def __matmul__(self, x: Tensor | MaskOperator) -> Tensor | MaskOperator:
        """``M @ x``; for an operator x, the product of both."""
        from .product import ProductOperator

        return ProductOperator(self, x) if isinstance(x, MaskOperator) else self.matmul(x)

    def matmul(self, x: Tensor) -> Tensor:
        """``M @ x`` with the broadcasting of :func:`torch.matmul`.

        ``[..., N, C]`` gives ``[..., H, N, C]``.

        The same as ``@``, under a name that ``torch.compile`` follows.

        Raises:
            ValueError: where x has not N rows, or a head dimension that is neither 1 nor H.
        """
        column = x.unsqueeze(-1) if x.dim() == 1 else x
        if column.dim() < 2 or column.shape[-2] != self.num_nodes:
            raise value_error(
                "x", f"of shape [..., N, C] with N = {self.num_nodes} (nodes of the mask)", x
            )
        column = column.unsqueeze(0) if column.dim() == 2 else column
        if 1 not in (column.shape[-3], self.heads) and column.shape[-3] != self.heads:
            raise value_error(
                "x", f"of shape [..., H, N, C] with H = {self.heads} or 1 (heads of the mask)", x
            )
        lead = column.shape[:-3]
        wide = column.flatten(0, -4).permute(1, 2, 3, 0).flatten(2) if lead else column
        out = self._matmul(wide.float() if is_half(x) else wide)
        if lead:
            out = out.unflatten(2, (-1, lead.numel())).permute(3, 0, 1, 2).unflatten(0, lead)
        out = out.to(x.dtype) if is_half(x) else out
        return out.squeeze(-1) if x.dim() == 1 else out

    def __add__(self, other: MaskOperator) -> MaskOperator:
        """The sum of two masks of the same graph."""
        from .algebra import SumOperator

        if not isinstance(other, MaskOperator):
            return NotImplemented
        return SumOperator(self, other)

    def __mul__(self, other: float | Tensor | MaskOperator) -> MaskOperator:
        """The mask times a number, or one number per head ``[H]``.

        The entrywise product with another mask.
        """
        from .algebra import ScaledOperator
        from .hadamard import multiply

        if isinstance(other, MaskOperator):
            return multiply(self, other)
        return (
            ScaledOperator(self, other)
            if isinstance(other, (int, float, Tensor))
            else NotImplemented
        )

    __rmul__ = __mul__

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        execution: Execution | None = None,
        scores: Scores | None = None,
    ) -> Attended:
        r"""Both sums of masked linear attention, for features ``q, k`` with :math:`q_i \cdot k_j \ge 0`.

        .. math::
            \text{numerator}_i = \sum_j M_{ij} (q_i \cdot k_j) v_j \qquad
            \text{normaliser}_i = \sum_j |M_{ij}| (q_i \cdot k_j)

        Where M estimates a non-negative matrix, or scores estimate non-negative ones, they are
        summed as they are.

        Args:
            q: ``[H, N, m]`` features of the queries.
            k: ``[H, N, m]`` features of the keys.
            v: ``[H, N, d]`` values.
            execution: how to sum; all ways give the same result. (default: :obj:`None`, the
                cheapest that can)
            scores: of pairs, in the place of :math:`q_i \cdot k_j`. (default: :obj:`None`, inner
                products)

        Raises:
            ValueError: for shapes that do not fit, and where no execution knows the absolute values
                of a signed mask, or scores that are no inner products.
        """
        self._check_features(q, k, v)
        with torch.autocast(q.device.type, enabled=False):
            if scores is None or scores.factored:
                return self._attend(q, k, v, execution)
            return self._run(q, k, v, execution, scores)

    def rows(self, nodes: Tensor) -> Tensor:
        """Rows ``[H, len(nodes), N]`` of M.

        Costs one product with ``M.mT`` per chosen node, never N x N.

        Raises:
            ValueError: for nodes that are not a vector of node ids.
        """
        check_nodes(nodes, self.num_nodes)
        chosen = torch.zeros(self.num_nodes, len(nodes), device=nodes.device)
        chosen[nodes.long(), torch.arange(len(nodes), device=nodes.device)] = 1
        return self.mT.matmul(chosen).mT

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"

    def __str__(self) -> str:
        return f"{self!r}: {self.cost:,.0f} multiply-adds per head and column"

    def _repr_html_(self) -> str:
        """For notebooks: what it costs, and how attention under it would run."""
        facts = {
            "heads, nodes": f"{self.heads:,}, {self.num_nodes:,}",
            "M @ x costs": f"{self.cost:,.0f} multiply-adds per head and column",
            "entries": _SIGNS[self.sign],
            "attention runs as": self._foresee(),
            "as a dense matrix": f"it would take {format_bytes(4.0 * self.heads * self.num_nodes**2)}",
        }
        return html_table(repr(self), facts)

    def _foresee(self) -> str:
        """The execution that would be chosen for 16 features and channels, and the entries, where these are soon found."""
        from .executions import choose

        if self.cost > _SOON or torch.is_inference_mode_enabled():
            return "chosen when it is called"
        # Entries are kept, and whoever attends later may want their gradient.
        with torch.enable_grad():
            entries = self.entries()
            try:
                chosen = repr(choose(self, 16, 16, 4))
            except ValueError:
                return "nothing: its absolute values are not known, and its blocks are too large"
        return chosen if entries is None else f"{chosen}, {entries.pattern.nnz:,} stored pairs"

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None) -> Attended:
        """Both sums for inner products.

        Masks that know better than the executions override this.
        """
        return self._run(q, k, v, execution, InnerProducts())

    def _run(
        self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None, scores: Scores
    ) -> Attended:
        from .executions import choose

        chosen = execution or choose(
            self, q.shape[-1], v.shape[-1], sum_dtype(q, k, v).itemsize, scores
        )
        return chosen(self, q, k, v, scores)

    def _check_features(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        for name, x in (("q", q), ("k", k), ("v", v)):
            if not isinstance(x, Tensor) or not x.is_floating_point():
                raise type_error(name, "a floating-point tensor", x)
            if x.dim() != 3 or x.shape[1] != self.num_nodes:
                raise value_error(
                    name, f"of shape [H, N, C] with N = {self.num_nodes} (nodes of the mask)", x
                )
        heads = {q.shape[0], k.shape[0], v.shape[0]}
        if len(heads) > 1 or (self.heads != 1 and heads != {self.heads}):
            raise value_error(
                "q, k, v",
                f"of equal heads, H = {self.heads} (or any, for a mask of one)",
                f"heads {sorted(heads)}",
            )
        if q.shape[2] != k.shape[2]:
            raise value_error("k", f"of {q.shape[2]} features, as q", k)


_SIGNS = {
    Sign.ANY: "of any sign",
    Sign.ESTIMATE: "of any sign; they estimate non-negative ones",
    Sign.NONNEGATIVE: "non-negative",
}


def check_nodes(nodes: Tensor, num_nodes: int) -> None:
    """A vector of ids of nodes."""
    if (
        not isinstance(nodes, Tensor)
        or nodes.dim() != 1
        or nodes.is_floating_point()
        or nodes.dtype == torch.bool
    ):
        raise value_error("nodes", "a vector of node ids", nodes)
    if nodes.numel() and not 0 <= int(nodes.min()) <= int(nodes.max()) < num_nodes:
        raise value_error("nodes", f"ids from 0 to N - 1 = {num_nodes - 1}", f"{nodes.tolist()}")
