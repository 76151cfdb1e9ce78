"""Walks: the drawn structure that all walk masks read, whoever drew it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ._cached import cached
from ._checks import (
    DeferredChecks,
    aminmax,
    check_finite,
    check_integer,
    has_nonfinite,
    raise_nonfinite,
    type_error,
    value_error,
)
from ._html import format_bytes, html_table, nbytes
from .kernels import HopValues, Pattern, combine_hops, spmm
from .kernels.pairs import forms_values
from .kernels.pattern import index_dtype

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from .topology import Normalization

# What walks may have been drawn with; their numbers on a Data are their places here.
NORMALIZATIONS = (None, "sym", "rw", "unknown")

_ENTRIES = ("row", "col", "hop", "weight")

# Share of a table that must be filled for it to be worth more than lists of entries: in memory it
# breaks even near one half, in speed earlier.
_FULL = 0.25


@dataclass(frozen=True, eq=False)
class Walks:
    r"""Sparse estimates :math:`S_0, \dots, S_K` of the powers of W.

    :math:`E[(S_t)_{ij}] = (W^t)_{ij}`.

    Made of entries (row, col, hop, weight), where entries of one position and hop add, and which
    are kept in CSR order, by row, then column, then hop; other orders are sorted. Or made
    :meth:`of_pairs`, with a number for each hop of each pair (i, j); then entries are listed when
    they are asked for.

    Args:
        row: ``[nnz]`` node i, where the walk starts (kept as int32 where N fits).
        col: ``[nnz]`` node j, where it stands after ``hop`` hops.
        hop: ``[nnz]`` number of hops t, from 0 to ``num_hops``.
        weight: ``[nnz]`` the estimate's share; it may carry a gradient.
        num_nodes: N.
        num_hops: K, the longest walk that was allowed for, whether or not an entry reaches it.
        normalization: of the W that they estimate, where the sampler told it. (default:
            :obj:`"unknown"`)

    Attributes:
        nonnegative: whether no weight is negative.
        by_pairs: whether they were made :meth:`of_pairs`.
        pattern: the pairs (i, j) that walks connect, each once: the support of a mask on these
            walks.

    Raises:
        TypeError: for an argument of a wrong type or dtype.
        ValueError: for wrong shapes, nodes or hops out of range, NaN or infinite weights, or an
            unheard-of normalisation.

    Example:
        >>> import torch
        >>> from graphmask.walks import Walks
        >>> walks = Walks(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), torch.ones(3), 2, 1)
        >>> walks
        Walks(num_nodes=2, num_hops=1, nnz=3)
        >>> walks.to_dense()[1]
        tensor([[0., 1.],
                [0., 0.]])
    """

    row: Tensor
    col: Tensor
    hop: Tensor
    weight: Tensor
    num_nodes: int
    num_hops: int
    normalization: Normalization | Literal["unknown"] = "unknown"
    nonnegative: bool = field(init=False)
    by_pairs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Tensor) or not self.weight.is_floating_point():
            raise type_error("weight", "a floating-point tensor", self.weight)
        check_integer("num_nodes", self.num_nodes, 0)
        check_integer("num_hops", self.num_hops, 0)
        if self.normalization not in NORMALIZATIONS:
            raise value_error("normalization", "'sym', 'rw', None or 'unknown'", self.normalization)
        for name, end in (
            ("row", self.num_nodes),
            ("col", self.num_nodes),
            ("hop", self.num_hops + 1),
        ):
            self.__dict__[name] = _check_index(name, getattr(self, name), self.weight, end)
        check_finite("weight", self.weight)
        self.__dict__["nonnegative"] = not bool(aminmax(self.weight)[0] < 0)
        self._sort()

    @classmethod
    def sets_from_data(cls, data: Data, checks: DeferredChecks | None = None) -> list[Walks]:
        """The sets of walks that :class:`graphmask.transforms.AddWalks` wrote on a ``Data`` or ``Batch``.

        Args:
            data: the graphs.
            checks: collects the checks of values of walks stored by pairs, for whoever settles
                them. (default: :obj:`None`, they are settled here)

        Raises:
            ValueError: where attributes are missing or do not fit each other, node ids are out of
                range, numbers are NaN or infinite, or batched graphs were walked with different
                numbers of hops or different normalisations.
        """
        if data.get("walk_index") is None:
            return []
        if data.get("walk_table") is None:
            return cls._sets_of_entries(data)
        asked = DeferredChecks() if checks is None else checks
        sets = list(cls._sets_of_pairs(data, asked))
        if checks is None:
            asked.run()
        return sets

    @classmethod
    def _sets_of_entries(cls, data: Data) -> list[Walks]:
        missing = [
            name for name in ("walk_hop", "walk_weight", "walk_num_hops") if data.get(name) is None
        ]
        if missing:
            raise value_error(
                "data", "as written by AddWalks beside `walk_index`", f"no {', '.join(missing)}"
            )
        facts = _of_all_graphs(data, "walk_num_hops"), _normalization_of(data)
        row, col = data.walk_index
        drawn = data.get("walk_set")
        count = 1 if drawn is None or not drawn.numel() else int(drawn.max()) + 1
        chosen = [slice(None)] if drawn is None else [drawn == number for number in range(count)]
        hop, weight, size = data.walk_hop, data.walk_weight, int(data.num_nodes or 0)
        return [cls(row[keep], col[keep], hop[keep], weight[keep], size, *facts) for keep in chosen]

    @classmethod
    def _sets_of_pairs(cls, data: Data, checks: DeferredChecks) -> Iterator[Walks]:
        size, normalization = int(data.num_nodes or 0), data.get("walk_normalization")
        for index_name, table_name in stored_pairs(data):
            index, table = data[index_name], data.get(table_name)
            _check_stored(index_name, index, table_name, table)
            made = cls._of_stored(index, table, size)
            row, col = index
            rising = (row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (col[1:] > col[:-1]))
            low, high = aminmax(table)
            check = partial(made._settle, index_name, table_name, index)
            checks.add(check, *aminmax(index), ~rising.all(), has_nonfinite(low, high), low < 0)
            if isinstance(normalization, Tensor):
                checks.add(made._settle_normalization, *aminmax(normalization))
            elif normalization is not None:
                made._settle_normalization(normalization, normalization)
            yield made

    @classmethod
    def _of_stored(cls, index: Tensor, table: Tensor, num_nodes: int) -> Walks:
        """Walks of stored pairs, which are taken to be in order until that is settled."""
        pattern = Pattern.from_unchecked(index[0], index[1], num_nodes)
        return cls._by_pairs(pattern, table, "unknown", nonnegative=False)

    def _settle(self, index_name: str, table_name: str, index: Tensor, *facts: int) -> None:
        low, high, unsorted, bad, negative = facts
        if index.numel() and not 0 <= low <= high < self.num_nodes:
            raise value_error(
                index_name,
                f"node ids from 0 to N - 1 = {self.num_nodes - 1}",
                f"ids from {low} to {high}",
            )
        if bad:
            raise_nonfinite(table_name, self.table)  # type: ignore[arg-type]
        self.__dict__["nonnegative"] = not negative
        if unsorted:
            pattern, table = _merge_pairs(index.long(), self.__dict__["table"], self.num_nodes)
            self.__dict__.update(pattern=pattern, table=table)

    def _settle_normalization(self, low: int, high: int) -> None:
        if low != high:
            raise value_error(
                "walk_normalization", "the same for all graphs of a batch", f"{low} to {high}"
            )
        self.__dict__["normalization"] = _normalization_at(low)

    @classmethod
    def of_pairs(
        cls,
        pattern: Pattern,
        table: Tensor,
        normalization: Normalization | Literal["unknown"] = "unknown",
    ) -> Walks:
        """Walks given by pairs: a square pattern, and ``table [P, K + 1]``, the weights of each pair for all hops.

        Raises:
            ValueError: where the table has not one row per pair, or NaN or infinite numbers.
        """
        if table.dim() != 2 or len(table) != pattern.nnz or not table.shape[1]:
            raise value_error(
                "table", f"of shape [P, K + 1] with P = {pattern.nnz} (pairs of the pattern)", table
            )
        check_finite("table", table)
        return cls._by_pairs(pattern, table, normalization, not bool(aminmax(table)[0] < 0))

    @classmethod
    def _by_pairs(
        cls, pattern: Pattern, table: Tensor, normalization: Any, nonnegative: bool
    ) -> Walks:
        made = object.__new__(cls)
        facts = {
            "num_nodes": pattern.num_cols,
            "num_hops": table.shape[1] - 1,
            "normalization": normalization,
        }
        made.__dict__.update(
            facts, pattern=pattern, table=table, nonnegative=nonnegative, by_pairs=True
        )
        return made

    def __getattr__(self, name: str) -> Tensor:
        table = self.__dict__.get("table")
        if name not in _ENTRIES or table is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with torch.inference_mode(False):
            pair, hop = table.nonzero(as_tuple=True)
            dtype, weight = self.pattern.col.dtype, table[pair, hop]
            row, col = (index[pair].to(dtype) for index in (self.pattern.row, self.pattern.col))
            self.__dict__.update(row=row, col=col, hop=hop.to(dtype), weight=weight)
        return self.__dict__[name]

    @cached
    def pattern(self) -> Pattern:
        """The pairs."""
        first = self._first
        return Pattern.from_coo(self.row[first], self.col[first], (self.num_nodes, self.num_nodes))

    @cached
    def table(self) -> Tensor | None:
        """``[P, K + 1]``, the weights of each pair by hops.

        :obj:`None` where most would be zero, or carry a gradient.
        """
        full = self.pattern.nnz * (self.num_hops + 1)
        if self.weight.requires_grad or self.nnz < _FULL * full:
            return None
        place = self._pair * (self.num_hops + 1) + self.hop
        return (
            self.weight.new_zeros(full)
            .index_add(0, place, self.weight)
            .unflatten(0, (-1, self.num_hops + 1))
        )

    @cached
    def hop_pattern(self) -> Pattern:
        """Pairs by hops, ``[P, K + 1]``: the places of :attr:`weight` in :attr:`table`."""
        return Pattern.from_coo(self._pair, self.hop, (self.pattern.nnz, self.num_hops + 1))

    def combine(self, coefficients: Tensor) -> Tensor:
        r"""``[H, P]``, the values of :math:`\sum_t c_t S_t` on :attr:`pattern` for coefficients c ``[H, K + 1]``."""
        table = self.table
        if table is None:
            return spmm(self.hop_pattern, self.weight.unsqueeze(0), coefficients.mT.unsqueeze(0))[
                0
            ].mT.contiguous()
        return combine_hops(table, coefficients)

    def values(self, coefficients: Tensor) -> Tensor | HopValues:
        """:meth:`combine`, put off where attention makes the values itself."""
        if self.table is None or not forms_values(self.table):
            return self.combine(coefficients)
        return HopValues(self.table, coefficients)

    @property
    def structures(self) -> list[Pattern]:
        """The patterns that :meth:`combine` and products with its values read."""
        return [self.pattern] if self.table is not None else [self.hop_pattern, self.pattern]

    @property
    def symmetrized(self) -> Walks:
        """Both directions averaged, :math:`(S_t + S_t^T) / 2`.

        Of the same expectation, where W is symmetric.

        Merged once, in O(P log P) for P pairs in a table, O(nnz log nnz) for entries; later only
        weights that carry a gradient are averaged again, in O(nnz).
        """
        averaged, place = self._averaged
        if place is None:
            return averaged
        weight = _average(self.weight, place, averaged.nnz)
        return averaged._remade(
            weight=weight, pattern=averaged.pattern, hop_pattern=averaged.hop_pattern, table=None
        )

    @property
    def nnz(self) -> int:
        """Number of entries."""
        if self._listed or self.table is None:
            return self.weight.numel()
        return int(torch.count_nonzero(self.table))

    def to_dense(self) -> Tensor:
        """``[K + 1, N, N]``, the matrices S_t; for tests and small graphs, O(K N^2)."""
        dense = self.weight.new_zeros(self.num_hops + 1, self.num_nodes, self.num_nodes)
        return dense.index_put((self.hop, self.row, self.col), self.weight, accumulate=True)

    def to(self, device: torch.device | str) -> Walks:
        """The same walks on another device."""
        if not self.by_pairs:
            return self._remade(**{name: getattr(self, name).to(device) for name in _ENTRIES})
        pattern = Pattern(
            self.pattern.rowptr.to(device), self.pattern.col.to(device), self.num_nodes
        )
        return Walks._by_pairs(pattern, self.table.to(device), self.normalization, self.nonnegative)  # type: ignore[union-attr]

    def __repr__(self) -> str:
        return f"Walks(num_nodes={self.num_nodes}, num_hops={self.num_hops}, nnz={self.nnz})"

    def _repr_html_(self) -> str:
        """For notebooks: what is stored."""
        table = None if self._listed else self.table
        pairs = (
            f"{self.pattern.nnz:,}, {self.pattern.nnz / max(1, self.num_nodes):.3g} per node"
            if table is not None
            else "in a list of entries"
        )
        held = (
            (self.row, self.col, self.hop, self.weight)
            if table is None
            else (self.pattern.rowptr, self.pattern.col, table)
        )
        facts = {
            "nodes": f"{self.num_nodes:,}",
            "hops": f"0 to {self.num_hops}",
            "pairs": pairs,
            "entries": f"{self.nnz:,}",
            "of W normalised": self.normalization,
            "memory": format_bytes(nbytes(*held)),
        }
        return html_table(repr(self), facts)

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Both nodes of every pair, or of every entry where there are no pairs yet."""
        return (self.pattern.row, self.pattern.col) if self.by_pairs else (self.row, self.col)

    @property
    def requires_grad(self) -> bool:
        """Whether the weights carry a gradient."""
        return (
            self.weight.requires_grad
            if self._listed or self.table is None
            else self.table.requires_grad
        )

    @property
    def _listed(self) -> bool:
        """Whether the entries are there, and need not be listed from the table."""
        return "weight" in self.__dict__

    @cached
    def _pair(self) -> Tensor:
        """``[nnz]``, which pair an entry belongs to."""
        return self._first.cumsum(0) - 1

    @cached
    def _first(self) -> Tensor:
        """``[nnz]``, true where an entry opens a new pair."""
        change = (self.row[1:] != self.row[:-1]) | (self.col[1:] != self.col[:-1])
        return torch.cat([change.new_ones(min(self.nnz, 1)), change])

    @cached
    def _averaged(self) -> tuple[Walks, Tensor | None]:
        """The average of both directions.

        Where a gradient is wanted, also the places there of all entries and all mirrored.
        """
        return (
            self._average_entries()
            if self.table is None
            else (self._average_pairs(self.table), None)
        )

    def _average_pairs(self, table: Tensor) -> Walks:
        pattern, mirrored = self.pattern, self.pattern.mT
        places = [each.row.long() * self.num_nodes + each.col for each in (pattern, mirrored)]
        union = torch.unique(torch.cat(places))
        row = torch.div(union, self.num_nodes, rounding_mode="floor")
        total = table.new_zeros(len(union), self.num_hops + 1)
        for place, half in zip(places, (table / 2, table[pattern.csc_perm] / 2), strict=True):
            total.index_add_(0, torch.searchsorted(union, place), half)
        return Walks.of_pairs(
            Pattern.from_coo(row, union - row * self.num_nodes, pattern.shape),
            total,
            self.normalization,
        )

    def _average_entries(self) -> tuple[Walks, Tensor | None]:
        row, col, hop = (part.long() for part in (self.row, self.col, self.hop))
        pair = torch.cat([row * self.num_nodes + col, col * self.num_nodes + row])
        key, place = torch.unique(pair * (self.num_hops + 1) + hop.repeat(2), return_inverse=True)
        pair = torch.div(key, self.num_hops + 1, rounding_mode="floor")
        row = torch.div(pair, self.num_nodes, rounding_mode="floor")
        made = self._remade(
            row=row.to(self.row.dtype),
            col=(pair - row * self.num_nodes).to(self.col.dtype),
            hop=(key - pair * (self.num_hops + 1)).to(self.hop.dtype),
            weight=_average(self.weight.detach(), place, len(key)),
        )
        return made, place if self.weight.requires_grad else None

    def _remade(self, **changes: Tensor | Pattern | None) -> Walks:
        """Walks of other entries, known to be sorted and right.

        Checking as many as walks have takes time.
        """
        made = object.__new__(Walks)
        made.__dict__.update(
            {each.name: getattr(self, each.name) for each in fields(self)}, **changes
        )
        return made

    def _sort(self) -> None:
        rising = self.hop[1:] >= self.hop[:-1]
        for index in (self.col, self.row):
            rising = (index[1:] > index[:-1]) | ((index[1:] == index[:-1]) & rising)
        if not rising.all():
            by_hop = torch.argsort(self.hop, stable=True)
            by_col = by_hop[torch.argsort(self.col[by_hop], stable=True)]
            order = by_col[torch.argsort(self.row[by_col], stable=True)]
            self.__dict__.update({name: getattr(self, name)[order] for name in _ENTRIES})


