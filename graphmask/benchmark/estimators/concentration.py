"""How often an estimated mask entry is far from its mean, beside the bound of Reid et al.

(ICLR 2025), Theorem 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphmask.extras import require
from graphmask.topology import Topology
from graphmask.walks import IIDWalks, Walks

# Distances are followed up to where the theorem allows them this often.
_RAREST = 1e-5


@dataclass(frozen=True)
class Tail:
    """For one number of walks: how often entries are off by more than t, and how often they may be.

    Args:
        n_walks: n.
        distance: ``[T]``, values of t.
        frequency: ``[T]``, the share of entries off by more than t, over all pairs of nodes and all
            draws.
        worst: ``[T]``, the share of draws in which the worst pair of nodes is off by more than t.
        bound: ``[T]``, what the theorem allows for each pair.
    """

    n_walks: int
    distance: Tensor
    frequency: Tensor
    worst: Tensor
    bound: Tensor

    def exceeded(self, chance: float) -> tuple[float, float]:
        """The distances that the worst pair, and the bound, exceed with at most this chance."""
        return tuple(
            float(self.distance[(share <= chance).nonzero()[0, 0]])
            for share in (self.worst, self.bound)
        )  # type: ignore[return-value]

    @property
    def holds(self) -> bool:
        """Whether no pair of nodes is off more often than the theorem allows."""
        return bool((self.worst <= self.bound.clamp(max=1)).all())


def measure_tails(
    topology: Topology,
    f: Tensor,
    p_halt: float = 0.1,
    walks: Sequence[int] = (4, 16, 64),
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[[str], object] = lambda _: None,
) -> Iterator[Tail]:
    r"""Draw graph random features many times, and compare the mask that they make with its mean.

    The features are :math:`\hat\Phi = \sum_t f_t S_t`, the entries :math:`(\hat\Phi
    \hat\Phi^T)_{ij}` for all i other than j.

    Args:
        topology: an undirected graph, small enough for dense matrices.
        f: ``[K + 1]``, the modulation function.
        p_halt: the halting probability of the i.i.d. walks.
        walks: numbers n of walks from each node.
        draws: of each.
        seed: of the first draw.
        progress: is told what is going on.

    Yields:
        One :class:`Tail` per number of walks.

    Cost: O(draws (N n K + N^3)).

    Example:
        >>> import torch
        >>> from graphmask.benchmark.estimators import GRAPHS
        >>> from graphmask.benchmark.estimators.concentration import measure_tails
        >>> tail, = measure_tails(GRAPHS[0].make(0), torch.tensor([1.0, 0.5, 0.125]), walks=[4], draws=20)
        >>> tail.holds
        True
    """
    hops = len(f) - 1
    pattern, weight = topology.adjacency()
    W = pattern.to_dense(weight).double()
    phi = sum(
        (f_t * torch.linalg.matrix_power(W, t) for t, f_t in enumerate(f.double())),
        torch.zeros_like(W),
    )
    apart = ~torch.eye(topology.num_nodes, dtype=torch.bool)
    for n_walks in walks:
        progress(f"{n_walks} walks, {draws} draws")
        generator = torch.Generator().manual_seed(seed)
        sampler = IIDWalks(n_walks, p_halt, hops)
        features = (_features(sampler(topology, generator), f) for _ in range(draws))
        missed = torch.stack([(drawn @ drawn.mT - phi @ phi.mT).abs()[apart] for drawn in features])
        c = size(topology, f, p_halt)
        distance = torch.logspace(-3, 0, 60, dtype=torch.double) * bound_distance(
            _RAREST, n_walks, c
        )
        far = torch.stack([(missed > t).double().mean(0) for t in distance.tolist()])
        yield Tail(n_walks, distance, far.mean(1), far.amax(1), bound(distance, n_walks, c))


def size(topology: Topology, f: Tensor, p_halt: float) -> float:
    r"""The theorem's :math:`c = \sum_k |f_k| (\max_{ij} |W_{ij}| d_i / (1 - p_{halt}))^k`, W normalised symmetrically."""
    pattern, weight = topology.adjacency()
    step = (weight.abs() * pattern.rowptr.diff()[pattern.row.long()]).max().double() / (1 - p_halt)
    return float((f.double().abs() * step ** torch.arange(len(f))).sum())


def bound(distance: Tensor, n_walks: int, c: float) -> Tensor:
    r"""``[T]``, :math:`2 \exp(-t^2 n^3 / (2 (2n - 1)^2 c^4))`."""
    n = n_walks
    return 2 * torch.exp(-(distance**2) * n**3 / (2 * (2 * n - 1) ** 2 * c**4))


def bound_distance(chance: float, n_walks: int, c: float) -> float:
    """The distance t at which :func:`bound` is a given chance."""
    n = n_walks
    return c**2 * (2 * n - 1) / n**1.5 * math.sqrt(2 * math.log(2 / chance))


def write_plot(path: str | Path, tails: Sequence[Tail], title: str) -> None:
    """Draw frequencies and bounds over t, one colour for each number of walks.

    Raises:
        MissingExtraError: without matplotlib.
        OSError: where the file cannot be written.
    """
    figure = require("matplotlib.figure", extra="viz").Figure(
        figsize=(7, 4.5), layout="constrained"
    )
    axes = figure.subplots()
    for number, tail in enumerate(tails):
        color = f"C{number}"
        axes.plot(
            tail.distance,
            tail.bound.clamp(max=1),
            "--",
            color=color,
            label=f"bound, n = {tail.n_walks}",
        )
        axes.plot(
            tail.distance, tail.worst, "-", color=color, label=f"worst pair, n = {tail.n_walks}"
        )
        axes.plot(
            tail.distance, tail.frequency, ":", color=color, label=f"all pairs, n = {tail.n_walks}"
        )
    axes.set(
        xscale="log",
        yscale="log",
        ylim=(1e-5, 2),
        xlabel="distance t from the mean",
        ylabel="share of draws farther than t",
    )
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, ncols=len(tails))
    figure.savefig(path, dpi=100)


def _features(walks: Walks, f: Tensor) -> Tensor:
    return walks.pattern.to_dense(walks.combine(f.double().unsqueeze(0)))[0].double()
