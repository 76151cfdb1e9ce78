"""What feature maps with random projections share."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import check_integer, check_number, type_error, value_error

from .couplings import Coupling, Orthogonal, check_coupling
from .stabilised import StabilisedFeatures


class ProjectedFeatures(StabilisedFeatures):
    """Features of the projections ``w .

    X`` by random w, which a buffer holds; all heads share them.

    Args:
        channels: d, of queries and keys.
        num_features: m.
        num_rows: of the projection.
        coupling: of its rows. (default: :obj:`None`, :class:`~graphmask.features.Orthogonal`)
        seed: of its draw.
        scale: of the kernel's argument, ``q . k scale``. (default: :obj:`None`, ``channels **
            -0.5``)
    """

    projection: Tensor

    def __init__(
        self,
        channels: int,
        num_features: int,
        num_rows: int,
        coupling: Coupling | None,
        seed: int,
        scale: float | None,
    ) -> None:
        super().__init__()
        self.channels, self.num_features = check_integer("channels", channels, 1), num_features
        self.coupling = Orthogonal() if coupling is None else check_coupling(coupling)
        self.scale = channels**-0.5 if scale is None else check_scale(scale)
        self.register_buffer("projection", torch.empty(num_rows, channels))
        self.redraw(torch.Generator().manual_seed(check_integer("seed", seed, 0)))

    @torch.no_grad()
    def redraw(self, generator: torch.Generator) -> None:
        """Draw another projection."""
        fill(self.projection, self.coupling, generator)

    def extra_repr(self) -> str:
        """The arguments that tell maps of one kind apart."""
        return f"{self.channels}, {self.num_features}, coupling={self.coupling!r}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def _scaled(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.channels:
            raise value_error(
                "x", f"of shape [..., d] with d = {self.channels} (channels of the feature map)", x
            )
        return x * self.scale**0.5

    def _project(self, x: Tensor) -> Tensor:
        return x @ self.projection.to(x.dtype).mT


def half_square(x: Tensor) -> Tensor:
    """``|x|^2 / 2`` of the last dimension, which stays."""
    return x.square().sum(-1, keepdim=True) / 2


def check_scale(scale: float) -> float:
    """A positive number."""
    if check_number("scale", scale, 0) == 0:
        raise value_error("scale", "positive", scale)
    return float(scale)


def fill(rows: Tensor, coupling: Coupling, generator: torch.Generator) -> None:
    """Draw ``rows [R, d]`` anew."""
    if not isinstance(generator, torch.Generator):
        raise type_error("generator", "a torch.Generator", generator)
    rows.copy_(coupling(rows.shape[0], rows.shape[1], generator))
