"""Validation of the arguments of :class:`graphmask.Topology`, whose values are read in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Proxy
from torch_geometric.data import Data

from ._cached import Sources
from ._checks import (
    NODE_IDS,
    Deferred,
    DeferredChecks,
    aminmax,
    check_integer,
    dtype_error,
    is_integral,
    type_error,
    value_error,
)
from ._formats import read_edges
from ._identity import check_identity, identify
from ._normalization import check_sums
from ._part import WHOLE, Part
from ._walk_storage import StoredWalks
from ._walks import Origin, Walks

# Ends the errors for HeteroData, its dictionaries and the proxies of to_hetero.
_HOMOGENEOUS = (
    "of one kind (see HeteroData.to_homogeneous, whose node_type and edge_type become features and "
    "weights)"
)


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Fields of a valid graph, with walks on it and what is derived from it."""

    edge_index: Tensor
    num_nodes: int
    edge_weight: Tensor | None
    batch: Tensor | None
    pos: Tensor | None
    num_graphs: int
    edge_attr: Tensor | None
    # Edges and weights come first: walks depend on them alone.
    _sources: Sources
    _walk_sets: tuple[Walks, ...] = ()
    # Changes of both before the walks were drawn.
    _drawn_after: tuple[int, ...] = (0, 0)
    # Features of nodes: nothing is derived from them.
    x: Tensor | None = None
    _part: Part = WHOLE
    # Of the same graph, for models.
    _permuted: Permuted | None = None


class Permuted(NamedTuple):
    """A graph whose nodes were permuted, so that neighbours lie close in memory.

    Attributes:
        graph: the same graph, its nodes permuted.
        order: ``[N]``, the former number of each node.
        rank: ``[N]``, the number that each node has now.
        changes: how often edges and weights of the former graph had been changed in place.
    """

    graph: Any
    order: Tensor
    rank: Tensor
    changes: tuple[int, ...]


