"""Relative positional masks learned through their Fourier transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, value_error
from graphmask._positions import centred_positions
from graphmask._precision import double_dtype
from graphmask.operators import LowRankOperator, MaskOperator
from graphmask.topology import Topology

from ._positions import from_dense, offsets
from .base import Structure, TopologicalMask

# Share of f(0) added to the norms of both factors: smooth where a coefficient changes sign.
_SMOOTHING = 1e-2


class FourierMask(TopologicalMask):
    r"""A relative positional mask: an estimate of :math:`\exp(f(x_i - x_j))` with a learned f.

    x are the rows of ``pos``. With frequencies :math:`\xi_k` drawn once from the standard normal
    density p, and positions about the mean of each graph, in units of ``length``,

    .. math:: f(z) = \frac{1}{r} \sum_{k=1}^{r} \frac{\tau(\xi_k)}{p(\xi_k)} \cos(2 \pi \xi_k \cdot
        z), \qquad \tau(\xi) = \sum_{t=1}^{T} w_t \exp(-|\xi - \mu_t|^2 / \sigma_t^2),

    where :math:`w, \mu, \sigma` are learned per head. As a factor of attention, :math:`\exp(f)` is
    the additive bias f of the logits. It has no product in linear time; f is an inner product
    :math:`a_i \cdot b_j` of 2 r waves, and the mask is

    .. math:: M_{ij} = \frac{1}{m} \sum_{l=1}^{m} e^{\omega_l \cdot a_i - |a_i|^2 / 2}\, e^{\omega_l
        \cdot b_j - |b_j|^2 / 2}, \qquad \omega_l \sim N(0, I),

    positive by construction, and unbiased for :math:`\exp(f(x_i - x_j))` over draws of
    :math:`\omega`. Its relative variance is :math:`(e^{|a_i + b_j|^2} - 1) / m` with :math:`|a|^2 =
    |b|^2 \approx \sum_k |\tau(\xi_k) / p(\xi_k)| / r`: it is a good estimate while that sum, which
    bounds \|f\|, is below about 1, and a learned positive mask of rank m in any case.

    No factor is scaled: its entries are at most :math:`\exp(|\omega_l|^2 / 2)`.

    Args:
        heads: H. (default: :obj:`1`)
        num_frequencies: r. (default: :obj:`64`)
        num_gaussians: T, of each head. (default: :obj:`25`)
        num_features: m, the rank of the mask. (default: :obj:`64`)
        length: the unit of length; f varies on lengths from about a tenth of it. (default:
            :obj:`1.0`)
        dim: D, of positions. (default: :obj:`3`)
        seed: of frequencies and features, which are buffers, and of the initial parameters.
            (default: :obj:`0`)

    Raises:
        ValueError: for numbers out of range; if the topology has no ``pos``, or of another
            dimension.

    Cost: O(N r m) per head to set up, O(N m) per column.

    Source: Choromanski et al., "Learning a Fourier Transform for Linear Relative Positional
    Encodings in Transformers" (AISTATS 2024); positive features: Choromanski et al., "Rethinking
    Attention with Performers" (ICLR 2021), Lemma 1.

    Example:
        >>> import torch, graphmask as gm
        >>> pos = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [9.0, 0, 0]])
        >>> cloud = gm.Topology(torch.empty(2, 0, dtype=torch.long), pos=pos)
        >>> mask = gm.masks.FourierMask(num_features=4096)
        >>> mask
        FourierMask(heads=1, num_frequencies=64, num_gaussians=25, num_features=4096)
        >>> bool((mask(cloud).to_dense() - mask.target(cloud).to_dense()).abs().max() < 0.2)
        True
    """

    cost = "N m"
    frequency: Tensor
    projection: Tensor

    def __init__(
        self,
        heads: int = 1,
        num_frequencies: int = 64,
        num_gaussians: int = 25,
        num_features: int = 64,
        length: float = 1.0,
        dim: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(heads)
        check_integer("num_frequencies", num_frequencies, 1)
        check_integer("num_gaussians", num_gaussians, 1)
        check_integer("num_features", num_features, 1)
        self.dim = check_integer("dim", dim, 1)
        self.length = check_number("length", length, 0)
        if not length:
            raise value_error("length", "above 0", length)
        self.seed = check_integer("seed", seed, 0)
        self.amplitude = nn.Parameter(torch.empty(heads, num_gaussians))
        self.centre = nn.Parameter(torch.empty(heads, num_gaussians, dim))
        self.log_width = nn.Parameter(torch.empty(heads, num_gaussians))
        generator = torch.Generator().manual_seed(seed)
        frequency = _normal(num_frequencies, dim, generator=generator)
        self.register_buffer("frequency", frequency.to(self.centre.dtype))
        self.register_buffer("projection", torch.empty(num_features, 2 * num_frequencies))
        self.redraw(generator)
        self.reset_parameters()

    def redraw(self, generator: torch.Generator) -> None:
        """Draw other features, of the frequencies that the parameters were learned with."""
        self.projection.copy_(_normal(*self.projection.shape, generator=generator))

    def reset_parameters(self) -> None:
        """Reset to Gaussians of width 1 at random centres: f(0) is about 1 / 2, and f decays."""
        generator = torch.Generator().manual_seed(self.seed)
        centre = _normal(*self.centre.shape, generator=generator)
        self.centre.data.copy_(centre / 2)
        self.log_width.data.zero_()
        self.amplitude.data.fill_(0.5 / (self.amplitude.shape[1] * math.pi ** (self.dim / 2)))

    def target(self, topology: Topology) -> MaskOperator:
        """Return the mask that this one estimates, exact; O(N^2 r), for small clouds."""
        offset = offsets(topology, self.dim, self.centre.dtype) / self.length
        waves = (2 * math.pi * offset @ self.frequency.mT).cos()
        return from_dense(topology, torch.einsum("hr,ijr->hij", self.coefficients(), waves).exp())

    def coefficients(self) -> Tensor:
        r"""``[H, r]``, :math:`\tau(\xi_k) / (r\, p(\xi_k))`."""
        distance = (self.frequency - self.centre.unsqueeze(2)).square().sum(-1)
        power = self.frequency.square().sum(-1) / 2 + math.log(2 * math.pi) * self.dim / 2
        waves = (power - distance * (-2 * self.log_width).exp().unsqueeze(2)).exp()
        return torch.einsum("ht,htr->hr", self.amplitude, waves) / len(self.frequency)

    @property
    def reach(self) -> int | None:
        return 0

    def _operator(self, topology: Topology) -> MaskOperator:
        pos = centred_positions(topology, self.dim, self.frequency.dtype) / self.length
        phase = 2 * math.pi * pos @ self.frequency.mT
        waves = torch.cat([phase.cos(), phase.sin()], 1)
        c = self.coefficients()
        # c = root * (c / root), and both are smooth, where the square root of |c| is not.
        root = (c.square() + (_SMOOTHING / c.shape[1]) ** 2) ** 0.25
        left, right = self._features(waves, root), self._features(waves, c / root)
        return LowRankOperator(topology, left, right, nonnegative=True)

    def _structure(self, topology: Topology) -> Structure:
        return Structure()

    def _features(self, waves: Tensor, factor: Tensor) -> Tensor:
        """``[H, N, m]`` positive features of waves times factors ``[H, r]``.

        Each pair of a cosine and a sine has norm 1.
        """
        projection = torch.cat([factor, factor], 1).unsqueeze(1) * self.projection
        exponent = waves @ projection.mT - factor.square().sum(1).reshape(-1, 1, 1) / 2
        return exponent.exp() / math.sqrt(len(self.projection))

    def __repr__(self) -> str:
        counts = f"num_frequencies={len(self.frequency)}, num_gaussians={self.amplitude.shape[1]}"
        return f"FourierMask(heads={self.heads}, {counts}, num_features={len(self.projection)})"


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=double_dtype(generator.device))