def _average(weight: Tensor, place: Tensor, size: int) -> Tensor:
    """The weights of both directions ``[nnz]``, averaged at their places."""
    return weight.new_zeros(size).index_add(0, place, weight.repeat(2) / 2)


def _of_all_graphs(data: Data, name: str) -> Any:
    """What an attribute says of every graph of a batch, the same of each."""
    found = set(torch.as_tensor(data[name]).flatten().tolist())
    if len(found) > 1:
        raise value_error(name, "the same for all graphs of a batch", sorted(found))
    return found.pop()


def _normalization_of(data: Data) -> Any:
    """The normalisation that stored walks were drawn with."""
    if data.get("walk_normalization") is None:
        return "unknown"
    return _normalization_at(_of_all_graphs(data, "walk_normalization"))


def _normalization_at(number: Any) -> Any:
    if number not in range(len(NORMALIZATIONS)):
        raise value_error("walk_normalization", f"a place in {NORMALIZATIONS}", number)
    return NORMALIZATIONS[number]


def stored_pairs(data: Data) -> Iterator[tuple[str, str]]:
    """The names under which ``data`` holds sets of pairs and their tables."""
    number = 0
    while data.get(names_of_pairs(number)[0]) is not None:
        yield names_of_pairs(number)
        number += 1


