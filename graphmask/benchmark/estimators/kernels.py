"""The kernels whose masks are estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from graphmask.masks import Coefficients, Cosine, Diffusion, PageRank, RegularizedLaplacian


@dataclass(frozen=True)
class Kernel:
    """A kernel by name: ``M = sum_k alpha_k W^k``, cut at K hops.

    Args:
        name: as in tables and on the command line.
        about: its formula.
        alpha: its coefficients, from hops and heads, as masks take them.

    Example:
        >>> from graphmask.benchmark.estimators import KERNELS
        >>> KERNELS[1].name, [round(x, 4) for x in KERNELS[1].alpha(2, 1)()[0].tolist()]
        ('diffusion-1', [0.3679, 0.3679, 0.1839])
    """

    name: str
    about: str
    alpha: Callable[[int, int], Coefficients]


KERNELS = (
    Kernel("diffusion-1/3", "exp(-(I - W) / 3)", partial(Diffusion, scale=1 / 3)),
    Kernel("diffusion-1", "exp(-(I - W))", partial(Diffusion, scale=1.0)),
    Kernel("diffusion-3", "exp(-3 (I - W))", partial(Diffusion, scale=3.0)),
    Kernel(
        "laplacian-2",
        "(I + (I - W))^-2, 2-regularised Laplacian",
        partial(RegularizedLaplacian, scale=1.0, power=2),
    ),
    Kernel("cosine", "sqrt(2) cos(pi / 4 (I - W)), signed", Cosine),
    Kernel("pagerank", "0.15 (I - 0.85 W)^-1", partial(PageRank, teleport=0.15)),
)
