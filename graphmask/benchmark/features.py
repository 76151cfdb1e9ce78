"""How accurate random features of the softmax kernel are, at equal dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmask._checks import check_integer, check_number, value_error
from graphmask.features import (
    IID,
    FeatureMap,
    HybridRandomFeatures,
    OptimalPositiveFeatures,
    PositiveRandomFeatures,
    SharpPositiveFeatures,
    Simplex,
    TrigonometricSoftmaxFeatures,
)


@dataclass(frozen=True)
class RandomMap:
    """Random features that are compared: ``make(channels, num_features)``."""

    name: str
    about: str
    make: Callable[[int, int], Any]


MAPS = (
    RandomMap(
        "favor-iid",
        "positive, independent directions",
        lambda d, m: PositiveRandomFeatures(d, m, IID()),
    ),
    RandomMap("favor-plus", "positive, orthogonal directions", PositiveRandomFeatures),
    RandomMap(
        "simrf",
        "positive, directions of a simplex",
        lambda d, m: PositiveRandomFeatures(d, m, Simplex()),
    ),
    RandomMap("oprf", "FAVOR++: optimal positive, orthogonal, calibrated", OptimalPositiveFeatures),
    RandomMap(
        "oprf-simplex",
        "optimal positive, simplex, calibrated",
        lambda d, m: OptimalPositiveFeatures(d, m, Simplex()),
    ),
    RandomMap("sharp", "FAVOR#: sharp positive, orthogonal, calibrated", SharpPositiveFeatures),
    RandomMap("trigonometric", "random Fourier features, orthogonal", TrigonometricSoftmaxFeatures),
    RandomMap(
        "hybrid", "positive and trigonometric, mixed by angle, one sign", HybridRandomFeatures
    ),
)


@dataclass(frozen=True)
class Inputs:
    """Queries and keys ``[n, d]`` that maps are judged on."""

    name: str
    q: Tensor
    k: Tensor


def make_inputs(
    channels: int, spread: float, anisotropic: bool, nodes: int = 64, seed: int = 0
) -> Inputs:
    """Gaussian queries and keys, of mean square ``spread^2`` per channel.

    Anisotropic ones spread over channels in proportion to 1, 1/2, 1/3, ...
    """
    scale = torch.ones(channels, dtype=torch.float64)
    if anisotropic:
        scale = 1 / torch.arange(1, channels + 1, dtype=torch.float64)
    scale = scale * spread / scale.square().mean().sqrt()
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, nodes, channels, generator=generator, dtype=torch.float64) * scale
    return Inputs(f"{'anisotropic' if anisotropic else 'gaussian'}, {spread:g}", q, k)


def read_inputs(path: str | Path) -> Inputs:
    """Queries and keys from an .npz file with arrays ``q`` and ``k``, each ``[n, d]``.

    Raises:
        ValueError: where it has no such arrays.
    """
    with np.load(path) as file:
        if not {"q", "k"} <= set(file):
            raise value_error(
                "inputs", "a file of arrays q and k", f"{path} with {', '.join(file)}"
            )
        q, k = (torch.from_numpy(file[name]).double() for name in ("q", "k"))
    if q.dim() != 2 or k.dim() != 2 or q.shape[1] != k.shape[1]:
        raise value_error(
            "inputs", "arrays q and k of shape [n, d]", f"{list(q.shape)} and {list(k.shape)}"
        )
    return Inputs(Path(path).stem, q, k)


@dataclass(frozen=True)
class Study:
    """What is measured.

    Args:
        inputs: queries and keys.
        maps: random features.
        sizes: numbers of features m.
        draws: of each map.
        seed: of the first draw.
    """

    inputs: Sequence[Inputs]
    maps: Sequence[RandomMap] = MAPS
    sizes: Sequence[int] = (16, 64, 256)
    draws: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("draws", self.draws, 2)
        check_integer("seed", self.seed, 0)
        for size in self.sizes:
            if check_integer("sizes", size, 8) % 8:
                raise value_error("sizes", "multiples of 8, which all maps can have", size)


@dataclass(frozen=True)
class Accuracy:
    """One map on one input.

    Args:
        inputs: their name.
        channels: d.
        features: the map's name.
        size: m.
        draws: how many.
        error: of scores: the root of the mean square of estimate / exact - 1, over all pairs and
            draws.
        attention: of rows: relative Frobenius error of the normalised attention matrix, the median
            of all draws.
        bias: the mean of estimate / exact - 1.
        bias_z: the same in standard errors.
    """

    inputs: str
    channels: int
    features: str
    size: int
    draws: int
    error: float
    attention: float
    bias: float
    bias_z: float

    def row(self) -> dict[str, Any]:
        """Cells by column."""
        return asdict(self)


def run(
    study: Study, progress: Callable[[str], object] = lambda _: None
) -> Iterator[list[Accuracy]]:
    """All accuracies of a study, input by input.

    Cost: O(draws (n m d + n^2 m)) for each map and size.

    Example:
        >>> from graphmask.benchmark.features import MAPS, Study, make_inputs, run
        >>> study = Study([make_inputs(4, 0.5, anisotropic=False, nodes=8)], MAPS[:1], sizes=[8], draws=4)
        >>> [[found]] = run(study)
        >>> found.features, found.size, found.error > 0
        ('favor-iid', 8, True)
    """
    for inputs in study.inputs:
        found = []
        for each in study.maps:
            progress(f"{inputs.name}, {inputs.q.shape[1]} channels: {each.name}")
            found += [measure(inputs, each, size, study.draws, study.seed) for size in study.sizes]
        yield found


@torch.no_grad()
def measure(
    inputs: Inputs, random_map: RandomMap, size: int, draws: int, seed: int = 0
) -> Accuracy:
    """Draw a map many times, calibrated on the inputs where it can be, and compare its scores with the exact ones."""
    channels = inputs.q.shape[1]
    phi = random_map.make(channels, size).double()
    if hasattr(phi, "calibrate"):
        phi.calibrate(inputs.q, inputs.k)
    logits = inputs.q @ inputs.k.mT * channels**-0.5
    rows, generator = logits.softmax(-1), torch.Generator().manual_seed(seed)
    drawn = torch.stack([_ratios(phi, inputs, logits, generator) for _ in range(draws)])
    missed = drawn - 1
    estimated = drawn * rows
    estimated = estimated / estimated.sum(-1, keepdim=True)
    distance = (estimated - rows).norm(dim=(-2, -1)) / rows.norm()
    bias, deviation = missed.mean((1, 2)).mean(), missed.mean((1, 2)).std() / math.sqrt(draws)
    return Accuracy(
        inputs.name,
        channels,
        random_map.name,
        size,
        draws,
        float(missed.square().mean().sqrt()),
        float(distance.median()),
        float(bias),
        float(bias / deviation),
    )


def _ratios(phi: FeatureMap, inputs: Inputs, logits: Tensor, generator: torch.Generator) -> Tensor:
    """Estimated over exact scores ``[n, n]``."""
    phi.redraw(generator)  # type: ignore[operator]
    return phi.queries(inputs.q) @ phi.keys(inputs.k).mT / logits.exp()


def default_inputs(
    channels: Sequence[int], spreads: Sequence[float], nodes: int, seed: int
) -> list[Inputs]:
    """Isotropic and anisotropic ones of each spread and number of channels."""
    check_integer("nodes", nodes, 1)
    for spread in spreads:
        if check_number("spreads", spread, 0) == 0:
            raise value_error("spreads", "positive", spread)
    return [
        make_inputs(check_integer("channels", each, 1), spread, anisotropic, nodes, seed)
        for each in channels
        for anisotropic in (False, True)
        for spread in spreads
    ]
