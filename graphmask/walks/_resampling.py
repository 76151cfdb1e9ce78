"""How ResampledWalks draws: in torch here, on any device.

Compiled for CPUs in ``_resampling_numba``.

The two draw from one law. They meet the entries of a row in different orders, so that one seed
gives other draws from each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._products import Adjacency, multiply, sample_product
from ._rows import Rows, pointers, row_sums, running_sums

# Numbers this close, relatively, are equal to a threshold.
TIE = 1e-9

# Terms of a row of a product, per entry that the row may keep: up to the first number all are
# formed, beyond it the second is drawn. Forming a term takes a fraction of the time of drawing one,
# and twice the entries is where errors stop falling.
FORMED = 64
SAMPLED = 2


class Plan(NamedTuple):
    """What a row may hold: ``width`` entries while it walks, and about ``budget`` pairs in the end, at most ``limit``."""

    hops: int
    width: int
    budget: int
    limit: int
    decay: float

    @property
    def num_draws(self) -> int:
        """Uniform numbers that a row uses: one for its pairs, two for each hop."""
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


class Drawn(NamedTuple):
    """The pairs of some rows.

    ``counts [R]``, ``col [P]``, rising in each row, and ``value [P, K + 1]`` by hops.
    """

    counts: Tensor
    col: Tensor
    value: Tensor


def draw_rows(
    start: Tensor, threshold: Tensor, draws: Tensor, W: Adjacency, plan: Plan, dtype: torch.dtype
) -> Drawn:
    """The walks from the nodes ``start [R]``.

    Args:
        start: nodes.
        threshold: ``[R]``, to which pairs of smaller scores are resampled in rows of more pairs
            than the budget.
        draws: ``[R, 1 + 2K]`` uniform numbers.
        W: what to walk on.
        plan: what a row may hold.
        dtype: of the values.
    """
    size = len(W.rows.ptr) - 1
    row = torch.arange(len(start) + 1, device=start.device)
    state = Rows(row, start, torch.ones_like(start, dtype=torch.double))
    visits = [state]
    for hop in range(1, plan.hops + 1):
        state = thin(_step(state, W, plan, draws[:, 2 * hop - 1]), plan.width, draws[:, 2 * hop])
        visits.append(state)
    key, pair = torch.unique(
        torch.cat([each.row * size + each.col for each in visits]), return_inverse=True
    )
    value = torch.zeros(len(key), len(visits), dtype=torch.double, device=key.device)
    hops = torch.cat([torch.full_like(each.col, hop) for hop, each in enumerate(visits)])
    value[pair, hops] = torch.cat([each.weight for each in visits])
    row = torch.div(key, size, rounding_mode="floor")
    pairs = Rows(pointers(row, len(start)), key - row * size, score(value, plan.decay))
    drawn = _choose(pairs, value, pairs.col == start[pairs.row], threshold, plan, draws[:, 0])
    return drawn._replace(value=drawn.value.to(dtype))


def _step(state: Rows, W: Adjacency, plan: Plan, draw: Tensor) -> Rows:
    """``state @ W``, exactly where the row has few terms, from a sample of them elsewhere."""
    terms = row_sums(W.rows.counts[state.col].double(), state.counts)
    wide = (terms > plan.formed)[state.row]
    if not bool(wide.any()):
        return multiply(state, W.rows)
    parts = [
        multiply(state.keep(~wide), W.rows),
        sample_product(state.keep(wide), W, plan.sampled, draw),
    ]
    order = torch.argsort(torch.cat([part.row for part in parts]), stable=True)
    col, weight = (
        torch.cat(both)[order]
        for both in ([part.col for part in parts], [part.weight for part in parts])
    )
    return Rows(parts[0].ptr + parts[1].ptr, col, weight)


def _choose(
    pairs: Rows, value: Tensor, sure: Tensor, threshold: Tensor, plan: Plan, draw: Tensor
) -> Drawn:
    """The pairs, which weigh their scores.

    Those that are heavy or ``sure`` as they are, light ones resampled.
    """
    full = pairs.keep((pairs.counts > plan.limit)[pairs.row])
    threshold = torch.maximum(threshold, find_thresholds(full.weight, full.counts, plan.limit))
    threshold = torch.where(pairs.counts > plan.budget, threshold, 0)
    alive, size = resample(pairs, threshold, draw, sure)
    factor = size[alive] / pairs.weight[alive]
    return Drawn(pairs.keep(alive).counts, pairs.col[alive], value[alive] * factor.unsqueeze(1))


def score(value: Tensor, decay: float) -> Tensor:
    """``[P]``, sum_t decay^t |value_t|.

    How much a pair matters to a mask whose coefficients fall like decay^t.
    """
    return value.abs().double() @ (
        decay ** torch.arange(value.shape[1], dtype=torch.double, device=value.device)
    )


def thin(rows: Rows, budget: int, draw: Tensor) -> Rows:
    """Rows of more than ``budget`` entries brought down to as many, give or take one, without bias; ``draw [R]``."""
    crowded = (rows.counts > budget)[rows.row]
    if not bool(crowded.any()):
        return rows
    some = rows.keep(crowded)
    size = some._replace(weight=some.weight.abs())
    alive, moved = resample(size, find_thresholds(size.weight, size.counts, budget), draw)
    weight, keep = rows.weight.clone(), torch.ones_like(crowded)
    weight[crowded], keep[crowded] = moved.copysign(some.weight), alive
    return rows._replace(weight=weight).keep(keep)


def resample(
    rows: Rows, threshold: Tensor, draw: Tensor, sure: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Which entries of non-negative rows survive, and what they weigh then.

    One systematic draw for each row.

    Those above their row's ``threshold [R]`` or ``sure [nnz]`` stay as they are; a lighter one
    survives with the chance weight / threshold.
    """
    bound = threshold[rows.row]
    kept = (rows.weight > (1 + TIE) * bound) & (rows.weight > 0)
    if sure is not None:
        kept |= sure
    chance = torch.where(kept | (bound == 0), 0, rows.weight / bound)
    last = running_sums(chance, rows) + draw[rows.row]
    passed = torch.floor(last) > torch.floor(last - chance)
    return kept | (passed & (chance > 0)), torch.where(kept, rows.weight, bound)


def find_thresholds(size: Tensor, counts: Tensor, budget: Tensor | int) -> Tensor:
    r"""``[R]``, the c of each row of non-negative numbers with :math:`\sum_j \min(s_j / c, 1) =` budget.

    From c = sum / budget downwards: numbers above c are set apart, the rest shares what is left of
    the budget, until nothing more stands out. Each pass sets at least one more number apart, so
    that it ends, and in practice after a few. Numbers that exceed c by rounding alone are not set
    apart: the budget could not be left with nothing to share.
    """
    apart = torch.zeros_like(size, dtype=torch.bool)
    while True:
        rest = row_sums(torch.where(apart, 0, size), counts)
        threshold = rest / (budget - row_sums(apart.to(size.dtype), counts))
        grown = apart | (size > (1 + TIE) * threshold.repeat_interleave(counts))
        if torch.equal(grown, apart):
            return threshold
        apart = grown
