"""MaskOperator: an N x N matrix per head, known by what it does to vectors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, final, overload

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._deprecation import warn_deprecated
from graphmask._precision import full_precision
from graphmask.features.base import FeatureMap
from graphmask.features.scores import Scores
from graphmask.kernels import HopValues, Pattern
from graphmask.kernels.products import is_half
from graphmask.topology import Topology

# Entries of dense matrices beyond which memory would be exhausted without a word.
MAX_DENSE = 2**31


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
    """Both sums of masked attention: ``numerator [H, N, d]`` and ``denominator [H, N]``.

    The denominator is :obj:`None` where scores do not ask for it. Rows whose scores were divided by
    ``e^shift`` tell their ``shift [H, N]``, a constant.
    """

    numerator: Tensor
    denominator: Tensor | None
    shift: Tensor | None = None

    @property
    def normaliser(self) -> Tensor | None:
        """Deprecated name of :attr:`denominator`."""
        warn_deprecated("Attended.normaliser", "Attended.denominator")
        return self.denominator


# One operator's own way to both sums, from `q, k [H, N, m]`, `v [H, N, d]` and scores that are
# inner products.
Rule = Callable[[Tensor, Tensor, Tensor, Scores], Attended]


# Numerators `[H, N, d]`, and denominators `[H, N]` where these are wanted.
Sums = tuple[Tensor, Tensor | None]


class Entries(NamedTuple):
    """The sparse support of an operator and its values; every other entry is zero.

    Values are tensors, or are made from the coefficients of hops at each use.
    """

    pattern: Pattern
    values: Tensor | HopValues

    @property
    def value(self) -> Tensor:
        """``[H, nnz]``."""
        return self.values.expand() if isinstance(self.values, HopValues) else self.values


def check_dense(*shape: int) -> None:
    """Check that a dense matrix of all pairs of nodes is not out of all proportion."""
    if math.prod(shape) > MAX_DENSE:
        size = " x ".join(f"{n:,}" for n in shape)
        expected = (
            f"of at most {MAX_DENSE:,} entries as a dense matrix (multiply by it, or use rows)"
        )
        raise value_error("topology", expected, f"{size} = {math.prod(shape):,}")


def _guarded(to_dense: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    """``to_dense`` outside autocast, of graphs that it can hold."""

    @wraps(to_dense)
    def run(self: MaskOperator) -> Tensor:
        check_dense(*self.shape)
        with full_precision(self.topology.device):
            return to_dense(self)

    return run


class MaskOperator(ABC):
    r"""A matrix :math:`M` of shape ``[H, N, N]`` that is never built; H = 1 serves all heads.

    A subclass gives three methods: ``_matmul``, ``_transpose`` and ``to_dense``. Where its support
    is sparse it also gives ``_entries``, which unlocks :class:`~graphmask.operators.Pairs`; where
    single entries are cheap, ``lookup``; where it can attend faster than every execution,
    ``_own_rule``. :func:`graphmask.operators.attend` decides among them.

    Args:
        topology: the graphs that M is block-diagonal over.
        heads: H.
        sign: what is known about the sign of all entries. From :attr:`Sign.ESTIMATE` on, the
            denominator of attention sums M itself; below, its absolute values. A bool says whether
            all entries are non-negative.
        cost: multiply-adds of ``M @ x`` per head and column of x.

    Attributes:
        nonnegative: whether no entry can be negative.
        estimate: whether entries have any sign, and estimate non-negative ones.
        sums_itself: whether the denominator sums M, and not its absolute values.
    """

    def __init__(self, topology: Topology, heads: int, sign: Sign | bool, cost: float) -> None:
        self.topology, self.num_nodes = topology, topology.num_nodes
        self.heads, self.cost = heads, cost
        self.sign = Sign.of(sign) if isinstance(sign, bool) else sign
        self.nonnegative, self.estimate = self.sign.flags
        self.sums_itself = self.sign >= Sign.ESTIMATE
        # The time of one of its multiply-adds, in those of a sparse product.
        self.unit_cost = 1.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "to_dense" in vars(cls):
            cls.to_dense = _guarded(cls.to_dense)  # type: ignore[method-assign, assignment]

    @abstractmethod
    def _matmul(self, x: Tensor) -> Tensor:
        """``[H or 1, N, C] -> [H, N, C]`` in full precision, for at least one node.

        Called by :meth:`matmul` alone, which has a mask of one head multiply all heads of x as
        columns.
        """

    @abstractmethod
    def _transpose(self) -> MaskOperator:
        """The operator of the transposed matrix."""

    @abstractmethod
    def to_dense(self) -> Tensor:
        """``[H, N, N]`` from the definition, without ``_matmul``.

        For tests and small graphs, O(N^2) or more; beyond 2^31 entries a ``ValueError``.
        """

    def _entries(self) -> Entries | None:
        """The sparse support and its values, or :obj:`None` where M has none."""
        return None

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        """The operator's own way to attend by inner products, for values of ``d = channels``.

        :obj:`None` where an execution is faster, or this operator knows no other way.
        """
        return None

    def _attend_by_parts(
        self, feature_map: FeatureMap, q: Tensor, k: Tensor, v: Tensor, scores: Scores
    ) -> Attended | None:
        """Both sums of attention, of features that are mapped part by part, and not all kept.

        :obj:`None` where the operator needs the features of all nodes.

        Args:
            feature_map: of queries and keys.
            q: ``[H, N, d]`` queries.
            k: ``[H, N, d]`` keys.
            v: ``[H, N, d]`` values.
            scores: of the feature map.
        """
        return None

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        """Both sums of lifted attention by compiled code, for q, k and v of one type.

        Called where :func:`graphmask.kernels.columns.runs_columns` allows it; :obj:`None` where
        this operator has no such code.
        """
        return None

    def _parts(self) -> Sequence[MaskOperator]:
        """Operators of some heads each, in order, over which attention runs one by one."""
        return (self,)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        """``[H, nnz]`` entries of M at the positions of a pattern.

        :obj:`None` where single entries are not known. Where they are, rows are read and not
        multiplied, and scores of any size meet zeros that are not rounded.
        """
        return None

    @final
    def entries(self) -> Entries | None:
        """The sparse support and its values, or :obj:`None` where M has none."""
        if not hasattr(self, "_kept_entries"):
            with full_precision(self.topology.device):
                self._kept_entries = self._entries()
        return self._kept_entries

    @property
    def shape(self) -> torch.Size:
        """``(H, N, N)``."""
        return torch.Size([self.heads, self.num_nodes, self.num_nodes])

    @property
    def mT(self) -> MaskOperator:  # noqa: N802
        """The transposed operator."""
        return self._transpose()

    @final
    def matmul(self, x: Tensor) -> Tensor:
        """``M @ x`` with the broadcasting of :func:`torch.matmul`.

        ``[..., N, C]`` gives ``[..., H, N, C]``.

        The same as ``@``, under a name that ``torch.compile`` follows.

        Raises:
            ValueError: where x has not N rows, or a head dimension that is neither 1 nor H.
        """
        columns = x.unsqueeze(-1) if x.dim() == 1 else x
        if columns.dim() < 2 or columns.shape[-2] != self.num_nodes:
            raise value_error(
                "x", f"of shape [..., N, C] with N = {self.num_nodes} (nodes of the mask)", x
            )
        columns = columns.unsqueeze(0) if columns.dim() == 2 else columns
        if 1 not in (columns.shape[-3], self.heads) and columns.shape[-3] != self.heads:
            raise value_error(
                "x", f"of shape [..., H, N, C] with H = {self.heads} or 1 (heads of the mask)", x
            )
        shared = self.heads == 1 < columns.shape[-3]
        columns = columns.unsqueeze(-3) if shared else columns
        batch_shape, channels = columns.shape[:-3], columns.shape[-1]
        if batch_shape:
            columns = columns.flatten(0, -4).movedim(0, 2).flatten(2)
        columns = columns.float() if is_half(x) else columns
        if self.num_nodes:
            with full_precision(x.device):
                out = self._matmul(columns)
        else:
            out = columns.expand(self.heads, -1, -1)
        if batch_shape:
            out = out.unflatten(2, (batch_shape.numel(), channels)).movedim(2, 0)
            out = out.unflatten(0, batch_shape)
        out = out.squeeze(-3) if shared else out
        out = out.to(x.dtype) if is_half(x) else out
        return out.squeeze(-1) if x.dim() == 1 else out

    if TYPE_CHECKING:
        # The modules that define sums, products and attention attach these methods, since they
        # import this one.
        @overload
        def __matmul__(self, x: Tensor) -> Tensor: ...
        @overload
        def __matmul__(self, x: MaskOperator) -> MaskOperator: ...
        def __matmul__(self, x: Any) -> Any: ...
        def __add__(self, other: MaskOperator) -> MaskOperator: ...
        def __mul__(self, other: float | Tensor | MaskOperator) -> MaskOperator: ...
        def __rmul__(self, other: float | Tensor) -> MaskOperator: ...
        def attend(
            self, q: Tensor, k: Tensor, v: Tensor, execution: Any = None, scores: Any = None
        ) -> Attended: ...
        def _repr_html_(self) -> str: ...

    @final
    def rows(self, nodes: Tensor) -> Tensor:
        """Rows ``[H, len(nodes), N]`` of M.

        Costs O(N) per chosen node where single entries are known (:meth:`lookup`), else one product
        with ``M.mT``; never N x N.

        Raises:
            ValueError: for nodes that are not a vector of node ids, and more than 2^31 entries.
        """
        check_nodes(nodes, self.num_nodes)
        check_dense(self.heads, len(nodes), self.num_nodes)
        chosen, place = torch.unique(nodes.long(), return_inverse=True)
        shape = len(chosen), self.num_nodes
        row = chosen.repeat_interleave(self.num_nodes)
        col = torch.arange(self.num_nodes, device=nodes.device).repeat(len(chosen))
        entries = self.lookup(Pattern.from_coo(row, col, (self.num_nodes, self.num_nodes)))
        if entries is not None:
            return entries.expand(self.heads, -1).unflatten(1, shape)[:, place]
        one_hot = torch.zeros(self.num_nodes, len(nodes), device=nodes.device)
        one_hot[nodes.long(), torch.arange(len(nodes), device=nodes.device)] = 1
        return self.mT.matmul(one_hot).mT

    def _within_graphs(self, value: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Values ``[H, ...]`` between nodes, 0 where these are of different graphs."""
        batch = self.topology.batch
        return value if batch is None else value.masked_fill(batch[row] != batch[col], 0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"

    def __str__(self) -> str:
        return f"{self!r}: {self.cost:,.0f} multiply-adds per head and column"


class EntrywiseOperator(MaskOperator):
    """An operator with a formula for its entries, from which all of them and any of them follow."""

    @abstractmethod
    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        """``[H, ...]`` entries between nodes."""

    def to_dense(self) -> Tensor:
        nodes = torch.arange(self.num_nodes, device=self.topology.device)
        return self._at(nodes.unsqueeze(1), nodes.unsqueeze(0))

    def lookup(self, pattern: Pattern) -> Tensor:
        return self._at(pattern.row.long(), pattern.col.long())


def check_nodes(nodes: Tensor, num_nodes: int) -> None:
    """Check that nodes are a vector of node ids."""
    if (
        not isinstance(nodes, Tensor)
        or nodes.dim() != 1
        or nodes.is_floating_point()
        or nodes.dtype == torch.bool
    ):
        raise value_error("nodes", "a vector of node ids", nodes)
    if nodes.numel() and not 0 <= int(nodes.min()) <= int(nodes.max()) < num_nodes:
        raise value_error("nodes", f"ids from 0 to N - 1 = {num_nodes - 1}", f"{nodes.tolist()}")


def check_same_graph(name: str, operators: Sequence[MaskOperator]) -> None:
    """Check that operators, one at least, are of one graph."""
    if not operators:
        raise value_error(name, "at least one operator", "none")
    first = operators[0].topology
    # Compared one by one, since torch.compile fixes numbers that it puts into a set.
    if not all(share_graph(operator.topology, first) for operator in operators):
        sizes = [operator.num_nodes for operator in operators]
        raise value_error(name, "of the same graph", f"other graphs, of {sizes} nodes")


def common_heads(name: str, operators: Sequence[MaskOperator]) -> int:
    """The number of heads of a combination of operators.

    Raises:
        ValueError: for operators on different graphs, or of different numbers of heads but one.
    """
    check_same_graph(name, operators)
    heads = max([operator.heads for operator in operators])
    if not all(operator.heads in (1, heads) for operator in operators):
        counts = [operator.heads for operator in operators]
        raise value_error(name, "of the same number of heads, or one", f"heads {counts}")
    return heads


def share_graph(a: Topology, b: Topology) -> bool:
    """Compare the nodes, edges and graphs of two topologies, whose weights and walks may differ.

    Tensors are compared by value only where they are different objects: topologies that were
    derived from each other share them, and then nothing waits for a GPU.
    """
    if a is b:
        return True
    if a.num_nodes != b.num_nodes or a.device != b.device or a.num_graphs != b.num_graphs:
        return False
    batches = [batch for batch in (a.batch, b.batch) if batch is not None]
    if a.batch is not b.batch and len(batches) == 2 and not torch.equal(*batches):
        return False
    if a.edge_index is b.edge_index:
        return True
    # Patterns do not depend on the order of edges.
    first, second = a.pattern, b.pattern
    return torch.equal(first.rowptr, second.rowptr) and torch.equal(first.col, second.col)
