"""Length laws: distributions of the number of hops of a walk."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphmask._checks import (
    check_integer,
    check_number,
    check_probability,
    type_error,
    value_error,
)
from graphmask._precision import to_double
from graphmask._random import stream, uniform
from graphmask.config import ConfigMixin

# Spacing of the random numbers: what is less probable is never drawn.
_RARE = 2.0**-53


class LengthLaw(ConfigMixin, ABC):
    r"""A law of the number L of hops of a walk, given by its survival function :math:`P(L \ge t)`.

    A sampler weighs a walk's share at hop t by :math:`1 / P(L \ge t)`, so that walks of any law are
    unbiased as long as they reach every hop. A subclass gives ``survival``; one that couples the
    walks of a node gives ``lengths`` too.

    Source: Choromanski et al., GRFs++ (2025, arXiv 2510.07716), general termination.

    Example:
        >>> import torch, graphmask as gm
        >>> class Coin(gm.walks.LengthLaw):
        ...     "One hop or three, equally probable."
        ...     def survival(self, hops):
        ...         return torch.tensor([1.0, 1.0, 0.5, 0.5], dtype=torch.float64)[: hops + 1]
        >>> gm.walks.IIDWalks(num_walks=4, hops=3, length_law=Coin())
        IIDWalks(hops=3, normalization='sym', num_walks=4, length_law=Coin())
    """

    @abstractmethod
    def survival(self, hops: int) -> Tensor:
        r"""``[K + 1]`` in float64.

        :math:`P(L \ge t)` for the hops t from 0 to K, from 1 downwards.
        """

    def lengths(self, rank: Tensor, num_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        """``[N, n]``, the lengths, cut at K hops, of the n walks from every node.

        Each has this law.

        Here they are independent, one quantile of :meth:`survival` for each walk.

        Args:
            rank: ``[N]``, the rank of each node in its own graph: lengths may depend on nothing
                else of a node.
            num_walks: n.
            hops: K.
            seed: of the random numbers.
        """
        walk = torch.arange(num_walks, device=rank.device)
        return quantile(self.survival(hops), uniform(seed, rank.unsqueeze(1), walk))

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items() if name[0] != "_"
        )
        return f"{type(self).__name__}({fields})"


class Geometric(LengthLaw):
    r"""A walk halts with probability p before every hop: :math:`P(L \ge t) = (1 - p)^t`.

    Args:
        p_halt: p, in [0, 1); at 0 no walk ever halts.

    Raises:
        ValueError: for a probability outside [0, 1).

    Source: Reid et al. (ICLR 2025), eq. 10.

    Example:
        >>> import graphmask as gm
        >>> gm.walks.Geometric(p_halt=0.5).survival(hops=3)
        tensor([1.0000, 0.5000, 0.2500, 0.1250], dtype=torch.float64)
    """

    def __init__(self, p_halt: float = 0.1) -> None:
        self.p_halt = check_probability("p_halt", p_halt)

    def survival(self, hops: int) -> Tensor:
        return (1 - self.p_halt) ** _hops(hops)


class Poisson(LengthLaw):
    r"""A Poisson number of hops: :math:`P(L \ge t) = 1 - e^{-\lambda} \sum_{k < t} \lambda^k / k!`.

    Its tail falls as fast as the coefficients of a heat kernel, so that few hops are spent where
    the coefficients vanish.

    Args:
        rate: the mean lambda, above 0.

    Raises:
        ValueError: for a rate that is not positive.

    Source: Choromanski et al., GRFs++ (2025, arXiv 2510.07716).

    Example:
        >>> import graphmask as gm
        >>> gm.walks.Poisson(rate=1.0).survival(hops=3)
        tensor([1.0000, 0.6321, 0.2642, 0.0803], dtype=torch.float64)
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_number("rate", rate, 0)
        if not self.rate:
            raise value_error("rate", "positive", rate)

    def survival(self, hops: int) -> Tensor:
        beyond = torch.special.gammainc(_hops(hops)[1:], _hops(0).new_tensor(self.rate))
        return torch.cat([beyond.new_ones(1), beyond])


class UniformLength(LengthLaw):
    r"""Every number of hops from 0 to m is as probable: :math:`P(L \ge t) = (m + 1 - t) / (m + 1)`.

    Args:
        longest: m.

    Raises:
        ValueError: for a negative length.

    Example:
        >>> import graphmask as gm
        >>> gm.walks.UniformLength(longest=3).survival(hops=3)
        tensor([1.0000, 0.7500, 0.5000, 0.2500], dtype=torch.float64)
    """

    def __init__(self, longest: int) -> None:
        self.longest = check_integer("longest", longest, 0)

    def survival(self, hops: int) -> Tensor:
        return (self.longest + 1 - _hops(hops)).clamp(min=0) / (self.longest + 1)


class FixedLength(LengthLaw):
    r"""Every walk makes exactly m hops, unless the graph ends it: :math:`P(L \ge t) = 1` up to m.

    Args:
        length: m.

    Raises:
        ValueError: for a negative length.

    Source: Reid et al. (ICLR 2025), the point-cloud experiments: exactly 3 hops.

    Example:
        >>> import graphmask as gm
        >>> gm.walks.FixedLength(length=2).survival(hops=3)
        tensor([1., 1., 1., 0.], dtype=torch.float64)
    """

    def __init__(self, length: int) -> None:
        self.length = check_integer("length", length, 0)

    def survival(self, hops: int) -> Tensor:
        return to_double(_hops(hops) <= self.length)


