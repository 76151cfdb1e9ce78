"""How accurate random features of the softmax kernel are, at equal dimension.

Errors of scores are root mean squares of estimate / exact - 1 over all pairs and draws: where they
are large, a few draws make them up, and more draws find more. Errors of attention are relative
Frobenius errors of its normalised matrix, medians over draws. Maps that can be calibrated are, on
the same queries and keys. Reproduces the tables of docs/features.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from runner import Row, Study, choose, numbers, print_table, progress
from torch import Tensor

from graphmask.features import (
    IID,
    GeometricFeatures,
    HybridRandomFeatures,
    LinearRandomizedFeatures,
    OptimalPositiveFeatures,
    PoissonFeatures,
    PositiveRandomFeatures,
    SharpPositiveFeatures,
    Simplex,
    TrigonometricSoftmaxFeatures,
)


class RandomMap(NamedTuple):
    """Random features: ``make(channels, num_features)``."""

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
    RandomMap("lara", "LARA: proposals from the data, calibrated", LinearRandomizedFeatures),
    RandomMap("poisson", "random powers of Poisson exponents, calibrated", PoissonFeatures),
    RandomMap("geometric", "random powers of geometric exponents, calibrated", GeometricFeatures),
    RandomMap("trigonometric", "random Fourier features, orthogonal", TrigonometricSoftmaxFeatures),
    RandomMap(
        "hybrid", "positive and trigonometric, mixed by angle, one sign", HybridRandomFeatures
    ),
)


class Inputs(NamedTuple):
    """Queries and keys ``[n, d]``."""

    name: str
    q: Tensor
    k: Tensor


def make_inputs(
    channels: int, spread: float, anisotropic: bool, nodes: int = 64, seed: int = 0
) -> Inputs:
    """Draw Gaussian queries and keys of mean square ``spread^2`` per channel.

    Anisotropic ones spread over channels in proportion to 1, 1/2, 1/3, ...
    """
    scale = torch.ones(channels, dtype=torch.float64)
    if anisotropic:
        scale = 1 / torch.arange(1, channels + 1, dtype=torch.float64)
    scale = scale * spread / scale.square().mean().sqrt()
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, nodes, channels, generator=generator, dtype=torch.float64) * scale
    return Inputs(f"{'anisotropic' if anisotropic else 'gaussian'}, {spread:g}", q, k)


def read_inputs(path: Path) -> Inputs:
    """Read an .npz file with arrays ``q`` and ``k``, each ``[n, d]``."""
    with np.load(path) as file:
        q, k = (torch.from_numpy(file[name]).double() for name in ("q", "k"))
    return Inputs(path.stem, q, k)


@torch.no_grad()
def measure(inputs: Inputs, random_map: RandomMap, size: int, draws: int, seed: int = 0) -> Row:
    """Draw a map many times and compare its scores with the exact ones.

    Cost: O(draws (n m d + n^2 m)).
    """
    channels = inputs.q.shape[1]
    phi = random_map.make(channels, size).double()
    if hasattr(phi, "calibrate"):
        phi.calibrate(inputs.q, inputs.k)
    logits = inputs.q @ inputs.k.mT * channels**-0.5
    attention, generator = logits.softmax(-1), torch.Generator().manual_seed(seed)
    ratios = []
    for _ in range(draws):
        phi.redraw(generator)
        ratios.append(phi.queries(inputs.q) @ phi.keys(inputs.k).mT / logits.exp())
    ratio = torch.stack(ratios)
    estimate = ratio * attention
    estimate = estimate / estimate.sum(-1, keepdim=True)
    distance = (estimate - attention).norm(dim=(-2, -1)) / attention.norm()
    bias = (ratio - 1).mean((1, 2))
    return {
        "inputs": inputs.name,
        "channels": channels,
        "features": random_map.name,
        "size": size,
        "draws": draws,
        "error": float((ratio - 1).square().mean().sqrt()),
        "attention": float(distance.median()),
        "bias": float(bias.mean()),
        "bias_z": float(bias.mean() / (bias.std() / math.sqrt(draws))),
    }


def tabulate(rows: Sequence[Row]) -> list[Row]:
    """Arrange errors by size, and the bias at the largest."""
    table: dict[tuple, Row] = {}
    for row in rows:
        names = {"d": str(row["channels"]), "inputs": row["inputs"], "features": row["features"]}
        cells = table.setdefault(tuple(names.values()), names)
        cells[f"scores {row['size']}"] = row["error"]
        cells[f"attention {row['size']}"] = row["attention"]
    for row in rows:
        cells = table[str(row["channels"]), row["inputs"], row["features"]]
        cells |= {"bias": row["bias"], "bias / se": row["bias_z"]}
    return list(table.values())


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"channels": [4], "spreads": [0.5], "nodes": 6, "sizes": [8, 16], "draws": 5}
    study = Study(__doc__, smoke)
    study.add_argument("--maps", type=choose(MAPS), default=MAPS)
    study.add_argument("--channels", type=numbers(int), default=[16, 64])
    study.add_argument("--spreads", type=numbers(float), default=[0.25, 0.5, 1.0])
    study.add_argument("--inputs", type=Path, help="instead: an .npz file of q and k, each [n, d]")
    study.add_argument("--sizes", type=numbers(int), default=[16, 64, 256], help="multiples of 8")
    study.add_argument("--draws", type=int, default=100)
    study.add_argument("--nodes", type=int, default=64, help="numbers of queries, and of keys")
    options = study.parse(arguments)
    inputs = (
        [read_inputs(options.inputs)]
        if options.inputs
        else [
            make_inputs(channels, spread, anisotropic, options.nodes, options.seed)
            for channels in options.channels
            for anisotropic in (False, True)
            for spread in options.spreads
        ]
    )

    def run() -> Iterator[Row]:
        for pair in inputs:
            for random_map in options.maps:
                progress(f"{pair.name}, {pair.q.shape[1]} channels: {random_map.name}")
                for size in options.sizes:
                    yield measure(pair, random_map, size, options.draws, options.seed)

    rows = study.collect(run(), options)
    print_table("Relative errors of scores, and of rows of attention", tabulate(rows))
    return rows


if __name__ == "__main__":
    main()
