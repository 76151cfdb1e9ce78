"""Which mask to take for a graph, and why."""

from __future__ import annotations

from typing import NamedTuple

from .graph import GraphFacts

# Up to so many nodes a graph is small, and its blocks may be built.
_SMALL = 500


class Advice(NamedTuple):
    """A recommendation: what, and why."""

    what: str
    why: str


def advise(facts: GraphFacts) -> list[Advice]:
    """Recommendations for a graph, the main one first.

    They follow from what the definitions need and cost, not from accuracies: which mask learns best
    only training tells, and a model with a local convolution beside the attention should be among
    those compared.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.facts import advise, describe_graph
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> advise(describe_graph(path))[0].what
        'CausalMask(0.9), or ToeplitzMask((1, 3))'
    """
    return [_main(facts), *_beside(facts), *_warnings(facts)]


def _main(facts: GraphFacts) -> Advice:
    if facts.num_edges == 0:
        return Advice(
            "KNNGraph(k=8) or RadiusGraph first",
            "there are no edges, and masks on graphs need some",
        )
    if facts.is_path:
        return Advice(
            f"CausalMask(0.9), or ToeplitzMask({facts.shape})",
            "the nodes form a sequence: O(N), or O(N log N) for any function of the offset",
        )
    if facts.shape is not None:
        return Advice(
            f"ToeplitzMask({facts.shape}), or GridDiffusionMask({facts.shape})",
            "the graph is a grid: any function of the offset costs O(N log N), over all nodes, and stores nothing per pair",
        )
    if facts.is_forest:
        return Advice(
            "TreeDistanceMask()",
            "the graph is a forest: functions of the distance cost O(N), over all nodes",
        )
    if facts.num_nodes <= _SMALL:
        return Advice(
            "WalkMask(hops=8) or PowerSeriesMask(hops=4)",
            f"{facts.num_nodes:,} nodes are few: attention runs on dense blocks, and batches hold many graphs",
        )
    return Advice("WalkMask(hops=8) on ResampledWalks(budget=64)", _why_walks(facts))


def _why_walks(facts: GraphFacts) -> str:
    hubs = ", hubs included, which hops pass by drawing" if facts.has_hubs else ""
    return f"about 64 stored pairs per node on any graph{hubs}: attention in O(64 N), signed coefficients, no limit on N"


def _beside(facts: GraphFacts) -> list[Advice]:
    found = []
    whole = facts.shape is None and not facts.is_forest and facts.num_nodes > _SMALL
    if whole:
        found.append(
            Advice(
                "0.1 * GlobalMask() + that mask",
                "each node then sees all others too, at the cost of unmasked linear attention",
            )
        )
    if whole and facts.has_triangles and not facts.directed:
        found.append(
            Advice(
                "SeparatorMask(), weights as lengths",
                "meshes have small separators: functions of the distance over the whole surface",
            )
        )
    if whole and facts.made_edges and facts.axes == 3:
        found.append(
            Advice(
                "RFDMask()", "points in space: diffusion over near points in O(N m), without edges"
            )
        )
    if facts.num_edges and facts.num_nodes > 20_000 and facts.shape is None:
        found.append(
            Advice(
                "ReorderNodes() in the data's transform",
                "neighbours with near numbers share cache lines: large graphs run faster",
            )
        )
    return found


def _warnings(facts: GraphFacts) -> list[Advice]:
    found = []
    if facts.made_edges:
        found.append(
            Advice(
                "look at the neighbours",
                "the file has no edges: those of KNNGraph(k=8) are used here; RadiusGraph may suit scans better",
            )
        )
    if facts.directed:
        found.append(
            Advice(
                "row i of a mask follows edges backwards: W[i, j] weighs j -> i",
                "edges have directions: ToUndirected, where they mean nothing; masks on distances refuse them",
            )
        )
    if facts.has_negative_weights:
        found.append(
            Advice(
                "WalkMask, whose entries may be negative",
                "weights are negative: masks known by products alone (GRFMask, PowerSeriesMask) then serve small graphs",
            )
        )
    if facts.components > 1:
        most = f"{facts.components:,} components"
        found.append(
            Advice(
                "add GlobalMask where nodes must see other components",
                f"the graph has {most}: masks made from edges never join them",
            )
        )
    if facts.isolated:
        found.append(
            Advice(
                "remove isolated nodes (RemoveIsolatedNodes), or keep a local branch",
                f"{facts.isolated:,} nodes have no edge and attend to themselves alone",
            )
        )
    return found