class CoupledLengths(LengthLaw):
    """Lengths of some law that are no longer independent among the walks of a node.

    Args:
        law: of each length.

    Raises:
        TypeError: if the law is no :class:`LengthLaw`.
    """

    def __init__(self, law: LengthLaw) -> None:
        if not isinstance(law, LengthLaw):
            raise type_error("law", "a LengthLaw, such as Geometric(p_halt=0.1)", law)
        self.law = law

    def survival(self, hops: int) -> Tensor:
        return self.law.survival(hops)

    @abstractmethod
    def lengths(self, rank: Tensor, num_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        """``[N, n]``, see :meth:`LengthLaw.lengths`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.law!r})"


class Antithetic(CoupledLengths):
    r"""Lengths of some law for walks in pairs, which halt at different hops.

    Of a pair one halts by a uniform u, the other by :math:`(u + 1/2) \bmod 1`, with a u of its own
    for every hop. A walk halts before hop t where its number is below :math:`1 - P(L
    \ge t) / P(L \ge t - 1)`: as long as this is at most 1/2, the two of a pair never halt before
    the same hop. Of an odd number of walks the last has no partner.

    Args:
        law: of each length.

    Raises:
        TypeError: if the law is no :class:`LengthLaw`.

    Source: Reid, Choromanski and Weller, "Quasi-Monte Carlo Graph Random Features" (NeurIPS 2023).

    Example:
        >>> import torch, graphmask as gm
        >>> law = gm.walks.Antithetic(gm.walks.Geometric(p_halt=0.5))
        >>> lengths = law.lengths(torch.arange(3), num_walks=2, hops=9, seed=0)
        >>> bool(((lengths == 0).sum(1) == 1).all())  # before the first hop one of each pair halts
        True
    """

    def lengths(self, rank: Tensor, num_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        source = stream(
            seed, rank.unsqueeze(1), torch.arange((num_walks + 1) // 2, device=rank.device)
        )
        survival = self.survival(hops)
        length = torch.zeros(len(rank), num_walks, dtype=torch.long, device=rank.device)
        going = torch.ones_like(length, dtype=torch.bool)
        for hop, p_halt in enumerate((1 - survival[1:] / survival[:-1]).tolist(), 1):
            u = uniform(source, hop)
            going &= torch.stack([u, (u + 0.5) % 1], 2).flatten(1)[:, :num_walks] >= p_halt
            length += going
        return length


class Systematic(CoupledLengths):
    r"""Lengths of some law as evenly spread quantiles.

    Walk j of n has that of :math:`(u + j / n) \bmod 1`, u one for the node.

    Of the walks of a node :math:`n P(L \ge t)` reach hop t, rounded up or down: no number of that
    mean varies less.

    Args:
        law: of each length.

    Raises:
        TypeError: if the law is no :class:`LengthLaw`.

    Source: systematic sampling (Madow and Madow, Annals of Mathematical Statistics 1944).

    Example:
        >>> import torch, graphmask as gm
        >>> law = gm.walks.Systematic(gm.walks.Geometric(p_halt=0.5))
        >>> lengths = law.lengths(torch.arange(3), num_walks=8, hops=9, seed=0)
        >>> (lengths >= 2).sum(1)  # 8 / 4
        tensor([2, 2, 2])
    """

    def lengths(self, rank: Tensor, num_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        shift = torch.arange(num_walks, device=rank.device) / num_walks
        return quantile(self.survival(hops), (uniform(seed, rank.unsqueeze(1)) + shift) % 1)


def quantile(survival: Tensor, u: Tensor) -> Tensor:
    """The lengths, cut at K, of uniform numbers u.

    How many of the hops 1 to K have ``u < P(L >= t)``.
    """
    rising = survival[1:].flip(0).to(u.device)
    return len(rising) - torch.searchsorted(rising, u, right=True)


def check_length_law(length_law: LengthLaw, hops: int) -> LengthLaw:
    """A law by which walks reach every hop: what they cannot reach could not be unbiased."""
    if not isinstance(length_law, LengthLaw):
        raise type_error("length_law", "a LengthLaw, such as Geometric(p_halt=0.1)", length_law)
    survival = length_law.survival(hops)
    falls = (
        survival.shape == (hops + 1,) and survival[0] == 1 and bool((survival.diff() <= 0).all())
    )
    if not falls or survival[-1] < 0:
        raise value_error(
            "length_law",
            f"one whose survival({hops}) falls from 1, {hops + 1} numbers",
            survival.tolist(),
        )
    reached = int((survival >= _RARE).sum()) - 1
    if reached < hops:
        raise value_error(
            "length_law",
            f"one whose walks reach hop {hops} (let them be longer, or take hops={reached}): "
            "others are biased",
            f"{length_law!r}, under which P(L >= {hops}) = {float(survival[hops]):.1g}",
        )
    return length_law


def _hops(hops: int) -> Tensor:
    return to_double(torch.arange(hops + 1))
