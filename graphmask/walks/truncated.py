"""Truncated walks: the powers of W without small entries, and without randomness."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from graphmask._checks import check_number
from graphmask._precision import to_double
from graphmask.topology import Normalization, Topology

from ._rows import Rows, multiply, running_sums, sort_by_size
from .base import Entries, WalkSampler

# Terms that the product of a block of rows may form at a time, and rows of a block to begin with.
_TERMS = 2**25
_ROWS = 2**20


class TruncatedWalks(WalkSampler):
    r"""Powers of W row by row, without the smallest entries of each row.

    Each hop drops entries of at most ``tolerance`` together.

    Nothing is random and nothing is re-weighted, so that these walks are **biased**: with
    :math:`S_t = \operatorname{drop}(S_{t-1} W)`, every row of :math:`S_t` differs from that of
    :math:`W^t` by at most :math:`t \cdot` tolerance, in the Euclidean norm for
    ``normalization="sym"`` and in the sum of sizes for ``"rw"``; without normalisation errors grow
    with the powers of W. Exact for ``tolerance=0``. Use :class:`ResampledWalks` for walks without
    bias and of a size that is known beforehand; use these where a mask must be the same whatever
    the seed.

    Args:
        tolerance: the sum of sizes that a row may lose per hop. (default: :obj:`1e-2`)
        hops: K. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)

    Raises:
        ValueError: for a negative tolerance, negative hops, or an unknown normalisation.

    Cost: O(sum over rows and hops of the terms of their products); a small tolerance on a graph
    with hubs comes near O(K N^2).

    Example:
        >>> import torch, graphmask as gm
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> path = gm.Topology(edges, num_nodes=3, edge_weight=torch.tensor([9.0, 9.0, 1.0, 1.0]))
        >>> walks = gm.walks.TruncatedWalks(tolerance=0.2, hops=1, normalization="rw")(path)
        >>> walks.to_dense()[1]  # the middle node's step of weight 0.1 to the right is left out
        tensor([[0.0000, 1.0000, 0.0000],
                [0.9000, 0.0000, 0.0000],
                [0.0000, 1.0000, 0.0000]])
    """

    unbiased = False

    def __init__(
        self, tolerance: float = 1e-2, hops: int = 8, normalization: Normalization = "sym"
    ) -> None:
        super().__init__(hops, normalization)
        self.tolerance = check_number("tolerance", tolerance, 0)

    def _draw(self, topology: Topology, seed: int) -> Entries:
        pattern, weight = topology.adjacency(self.normalization)
        W = Rows(pattern.rowptr.long(), pattern.col.long(), to_double(weight))
        nodes = torch.arange(topology.num_nodes, device=topology.device)
        row, col, hop, value = _join(self._walk(block, W) for block in nodes.split(_ROWS))
        return row, col, hop, value.to(weight.dtype)

    def _walk(self, nodes: Tensor, W: Rows) -> Entries:
        """The entries of some rows, in halves where a product has too many terms."""
        state = Rows.identity(nodes)
        visits = [(nodes[state.row], state.col, torch.zeros_like(nodes), state.weight)]
        for hop in range(1, self.hops + 1):
            if len(nodes) > 1 and int(W.counts[state.col].sum()) > _TERMS:
                return _join(self._walk(half, W) for half in nodes.tensor_split(2))
            state = drop(multiply(state, W), self.tolerance)
            visits.append(
                (nodes[state.row], state.col, torch.full_like(state.col, hop), state.weight)
            )
        return _join(visits)


def _join(entries: Iterable[Entries]) -> Entries:
    """Entries one after the other."""
    row, col, hop, weight = (torch.cat(tensors) for tensors in zip(*entries, strict=True))
    return row, col, hop, weight


def drop(rows: Rows, tolerance: float) -> Rows:
    """Rows without their smallest entries, as many as sum to at most ``tolerance``."""
    order = sort_by_size(rows)
    size = rows.weight[order].abs()
    keep = torch.empty_like(order, dtype=torch.bool)
    keep[order] = (running_sums(size, rows) > tolerance) | (size > tolerance)
    return rows.keep(keep)
