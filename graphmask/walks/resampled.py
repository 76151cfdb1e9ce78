"""Resampled walks: distributions of walks, multiplied by W and resampled without bias."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from graphmask._checks import check_integer, check_number, value_error
from graphmask._random import seed_from, uniform
from graphmask._walks import Walks
from graphmask.extras import require
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.topology import Normalization, Topology

from . import _resampling
from ._resampling import Plan, score
from ._rows import Adjacency, PairRows, find_thresholds
from .base import WalkSampler

# Entries of a row while it walks, and pairs that the fullest row stores, per pair of the budget.
_WIDTH = 2
_LIMIT = 4

# Narrower rows lose more on their way than a small budget saves.
_NARROWEST = 64

# Rows of each graph that determine its threshold.
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
        decay: :math:`\rho`, the rate at which coefficients of masks are expected to fall with the
            hop. The walks are unbiased for any; masks whose coefficients fall like this have the
            smallest error. (default: :obj:`0.7`)

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

    def _draw(self, topology: Topology, seed: int) -> Walks:
        nodes = torch.arange(topology.num_nodes, device=topology.device)
        return self._rows(topology, nodes, seed).to_walks(self.normalization)

    def count_pairs(
        self, topology: Topology, nodes: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """``[len(nodes)]`` pairs that a draw would store for some nodes.

        An estimate of the size of all walks, without drawing them.

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
            return self._rows(topology, nodes, seed_from(generator)).counts

    @property
    def plan(self) -> Plan:
        """Sizes of rows."""
        return Plan(self.hops, self.width, self.budget, _LIMIT * self.budget, self.decay)

    def _rows(
        self, topology: Topology, nodes: Tensor, seed: int, shared: Tensor | None = None
    ) -> PairRows:
        draw = _Draw.of(self, topology, seed)
        if shared is None:
            pilots = self._pilots(draw.W.rows.counts, draw.graph, topology.graph_sizes)
            shared = self._share(draw.pilot_rows(pilots), draw.graph[pilots], topology.num_graphs)
        dtype = topology.adjacency(self.normalization)[1].dtype
        return draw.rows(nodes, shared[draw.graph[nodes]], stage=1, dtype=dtype)

    def _pilots(self, counts: Tensor, graph: Tensor, sizes: Tensor) -> Tensor:
        """Nodes evenly spaced in the order of degrees in each graph.

        None of graphs whose balls cannot exceed the budget.
        """
        by_degree = torch.argsort(counts, stable=True)
        order = by_degree[torch.argsort(graph[by_degree], stable=True)]
        graph, first = graph[order], sizes.cumsum(0) - sizes
        rank = torch.arange(len(order), device=order.device) - first[graph]
        size = sizes[graph]
        count = torch.where(size > self.budget, size.clamp(max=_PILOTS), 0)
        return order[(rank + 1) * count // size > rank * count // size]

    def _pilot_rows(self, topology: Topology, nodes: Tensor, seed: int) -> PairRows:
        return _Draw.of(self, topology, seed).pilot_rows(nodes)

    def _share(self, rows: PairRows, graph: Tensor, num_graphs: int) -> Tensor:
        """``[B]``, the c of each graph, at which its pilot rows store their budgets together."""
        budget = self.budget
        is_wide = rows.counts > budget
        room = torch.zeros(num_graphs, dtype=torch.long, device=graph.device).index_add(
            0, graph, budget - torch.where(is_wide, 0, rows.counts)
        )
        in_wide = is_wide.repeat_interleave(rows.counts)
        graph = graph.repeat_interleave(rows.counts)[in_wide]
        counts = torch.bincount(graph, minlength=num_graphs)
        is_full = counts > room
        size = score(rows.table[in_wide], self.decay)[is_full[graph]]
        return find_thresholds(size, torch.where(is_full, counts, 0), room.clamp(min=1))


class _Draw:
    """One draw of walks on a topology."""

    def __init__(self, topology: Topology, W: Adjacency, plan: Plan, seed: int) -> None:
        self.topology, self.W, self.plan, self.seed = topology, W, plan, seed
        batch = topology.batch
        if batch is None:
            batch = torch.zeros(topology.num_nodes, dtype=torch.long, device=topology.device)
        self.graph = batch

    @classmethod
    def of(cls, sampler: ResampledWalks, topology: Topology, seed: int) -> _Draw:
        """A draw by a sampler."""
        pattern, weight = topology.adjacency(sampler.normalization)
        W = Adjacency.of(pattern.rowptr, pattern.col, weight)
        return cls(topology, W, sampler.plan, seed)

    def rows(self, nodes: Tensor, threshold: Tensor, stage: int, dtype: torch.dtype) -> PairRows:
        """The walks from some nodes, by uniform numbers that no other stage uses."""
        compiled = _compiled() if nodes.device.type == "cpu" else None
        draw_rows = (_resampling if compiled is None else compiled).draw_rows
        size = self._torch_block() if compiled is None else _ROWS
        numbers = torch.arange(self.plan.num_draws, device=nodes.device)
        blocks = []
        for start, bound in zip(nodes.split(size), threshold.split(size), strict=True):
            draws = uniform(
                self.seed, stage, self.topology.local_index[start].unsqueeze(1), numbers
            )
            blocks.append(draw_rows(start, bound, draws, self.W, self.plan, dtype))
        return PairRows.concatenate(blocks)

    def pilot_rows(self, nodes: Tensor) -> PairRows:
        """Rows of some nodes, drawn with uniform numbers of their own."""
        nothing = self.W.mass.new_zeros(len(nodes))
        return self.rows(nodes, nothing, stage=0, dtype=nothing.dtype)

    def _torch_block(self) -> int:
        """Rows that torch draws at a time."""
        degree = self.W.rows.counts
        widest = int(degree.max()) if len(degree) else 0
        return max(1, _TERMS // max(1, min(self.plan.width * widest, self.plan.formed)))


def _compiled() -> ModuleType | None:
    """The module compiled by numba, where that is installed."""
    return require("graphmask.walks._resampling_numba", extra="fast") if HAS_NUMBA else None
