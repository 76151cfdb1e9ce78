"""Cost of a transformer block on batches of molecules, beside PyG's GPSConv on dense batches.

A block under WalkMask, its topology built in every call or known, and ``GPSConv(64, None, heads=4,
attn_type='multihead')``, forward and backward, in interleaved rounds. Molecules are generated, that
is random trees of 10 to 40 atoms with up to three rings, or read from a file with a SMILES at the
head of each line. Reproduces the table of molecules in docs/performance.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import networkx as nx
import numpy as np
import torch
from runner import Row, Study, print_table, progress
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.utils import from_networkx, from_smiles

from graphmask.benchmark import Problem, Settings, run
from graphmask.benchmark.graphs import CHANNELS, HEADS
from graphmask.benchmark.implementations import GPS, GPS_ABOUT, WALK, Layer
from graphmask.extras import require
from graphmask.nn import TopologicalTransformerLayer
from graphmask.topology import Topology
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks

# Atoms of a molecule, rings at most, and the distance of the atoms that close one.
ATOMS, RINGS, RING_STEPS = range(10, 41), 3, (4, 5)


class Molecules(Problem):
    """A batch of molecules as a loader returns it, with stored walks.

    The first ``count`` of ``molecules`` are taken, or generated.
    """

    def __init__(
        self, count: int, seed: int = 0, device: str = "cpu", molecules: Sequence[Data] = ()
    ) -> None:
        graphs = (molecules or random_molecules(count, seed))[:count]
        add_walks = AddWalks(ResampledWalks(budget=64, hops=8), torch.Generator().manual_seed(seed))
        data: Any = Batch.from_data_list([add_walks(graph.clone()) for graph in graphs])
        pos = torch.zeros(data.num_nodes, 3)
        super().__init__(data.num_nodes, seed, device, lambda *_: (pos, data.edge_index))
        self.data = data.to(device)
        self.topology = Topology.from_data(self.data)


def random_molecules(count: int, seed: int = 0) -> list[Data]:
    """Generate random trees with up to three rings of 5 or 6 atoms."""
    generator = np.random.default_rng(seed)
    return [random_molecule(generator) for _ in range(count)]


def random_molecule(generator: np.random.Generator) -> Data:
    """Close rings in a random tree."""
    size = int(generator.integers(ATOMS.start, ATOMS.stop))
    graph = nx.from_prufer_sequence(generator.integers(0, size, size - 2).tolist())
    for atom in generator.permutation(size)[:RINGS].tolist():
        distance = nx.single_source_shortest_path_length(graph, atom, cutoff=max(RING_STEPS))
        ends = [node for node, steps in distance.items() if steps in RING_STEPS]
        if ends:
            graph.add_edge(atom, int(generator.choice(ends)))
    return Data(edge_index=from_networkx(graph).edge_index, num_nodes=size)


def read_molecules(path: Path, count: int) -> list[Data]:
    """Read the first molecules of such sizes; others, and invalid lines, are passed over."""
    require("rdkit.RDLogger", extra="molecules").DisableLog("rdApp.*")
    lines = path.read_text(encoding="utf-8").splitlines()
    everything = (from_smiles(re.split(r"[\s,]", line, maxsplit=1)[0]) for line in lines if line)
    fitting = (
        molecule for molecule in everything if molecule.num_nodes in ATOMS and molecule.num_edges
    )
    return [
        Data(edge_index=molecule.edge_index, num_nodes=molecule.num_nodes)
        for molecule in islice(fitting, count)
    ]


def walk_block() -> nn.Module:
    """Build a block of 64 channels under WalkMask."""
    return TopologicalTransformerLayer(CHANNELS, HEADS, WALK())


def with_new_topology(layer: nn.Module, molecules: Molecules) -> Tensor:
    """Build the topology from the batch, and call the layer."""
    return layer(molecules.x, Topology.from_data(molecules.data))


def with_known_topology(layer: nn.Module, molecules: Molecules) -> Tensor:
    """Call the layer on the topology."""
    return layer(molecules.x, molecules.topology)


def with_dense_batch(layer: nn.Module, molecules: Molecules) -> Tensor:
    """Call the layer on edges and batch."""
    return layer(molecules.x, molecules.data.edge_index, molecules.data.batch)


BLOCK = "TopologicalTransformerLayer(64, 4) under WalkMask, its topology"
LAYERS = (
    Layer("new-topology", f"{BLOCK} built in every call", walk_block, with_new_topology),
    Layer("known-topology", f"{BLOCK} known", walk_block, with_known_topology),
    Layer("gps", f"{GPS_ABOUT} and its dense batches", GPS, with_dense_batch),
)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"count": 3, "repeats": 1, "threads": 1})
    study.add_argument("--smiles", type=Path, help="a file (generated molecules)")
    study.add_argument("--count", type=int, default=128, help="molecules of the batch")
    study.add_argument("--repeats", type=int, default=15, help="rounds; the median counts")
    options = study.parse(arguments)
    molecules = read_molecules(options.smiles, options.count) if options.smiles else ()
    settings = Settings(
        [options.count],
        LAYERS,
        threads=options.threads,
        repeats=options.repeats,
        seed=options.seed,
        make_problem=partial(Molecules, molecules=molecules),
    )

    def rows() -> Iterator[Row]:
        (measurements,) = run(settings, progress)
        theirs = measurements[-1].both
        for layer, result in zip(LAYERS, measurements, strict=True):
            ratios = [a / b for a, b in zip(result.both, theirs, strict=False)]
            ratio = median(ratios) if ratios else None
            yield {**result.row(), "ratio": ratio, "about": layer.about}

    results = study.collect(rows(), options)
    columns = ("implementation", "forward_s", "forward_backward_s", "peak_mib", "ratio", "about")
    print_table(
        f"Batches of {options.count} molecules; time over that of GPSConv",
        [{name: row[name] for name in columns} for row in results],
    )
    return results


if __name__ == "__main__":
    main()
