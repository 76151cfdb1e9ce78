"""How many pairs masks will store on a graph, counted for some of its nodes."""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy.sparse import csr_array

from graphmask.masks import TopologicalMask
from graphmask.topology import Topology
from graphmask.walks.resampled import ResampledWalks

# Nodes whose walks are drawn, twice, and whose balls are counted.
_PROBES = (256, 1280)
_BALLS = 128


def probe_walks(
    mask: TopologicalMask, topology: Topology, cpu_time: bool = False
) -> tuple[float, float]:
    """Pairs of walks per node, all sets together, and the seconds that drawing all would take."""
    demand = mask.walk_demand
    assert demand is not None
    sampler = demand.sampler
    assert isinstance(sampler, ResampledWalks)
    # What is compiled is loaded before it is timed.
    sampler(Topology(torch.tensor([[0, 1], [1, 0]]), 2))
    order = torch.from_numpy(np.random.default_rng(0).permutation(topology.num_nodes))
    clock = time.process_time if cpu_time else time.perf_counter
    # The first count finds what later ones share; the difference of the others has none of what is
    # done once per draw.
    times, counts = [], torch.zeros(1)
    for number in (1, *_PROBES):
        start = clock()
        counts = sampler.count_pairs(topology, order[:number], torch.Generator().manual_seed(0))
        times.append(clock() - start)
    fewer, more = (min(number, topology.num_nodes) for number in _PROBES)
    seconds = max(times[2] - times[1], 0.0) / max(more - fewer, 1) * topology.num_nodes + times[1]
    return demand.sets * float(counts.double().mean()), demand.sets * seconds


def probe_balls(topology: Topology, hops: int) -> float:
    """Nodes within so many hops of a node, on average over some nodes."""
    pattern = topology.pattern
    ones = np.ones(pattern.nnz, np.float32)
    links = csr_array((ones, pattern.col.numpy(), pattern.rowptr.numpy()), shape=pattern.shape)
    nodes = np.random.default_rng(0).choice(
        topology.num_nodes, min(_BALLS, topology.num_nodes), replace=False
    )
    reached = csr_array(
        (np.ones(len(nodes), np.float32), (np.arange(len(nodes)), nodes)),
        shape=(len(nodes), topology.num_nodes),
    )
    for _ in range(hops):
        reached = reached + reached @ links
        reached.data[:] = 1
    return reached.nnz / len(nodes)
