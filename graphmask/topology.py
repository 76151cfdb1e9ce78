"""Topology: all that a mask may look at, validated once at the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.fx import Proxy
from torch_geometric.data import Data, HeteroData

from ._blocks import Blocks
from ._cached import cached
from ._checks import (
    DeferredChecks,
    aminmax,
    check_integer,
    has_nonfinite,
    raise_nonfinite,
    type_error,
    value_error,
)
from ._formats import read_edges, typed_error
from ._html import format_bytes, html_table, nbytes
from ._walks import Walks
from .kernels import Pattern
from .kernels.products import accumulator

if TYPE_CHECKING:
    from torch_geometric import EdgeIndex
    from torch_geometric.typing import SparseTensor

# What HeteroData, its dictionaries and what to_hetero makes of a model are told.
_ONE_KIND = "of one kind (see HeteroData.to_homogeneous, whose node_type and edge_type become features and weights)"

Normalization = Literal["sym", "rw"] | None
Derived = TypeVar("Derived")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Topology:
    r"""A weighted graph, or a batch of graphs, as masks see it.

    Its weighted adjacency is :math:`A_{ij} = \sum w_e` over the edges :math:`e: j \to i` (row 0 of
    ``edge_index`` holds the sources j, row 1 the targets i). Directed graphs, multi-edges,
    self-loops, negative weights, isolated nodes and any order of ``batch`` are legal.

    Args:
        edge_index: ``[2, E]`` integers; or an ``EdgeIndex``, a torch COO/CSR/CSC matrix or a
            ``torch_sparse.SparseTensor`` ``[N, N]``, read as PyG's ``adj_t`` (rows are targets),
            whose values become the weights.
        num_nodes: N. May be left out where ``edge_index``, ``batch`` or ``pos`` tell it.
        edge_weight: ``[E]`` floating-point. (default: :obj:`None`, all ones)
        batch: ``[N]`` graph of each node, in any order. (default: :obj:`None`, one graph)
        pos: ``[N, D]`` coordinates. (default: :obj:`None`)
        walks: walks drawn on this graph, or several independent sets of them. (default:
            :obj:`None`)
        num_graphs: B, where trailing graphs may be empty. (default: :obj:`None`, ``batch.max() +
            1``)
        edge_attr: ``[E, D]`` or ``[E]`` features of edges, real numbers; those of a sparse matrix
            come in its order of entries, by row and then column. (default: :obj:`None`)

    Attributes:
        nonnegative: whether no weight is negative.
        walk_sets: all sets of walks; ``walks`` is the first, or :obj:`None`.

    Raises:
        TypeError: for an argument of a wrong type or dtype.
        ValueError: for wrong shapes, node ids out of range, NaN or infinite weights, positions or
            features, edges between graphs, and walks of another graph.

    Cost: O(N + E + P) for P pairs of walks; on a GPU one synchronisation. :meth:`from_data` and
    :meth:`with_walks` have one, too; walks that are stored as lists of entries, or out of order,
    need more.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> path
        Topology(num_nodes=3, num_edges=4, num_graphs=1)
        >>> pattern, weight = path.adjacency("rw")
        >>> pattern.to_dense(weight)
        tensor([[0.0000, 1.0000, 0.0000],
                [0.5000, 0.0000, 0.5000],
                [0.0000, 1.0000, 0.0000]])
    """

    edge_index: Tensor
    num_nodes: int
    edge_weight: Tensor | None
    batch: Tensor | None
    pos: Tensor | None
    walks: Walks | None
    num_graphs: int
    edge_attr: Tensor | None
    nonnegative: bool
    walk_sets: tuple[Walks, ...]
    _normalized: dict[Normalization, Tensor]
    _derived: dict[tuple[Any, ...], Any]

    def __init__(
        self,
        edge_index: Tensor | EdgeIndex | SparseTensor,
        num_nodes: int | None = None,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        pos: Tensor | None = None,
        walks: Walks | Sequence[Walks] | None = None,
        num_graphs: int | None = None,
        edge_attr: Tensor | None = None,
    ) -> None:
        self._fill(
            DeferredChecks(),
            edge_index,
            num_nodes,
            edge_weight,
            batch,
            pos,
            walks,
            num_graphs,
            edge_attr,
        )

    @classmethod
    def from_data(cls, data: Data) -> Topology:
        """The topology of a PyG ``Data`` or ``Batch``.

        Reads ``edge_index`` or ``adj_t``, ``edge_weight``, ``edge_attr``, ``batch``, ``pos`` and
        the attributes that :class:`graphmask.transforms.AddWalks` writes.

        Raises:
            TypeError: for ``HeteroData``: masks look at one kind of nodes and edges.
            ValueError: where the data holds no edges, or as :class:`Topology` does.
        """
        if isinstance(data, HeteroData):
            raise type_error("data", f"a Data or Batch {_ONE_KIND}", data)
        graph = data.edge_index if data.edge_index is not None else data.get("adj_t")
        if graph is None:
            raise value_error(
                "data",
                "a graph with `edge_index` or `adj_t` (see graphmask.transforms.KNNGraph)",
                list(data.keys()),
            )
        checks, batch = DeferredChecks(), data.get("batch")
        walks = Walks.sets_from_data(data, checks)
        num_graphs = None if batch is None else getattr(data, "num_graphs", None)
        made = object.__new__(cls)
        weight, pos, attr = (data.get(name) for name in ("edge_weight", "pos", "edge_attr"))
        made._fill(checks, graph, data.num_nodes, weight, batch, pos, walks, num_graphs, attr)
        return made

    @classmethod
    def of(
        cls,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Topology:
        """The topology behind a layer's ``forward(x, edge_index, edge_weight, batch, edge_attr)``; a ready one is passed on.

        Raises:
            ValueError: where ``x`` has not one row per node, or weights come beside a ready
                topology.
        """
        if isinstance(x, (dict, tuple, Proxy)):
            raise type_error(
                "x", f"a floating-point tensor of shape [N, C], of nodes {_ONE_KIND}", x
            )
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise type_error("x", "a floating-point tensor of shape [N, C]", x)
        if not isinstance(edge_index, Topology):
            if (
                batch is None
                and isinstance(edge_weight, Tensor)
                and not edge_weight.is_floating_point()
            ):
                expected = "a floating-point tensor (`batch` comes after it: batch=batch, or None in its place)"
                raise typed_error("edge_weight", expected, edge_weight)
            return cls(
                edge_index,
                num_nodes=x.shape[0],
                edge_weight=edge_weight,
                batch=batch,
                edge_attr=edge_attr,
            )
        if edge_attr is not None:
            raise value_error(
                "edge_attr", "left out beside a Topology, which holds its own", edge_attr
            )
        if edge_weight is not None or batch is not None:
            raise value_error(
                "edge_weight, batch", "left out beside a Topology, which holds its own", "both"
            )
        if x.shape[0] != edge_index.num_nodes:
            raise value_error(
                "x", f"of shape [N, C] with N = {edge_index.num_nodes} (nodes of the topology)", x
            )
        return edge_index

    def with_walks(self, *walks: Walks) -> Topology:
        """The same graph with these walks.

        Masks such as ``GRFMask`` read several independent sets.
        """
        checks, made = DeferredChecks(), object.__new__(Topology)
        made._set(**self.__dict__)  # what was derived from the edges stays true
        made._take_walks(walks, checks)
        checks.run()
        return made

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on another device."""
        made = object.__new__(Topology)
        moved = {
            name: getattr(self, name)
            for name in ("edge_index", "edge_weight", "batch", "pos", "edge_attr")
        }
        made._set(**{name: None if x is None else x.to(device) for name, x in moved.items()})
        sets = tuple(walks.to(device) for walks in self.walk_sets)
        made._set(walks=sets[0] if sets else None, walk_sets=sets, _normalized={}, _derived={})
        made._set(
            num_nodes=self.num_nodes, num_graphs=self.num_graphs, nonnegative=self.nonnegative
        )
        return made

    def adjacency(
        self, normalization: Normalization = "sym", edge_weight: Tensor | None = None
    ) -> tuple[Pattern, Tensor]:
        r"""The normalised adjacency W as a pattern and its values ``[nnz]``, multi-edges summed.

        With absolute row sums :math:`r_i = \sum_j |A_{ij}|` and column sums :math:`c_j = \sum_i
        |A_{ij}|`: ``"sym"`` is :math:`A_{ij} / \sqrt{r_i c_j}` (for an undirected graph
        :math:`D^{-1/2} A D^{-1/2}`; for any graph its spectral norm is at most 1), ``"rw"`` is
        :math:`A_{ij} / r_i`, :obj:`None` is A itself. Where a sum is zero the row or column is
        zero. Differentiable in ``edge_weight``.

        Args:
            normalization: ``"sym"``, ``"rw"`` or :obj:`None`.
            edge_weight: ``[..., E]``, other weights than those of the graph, such as one set per
                head; values are then ``[..., nnz]``. (default: :obj:`None`, those of the graph)

        Raises:
            ValueError: for any other normalisation.

        Cost: O(E log E) for the pattern, once per topology.
        """
        check_normalization(normalization)
        if edge_weight is not None:
            return self.pattern, _normalize(self.pattern, self._summed(edge_weight), normalization)
        if self.requires_grad:
            return self.pattern, _normalize(self.pattern, self._summed_weight(), normalization)
        if normalization not in self._normalized:
            with torch.inference_mode(False):
                self._normalized[normalization] = _normalize(
                    self.pattern, self._summed_weight(), normalization
                )
        return self.pattern, self._normalized[normalization]

    def derive(self, make: Callable[..., Derived], *arguments: Any) -> Derived:
        """``make(topology, *arguments)``, made once per topology and kept.

        Structure that one family of masks reads.

        The function must depend on the graph alone, and its result must not be differentiated:
        weights that want a gradient are not structure. What it makes from walks is not kept apart
        from other walks on the same graph.

        Args:
            make: a function, the same object in every call.
            arguments: hashable.
        """
        key = (make, *arguments)
        if key not in self._derived:
            with torch.inference_mode(False), torch.no_grad():
                self._derived[key] = make(self, *arguments)
        return self._derived[key]

    @property
    def num_edges(self) -> int:
        """E, with multi-edges counted."""
        return self.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the graph lies."""
        return self.edge_index.device

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted with respect to the edge weights."""
        return self.edge_weight is not None and self.edge_weight.requires_grad

    @cached
    def pattern(self) -> Pattern:
        """Where A has entries, rows the targets, each position once."""
        position = torch.unique_consecutive(self._position[0])
        row = torch.div(position, self.num_nodes, rounding_mode="floor")
        return Pattern.from_coo(
            row, position - row * self.num_nodes, (self.num_nodes, self.num_nodes)
        )

    @cached
    def graph_sizes(self) -> Tensor:
        """``[B]``, nodes of each graph."""
        if self.batch is None:
            return torch.tensor([self.num_nodes], device=self.device)
        return torch.bincount(self.batch, minlength=self.num_graphs)

    @cached
    def local_index(self) -> Tensor:
        """``[N]``, rank of each node among the nodes of its own graph.

        The same alone as in any batch.
        """
        if self.batch is None:
            return torch.arange(self.num_nodes, device=self.device)
        order = torch.argsort(self.batch, stable=True)
        start = self.graph_sizes.cumsum(0) - self.graph_sizes
        rank = torch.empty_like(order)
        rank[order] = torch.arange(self.num_nodes, device=self.device) - start[self.batch[order]]
        return rank

    @cached
    def largest_graph(self) -> int:
        """Nodes of the largest graph."""
        return self.num_nodes if self.batch is None else int(self.graph_sizes.max())

    @cached
    def blocks(self) -> Blocks:
        """The graphs stacked in groups of similar size."""
        return Blocks.of_graphs(self.graph_sizes, self.batch, self.local_index)

    def __repr__(self) -> str:
        sets = f", walks={len(self.walk_sets)} x {self.walks}" if self.walks is not None else ""
        return f"Topology(num_nodes={self.num_nodes}, num_edges={self.num_edges}, num_graphs={self.num_graphs}{sets})"

    def _repr_html_(self) -> str:
        """For notebooks: what is there, without looking at any value."""
        weights = (
            "none, all ones"
            if self.edge_weight is None
            else "non-negative"
            if self.nonnegative
            else "of any sign"
        )
        sizes = nbytes(self.edge_index, self.edge_weight, self.batch, self.pos)
        facts = {
            "nodes": f"{self.num_nodes:,}",
            "edges": f"{self.num_edges:,}, {self.num_edges / max(1, self.num_nodes):.3g} per node",
            "graphs": f"{self.num_graphs:,}",
            "weights": weights,
            "positions": "none" if self.pos is None else f"{self.pos.shape[1]} per node",
            "walks": f"{len(self.walk_sets)} x {self.walks}" if self.walks is not None else "none",
            "memory": f"{format_bytes(sizes)} on {self.device}, without walks",
        }
        return html_table(repr(self), facts)

    def _set(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def _fill(
        self,
        checks: DeferredChecks,
        edge_index: Any,
        num_nodes: int | None,
        edge_weight: Tensor | None,
        batch: Tensor | None,
        pos: Tensor | None,
        walks: Walks | Sequence[Walks] | None,
        num_graphs: int | None,
        edge_attr: Tensor | None,
    ) -> None:
        """Take and check the arguments.

        DeferredChecks about their values are settled together with those that are there.
        """
        edges = read_edges(edge_index)
        if edges.edge_weight is not None and edge_weight is not None:
            raise value_error(
                "edge_weight", "left out where the sparse matrix has values", edge_weight
            )
        self._set(
            edge_index=edges.edge_index,
            edge_weight=edges.edge_weight if edge_weight is None else edge_weight,
        )
        self._set(
            num_nodes=_count_nodes(num_nodes, edges.num_nodes, batch=batch, pos=pos),
            batch=batch,
            pos=pos,
        )
        self._set(edge_attr=edge_attr, nonnegative=True, num_graphs=1, _normalized={}, _derived={})
        self._check_shapes()
        self._ask_values(num_graphs, checks)
        self._ask_links("edge_index", self.edge_index, checks)
        self._take_walks(walks, checks)
        checks.run()

    def _take_walks(self, walks: Walks | Sequence[Walks] | None, checks: DeferredChecks) -> None:
        sets = _as_sets(walks)
        self._set(walks=sets[0] if sets else None, walk_sets=sets)
        for each in sets:
            if each.num_nodes != self.num_nodes:
                raise value_error(
                    "walks",
                    f"drawn on this graph of {self.num_nodes} nodes",
                    f"walks on {each.num_nodes} nodes",
                )
            if self.batch is not None:
                self._ask_links("walks", each.ends, checks)

    def _check_shapes(self) -> None:
        n, e = self.num_nodes, self.num_edges
        if self.edge_weight is not None:
            _check_tensor("edge_weight", self.edge_weight, (e,), "[E]", floating=True)
        if self.batch is not None:
            _check_tensor("batch", self.batch, (n,), "[N]", floating=False)
            self._set(batch=self.batch.long())
        if self.pos is not None:
            _check_tensor("pos", self.pos, (n, None), "[N, D]", floating=True)
        if self.edge_attr is not None:
            _check_attributes(self.edge_attr, e)

    def _ask_values(self, num_graphs: int | None, checks: DeferredChecks) -> None:
        if self.num_edges:
            checks.add(self._settle_nodes, *aminmax(self.edge_index))
        if self.edge_weight is not None:
            low, high = aminmax(self.edge_weight)
            checks.add(self._settle_weights, has_nonfinite(low, high), low < 0)
        if self.pos is not None:
            checks.add(self._settle_positions, has_nonfinite(*aminmax(self.pos)))
        if self.edge_attr is not None and self.edge_attr.is_floating_point():
            checks.add(self._settle_attributes, has_nonfinite(*aminmax(self.edge_attr)))
        if self.batch is None or not self.num_nodes:
            self._set(num_graphs=_count_graphs(num_graphs, 0, 0))
        else:
            checks.add(partial(self._settle_graphs, num_graphs), *aminmax(self.batch))

    def _settle_nodes(self, low: int, high: int) -> None:
        if low < 0 or high >= self.num_nodes:
            wrong = high if high >= self.num_nodes else low
            raise value_error(
                "edge_index", f"node ids from 0 to N - 1 = {self.num_nodes - 1}", f"{wrong}"
            )

    def _settle_weights(self, bad: int, negative: int) -> None:
        if bad:
            raise_nonfinite("edge_weight", self.edge_weight)  # type: ignore[arg-type]
        self._set(nonnegative=not negative)

    def _settle_positions(self, bad: int) -> None:
        if bad:
            raise_nonfinite("pos", self.pos)  # type: ignore[arg-type]

    def _settle_attributes(self, bad: int) -> None:
        if bad:
            raise_nonfinite("edge_attr", self.edge_attr)  # type: ignore[arg-type]

    def _settle_graphs(self, num_graphs: int | None, first: int, last: int) -> None:
        self._set(num_graphs=_count_graphs(num_graphs, first, last))

    def _ask_links(
        self, name: str, ends: Sequence[Tensor] | Tensor, checks: DeferredChecks
    ) -> None:
        if self.batch is None or not self.num_nodes:
            return
        # Ids out of range are refused when all checks are settled, and must not be followed
        # before.
        source, target = (
            self.batch.index_select(0, each.clamp(0, self.num_nodes - 1)) for each in ends
        )
        checks.add(partial(_settle_links, name), (source != target).sum())

    @cached
    def _position(self) -> tuple[Tensor, Tensor]:
        """Edges as sorted positions ``i N + j`` of A, and the order that sorts them."""
        source, target = self.edge_index
        return torch.sort(target * self.num_nodes + source, stable=True)

    @cached
    def _entry(self) -> Tensor | None:
        """``[E]``, the entry of A that each edge adds to, in the order of positions.

        None where each has its own.
        """
        if self.pattern.nnz == self.num_edges:
            return None
        return torch.unique_consecutive(self._position[0], return_inverse=True)[1]

    def _summed_weight(self) -> Tensor:
        return self._summed(
            torch.ones(self.num_edges, device=self.device)
            if self.edge_weight is None
            else self.edge_weight
        )

    def _summed(self, weight: Tensor) -> Tensor:
        """``[..., E] -> [..., nnz]``, weights of edges summed to entries of A."""
        weight = weight.to(accumulator(weight))[..., self._position[1]]
        if self._entry is None:
            return weight
        return weight.new_zeros(*weight.shape[:-1], self.pattern.nnz).index_add(
            -1, self._entry, weight
        )


def check_normalization(normalization: Normalization) -> Normalization:
    """One of the three normalisations of the adjacency."""
    if normalization not in ("sym", "rw", None):
        raise value_error("normalization", "'sym', 'rw' or None", normalization)
    return normalization


def _count_nodes(asked: int | None, stored: int | None, **known: Tensor | None) -> int:
    """N from the argument, from the graph format, or from the rows of the node tensors that are ``known``."""
    if asked is not None:
        if stored not in (None, check_integer("num_nodes", asked, 0)):
            raise value_error("num_nodes", f"{stored}, the size of the sparse matrix", asked)
        return asked
    if stored is not None:
        return stored
    for name, tensor in known.items():
        if tensor is not None:
            if not isinstance(tensor, Tensor) or not tensor.dim():
                raise type_error(name, "a tensor of one row per node", tensor)
            return tensor.shape[0]
    raise value_error("num_nodes", "given, since edges alone do not tell of isolated nodes", None)


def _count_graphs(asked: int | None, first: int, last: int) -> int:
    """B from the argument, or from the first and the last graph in ``batch``."""
    if first < 0:
        raise value_error("batch", "graph numbers from 0", f"{first}")
    if asked is None:
        return last + 1
    if check_integer("num_graphs", asked, 1) <= last:
        raise value_error("num_graphs", f"at least {last + 1}, the graphs in `batch`", asked)
    return asked


def _settle_links(name: str, crossing: int) -> None:
    if crossing:
        raise value_error(name, "within graphs", f"{crossing} links between graphs of `batch`")


def _as_sets(walks: Walks | Sequence[Walks] | None) -> tuple[Walks, ...]:
    sets = () if walks is None else (walks,) if isinstance(walks, Walks) else tuple(walks)
    for each in sets:
        if not isinstance(each, Walks):
            raise type_error("walks", "Walks, or a sequence of them", each)
    return sets


def _check_tensor(
    name: str, value: Tensor, shape: tuple[int | None, ...], letters: str, floating: bool
) -> None:
    if not isinstance(value, Tensor):
        raise type_error(name, "a tensor", value)
    if value.is_floating_point() != floating or value.is_complex() or value.dtype == torch.bool:
        raise typed_error(
            name, "a floating-point tensor" if floating else "an integer tensor", value
        )
    if value.dim() != len(shape) or any(
        want not in (None, got) for want, got in zip(shape, value.shape, strict=True)
    ):
        raise value_error(name, f"of shape {letters} with {letters[1]} = {shape[0]}", value)


def _check_attributes(edge_attr: Tensor, num_edges: int) -> None:
    if not isinstance(edge_attr, Tensor):
        raise type_error("edge_attr", "a tensor", edge_attr)
    if edge_attr.is_complex():
        raise typed_error("edge_attr", "a tensor of real numbers", edge_attr)
    if edge_attr.dim() not in (1, 2) or edge_attr.shape[0] != num_edges:
        raise value_error("edge_attr", f"of shape [E, D] or [E] with E = {num_edges}", edge_attr)


def _normalize(pattern: Pattern, weight: Tensor, normalization: Normalization) -> Tensor:
    if normalization is None:
        return weight
    row = _totals(weight, pattern.row, pattern.shape[0])
    if normalization == "rw":
        return weight * _power(row, -1)[..., pattern.row]
    col = _totals(weight, pattern.col, pattern.shape[1])
    return weight * _power(row, -0.5)[..., pattern.row] * _power(col, -0.5)[..., pattern.col]


def _totals(weight: Tensor, place: Tensor, count: int) -> Tensor:
    """Sums of absolute values by row or column, ``[..., count]``."""
    return weight.new_zeros(*weight.shape[:-1], count).index_add(-1, place, weight.abs())


def _power(total: Tensor, exponent: float) -> Tensor:
    """A negative power, and 0 where a node has no weight.

    Masked before the power, so that no gradient is NaN.
    """
    empty = total == 0
    return total.masked_fill(empty, 1).pow(exponent).masked_fill(empty, 0)
