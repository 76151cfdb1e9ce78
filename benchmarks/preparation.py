"""Preparation of many graphs gives the same bytes, whatever the number of workers.

Clouds of points on a sphere, made where they are read, get their nearest neighbours and walks. Rows
give the time, and whether the checksums of all shards are those of the first row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from runner import Row, Study, numbers, print_table, progress
from torch_geometric.data import Data, Dataset
from torch_geometric.transforms import Compose

import graphmask as gm


class Clouds(Dataset):
    """Points on a sphere, with noise."""

    def __init__(self, count: int, points: int, seed: int) -> None:
        super().__init__()
        self.count, self.points, self.seed = count, points, seed

    def __repr__(self) -> str:
        return f"Clouds({self.count}, {self.points}, {self.seed})"

    def len(self) -> int:
        return self.count

    def get(self, idx: int) -> Data:
        generator = torch.Generator().manual_seed(self.seed * self.count + idx)
        pos = torch.randn(self.points, 3, generator=generator)
        noise = 0.02 * torch.randn(self.points, 3, generator=generator)
        return Data(pos=pos / pos.norm(dim=1, keepdim=True) + noise, y=torch.tensor([idx % 10]))


def digest(folder: Path) -> str:
    """The checksum of all files of a folder, and of their names."""
    found = sha256()
    for path in sorted(folder.iterdir()):
        found.update(f"{path.name} {sha256(path.read_bytes()).hexdigest()}".encode())
    return found.hexdigest()


def measure(options: Any) -> Iterator[Row]:
    """A row for each number of workers."""
    clouds, first = Clouds(options.graphs, options.points, options.seed), ""
    sampler = gm.walks.ResampledWalks(options.budget, hops=4)
    for workers in options.workers:
        progress(f"{workers} workers")
        generator = torch.Generator().manual_seed(options.seed)
        walks = gm.transforms.AddWalks(sampler, generator)
        transform = Compose([gm.transforms.KNNGraph(k=8), walks])
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            start = perf_counter()
            gm.prepare(clouds, transform, temporary, workers=workers, progress=False)
            seconds, files = perf_counter() - start, list(Path(temporary).iterdir())
            found = digest(Path(temporary))
            first = first or found
            yield {
                "workers": workers,
                "graphs": options.graphs,
                "s": seconds,
                "graphs per s": options.graphs / seconds,
                "files": len(files),
                "MiB": sum(path.stat().st_size for path in files) / 2**20,
                "sha256": found[:16],
                "as the first": found == first,
            }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"graphs": 40, "points": 64, "workers": [1]})
    study.add_argument("--graphs", type=int, default=10_000)
    study.add_argument("--points", type=int, default=1024, help="of each cloud")
    study.add_argument("--workers", type=numbers(int), default=[1, 2])
    study.add_argument("--budget", type=int, default=32, help="pairs per node")
    study.add_argument("--folder", type=Path, help="where to write (the system's)")
    options = study.parse(arguments)
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(measure(options), options)
    print_table("Preparation", rows)
    return rows


if __name__ == "__main__":
    main()
