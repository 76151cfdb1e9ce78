"""Masks of products of graphs from masks of their factors."""

from __future__ import annotations

import math

import torch

from graphmask._checks import type_error, value_error
from graphmask.operators import KroneckerOperator, MaskOperator
from graphmask.operators._grids import grids_of
from graphmask.topology import Topology

from .algebra import ScaledMask, SumMask
from .base import TopologicalMask
from .toeplitz import ToeplitzMask


class Kronecker(TopologicalMask):
    r"""``M = A (x) B`` on products of graphs.

    :math:`M_{ij} = A_{i_a j_a} B_{i_b j_b}` for the node :math:`i = i_a N_b + i_b`.

    A video, say, is a sequence of frames times a grid: causal in time and diffusing in space. Every
    graph of a batch is the same product, its nodes listed in this order. Its own edges are not
    read.

    Args:
        a: the mask that makes A.
        b: the mask that makes B.
        graphs: the factors, a topology for each mask. One may be :obj:`None`, or all be left out,
            where masks know the
            ``shape`` of their graphs: grids, sequences of a given ``length``, their sums and
            products. Masks on walks draw these once, here, for factors that have none. (default:
            :obj:`None`)

    Raises:
        TypeError: for a mask or factor that is none.
        ValueError: for masks of different numbers of heads (but for one), a factor that is not
            known, and graphs of another number of nodes than the product of the factors'.

    Cost: per product column, ``N_b`` columns through A and ``N_a`` through B.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022), for grids and hypercubes.

    Example:
        >>> import torch, graphmask as gm
        >>> frames, space = gm.masks.CausalMask(decay=0.5, length=2), gm.masks.GridDiffusionMask(2, t=0.5)
        >>> four = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
        >>> gm.masks.Kronecker(frames, space)(four) @ torch.tensor([1.0, 0.0, 0.0, 0.0])
        tensor([[0.6839, 0.3161, 0.3420, 0.1580]], grad_fn=<SqueezeBackward1>)
    """

    ordered = True

    def __init__(
        self,
        a: TopologicalMask,
        b: TopologicalMask,
        graphs: tuple[Topology | None, Topology | None] | None = None,
    ) -> None:
        for name, mask in (("a", a), ("b", b)):
            if not isinstance(mask, TopologicalMask):
                raise type_error(name, "a mask", mask)
        if a.heads != b.heads and 1 not in (a.heads, b.heads):
            raise value_error(
                "a, b", "of the same number of heads, or one", f"heads {[a.heads, b.heads]}"
            )
        super().__init__(max(a.heads, b.heads))
        self.a, self.b = a, b
        given = (None, None) if graphs is None else graphs
        if not isinstance(given, tuple) or len(given) != 2:
            raise type_error("graphs", "two topologies, one for each mask", graphs)
        self.graphs = tuple(
            _read_factor(mask, graph) for mask, graph in zip((a, b), given, strict=True)
        )
        sizes = (
            known_shape(mask) if graph is None else (graph.num_nodes,)
            for mask, graph in zip((a, b), self.graphs, strict=True)
        )
        self.factor_shapes: tuple[tuple[int, ...], ...] = tuple(
            size for size in sizes if size is not None
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of A's graph and then of B's."""
        return sum(self.factor_shapes, ())

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The costs of both masks, each for as many nodes as the product has."""
        return " + ".join(dict.fromkeys((self.a.cost, self.b.cost)))

    def prepare(self, topology: Topology) -> Topology:
        grids_of(topology, self.shape)
        for number, mask in enumerate((self.a, self.b)):
            mask.prepare(self._factor(number, topology))
        return super().prepare(topology)

    def _operator(self, topology: Topology) -> MaskOperator:
        grids_of(topology, self.shape)
        a, b = (
            mask(self._factor(number, topology)) for number, mask in enumerate((self.a, self.b))
        )
        return KroneckerOperator(topology, a, b)

    def _factor(self, number: int, topology: Topology) -> Topology:
        """A factor graph, where the product lies."""
        graph = self.graphs[number]
        if graph is None:
            return topology.derive(edgeless, math.prod(self.factor_shapes[number]))
        return graph if graph.device == topology.device else graph.to(topology.device)

    def __repr__(self) -> str:
        return f"Kronecker({self.a!r}, {self.b!r})"


def known_shape(mask: TopologicalMask) -> tuple[int, ...] | None:
    """The shape of the graphs that a mask is made for, where it is made for one."""
    if isinstance(mask, ScaledMask):
        return known_shape(mask.mask)
    if isinstance(mask, SumMask):
        return next((shape for shape in map(known_shape, mask._terms()) if shape is not None), None)
    if isinstance(mask, ToeplitzMask) and mask.class_token:
        return (math.prod(mask.shape) + 1,)
    return getattr(mask, "shape", None)


def edgeless(topology: Topology, size: int) -> Topology:
    """A graph for masks that read no edges, beside a topology."""
    return Topology(torch.empty(2, 0, dtype=torch.long, device=topology.device), size)


def _read_factor(mask: TopologicalMask, graph: Topology | None) -> Topology | None:
    """A factor graph with all that its mask reads, or None where it is made from a shape."""
    if graph is None and known_shape(mask) is None:
        raise value_error(
            "graphs",
            f"given a topology for {mask!r}, which does not know the shape of its graph",
            None,
        )
    if graph is not None and not isinstance(graph, Topology):
        raise type_error("graphs", "a topology for each mask, or None", graph)
    return None if graph is None else mask.prepare(graph)