def names_of_pairs(number: int) -> tuple[str, str]:
    """Where the pairs of a set and their table are stored."""
    suffix = f"_{number}" if number else ""
    return f"walk_index{suffix}", f"walk_table{suffix}"


def _check_stored(index_name: str, index: Any, table_name: str, table: Any) -> None:
    """Pairs ``[2, P]`` of integers, and a table ``[P, K + 1]`` of numbers."""
    if not isinstance(index, Tensor) or index.is_floating_point() or index.dtype == torch.bool:
        raise type_error(index_name, "an integer tensor", index)
    if index.dim() != 2 or len(index) != 2:
        raise value_error(index_name, "of shape [2, P]", index)
    if not isinstance(table, Tensor) or not table.is_floating_point():
        raise type_error(table_name, "a floating-point tensor, as written by AddWalks", table)
    if table.dim() != 2 or len(table) != index.shape[1] or not table.shape[1]:
        raise value_error(
            table_name,
            f"of shape [P, K + 1] with P = {index.shape[1]} (pairs of `{index_name}`)",
            table,
        )


def _merge_pairs(index: Tensor, table: Tensor, num_nodes: int) -> tuple[Pattern, Tensor]:
    """Pairs in any order, sorted; those that coincide add."""
    key, place = torch.unique(index[0] * num_nodes + index[1], return_inverse=True)
    row = torch.div(key, num_nodes, rounding_mode="floor")
    pattern = Pattern.from_coo(row, key - row * num_nodes, (num_nodes, num_nodes))
    return pattern, table.new_zeros(len(key), table.shape[1]).index_add(0, place, table)


def _check_index(name: str, index: Any, weight: Tensor, end: int) -> Tensor:
    if not isinstance(index, Tensor) or index.is_floating_point() or index.dtype == torch.bool:
        raise type_error(name, "an integer tensor", index)
    if weight.dim() != 1 or index.shape != weight.shape:
        raise value_error(name, f"of shape [nnz] = {list(weight.shape)}, as `weight`", index)
    low, high = (int(x) for x in aminmax(index))
    if index.numel() and not 0 <= low <= high < end:
        raise value_error(name, f"from 0 to {end - 1}", f"values from {low} to {high}")
    return index.to(index_dtype(end))
