"""Draws of ResampledWalks in torch, on any device; compiled for CPUs in ``_resampling_numba``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._precision import to_double

from ._rows import (
    Adjacency,
    PairRows,
    Rows,
    find_thresholds,
    multiply,
    pointers,
    resample,
    row_sums,
    sample_product,
    thin,
)

# Terms of a row of a product, per entry that the row may keep: up to the first number all are
# formed, beyond it the second is drawn. Forming a term takes a fraction of the time of drawing one,
# and twice the entries is where errors stop falling.
FORMED = 64
SAMPLED = 2


class Plan(NamedTuple):
    """Sizes of rows: ``width`` entries while walking, then ``budget`` to ``limit`` pairs."""

    hops: int
    width: int
    budget: int
    limit: int
    decay: float

    @property
    def num_draws(self) -> int:
        """Uniform numbers of a row: one for its pairs, two for each hop."""
        return 1 + 2 * self.hops

    @property
    def formed(self) -> int:
        """Largest number of terms that a row of a product forms.

        At least all within a ball that fits the budget.
        """
        return max(FORMED * self.width, self.budget**2)

    @property
    def sampled(self) -> int:
        """Number of terms that is drawn from more."""
        return SAMPLED * self.width


def draw_rows(
    start: Tensor, threshold: Tensor, draws: Tensor, W: Adjacency, plan: Plan, dtype: torch.dtype
) -> PairRows:
    """Draw the walks from the nodes ``start [R]``.

    Args:
        start: nodes.
        threshold: ``[R]``; in rows of more pairs than the budget, pairs of smaller scores are
            resampled to it.
        draws: ``[R, 1 + 2K]`` uniform numbers.
        W: the adjacency.
        plan: sizes of rows.
        dtype: of the table.
    """
    num_nodes = len(W.rows.ptr) - 1
    state = Rows.identity(start)
    visits = [state]
    for hop in range(1, plan.hops + 1):
        state = thin(_step(state, W, plan, draws[:, 2 * hop - 1]), plan.width, draws[:, 2 * hop])
        visits.append(state)
    keys = torch.cat([visit.row * num_nodes + visit.col for visit in visits])
    key, pair = torch.unique(keys, return_inverse=True)
    table = W.mass.new_zeros(len(key), len(visits))
    hops = torch.cat([torch.full_like(visit.col, hop) for hop, visit in enumerate(visits)])
    table[pair, hops] = torch.cat([visit.weight for visit in visits])
    row = torch.div(key, num_nodes, rounding_mode="floor")
    pairs = Rows(pointers(row, len(start)), key - row * num_nodes, score(table, plan.decay))
    kept, scores = _choose(pairs, pairs.col == start[pairs.row], threshold, plan, draws[:, 0])
    factor = (scores[kept] / pairs.weight[kept]).unsqueeze(1)
    return PairRows(pairs.keep(kept).counts, pairs.col[kept], (table[kept] * factor).to(dtype))


def _step(state: Rows, W: Adjacency, plan: Plan, draw: Tensor) -> Rows:
    """``state @ W``: exact where the row has few terms, from a sample of them elsewhere."""
    terms = row_sums(to_double(W.rows.counts[state.col]), state.counts)
    is_wide = (terms > plan.formed)[state.row]
    if not bool(is_wide.any()):
        return multiply(state, W.rows)
    formed = multiply(state.keep(~is_wide), W.rows)
    sampled = sample_product(state.keep(is_wide), W, plan.sampled, draw)
    order = torch.argsort(torch.cat([formed.row, sampled.row]), stable=True)
    col, weight = torch.cat([formed.col, sampled.col]), torch.cat([formed.weight, sampled.weight])
    return Rows(formed.ptr + sampled.ptr, col[order], weight[order])


def _choose(
    pairs: Rows, certain: Tensor, threshold: Tensor, plan: Plan, draw: Tensor
) -> tuple[Tensor, Tensor]:
    """A mask of the pairs that stay, and their new scores; the old ones are their weights.

    Rows within the budget stay as they are, rows beyond the limit get a threshold of their own.
    """
    wide = pairs.keep((pairs.counts > plan.limit)[pairs.row])
    threshold = torch.maximum(threshold, find_thresholds(wide.weight, wide.counts, plan.limit))
    threshold = torch.where(pairs.counts > plan.budget, threshold, 0)
    return resample(pairs, threshold, draw, certain)


def score(table: Tensor, decay: float) -> Tensor:
    r"""``[P]``, :math:`\sum_t \rho^t |S_t|` of each pair.

    It is large for pairs that matter to a mask whose coefficients fall like :math:`\rho^t`.
    """
    table = to_double(table.abs())
    return table @ decay ** torch.arange(table.shape[1], device=table.device).to(table.dtype)
