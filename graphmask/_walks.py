"""Walks: sparse estimates of the powers of the adjacency, the value that samplers return."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ._cached import Derived, Sources, cached
from ._checks import DeferredChecks, check_integer, is_integral, type_error, value_error
from ._html import format_bytes, html_table, nbytes
from ._normalization import Normalization
from .kernels import HopValues, Pattern, combine_hops
from .kernels.pairs import forms_values

# What walks can estimate: powers of W, by its normalisation, or shells of hop distances. Stored
# walks hold positions in this tuple.
Estimated: TypeAlias = Normalization | Literal["unknown", "shells"]
NORMALIZATIONS = (None, "sym", "rw", "unknown", "shells")


class Origin(NamedTuple):
    """The graph that walks were drawn on, as it was then.

    Attributes:
        sources: its tensors, which topologies of the same graph share.
        changes: how often edges, and weights where walks depend on them, had been changed in place.
        edge_index: ``[2, E]``.
        edge_weight: ``[E]``, or :obj:`None` for ones, and where walks do not depend on weights.
        reads_weights: whether walks depend on weights.
    """

    sources: Sources
    changes: tuple[int, ...]
    edge_index: Tensor
    edge_weight: Tensor | None
    reads_weights: bool

    @classmethod
    def of(
        cls, sources: Sources, edge_index: Tensor, edge_weight: Tensor | None, reads_weights: bool
    ) -> Origin:
        """The graph of these tensors, as it is now."""
        changes = sources.changes[: 1 + reads_weights]
        return cls(
            sources, changes, edge_index, edge_weight if reads_weights else None, reads_weights
        )


class _EntriesAccepted(type):
    """Accepts the deprecated ``Walks(row, col, hop, weight, ...)``."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "row" in kwargs or (args and isinstance(args[0], Tensor)):
            message = "Walks(row, col, ...) is deprecated: use Walks.from_entries(row, col, ...)"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return cls.from_entries(*args, **kwargs)  # type: ignore[attr-defined]
        return super().__call__(*args, **kwargs)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Walks(metaclass=_EntriesAccepted):
    r"""Sparse estimates :math:`S_0, \dots, S_K` of the powers of W.

    :math:`E[(S_t)_{ij}] = (W^t)_{ij}`, as a table of pairs (i, j) by hops t. :meth:`from_entries`
    makes them from a list of entries (i, j, t, weight).

    Args:
        pattern: the P pairs (i, j) that walks connect, each once: the support of a mask on these
            walks.
        table: ``[P, K + 1]``, the estimates for each pair and hop; it may carry a gradient.
        normalization: of the W that they estimate; ``"shells"`` for those of
            :class:`~graphmask.walks.Shells`. (default: :obj:`"unknown"`)
        nonnegative: whether no estimate is negative, if that is known: then values are not read.
            (default: :obj:`None`, values are read and checked)
        origin: the graph that they were drawn on, which samplers name: a topology of another graph
            does not take the walks. (default: :obj:`None`, any graph of N nodes takes them)

    Attributes:
        num_nodes: N.
        num_hops: K, the longest walk that was allowed for, whether or not an entry reaches it.
        row: ``[nnz]``, node i of each entry that is not zero, in order of row, column and hop.
        col: ``[nnz]``, its node j.
        hop: ``[nnz]``, its hop t.
        weight: ``[nnz]``, its estimate.

    Raises:
        TypeError: for an argument of a wrong type or dtype.
        ValueError: for a pattern that is not square, a table of another shape, NaN or infinite
            estimates, or an unknown normalisation.

    Memory: O(P K).

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern
        >>> from graphmask.walks import Walks
        >>> pairs = Pattern.from_coo(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), (2, 2))
        >>> walks = Walks(pairs, torch.tensor([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0]]))
        >>> walks
        Walks(num_nodes=2, num_hops=1, nnz=3)
        >>> walks.to_dense()[1]
        tensor([[0.0000, 0.5000],
                [0.0000, 0.0000]])
    """

    pattern: Pattern
    table: Tensor
    normalization: Estimated
    origin: Origin | None
    _sources: Sources = field(init=False)

    def __init__(
        self,
        pattern: Pattern,
        table: Tensor,
        normalization: Estimated = "unknown",
        nonnegative: bool | None = None,
        origin: Origin | None = None,
    ) -> None:
        pairs = pattern.nnz
        if pattern.shape[0] != pattern.shape[1]:
            raise value_error("pattern", "square, [N, N]", f"shape {list(pattern.shape)}")
        if not isinstance(table, Tensor) or not table.is_floating_point():
            raise type_error("table", "a floating-point tensor", table)
        if table.dim() != 2 or len(table) != pairs or not table.shape[1]:
            expected = f"of shape [P, K + 1] with P = {pairs} (pairs of the pattern)"
            raise value_error("table", expected, table)
        if normalization not in NORMALIZATIONS:
            expected = "'sym', 'rw', None, 'unknown' or 'shells'"
            raise value_error("normalization", expected, normalization)
        if nonnegative is None:
            nonnegative = _is_nonnegative(table)
        values = pattern, table, normalization, origin, Sources([table], nonnegative)
        for slot, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, slot.name, value)

    @property
    def _derived(self) -> Derived:
        """Results derived from the table as it is now."""
        return self._sources.derived(self._check_again)

    def _check_again(self) -> bool:
        return _is_nonnegative(self.table)

    @property
    def nonnegative(self) -> bool:
        """True if no estimate is negative."""
        return self._derived.nonnegative

    @classmethod
    def from_entries(
        cls,
        row: Tensor,
        col: Tensor,
        hop: Tensor,
        weight: Tensor,
        num_nodes: int,
        num_hops: int,
        normalization: Estimated = "unknown",
    ) -> Walks:
        """Walks from entries in any order; entries of one pair and hop add.

        Args:
            row: ``[nnz]``, node i, where the walk starts.
            col: ``[nnz]``, node j, where it stands after ``hop`` hops.
            hop: ``[nnz]``, number of hops t, from 0 to ``num_hops``.
            weight: ``[nnz]``, contributions to the estimates; they may carry a gradient.
            num_nodes: N.
            num_hops: K.
            normalization: of the W that they estimate. (default: :obj:`"unknown"`)

        Raises:
            TypeError: for an argument of a wrong type or dtype.
            ValueError: for wrong shapes, nodes or hops out of range, NaN or infinite weights, or an
                unknown normalisation.

        Cost: O(nnz + P K) for P pairs, O(nnz log nnz) if entries are not sorted by row and column.

        Example:
            >>> import torch
            >>> from graphmask.walks import Walks
            >>> nodes, hops = torch.tensor([0, 1]), torch.tensor([0, 1])
            >>> Walks.from_entries(nodes, nodes, hops, torch.ones(2), num_nodes=2, num_hops=1)
            Walks(num_nodes=2, num_hops=1, nnz=2)
        """
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise type_error("weight", "a floating-point tensor", weight)
        check_integer("num_nodes", num_nodes, 0)
        check_integer("num_hops", num_hops, 0)
        checks, width = DeferredChecks(), num_hops + 1
        for name, index, end in (
            ("row", row, num_nodes),
            ("col", col, num_nodes),
            ("hop", hop, width),
        ):
            _check_index(name, index, weight)
            checks.range(name, index, end)
        sign, key = checks.sign("weight", weight), row.long() * num_nodes + col
        is_sorted = checks.add(bool, (key[1:] >= key[:-1]).all())
        checks.run()
        unique = torch.unique_consecutive if is_sorted.result else torch.unique
        key, pair = unique(key, return_inverse=True)
        table = weight.new_zeros(len(key) * width).index_add(0, pair * width + hop, weight)
        pattern = pattern_of_keys(key, num_nodes)
        return cls(pattern, table.view(len(key), width), normalization, sign.result)

    @classmethod
    def of_pairs(
        cls,
        pattern: Pattern,
        table: Tensor,
        normalization: Estimated = "unknown",
    ) -> Walks:
        """Deprecated: use :class:`Walks` itself."""
        message = "Walks.of_pairs(...) is deprecated: use Walks(pattern, table, normalization)"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return cls(pattern, table, normalization)

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.pattern.num_cols

    @property
    def num_hops(self) -> int:
        """K."""
        return self.table.shape[1] - 1

    @property
    def requires_grad(self) -> bool:
        """True if the estimates carry a gradient."""
        return self.table.requires_grad

    @property
    def row(self) -> Tensor:
        """``[nnz]``, node i of each entry."""
        return self.pattern.row[self._entries[0]]

    @property
    def col(self) -> Tensor:
        """``[nnz]``, node j of each entry."""
        return self.pattern.col[self._entries[0]]

    @property
    def hop(self) -> Tensor:
        """``[nnz]``, hop t of each entry."""
        return self._entries[1].to(self.pattern.col.dtype)

    @property
    def weight(self) -> Tensor:
        """``[nnz]``, estimate of each entry."""
        return self.table[self._entries]

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return int(torch.count_nonzero(self.table))

    @cached
    def _entries(self) -> tuple[Tensor, Tensor]:
        """Pair and hop of each entry that is not zero, by pair, then hop."""
        pair, hop = self.table.detach().nonzero(as_tuple=True)
        return pair, hop

    def combine(self, coefficients: Tensor) -> Tensor:
        r"""``[H, P]``, values of :math:`\sum_t c_t S_t` on :attr:`pattern` for c ``[H, K + 1]``."""
        return combine_hops(self.table, coefficients)

    def values(self, coefficients: Tensor) -> Tensor | HopValues:
        """:meth:`combine`, or its factors where attention combines them itself."""
        if forms_values(self.table):
            return HopValues(self.table, coefficients)
        return self.combine(coefficients)

    @property
    def structures(self) -> list[Pattern]:
        """The patterns that products with values of :meth:`combine` read."""
        return [self.pattern]

    @property
    def symmetrized(self) -> Walks:
        """The average of both directions, :math:`(S_t + S_t^T) / 2`.

        It has the same expectation if W is symmetric.

        Cost: O(P (log P + K)) once; later none, or O(P K) where estimates carry a gradient.
        """
        return self._average() if self.requires_grad else self._averaged

    @cached
    def _averaged(self) -> Walks:
        return self._average()

    def _average(self) -> Walks:
        pattern, forward, backward = self._both_directions
        # In place: tables are the largest tensors that there are.
        table = self.table.new_zeros(pattern.nnz, self.table.shape[1])
        for position in (forward, backward):
            table.index_add_(0, position, self.table, alpha=0.5)
        return Walks(pattern, table, self.normalization, self.nonnegative, self.origin)

    @cached
    def _both_directions(self) -> tuple[Pattern, Tensor, Tensor]:
        """The union of pairs (i, j) and (j, i), and the positions of both in it."""
        row, col = self.pattern.row.long(), self.pattern.col.long()
        forward, backward = row * self.num_nodes + col, col * self.num_nodes + row
        union = torch.unique(torch.cat([forward, backward]))
        pattern = pattern_of_keys(union, self.num_nodes)
        return pattern, torch.searchsorted(union, forward), torch.searchsorted(union, backward)

    def permute(self, rank: Tensor) -> Walks:
        """The same walks where node i has the number ``rank[i]``, for ``rank [N]``.

        They remember no graph. Cost: O(P (log P + K)).
        """
        row, col = rank[self.pattern.row.long()], rank[self.pattern.col.long()]
        key, pair = (row * self.num_nodes + col).sort()
        pattern = pattern_of_keys(key, self.num_nodes)
        return Walks(pattern, self.table[pair], self.normalization, self.nonnegative)

    def drawn_on(self, origin: Origin) -> Walks:
        """The same walks, of this graph."""
        return Walks(self.pattern, self.table, self.normalization, self.nonnegative, origin)

    def to_dense(self) -> Tensor:
        """``[K + 1, N, N]``, the matrices S_t; for tests and small graphs, O(K N^2)."""
        return self.pattern.to_dense(self.table.mT)

    def to(self, device: torch.device | str) -> Walks:
        """The same walks on another device."""
        rowptr, col = self.pattern.rowptr.to(device), self.pattern.col.to(device)
        pattern = Pattern(rowptr, col, self.num_nodes)
        table = self.table.to(device)
        return Walks(pattern, table, self.normalization, self.nonnegative, self.origin)

    def __repr__(self) -> str:
        return f"Walks(num_nodes={self.num_nodes}, num_hops={self.num_hops}, nnz={self.nnz})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        pairs, size = self.pattern.nnz, nbytes(self.pattern.rowptr, self.pattern.col, self.table)
        rows = {
            "nodes": f"{self.num_nodes:,}",
            "hops": f"0 to {self.num_hops}",
            "pairs": f"{pairs:,}, {pairs / max(1, self.num_nodes):.3g} per node",
            "entries": f"{self.nnz:,}",
            "of W normalised": self.normalization,
            "memory": format_bytes(size),
        }
        return html_table(repr(self), rows)


def _is_nonnegative(table: Tensor) -> bool:
    """True if no value is negative; all must be finite."""
    checks = DeferredChecks()
    sign = checks.sign("table", table)
    checks.run()
    return sign.result


def invert(order: Tensor) -> Tensor:
    """``[N]``, the position of each number below N in ``order [N]``."""
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    return rank


def pattern_of_keys(key: Tensor, num_nodes: int) -> Pattern:
    """The square pattern of sorted positions ``i N + j``, each once."""
    row = torch.div(key, num_nodes, rounding_mode="floor")
    return Pattern.from_coo(row, key - row * num_nodes, (num_nodes, num_nodes))


def _check_index(name: str, index: Any, weight: Tensor) -> None:
    if not is_integral(index):
        raise type_error(name, "an integer tensor", index)
    if weight.dim() != 1 or index.shape != weight.shape:
        raise value_error(name, f"of shape [nnz] = {list(weight.shape)}, as `weight`", index)
