"""How often an entry of a mask of graph random features is far from its mean.

Beside the bound of Reid et al. (ICLR 2025), Theorem 3.2: with n independent walks from every node,
halting probability p, features ``phi_i = sum_t f_t S_t[i]`` and
``c = sum_k |f_k| (max_ij |W_ij| d_i / (1 - p))^k``, every pair of nodes obeys

    P(|phi_i . phi_j - M_ij| > t)  <=  2 exp(-t^2 n^3 / (2 (2n - 1)^2 c^4)).

Reproduces the table of docs/walks.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from estimators import GRAPHS
from runner import Row, Study, choose, numbers, print_table, progress
from torch import Tensor

from graphmask.masks import Diffusion
from graphmask.topology import Topology
from graphmask.walks import IIDWalks, Walks

# The chance at which distances are printed, and the smallest one that is followed.
CHANCE, RAREST = 0.01, 1e-5


def measure(
    topology: Topology,
    f: Tensor,
    p_halt: float = 0.1,
    walks: Sequence[int] = (4, 16, 64),
    draws: int = 1000,
    seed: int = 0,
) -> Iterator[Row]:
    """Draw features many times and compare the mask's off-diagonal entries with their mean.

    Args:
        topology: an undirected graph, small enough for dense matrices.
        f: ``[K + 1]``, the modulation function.
        p_halt: the halting probability of the independent walks.
        walks: numbers n of walks from each node.
        draws: for each n.
        seed: of the first draw.

    Yields:
        For each n and distance t the share of all entries off by more than t, the share of draws in
        which the worst pair is, and the bound.

    Cost: O(draws (N n K + N^3)).
    """
    pattern, weight = topology.adjacency()
    W = pattern.to_dense(weight).double()
    phi = torch.zeros_like(W)
    for t, f_t in enumerate(f.double()):
        phi += f_t * torch.linalg.matrix_power(W, t)
    off_diagonal = ~torch.eye(topology.num_nodes, dtype=torch.bool)
    for num_walks in walks:
        progress(f"{num_walks} walks, {draws} draws")
        generator = torch.Generator().manual_seed(seed)
        sampler = IIDWalks(num_walks, p_halt, len(f) - 1)
        features = (to_features(sampler(topology, generator), f) for _ in range(draws))
        error = torch.stack([(x @ x.mT - phi @ phi.mT).abs()[off_diagonal] for x in features])
        c = constant(topology, f, p_halt)
        for t in (torch.logspace(-3, 0, 60) * bound_distance(RAREST, num_walks, c)).tolist():
            exceeded = (error > t).double().mean(0)
            yield {
                "walks": num_walks,
                "distance": t,
                "all_pairs": float(exceeded.mean()),
                "worst_pair": float(exceeded.max()),
                "bound": min(bound(t, num_walks, c), 1.0),
            }


def to_features(walks: Walks, f: Tensor) -> Tensor:
    """Return ``[N, N]``, the features of all nodes."""
    return walks.pattern.to_dense(walks.combine(f.double().unsqueeze(0)))[0].double()


def constant(topology: Topology, f: Tensor, p_halt: float) -> float:
    """Compute the theorem's c; W is normalised symmetrically."""
    pattern, weight = topology.adjacency()
    step = (weight.abs() * pattern.rowptr.diff()[pattern.row.long()]).max().double() / (1 - p_halt)
    return float((f.double().abs() * step ** torch.arange(len(f))).sum())


def bound(t: float, n: int, c: float) -> float:
    """Evaluate the bound, which may exceed 1."""
    return 2 * math.exp(-(t**2) * n**3 / (2 * (2 * n - 1) ** 2 * c**4))


def bound_distance(chance: float, n: int, c: float) -> float:
    """Invert :func:`bound`."""
    return c**2 * (2 * n - 1) / n**1.5 * math.sqrt(2 * math.log(2 / chance))


def summarize(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield for each n the distances exceeded with a chance of 1 %."""
    for num_walks in dict.fromkeys(row["walks"] for row in rows):
        tail = [row for row in rows if row["walks"] == num_walks]
        worst, allowed = (
            next(row["distance"] for row in tail if row[name] <= CHANCE)
            for name in ("worst_pair", "bound")
        )
        yield {
            "walks": num_walks,
            "worst pair": worst,
            "bound": allowed,
            "bound / worst": allowed / worst,
            "bound holds": all(row["worst_pair"] <= row["bound"] for row in tail),
        }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"graph": GRAPHS[:1], "walks": [2, 4], "draws": 20, "hops": 3}
    study = Study(__doc__, smoke)
    regular = [graph for graph in GRAPHS if graph.name == "regular"]
    study.add_argument("--graph", type=choose(GRAPHS), default=regular, help="one small graph")
    study.add_argument("--walks", type=numbers(int), default=[4, 16, 64])
    study.add_argument("--draws", type=int, default=1000)
    study.add_argument("--scale", type=float, default=1.0, help="of the kernel exp(-scale (I - W))")
    study.add_argument("--p-halt", type=float, default=0.1)
    study.add_argument("--hops", type=int, default=8)
    options = study.parse(arguments)
    graph = options.graph[0]
    f = Diffusion(options.hops, scale=options.scale / 2)()[0].detach()
    entries = measure(
        graph.make(options.seed), f, options.p_halt, options.walks, options.draws, options.seed
    )
    rows = study.collect(entries, options)
    print_table(
        f"Distances exceeded with a chance of {CHANCE:.0%}: {graph.about}", list(summarize(rows))
    )
    return rows


if __name__ == "__main__":
    main()
