"""Every mask gives on parts what it gives on the whole graph, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cases
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

import graphmask as gm
from graphmask._random import generator_from
from graphmask.distributed import Shard, collect, in_turn, shard

pytestmark = pytest.mark.global_rng

# Those that read features of nodes are in rank_cases.py.
MASKS = [case for case in cases.MASKS if not case.name.startswith("adaptive")]

# Attention under these builds their blocks, also on a whole graph, which has to be small then.
SIGNED = ("power-series-signed", "rfd-and-signed-walks", "rfd-scaled", "hadamard-fourier")

# Others run in `make test-full`.
QUICK = ("sum-wide", "product-signed", "chunks-causal", "hadamard-sparse", "rfd-scaled")


def masks() -> list[Any]:
    slow = pytest.mark.slow
    return [c if c.name in QUICK else pytest.param(c, marks=slow) for c in MASKS]


def store(topology: gm.Topology, x: Tensor) -> Data:
    """The graph as data, without its walks."""
    return Data(
        x=x,
        pos=topology.pos,
        edge_index=topology.edge_index,
        edge_weight=topology.edge_weight,
        edge_attr=topology.edge_attr,
        batch=topology.batch,
        num_nodes=topology.num_nodes,
    )


@pytest.mark.parametrize("case", masks(), ids=str)
def test_parts_give_the_whole_or_refuse(tmp_path: Path, case: cases.Case) -> None:
    mask = cases.scrambled(cases.seeded(case.make)).double().eval()
    layer = gm.nn.TopologicalAttention(4, mask.heads, mask).double()
    demand = mask.walk_demand
    graphs = [graph for graph in case.topologies().values() if not graph.walk_sets]
    graph = max(graphs, key=lambda graph: (graph.num_graphs > 1, graph.num_nodes))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(graph.num_nodes, 4, generator=generator, dtype=torch.float64)
    parts = torch.randint(3, (graph.num_nodes,), generator=generator)
    data = store(graph, x)
    whole = gm.Topology.from_data(data)
    drawn = {} if demand is None else {"walks": demand.sampler, "sets": demand.sets}
    if demand is not None:
        walks = [demand.sampler(whole, generator_from(0, i)) for i in range(demand.sets)]
        whole = whole.with_walks(*walks)
    shard(data, tmp_path, parts=parts, log=False, **drawn)

    def run(part: Shard) -> Tensor:
        return collect(layer(part.x, part.topology), part.topology)

    refusal = "a graph over ranks can run.*reads a graph as a whole" if mask.reach is None else ""
    refusal = "use non-negative coefficients, a walk mask" if case.name in SIGNED else refusal
    if refusal:
        with pytest.raises(ValueError, match=refusal):
            in_turn(tmp_path, run, hops=mask.reach or 0, parts=2)
        return
    expected = layer(x, whole)
    for out in in_turn(tmp_path, run, hops=mask.reach, parts=2):
        torch.testing.assert_close(out, expected.detach(), rtol=1e-9, atol=1e-10)