class GraphArguments(NamedTuple):
    """The arguments of :class:`graphmask.Topology` as they come."""

    edge_index: Any
    num_nodes: int | None = None
    edge_weight: Tensor | None = None
    batch: Tensor | None = None
    pos: Tensor | None = None
    walks: Walks | Sequence[Walks] | StoredWalks | None = None
    num_graphs: int | None = None
    edge_attr: Tensor | None = None

    def check(self) -> Graph:
        """The graph of these arguments, whose values are read together."""
        n, edge_index, *attributes = self._read_tensors()
        edge_weight, batch, pos, edge_attr = attributes
        checks = DeferredChecks()
        checks.range("edge_index", edge_index, n, NODE_IDS)
        signed = {"pos": pos, "edge_attr": edge_attr, "edge_weight": edge_weight}
        signs = {
            name: checks.sign(name, value)
            for name, value in signed.items()
            if value is not None and value.is_floating_point()
        }
        if edge_weight is not None:
            check_sums(edge_index, n, edge_weight, checks)
        ends = () if batch is None or not n else aminmax(batch)
        graphs = checks.add(partial(_count_graphs, self.num_graphs), *ends)
        _check_links("edge_index", edge_index, batch, checks)
        if isinstance(self.walks, StoredWalks):
            walk_sets = self.walks.read(edge_index, edge_weight, n, checks)
        else:
            walk_sets = check_walks(self.walks, n, batch, checks)
            for walk_set in as_sets(self.walks):
                check_origin(walk_set, edge_index, edge_weight, None, checks)
        checks.run()
        nonnegative = "edge_weight" not in signs or signs["edge_weight"].result
        sources = Sources((edge_index, *attributes), nonnegative)
        sets = tuple(walks.result for walks in walk_sets)
        if isinstance(self.walks, StoredWalks):
            origin = partial(Origin.of, sources, edge_index, edge_weight)
            sets = tuple(x.drawn_on(origin(x.normalization != "shells")) for x in sets)
        return Graph(
            edge_index=edge_index,
            num_nodes=n,
            edge_weight=edge_weight,
            batch=batch,
            pos=pos,
            num_graphs=graphs.result,
            edge_attr=edge_attr,
            _sources=sources,
            _walk_sets=sets,
        )

    def _read_tensors(
        self,
    ) -> tuple[int, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """N, edges, weights, batch, positions and features, their shapes and dtypes checked."""
        edges, edge_weight = read_edges(self.edge_index), self.edge_weight
        if edges.edge_weight is not None:
            if edge_weight is not None:
                expected = "left out where the sparse matrix has values"
                raise value_error("edge_weight", expected, edge_weight)
            edge_weight = edges.edge_weight
        edge_index, edge_weight, batch, pos, edge_attr = map(
            _counted, (edges.edge_index, edge_weight, self.batch, self.pos, self.edge_attr)
        )
        n, e = _count_nodes(self.num_nodes, edges.num_nodes, batch, pos), edge_index.shape[1]
        if edge_weight is not None:
            _check_tensor("edge_weight", edge_weight, (e,), "[E]", floating=True)
        if batch is not None:
            _check_tensor("batch", batch, (n,), "[N]", floating=False)
            batch = batch.long()
        if pos is not None:
            _check_tensor("pos", pos, (n, None), "[N, D]", floating=True)
        if edge_attr is not None:
            _check_attributes(edge_attr, e)
        return n, edge_index, edge_weight, batch, pos, edge_attr


def _counted(value: Any) -> Any:
    """The tensor, or a copy of one made for inference, whose changes torch does not count."""
    is_tensor = isinstance(value, Tensor) and not torch.compiler.is_compiling()
    if not is_tensor or not value.is_inference():
        return value
    with torch.inference_mode(False):
        return value.clone()


def check_walks(
    walks: Walks | Sequence[Walks] | None,
    num_nodes: int,
    batch: Tensor | None,
    checks: DeferredChecks,
) -> list[Deferred[Walks]]:
    """Sets of walks on a graph of ``num_nodes`` nodes that stay within the graphs of a batch."""
    walk_sets = as_sets(walks)
    for walk_set in walk_sets:
        if not isinstance(walk_set, Walks):
            raise type_error("walks", "Walks, or a sequence of them", walk_set)
        if walk_set.num_nodes != num_nodes:
            expected = f"drawn on this graph of {num_nodes} nodes"
            raise value_error("walks", expected, f"walks on {walk_set.num_nodes} nodes")
        if batch is not None:
            _check_links("walks", (walk_set.pattern.row, walk_set.pattern.col), batch, checks)
    return [checks.add(lambda walk_set=walk_set: walk_set) for walk_set in walk_sets]


def as_sets(walks: Walks | Sequence[Walks] | None) -> tuple[Walks, ...]:
    """Any number of sets of walks."""
    if walks is None:
        return ()
    if not isinstance(walks, (Walks, Sequence)):
        raise type_error("walks", "Walks, or a sequence of them", walks)
    return (walks,) if isinstance(walks, Walks) else tuple(walks)


def check_origin(
    walks: Walks,
    edge_index: Tensor,
    edge_weight: Tensor | None,
    sources: Sources | None,
    checks: DeferredChecks,
) -> None:
    """Check, with other deferred values, that walks were drawn on this graph as it is now.

    The graph of the same ``sources`` is known to be the same, without a look at its edges.
    """
    origin = walks.origin
    if origin is None or torch.compiler.is_compiling():
        return
    remedy = "draw them on this graph"
    if origin.changes != origin.sources.count_changes()[: len(origin.changes)]:
        got = "those of a graph whose edges or weights were changed in place since"
        raise value_error("walks", "of this graph, with the edges that it has now", got)
    if origin.sources is sources:
        return
    device, weight = edge_index.device, origin.edge_weight
    weight = weight if weight is None else weight.to(device)
    nodes = torch.arange(walks.num_nodes, device=device)
    identity = identify(origin.edge_index.to(device), weight, nodes)
    own_weight = edge_weight if origin.reads_weights else None
    check_identity("walks", identity, edge_index, own_weight, walks.num_nodes, remedy, checks)


def check_edges_of_data(data: Any) -> Any:
    """The edges of a ``Data`` or ``Batch``."""
    if not isinstance(data, Data):
        raise type_error("data", f"a Data or Batch {_HOMOGENEOUS}", data)
    edges = data.edge_index if data.edge_index is not None else data.get("adj_t")
    if edges is None:
        expected = "a graph with `edge_index` or `adj_t` (see graphmask.transforms.KNNGraph)"
        raise value_error("data", expected, list(data.keys()))
    return edges


def check_features(x: Any, num_nodes: int | None = None) -> None:
    """Features of nodes ``[N, C]``, for a given N or any."""
    if isinstance(x, (dict, tuple, Proxy)):
        expected = f"a floating-point tensor of shape [N, C], of nodes {_HOMOGENEOUS}"
        raise type_error("x", expected, x)
    if not isinstance(x, Tensor):
        raise type_error("x", "a floating-point tensor of shape [N, C]", x)
    if not x.is_floating_point():
        raise dtype_error("x", "a floating-point tensor of shape [N, C]", x)
    if x.dim() != 2:
        expected = "of shape [N, C], the nodes of all graphs of a batch below each other"
        raise value_error("x", expected, x)
    if num_nodes is not None and x.shape[0] != num_nodes:
        expected = f"of shape [N, C] with N = {num_nodes} (nodes of the topology)"
        raise value_error("x", expected, x)


def check_order(order: Tensor, num_nodes: int) -> Tensor:
    """Each of N nodes once, in int64."""
    if not is_integral(order) or order.shape != (num_nodes,):
        raise value_error("order", f"integers [N] with N = {num_nodes}, each node once", order)
    order = order.long()
    if not torch.equal(order.sort().values, torch.arange(num_nodes, device=order.device)):
        raise value_error("order", f"each of N = {num_nodes} nodes once", order)
    return order


def check_beside_topology(
    edge_weight: Tensor | None, batch: Tensor | None, edge_attr: Tensor | None
) -> None:
    """Arguments of a layer that a topology holds itself."""
    expected = "left out beside a Topology, which holds its own"
    if edge_attr is not None:
        raise value_error("edge_attr", expected, edge_attr)
    if edge_weight is not None or batch is not None:
        raise value_error("edge_weight, batch", expected, "both")


def check_no_batch(edge_weight: Any) -> None:
    """Weights that are not a batch vector in the place of weights."""
    if isinstance(edge_weight, Tensor) and not edge_weight.is_floating_point():
        expected = (
            "a floating-point tensor (`batch` comes after it: batch=batch, or None in its place)"
        )
        raise dtype_error("edge_weight", expected, edge_weight)


def _check_attributes(edge_attr: Tensor, num_edges: int) -> None:
    if not isinstance(edge_attr, Tensor):
        raise type_error("edge_attr", "a tensor", edge_attr)
    if edge_attr.is_complex():
        raise dtype_error("edge_attr", "a tensor of real numbers", edge_attr)
    if edge_attr.dim() not in (1, 2) or edge_attr.shape[0] != num_edges:
        raise value_error("edge_attr", f"of shape [E, D] or [E] with E = {num_edges}", edge_attr)


def _check_tensor(
    name: str, value: Tensor, shape: tuple[int | None, ...], letters: str, floating: bool
) -> None:
    if not isinstance(value, Tensor):
        raise type_error(name, "a tensor", value)
    if value.is_floating_point() != floating or value.is_complex() or value.dtype == torch.bool:
        expected = "a floating-point tensor" if floating else "an integer tensor"
        raise dtype_error(name, expected, value)
    if value.dim() != len(shape) or any(
        size not in (None, got) for size, got in zip(shape, value.shape, strict=True)
    ):
        raise value_error(name, f"of shape {letters} with {letters[1]} = {shape[0]}", value)


def _count_nodes(
    num_nodes: int | None, stored: int | None, batch: Tensor | None, pos: Tensor | None
) -> int:
    """N from the argument, the graph format, or the rows of tensors of nodes."""
    if num_nodes is not None:
        num_nodes = check_integer("num_nodes", num_nodes, 0)
        if stored not in (None, num_nodes):
            raise value_error("num_nodes", f"{stored}, the size of the sparse matrix", num_nodes)
        return num_nodes
    if stored is not None:
        return stored
    for name, tensor in (("batch", batch), ("pos", pos)):
        if tensor is not None:
            if not isinstance(tensor, Tensor) or not tensor.dim():
                raise type_error(name, "a tensor of one row per node", tensor)
            return tensor.shape[0]
    raise value_error("num_nodes", "given, since edges alone do not tell of isolated nodes", None)


def _count_graphs(num_graphs: int | None, first: int = 0, last: int = 0) -> int:
    """B from the argument, or from the first and the last graph in ``batch``."""
    if first < 0:
        raise value_error("batch", "graph numbers from 0", f"{first}")
    if num_graphs is None:
        return last + 1
    if check_integer("num_graphs", num_graphs, 1) <= last:
        raise value_error("num_graphs", f"at least {last + 1}, the graphs in `batch`", num_graphs)
    return num_graphs


def _check_links(
    name: str, ends: Sequence[Tensor] | Tensor, batch: Tensor | None, checks: DeferredChecks
) -> None:
    """Pairs of nodes within graphs."""
    if batch is None or not len(batch):
        return

    def check(crossing: int) -> None:
        if crossing:
            raise value_error(name, "within graphs", f"{crossing} links between graphs of `batch`")

    # Ids out of range raise an error when the checks run, and must not be followed before.
    source, target = (batch.index_select(0, end.clamp(0, len(batch) - 1)) for end in ends)
    checks.add(check, (source != target).sum())
