"""Couplings: joint distributions of the directions of random features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphmask._checks import type_error
from graphmask._precision import double_dtype, to_double
from graphmask.config import ConfigMixin


class Coupling(ConfigMixin, ABC):
    """A joint distribution of the rows w of a projection, with marginals N(0, I).

    Estimates are unbiased under every coupling.
    """

    @abstractmethod
    def __call__(self, num_rows: int, channels: int, generator: torch.Generator) -> Tensor:
        """Draw ``[num_rows, channels]`` in float64."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class IID(Coupling):
    """Independent rows.

    Example:
        >>> import torch
        >>> from graphmask.features import IID
        >>> IID()(3, 2, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __call__(self, num_rows: int, channels: int, generator: torch.Generator) -> Tensor:
        return _normal(num_rows, channels, generator=generator)


class _Frames(Coupling):
    """Blocks of d fixed directions, rotated at random (Haar), with chi-distributed lengths."""

    def __call__(self, num_rows: int, channels: int, generator: torch.Generator) -> Tensor:
        blocks = -(-num_rows // channels)
        basis, upper = torch.linalg.qr(_normal(blocks, channels, channels, generator=generator))
        # Signs that make the factorisation unique make the basis uniform.
        rotation = basis * upper.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        length = _normal(blocks, channels, channels, generator=generator).norm(dim=-1, keepdim=True)
        directions = self._vertices(channels).to(rotation.device) @ rotation
        return (length * directions).flatten(0, 1)[:num_rows]

    @abstractmethod
    def _vertices(self, channels: int) -> Tensor:
        """``[d, d]`` unit vectors."""


class Orthogonal(_Frames):
    """Blocks of d orthogonal rows.

    Source: Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021), section 2.4.

    Example:
        >>> import torch
        >>> from graphmask.features import Orthogonal
        >>> W = Orthogonal()(3, 3, torch.Generator().manual_seed(0))
        >>> gram = W @ W.mT
        >>> bool(torch.allclose(gram, gram.diagonal().diag()))
        True
    """

    def _vertices(self, channels: int) -> Tensor:
        return to_double(torch.eye(channels))


class Simplex(_Frames):
    r"""Blocks of d rows that point to the vertices of a simplex.

    All angles are as wide as possible, of cosine :math:`-1/(d - 1)`: the least mean square error of
    positive features among couplings that ignore lengths.

    Source: Reid et al., "Simplex Random Features" (ICML 2023), eq. 9.

    Example:
        >>> import torch
        >>> from graphmask.features import Simplex
        >>> W = Simplex()(3, 3, torch.Generator().manual_seed(0))
        >>> unit = W / W.norm(dim=1, keepdim=True)
        >>> round(float(unit[0] @ unit[1]), 6)
        -0.5
    """

    def _vertices(self, channels: int) -> Tensor:
        if channels == 1:
            return to_double(torch.ones(1, 1))
        n = channels - 1
        vertices = math.sqrt(channels / n) * to_double(torch.eye(channels))
        vertices[:, :n] -= (math.sqrt(channels) + 1) / n**1.5
        vertices[n] = n**-0.5
        vertices[:, n] = 0
        return vertices


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    device = generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=double_dtype(device))


def check_coupling(coupling: Coupling) -> Coupling:
    """Check that an argument is a coupling."""
    if not isinstance(coupling, Coupling):
        raise type_error("coupling", "a Coupling, such as Orthogonal()", coupling)
    return coupling
