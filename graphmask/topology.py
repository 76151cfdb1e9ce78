"""Topology: everything that a mask may look at, validated once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from ._allocator import keep_freed_memory
from ._blocks import Blocks
from ._cached import Derived, Sources, cached
from ._checks import DeferredChecks, value_error
from ._html import format_bytes, html_table, nbytes
from ._normalization import Normalization as Normalization
from ._normalization import check_normalization as check_normalization
from ._normalization import normalize
from ._part import Part
from ._validation import (
    Graph,
    GraphArguments,
    Permuted,
    check_beside_topology,
    check_edges_of_data,
    check_features,
    check_no_batch,
    check_order,
    check_origin,
    check_walks,
)
from ._walk_storage import StoredWalks
from ._walks import Origin, Walks, invert, pattern_of_keys
from .kernels import Pattern
from .kernels.products import accumulator

if TYPE_CHECKING:
    from torch_geometric import EdgeIndex
    from torch_geometric.typing import SparseTensor

T = TypeVar("T")

# Attributes of a topology that hold its values of the adjacency.
_OWN_WEIGHTS = {None: "_weight", "sym": "_sym_weight", "rw": "_rw_weight"}


class Topology(Graph):
    r"""A weighted graph, or a batch of graphs, as masks see it.

    Its weighted adjacency is :math:`A_{ij} = \sum w_e` over the edges :math:`e: j \to i` (row 0 of
    ``edge_index`` holds the sources j, row 1 the targets i). Directed graphs, multi-edges,
    self-loops, negative weights, isolated nodes and any order of ``batch`` are legal.

    Args:
        edge_index: ``[2, E]`` integers; or an ``EdgeIndex``, a torch COO/CSR/CSC matrix or a
            ``torch_sparse.SparseTensor`` ``[N, N]``, read as PyG's ``adj_t`` (rows are targets),
            whose values become the weights.
        num_nodes: N; may be left out where ``edge_index``, ``batch`` or ``pos`` determine it.
        edge_weight: ``[E]`` floating-point. (default: :obj:`None`, all ones)
        batch: ``[N]`` graph of each node, in any order. (default: :obj:`None`, one graph)
        pos: ``[N, D]`` coordinates. (default: :obj:`None`)
        walks: walks drawn on this graph, or several independent sets of them. (default:
            :obj:`None`)
        num_graphs: B, where trailing graphs may be empty. (default: :obj:`None`, ``batch.max() +
            1``)
        edge_attr: ``[E, D]`` or ``[E]`` features of edges, real numbers; those of a sparse matrix
            come in its order of entries, by row and then column. (default: :obj:`None`)

    Edges in int64, ``batch`` in int64, weights, positions and features are read where they are:
    after a change in place they are validated and read anew, and walks of the graph before raise an
    error. Edges in other formats, and tensors made in inference mode, are copied. What torch does
    not count as a change, such as one by ``.data``, is seen in weights that require a gradient
    alone. So is any change by code that ``torch.compile`` has made: prepare the topology, or make
    it anew, before such code reads it again.

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
        *,
        _checked: Graph | None = None,
    ) -> None:
        if _checked is None:
            _checked = GraphArguments(
                edge_index, num_nodes, edge_weight, batch, pos, walks, num_graphs, edge_attr
            ).check()
        super().__init__(**vars(_checked))
        keep_freed_memory(self.num_nodes, self.device)

    @classmethod
    def from_data(cls, data: Data) -> Topology:
        """The topology of a PyG ``Data`` or ``Batch``.

        Reads ``edge_index`` or ``adj_t``, ``edge_weight``, ``edge_attr``, ``batch``, ``pos`` and
        the attributes that :class:`graphmask.transforms.AddWalks` writes.

        Raises:
            TypeError: for ``HeteroData``: masks look at one kind of nodes and edges.
            ValueError: where the data holds no edges, or as :class:`Topology` does.
        """
        edges, batch = check_edges_of_data(data), data.get("batch")
        num_graphs = None if batch is None else getattr(data, "num_graphs", None)
        weight, pos, attr = (data.get(name) for name in ("edge_weight", "pos", "edge_attr"))
        graph = GraphArguments(
            edges, data.num_nodes, weight, batch, pos, StoredWalks(data), num_graphs, attr
        ).check()
        return cls(edges, _checked=graph)

    @classmethod
    def of(
        cls,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Topology:
        """The topology of a layer's ``forward(x, edge_index, edge_weight, batch, edge_attr)``.

        A Topology in the place of ``edge_index`` is returned as it is.

        Raises:
            ValueError: where ``x`` has not one row per node, or weights come beside a Topology.
        """
        if isinstance(edge_index, Topology):
            check_beside_topology(edge_weight, batch, edge_attr)
            check_features(x, edge_index.num_rows)
            return edge_index
        check_features(x)
        if batch is None:
            check_no_batch(edge_weight)
        return cls(edge_index, x.shape[0], edge_weight, batch, edge_attr=edge_attr)

    def with_walks(self, *walks: Walks) -> Topology:
        """The same graph with these walks.

        Masks such as ``GRFMask`` read several independent sets.

        Raises:
            ValueError: for walks that a sampler drew on another graph.

        Cost: none for walks on this topology; O(N + E) for those on another one of the same graph.
        """
        checks, changes = DeferredChecks(), self._changes
        walk_sets = check_walks(walks, self.num_nodes, self.batch, checks)
        for walk_set in walks:
            check_origin(walk_set, self.edge_index, self.edge_weight, self._sources, checks)
        checks.run()
        return self._replace(
            _walk_sets=tuple(walks.result for walks in walk_sets),
            _drawn_after=changes,
        )

    def with_features(self, x: Tensor) -> Topology:
        """The same graph with features of its nodes, ``[N, C]``.

        Masks such as :class:`~graphmask.masks.AdaptiveWalkMask` read them. Layers call it with
        their own input: what they attend from decides how they attend. Features are taken as they
        are, and may carry a gradient.

        Raises:
            TypeError: for anything but a floating-point tensor.
            ValueError: for another shape.

        Example:
            >>> import torch, graphmask as gm
            >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
            >>> edge.with_features(torch.ones(2, 3)).x.shape
            torch.Size([2, 3])
        """
        check_features(x, self.num_nodes)
        return self._replace(x=x)

    def as_origin(self, reads_weights: bool) -> Origin:
        """Return the identity of this graph, by which walks are refused by other graphs."""
        _ = self._derived  # which counts changes
        return Origin.of(self._sources, self.edge_index, self.edge_weight, reads_weights)

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on another device."""
        names = ("edge_index", "edge_weight", "batch", "pos", "edge_attr")
        tensors = {name: getattr(self, name) for name in names}
        moved = {name: x if x is None else x.to(device) for name, x in tensors.items()}
        sources = Sources(list(moved.values()), self.nonnegative)
        return self._replace(
            **moved,
            x=None if self.x is None else self.x.to(device),
            _sources=sources,
            _walk_sets=tuple(walks.to(device) for walks in self.walk_sets),
            _drawn_after=sources.changes[:2],
            _part=self._part.to(device),
        )

    def permute(self, order: Tensor) -> Topology:
        """The same graph, with its walks, whose node k is node ``order[k]`` of this one.

        Args:
            order: ``[N]``, each node once.

        Raises:
            ValueError: for another order.

        Cost: O(N log N + E); O(P log P) more for P pairs of walks; on a GPU one synchronisation.

        Example:
            >>> import torch, graphmask as gm
            >>> path = gm.Topology(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
            >>> path.permute(torch.tensor([2, 1, 0])).edge_index
            tensor([[2, 1],
                    [1, 0]])
        """
        self._part.check_hops("topology", "permute", None)
        order = check_order(order, self.num_nodes)
        rank = invert(order)
        by_node = {name: getattr(self, name) for name in ("batch", "pos", "x")}
        moved = {name: x if x is None else x[order] for name, x in by_node.items()}
        moved["edge_index"] = rank[self.edge_index]
        tensors = moved["edge_index"], self.edge_weight, moved["batch"], moved["pos"]
        sources = Sources((*tensors, self.edge_attr), self._derived.nonnegative)
        walks = tuple(walks.permute(rank) for walks in self.walk_sets)
        return self._replace(
            **moved, _sources=sources, _walk_sets=walks, _drawn_after=sources.changes[:2]
        )

    def with_permuted(self, graph: Topology, order: Tensor) -> Topology:
        """The same graph, with itself permuted, for models that compute in that order."""
        order = order.long()
        permuted = Permuted(graph, order, invert(order), self._changes)
        return self._replace(_permuted=permuted)

    @property
    def permuted(self) -> Permuted | None:
        """This graph in an order in which neighbours are close, where a model prepared one.

        None after edges or weights were changed in place.
        """
        kept = self._permuted
        return kept if kept is not None and kept.changes == self._changes else None

    def in_part(self, part: Part) -> Topology:
        """The same topology as a part of a graph; see :mod:`graphmask.distributed`."""
        return self._replace(_part=part)

    @property
    def part(self) -> Part:
        """The part of the graph that this topology holds: all, unless processes share the graph."""
        return self._part

    @property
    def num_rows(self) -> int:
        """Number of rows that layers take and return: N, or the own nodes of a part of a graph.

        Others than N until features of all nodes are gathered, see :meth:`gather`.
        """
        return self._part.count_rows(self.num_nodes)

    def gather(self, x: Tensor) -> tuple[Tensor, Topology]:
        """Features of all N nodes, and the topology for layers that read these.

        Both as they are, unless this is a part of a graph: then other parts send the features of
        the nodes that it has copies of.

        Example:
            >>> import torch, graphmask as gm
            >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
            >>> x = torch.ones(3, 4)
            >>> wide, topology = path.gather(x)
            >>> wide is x, topology is path
            (True, True)
        """
        part = self._part.gathered
        return self._part.gather(x), self if part is self._part else self._replace(_part=part)

    def release(self, x: Tensor) -> Tensor:
        """The rows ``[num_rows, C]`` that a layer returns, of rows ``[N, C]``."""
        return self._part.release(x)

    def _replace(self, **changes: Any) -> Topology:
        """The topology with other values of some fields, which are valid."""
        fields = {**vars(self), "_permuted": None, **changes}
        return Topology(fields["edge_index"], _checked=Graph(**fields))

    @property
    def _derived(self) -> Derived:
        """Results derived from the tensors of this graph as they are now."""
        return self._sources.derived(self._check_again)

    @property
    def _changes(self) -> tuple[int, ...]:
        """Number of changes in place of edges and weights."""
        _ = self._derived
        return self._sources.changes[:2]

    def _check_again(self) -> bool:
        """Validate tensors that were changed in place; True if no weight is negative."""
        # Walks read from this graph would check it again.
        names = [name for name in GraphArguments._fields if name != "walks"]
        graph = GraphArguments(**{name: getattr(self, name) for name in names}).check()
        return Topology(graph.edge_index, _checked=graph).nonnegative

    @property
    def nonnegative(self) -> bool:
        """True if no weight is negative.

        Weights that are learned are read in each call, since optimisers change them in ways that
        torch does not count; in compiled code their sign is unknown.
        """
        if not self.requires_grad:
            return self._derived.nonnegative
        assert self.edge_weight is not None
        return not torch.compiler.is_compiling() and not bool((self.edge_weight < 0).any())

    @property
    def walk_sets(self) -> tuple[Walks, ...]:
        """All sets of walks.

        Raises:
            ValueError: if edges or weights were changed in place since the walks were drawn.
        """
        if self._walk_sets and self._changes != self._drawn_after:
            expected = "as it was when its walks were drawn"
            got = "`edge_index` or `edge_weight` changed in place: draw the walks again"
            raise value_error("topology", expected, got)
        return self._walk_sets

    @property
    def walks(self) -> Walks | None:
        """The first set of walks, or :obj:`None`."""
        return self.walk_sets[0] if self.walk_sets else None

    def adjacency(
        self, normalization: Normalization = "sym", edge_weight: Tensor | None = None
    ) -> tuple[Pattern, Tensor]:
        r"""The normalised adjacency W as a pattern and its values ``[nnz]``, multi-edges summed.

        With absolute row sums :math:`r_i = \sum_j |A_{ij}|` and column sums :math:`c_j = \sum_i
        |A_{ij}|`: ``"sym"`` is :math:`A_{ij} / \sqrt{r_i c_j}` (for an undirected graph
        :math:`D^{-1/2} A D^{-1/2}`; for any graph its spectral norm is at most 1), ``"rw"`` is
        :math:`A_{ij} / r_i`, :obj:`None` is A itself. Where a sum is zero the row or column is
        zero, and so are the gradients of its weights, of which any other size would make it jump.
        Differentiable in ``edge_weight``. Values without a gradient are kept, and all masks read
        them: change a ``clone()``.

        Args:
            normalization: ``"sym"``, ``"rw"`` or :obj:`None`.
            edge_weight: ``[..., E]``, other weights than those of the graph, such as one set per
                head; values are then ``[..., nnz]``. (default: :obj:`None`, those of the graph)

        Raises:
            ValueError: for any other normalisation.

        Cost: O(E log E) for the pattern, once per topology.
        """
        check_normalization(normalization)
        if edge_weight is None and not self.requires_grad:
            return self.pattern, getattr(self, _OWN_WEIGHTS[normalization])
        weight = self.edge_weight if edge_weight is None else edge_weight
        return self.pattern, normalize(self.pattern, self._sum_edges(weight), normalization)

    def derive(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """``make(topology, *arguments)``, computed once per graph and kept.

        Topologies of this graph with other walks share the result: the function must depend on the
        graph alone. Its result is not differentiated: weights that want a gradient are not
        structure.

        Args:
            make: a function, the same object in every call.
            arguments: hashable.
        """
        return self._derived.get(make, self, *arguments)

    @property
    def num_edges(self) -> int:
        """E, with multi-edges counted."""
        return self.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the graph."""
        return self.edge_index.device

    @property
    def requires_grad(self) -> bool:
        """True if the edge weights require a gradient."""
        return self.edge_weight is not None and self.edge_weight.requires_grad

    @cached
    def pattern(self) -> Pattern:
        """Positions of the entries of A, rows the targets, each once."""
        return pattern_of_keys(torch.unique_consecutive(self._edge_keys[0]), self.num_nodes)

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
        if self._part.numbers is not None:
            return self._part.numbers
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
        if self.batch is None or not self.num_graphs:
            return self.num_nodes
        return int(self.graph_sizes.max())

    @cached
    def blocks(self) -> Blocks:
        """The graphs stacked in groups of similar size."""
        return Blocks.of_graphs(self.graph_sizes, self.batch, self.local_index)

    # Attributes, not a dictionary in `derive`: compiled code would be compiled again whenever a
    # mask derived anything else.
    _weight = cached[Tensor](lambda self: self._normalize_own(None))
    _sym_weight = cached[Tensor](lambda self: self._normalize_own("sym"))
    _rw_weight = cached[Tensor](lambda self: self._normalize_own("rw"))

    def _normalize_own(self, normalization: Normalization) -> Tensor:
        return normalize(self.pattern, self._sum_edges(self.edge_weight), normalization)

    @cached
    def _edge_keys(self) -> tuple[Tensor, Tensor]:
        """Edges as sorted positions ``i N + j`` of A, and the order that sorts them."""
        source, target = self.edge_index
        return torch.sort(target * self.num_nodes + source, stable=True)

    @cached
    def _entry_of_edge(self) -> Tensor | None:
        """``[E]``, the entry of A of each edge, in the order of positions.

        None where each edge has its own.
        """
        if self.pattern.nnz == self.num_edges:
            return None
        return torch.unique_consecutive(self._edge_keys[0], return_inverse=True)[1]

    def _sum_edges(self, weight: Tensor | None) -> Tensor:
        """``[..., E] -> [..., nnz]``, weights of edges summed to entries of A; ones for None."""
        if weight is None:
            weight = torch.ones(self.num_edges, device=self.device)
        weight = weight.to(accumulator(weight))[..., self._edge_keys[1]]
        entry = self._entry_of_edge
        if entry is None:
            return weight
        return weight.new_zeros(*weight.shape[:-1], self.pattern.nnz).index_add(-1, entry, weight)

    def __repr__(self) -> str:
        sets = f", walks={len(self.walk_sets)} x {self.walks}" if self.walk_sets else ""
        return (
            f"Topology(num_nodes={self.num_nodes}, num_edges={self.num_edges}, "
            f"num_graphs={self.num_graphs}{sets})"
        )

    def _repr_html_(self) -> str:
        """A table for notebooks, which reads no value of the graph."""
        sign = "non-negative" if self.nonnegative else "of any sign"
        size = format_bytes(nbytes(self.edge_index, self.edge_weight, self.batch, self.pos))
        rows = {
            "nodes": f"{self.num_nodes:,}",
            "edges": f"{self.num_edges:,}, {self.num_edges / max(1, self.num_nodes):.3g} per node",
            "graphs": f"{self.num_graphs:,}",
            "weights": "none, all ones" if self.edge_weight is None else sign,
            "positions": "none" if self.pos is None else f"{self.pos.shape[1]} per node",
            "walks": f"{len(self.walk_sets)} x {self.walks}" if self.walk_sets else "none",
            "memory": f"{size} on {self.device}, without walks",
        }
        return html_table(repr(self), rows)
