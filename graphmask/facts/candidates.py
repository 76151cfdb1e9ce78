"""The masks that are weighed, and why some do not serve a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from graphmask.masks import (
    CausalMask,
    DegreeMask,
    DiffusionMask,
    GlobalMask,
    GRFMask,
    GridDiffusionMask,
    PowerSeriesMask,
    RFDMask,
    SeparatorMask,
    ShortestPathMask,
    ToeplitzMask,
    TopologicalMask,
    TreeDistanceMask,
    WalkMask,
)
from graphmask.walks import ResampledWalks

from .graph import GraphFacts

HEADS = 4


class Candidate(NamedTuple):
    """A mask that is weighed.

    Args:
        name: as ``graphmask view --mask`` takes it.
        make: the mask of this graph. Picklable: no lambda.
        grows: with what its cost grows: ``"N"`` nodes, ``"N + E"`` nodes and edges, ``"N p"``
            walks, ``"N log N"``.
        refusal: why it does not serve this graph, or :obj:`None`.
    """

    name: str
    make: Callable[[], TopologicalMask]
    grows: str
    refusal: str | None = None


def find_candidates(facts: GraphFacts) -> list[Candidate]:
    """All masks that may be of use, of 4 heads, with why those that do not serve this graph do not.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.facts import describe_graph
        >>> from graphmask.facts.candidates import find_candidates
        >>> facts = describe_graph(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2))
        >>> [each.name for each in find_candidates(facts) if each.refusal is None][:3]
        ['global', 'walk', 'grf']
    """
    short = ResampledWalks(budget=16, hops=4)
    grid = None if facts.shape is not None else "the nodes form no grid, row by row"
    forest = (
        None if facts.is_forest else "the graph has cycles, directions, loops or repeated edges"
    )
    lengths = (
        "edges are directed"
        if facts.directed
        else "weights are negative, and no lengths"
        if facts.has_negative_weights
        else None
    )
    points = None if facts.axes == 3 else "the nodes have no three coordinates"
    shape = facts.shape or (1, facts.num_nodes)
    return [
        Candidate("global", GlobalMask, "N"),
        Candidate(
            "walk",
            partial(WalkMask, hops=8, heads=HEADS, sampler=ResampledWalks(budget=64, hops=8)),
            "N p",
        ),
        Candidate("grf", partial(GRFMask, hops=4, heads=HEADS, sampler=short), "N p"),
        Candidate("power-series", partial(PowerSeriesMask, hops=4, heads=HEADS), "N + E"),
        Candidate("diffusion", partial(DiffusionMask, heads=HEADS), "N + E"),
        Candidate("shortest-path", partial(ShortestPathMask, hops=3, heads=HEADS), "balls"),
        Candidate("separator", partial(SeparatorMask, heads=HEADS), "N log N", lengths),
        Candidate("tree-distance", partial(TreeDistanceMask, heads=HEADS), "N", forest),
        Candidate("rfd", partial(RFDMask, num_features=32, heads=HEADS), "N", points),
        Candidate("degree", partial(DegreeMask, heads=HEADS), "N"),
        Candidate("toeplitz", partial(ToeplitzMask, shape, heads=HEADS), "N log N", grid),
        Candidate("grid-diffusion", partial(GridDiffusionMask, shape, heads=HEADS), "N", grid),
        Candidate(
            "causal",
            partial(CausalMask, 0.9, heads=HEADS),
            "N",
            None if facts.is_path else "the nodes form no sequence",
        ),
    ]
