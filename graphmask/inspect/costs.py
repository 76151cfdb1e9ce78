"""Costs of masks on a graph: from their definitions, counted on samples, or measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch.utils.benchmark import Timer

from graphmask import masks
from graphmask._checks import check_integer, value_error
from graphmask._precision import to_double
from graphmask.attention import attention
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks

from .summary import GraphSummary

HEADS, CHANNELS = 4, 16

# Nodes whose pairs of walks are counted.
_SAMPLE = 1024


@dataclass(frozen=True)
class MaskCost:
    """The cost of attention under a mask; :obj:`None` stands for what was not measured.

    Args:
        name: as ``graphmask view --mask`` takes it.
        mask: the mask, of 4 heads, or :obj:`None`.
        reason: why the mask does not apply to the graph, or could not be called; else empty.
        pairs: of walks stored per node, over all sets; :obj:`None` for masks without walks.
        multiply_adds: of ``M @ x`` per head and column of x.
        prepare_seconds: to make what is made once per graph, such as walks.
        call_seconds: of attention, 4 heads of 16 channels, forward and backward.
    """

    name: str
    mask: TopologicalMask | None = None
    reason: str = ""
    pairs: float | None = None
    multiply_adds: float | None = None
    prepare_seconds: float | None = None
    call_seconds: float | None = None


def mask_costs(
    summary: GraphSummary,
    topology: Topology,
    names: tuple[str, ...] = (),
    measure: bool = False,
    threads: int | None = None,
) -> Iterator[MaskCost]:
    """Costs of each mask on a graph.

    Args:
        summary: of the graph.
        topology: the graph.
        names: of the masks. (default: all)
        measure: whether each mask is also prepared and called on the whole graph, and timed.
            (default: :obj:`False`)
        threads: of torch in measured calls. (default: :obj:`None`, those of torch)

    Raises:
        ValueError: for an unknown name, and for fewer threads than one.

    Cost: drawing the walks of 1,024 nodes per mask on walks; with ``measure`` some calls.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> from graphmask.inspect import mask_costs, summarize_graph
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> summary, topology = summarize_graph(path), gm.Topology.from_data(path)
        >>> [walk] = mask_costs(summary, topology, names=("walk",))
        >>> walk.pairs, walk.mask.cost
        (3.0, 'N p')
    """
    if threads is not None:
        check_integer("threads", threads, 1)
    options = mask_options(summary)
    for name in names or options:
        option = options.get(name)
        if option is None:
            raise value_error("names", f"among {', '.join(options)}", name or "an empty name")
        if isinstance(option, str):
            yield MaskCost(name, reason=option)
            continue
        cost = MaskCost(name, option, pairs=_count_pairs(option, topology))
        yield _measure(cost, option, topology, threads) if measure else cost


def mask_options(summary: GraphSummary) -> dict[str, TopologicalMask | str]:
    """The masks that may serve a graph, of 4 heads; for others the reason why they do not."""
    no_lengths = "weights are negative, and no lengths" if summary.has_negative_weights else ""
    no_lengths = "edges are directed" if summary.directed else no_lengths
    no_forest = "the graph has cycles, directions, loops or repeated edges"
    no_forest = "" if summary.is_forest else no_forest
    no_points = "" if summary.axes == 3 else "the nodes have no three coordinates"
    no_grid = "" if summary.shape else "the nodes form no grid, row by row"
    no_path = "" if summary.is_path else "the nodes form no sequence"
    shape = summary.shape or (1, max(summary.num_nodes, 1))
    short, long = ResampledWalks(budget=16, hops=4), ResampledWalks(budget=64, hops=8)
    return {
        "global": masks.GlobalMask(),
        "walk": masks.WalkMask(hops=8, heads=HEADS, sampler=long),
        "grf": masks.GRFMask(hops=4, heads=HEADS, sampler=short),
        "power-series": masks.PowerSeriesMask(hops=4, heads=HEADS),
        "diffusion": masks.DiffusionMask(heads=HEADS),
        "shortest-path": masks.ShortestPathMask(hops=3, heads=HEADS),
        "separator": no_lengths or masks.SeparatorMask(heads=HEADS),
        "tree-distance": no_forest or masks.TreeDistanceMask(heads=HEADS),
        "rfd": no_points or masks.RFDMask(num_features=32, heads=HEADS),
        "degree": masks.DegreeMask(heads=HEADS),
        "toeplitz": no_grid or masks.ToeplitzMask(shape, heads=HEADS),
        "grid-diffusion": no_grid or masks.GridDiffusionMask(shape, heads=HEADS),
        "causal": no_path or masks.CausalMask(0.9, heads=HEADS),
    }


def _count_pairs(mask: TopologicalMask, topology: Topology) -> float | None:
    """Pairs of walks stored per node, counted for some nodes of the whole graph."""
    demand = mask.walk_demand
    if demand is None or not isinstance(demand.sampler, ResampledWalks):
        return None
    generator = torch.Generator().manual_seed(0)
    nodes = torch.randperm(topology.num_nodes, generator=generator)[:_SAMPLE]
    counts = demand.sampler.count_pairs(topology, nodes, generator)
    return demand.sets * float(to_double(counts).mean())


def _measure(
    cost: MaskCost, mask: TopologicalMask, topology: Topology, threads: int | None
) -> MaskCost:
    start = time.perf_counter()
    prepared = mask.prepare(topology)
    prepare_seconds = time.perf_counter() - start
    generator = torch.Generator().manual_seed(0)
    shape = (topology.num_nodes, HEADS, CHANNELS)
    q, k, v = (torch.randn(shape, generator=generator).requires_grad_() for _ in "qkv")

    def call() -> None:
        attention(q, k, v, mask(prepared)).sum().backward()

    timer = Timer("call()", globals={"call": call}, num_threads=threads or torch.get_num_threads())
    try:
        seconds = timer.timeit(3).mean
    except ValueError as error:  # of a signed mask whose absolute values are not known
        return replace(cost, reason=str(error))
    count = mask(prepared).cost
    return replace(cost, multiply_adds=count, prepare_seconds=prepare_seconds, call_seconds=seconds)
