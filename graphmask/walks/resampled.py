"""Resampled walks: the whole distribution of each walk, multiplied and thinned without bias, each pair stored for all hops."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from graphmask._checks import check_integer, check_number, value_error
from graphmask._random import seed_from, uniform
from graphmask._walks import Walks
from graphmask.kernels import Pattern
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.topology import Normalization, Topology

from . import _resampling
from ._products import Adjacency
from ._resampling import Drawn, Plan, find_thresholds, score
from .base import WalkSampler

# Entries that a row carries while it walks, and pairs that the fullest row stores, per pair of the
# budget.
_WIDTH = 2
_LIMIT = 4

# Fewer entries than these lose more on their way than a small budget saves.
_NARROWEST = 64

# Rows of each graph that tell its threshold.
_PILOTS = 256

# Rows drawn at a time, and terms of products that they may form at a time where torch forms them.
_ROWS = 2**17
_TERMS = 2**24


class ResampledWalks(WalkSampler):
    r"""The distribution of the walk from every node, carried as a sparse row.

    About ``budget`` pairs (i, j) per row are stored.

    Hop by hop the row is multiplied by W, exactly, then thinned to ``width`` entries. In the end
    each pair has a score :math:`s_{ij} = \sum_t \rho^t |(S_t)_{ij}|`, and all hops of a pair are
    stored or dropped together: pairs whose score exceeds a threshold c are kept as they are; the
    others survive with probability :math:`s_{ij} / c` and are then divided by it. Both resamplings
    are optimal for their sizes (c solves :math:`\sum_j \min(s_j / c, 1) =` budget) and use one
    systematic draw per row. There is one c per graph, so that wide rows get more pairs than narrow
    ones, up to ``4 * budget``. The pair of
    a node with itself always stays: :math:`S_0` is the identity, and no row is empty.

    Every :math:`S_t` is unbiased, and *exact* in rows whose ball of K hops holds at most ``budget``
    nodes, and no more than ``width``. Weights of any sign and asymmetric W are served. Where a row
    would form more than ``64 * width`` terms of a product and more than ``budget ** 2`` (hubs), ``2
    * width`` of them are drawn in the same way, the largest for certain: a hop costs no more than
    that on any graph.

    Args:
        budget: pairs stored per row, on average over each graph. (default: :obj:`64`)
        hops: K. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)
        width: entries of a row while it walks. (default: :obj:`None`, ``2 * budget``, at least 64)
        decay: :math:`\rho`, how fast the coefficients of the masks to come are thought to fall with
            the hop. The walks are unbiased for any; masks whose coefficients fall like this lose
            least. (default: :obj:`0.7`)

    Raises:
        ValueError: for a budget or width below 1, a decay outside (0, 1], negative hops, or an
            unknown normalisation.

    Cost: O(N K width min(degree, max(64, budget))) time, O(N K budget) memory. On CPUs the extra
    ``fast`` (numba) draws 3 to 6 times faster; it draws other walks of the same law from the same
    seed.

    Source: the resampling is that of Fearnhead and Clifford, "On-line inference for hidden Markov
    models via particle filters" (JRSS-B 2003); walking with it, and choosing pairs for all hops and
    rows together, is this library's.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.ResampledWalks(budget=3, hops=2, normalization="rw")(path)
        >>> walks.to_dense()[2]  # the square of W, exact: no ball exceeds the budget
        tensor([[0.5000, 0.0000, 0.5000],
                [0.0000, 1.0000, 0.0000],
                [0.5000, 0.0000, 0.5000]])
    """

    def __init__(
        self,
        budget: int = 64,
        hops: int = 8,
        normalization: Normalization = "sym",
        width: int | None = None,
        decay: float = 0.7,
    ) -> None:
        super().__init__(hops, normalization)
        self.budget = check_integer("budget", budget, 1)
        self.width = (
            max(_WIDTH * budget, _NARROWEST) if width is None else check_integer("width", width, 1)
        )
        self.decay = check_number("decay", decay, 0)
        if not 0 < self.decay <= 1:
            raise value_error("decay", "in (0, 1]", decay)

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        walks = self._walks(topology, seed)
        return walks.row, walks.col, walks.hop, walks.weight

    def _walks(self, topology: Topology, seed: int) -> Walks:
        pattern, weight = topology.adjacency(self.normalization)
        draw = _Draw(topology, Adjacency.of(pattern.rowptr, pattern.col, weight), self._plan, seed)
        threshold = draw.thresholds()
        rows = torch.arange(topology.num_nodes, device=topology.device)
        bounds = (
            threshold.expand(len(rows)) if topology.batch is None else threshold[topology.batch]
        )
        found = draw.rows(rows, bounds, stage=1, dtype=weight.dtype)
        return Walks(
            Pattern.from_counts(found.counts, found.col, topology.num_nodes),
            found.value,
            self.normalization,
        )

    def count_pairs(
        self, topology: Topology, nodes: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """``[len(nodes)]`` pairs that a draw would store for some nodes.

        What all would cost, without drawing all.

        Args:
            topology: the graphs to walk on.
            nodes: ids of the nodes.
            generator: the source of randomness. (default: :obj:`None`, the operating system)

        Cost: that of drawing for these nodes, and for 256 nodes of each graph.

        Example:
            >>> import torch, graphmask as gm
            >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
            >>> gm.walks.ResampledWalks(budget=3, hops=1).count_pairs(path, torch.tensor([0, 1]))
            tensor([2, 3])
        """
        with torch.no_grad():
            pattern, weight = topology.adjacency(self.normalization)
            draw = _Draw(
                topology,
                Adjacency.of(pattern.rowptr, pattern.col, weight),
                self._plan,
                seed_from(generator),
            )
            threshold = draw.thresholds()
            bounds = (
                threshold.expand(len(nodes))
                if topology.batch is None
                else threshold[topology.batch[nodes]]
            )
            return draw.rows(nodes, bounds, stage=1, dtype=weight.dtype).counts

    @property
    def _plan(self) -> Plan:
        return Plan(self.hops, self.width, self.budget, _LIMIT * self.budget, self.decay)

    def __repr__(self) -> str:
        return f"ResampledWalks(budget={self.budget}, hops={self.hops})"


class _Draw:
    """One draw of walks on a topology."""

    def __init__(self, topology: Topology, W: Adjacency, plan: Plan, seed: int) -> None:
        self.topology, self.W, self.plan, self.seed = topology, W, plan, seed

    def rows(self, rows: Tensor, threshold: Tensor, stage: int, dtype: torch.dtype) -> Drawn:
        """The walks from some nodes, with numbers that no other stage uses."""
        compiled = _compiled() if rows.device.type == "cpu" else None
        numbers = torch.arange(self.plan.num_draws, device=rows.device)
        parts = []
        for some, bounds in zip(
            *(each.split(self._block(compiled)) for each in (rows, threshold)), strict=True
        ):
            draws = uniform(self.seed, stage, self.topology.local_index[some].unsqueeze(1), numbers)
            body = _resampling if compiled is None else compiled
            parts.append(body.draw_rows(some, bounds, draws, self.W, self.plan, dtype))
        return Drawn(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def thresholds(self) -> Tensor:
        """``[B]``, the c of each graph.

        That at which its pilot rows store as many pairs as their budgets together.
        """
        graph, budget, num_graphs = self._graph, self.plan.budget, self.topology.num_graphs
        nodes = self._pilots(graph)
        drawn = self.rows(
            nodes, torch.zeros_like(nodes, dtype=torch.double), stage=0, dtype=torch.double
        )
        room = torch.full_like(nodes, budget) - torch.where(drawn.counts > budget, 0, drawn.counts)
        room = torch.zeros(num_graphs, dtype=torch.long, device=nodes.device).index_add(
            0, graph[nodes], room
        )
        crowded = (drawn.counts > budget).repeat_interleave(drawn.counts)
        place = graph[nodes].repeat_interleave(drawn.counts)[crowded]
        size = score(drawn.value[crowded], self.plan.decay)
        counts = torch.bincount(place, minlength=num_graphs)
        full = counts > room
        inside = full[place]
        return find_thresholds(size[inside], torch.where(full, counts, 0), room.clamp(min=1))

    @property
    def _graph(self) -> Tensor:
        batch = self.topology.batch
        return (
            torch.zeros(self.topology.num_nodes, dtype=torch.long, device=self.topology.device)
            if batch is None
            else batch
        )

    def _pilots(self, graph: Tensor) -> Tensor:
        """Nodes evenly spaced in the order of degrees in each graph.

        None of graphs whose balls cannot exceed the budget.
        """
        degree = self.W.rows.counts
        by_degree = torch.argsort(degree, stable=True)
        order = by_degree[torch.argsort(graph[by_degree], stable=True)]
        size = torch.bincount(graph, minlength=self.topology.num_graphs)
        first = size.cumsum(0) - size
        place = torch.arange(len(order), device=order.device) - first[graph[order]]
        size = size[graph[order]]
        number = torch.where(size > self.plan.budget, size.clamp(max=_PILOTS), 0)
        return order[(place + 1) * number // size > place * number // size]

    def _block(self, compiled: ModuleType | None) -> int:
        if compiled is not None:
            return _ROWS
        degree = self.W.rows.counts
        widest = int(degree.max()) if len(degree) else 0
        return max(1, _TERMS // max(1, min(self.plan.width * widest, self.plan.formed)))


@cache
def _compiled() -> ModuleType | None:
    """The body compiled by numba, where that is installed."""
    if not HAS_NUMBA:
        return None
    from . import _resampling_numba

    return _resampling_numba
