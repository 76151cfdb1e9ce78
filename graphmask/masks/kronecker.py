"""Masks of products of graphs from masks of their factors."""

from __future__ import annotations

import math

import torch

from graphmask._checks import type_error, value_error
from graphmask.operators import KroneckerOperator, MaskOperator
from graphmask.operators._grids import grids_of
from graphmask.topology import Topology

from .base import Structure, TopologicalMask
from .combinators import ScaledMask, SumMask
from .toeplitz import ToeplitzMask


class KroneckerMask(TopologicalMask):
    r"""``M = A (x) B`` on products of graphs.

    :math:`M_{ij} = A_{i_a j_a} B_{i_b j_b}` for the node :math:`i = i_a N_b + i_b`.

    A video, say, is a sequence of frames times a grid: causal in time and diffusing in space. Every
    graph of a batch is the same product, its nodes listed in this order. Its own edges are not
    read.

    Args:
        a: the mask of A.
        b: the mask of B.
        graphs: the factors, a topology for each mask; :obj:`None` for masks that know the ``shape``
            of their graphs: grids, sequences of a given ``length``, their sums and products. Masks
            on walks draw these once, in the constructor, for factors that have none. (default:
            :obj:`None`)

    Raises:
        TypeError: if an argument is not a mask, or a factor not a topology.
        ValueError: for masks of different numbers of heads (but for one), an unknown factor, and
            graphs of another number of nodes than the product of the factors'.

    Cost: per product column, ``N_b`` columns through A and ``N_a`` through B.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022), for grids and hypercubes.

    Example:
        >>> import torch, graphmask as gm
        >>> frames = gm.masks.CausalMask(decay=0.5, length=2)
        >>> space = gm.masks.GridDiffusionMask(2, scale=0.5)
        >>> four = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
        >>> gm.masks.KroneckerMask(frames, space)(four) @ torch.tensor([1.0, 0.0, 0.0, 0.0])
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
            expected = "of the same number of heads, or one"
            raise value_error("a, b", expected, f"heads {[a.heads, b.heads]}")
        super().__init__(max(a.heads, b.heads))
        self.a, self.b = a, b
        graphs = (None, None) if graphs is None else graphs
        if not isinstance(graphs, tuple) or len(graphs) != 2:
            raise type_error("graphs", "two topologies, one for each mask", graphs)
        self.graphs = _check_factor(a, graphs[0]), _check_factor(b, graphs[1])
        self.factor_shapes = tuple(
            (known_shape(mask) or ()) if graph is None else (graph.num_nodes,)
            for mask, graph in zip((a, b), self.graphs, strict=True)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of A's graph and then of B's."""
        return sum(self.factor_shapes, ())

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The costs of both masks, each for as many nodes as the product has."""
        return " + ".join(dict.fromkeys((self.a.cost, self.b.cost)))

    def _operator(self, topology: Topology) -> MaskOperator:
        grids_of(topology, self.shape)
        a, b = self._factors(topology)
        return KroneckerOperator(topology, self.a(a), self.b(b))

    def _structure(self, topology: Topology) -> Structure:
        grids_of(topology, self.shape)
        for mask, graph in zip((self.a, self.b), self._factors(topology), strict=True):
            mask.prepare(graph)
        return Structure()

    def _factors(self, topology: Topology) -> list[Topology]:
        """The factor graphs, on the device of the product."""
        factors = []
        for graph, shape in zip(self.graphs, self.factor_shapes, strict=True):
            if graph is None:
                graph = topology.derive(_edgeless, math.prod(shape))
            factors.append(graph if graph.device == topology.device else graph.to(topology.device))
        return factors

    def __repr__(self) -> str:
        return f"KroneckerMask({self.a!r}, {self.b!r})"


def known_shape(mask: TopologicalMask) -> tuple[int, ...] | None:
    """The shape of the graphs that a mask is defined on, or :obj:`None` for any."""
    if isinstance(mask, ScaledMask):
        return known_shape(mask.mask)
    if isinstance(mask, SumMask):
        return next((shape for shape in map(known_shape, mask._terms()) if shape is not None), None)
    if isinstance(mask, ToeplitzMask) and mask.class_token:
        return (math.prod(mask.shape) + 1,)
    return getattr(mask, "shape", None)


def _edgeless(topology: Topology, size: int) -> Topology:
    return Topology(torch.empty(2, 0, dtype=torch.long, device=topology.device), size)


def _check_factor(mask: TopologicalMask, graph: Topology | None) -> Topology | None:
    """The factor graph of a mask, prepared; None where the mask's shape defines it."""
    if graph is None:
        if known_shape(mask) is None:
            expected = f"given a topology for {mask!r}, which does not know the shape of its graph"
            raise value_error("graphs", expected, None)
        return None
    if not isinstance(graph, Topology):
        raise type_error("graphs", "a topology for each mask, or None", graph)
    return mask.prepare(graph)
