"""Antithetic termination: walks in pairs that halt at different hops."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._random import stream, uniform
from graphmask.topology import Normalization

from .length_laws import CoupledLengths, Geometric
from .paths import PathSampler


class Antithetic(CoupledLengths):
    r"""Lengths of some law for walks in pairs, of which one halts by a uniform u, the other by :math:`(u + 1/2) \bmod 1`.

    Every hop has a u of its own. A walk halts before hop t where its number is below :math:`1 - P(L
    \ge t) / P(L \ge t - 1)`: as long as this is at most 1/2, the two of a pair never halt before
    the same hop. Of an odd number of walks the last has no partner.

    Args:
        law: of each length.

    Raises:
        TypeError: where the law is none.

    Source: Reid, Choromanski and Weller, "Quasi-Monte Carlo Graph Random Features" (NeurIPS 2023).

    Example:
        >>> import torch, graphmask as gm
        >>> law = gm.walks.Antithetic(gm.walks.Geometric(p_halt=0.5))
        >>> lengths = law.lengths(torch.arange(3), n_walks=2, hops=9, seed=0)
        >>> bool(((lengths == 0).sum(1) == 1).all())  # before the first hop one of each pair halts
        True
    """

    def lengths(self, place: Tensor, n_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        source = stream(
            seed, place.unsqueeze(1), torch.arange((n_walks + 1) // 2, device=place.device)
        )
        survival = self.survival(hops)
        length = torch.zeros(len(place), n_walks, dtype=torch.long, device=place.device)
        going = torch.ones_like(length, dtype=torch.bool)
        for hop, p_halt in enumerate((1 - survival[1:] / survival[:-1]).tolist(), 1):
            u = uniform(source, hop)
            going &= torch.stack([u, (u + 0.5) % 1], 2).flatten(1)[:, :n_walks] >= p_halt
            length += going
        return length


class AntitheticWalks(PathSampler):
    """Walks as of :class:`IIDWalks`, in pairs that halt at different hops.

    :class:`Antithetic` geometric lengths.

    Every walk by itself is what it is among independent ones, and all stays unbiased. For the
    2-regularised Laplacian kernel the source proves a lower variance, under conditions on the
    graph.

    Args:
        n_walks: n; of an odd number the last has no partner. (default: :obj:`32`)
        p_halt: the halting probability, in [0, 1). (default: :obj:`0.1`)
        hops: K, after which a walk is cut; the hops up to K stay unbiased. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)

    Raises:
        ValueError: as for :class:`IIDWalks`.

    Cost: that of :class:`IIDWalks`.

    Source: Reid, Choromanski and Weller, "Quasi-Monte Carlo Graph Random Features" (NeurIPS 2023).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.AntitheticWalks(n_walks=16, p_halt=0.5, hops=3)(path)
        >>> walks.to_dense()[1, 0]  # of every pair one makes the first hop, 0 -> 1: exact
        tensor([0.0000, 0.7071, 0.0000])
    """

    def __init__(
        self,
        n_walks: int = 32,
        p_halt: float = 0.1,
        hops: int = 8,
        normalization: Normalization = "sym",
    ) -> None:
        super().__init__(n_walks, Antithetic(Geometric(p_halt)), hops, normalization)
