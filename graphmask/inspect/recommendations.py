"""Recommendations of masks for a graph."""

from __future__ import annotations

from .summary import GraphSummary

# Nodes up to which the blocks of a graph may be built, and from which on memory access matters.
_SMALL, _LARGE = 500, 20_000

Rules = list[tuple[bool, str, str]]


def recommend(summary: GraphSummary) -> dict[str, str]:
    """Recommend masks for a graph, the main one first.

    Recommendations follow from what the definitions need and cost, not from accuracies: which mask
    learns best only training shows, and a model with a local convolution beside the attention
    should be among those compared.

    Returns:
        Each action with its reason.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.inspect import recommend, summarize_graph
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> next(iter(recommend(summarize_graph(path))))
        'CausalMask(0.9), or ToeplitzMask((1, 3))'
    """
    main = next((action, reason) for applies, action, reason in _main(summary) if applies)
    others = [(action, reason) for applies, action, reason in _others(summary) if applies]
    return dict([main, *others])


def _main(summary: GraphSummary) -> Rules:
    """Conditions, actions and reasons, of which the first that applies is taken."""
    shape, num_nodes = summary.shape, summary.num_nodes
    hubs = ", hubs included, whose neighbours are sampled" if summary.has_hubs else ""
    return [
        (
            summary.num_edges == 0,
            "KNNGraph(k=8) or RadiusGraph first",
            "there are no edges, and masks on graphs need some",
        ),
        (
            summary.is_path,
            f"CausalMask(0.9), or ToeplitzMask({shape})",
            "the nodes form a sequence: O(N), or O(N log N) for any function of the offset",
        ),
        (
            shape is not None,
            f"ToeplitzMask({shape}), or GridDiffusionMask({shape})",
            "the graph is a grid: O(N log N) for any function of the offset, nothing per pair",
        ),
        (
            summary.is_forest,
            "TreeDistanceMask()",
            "the graph is a forest: functions of the distance cost O(N), over all nodes",
        ),
        (
            num_nodes <= _SMALL,
            "WalkMask(hops=8) or PowerSeriesMask(hops=4)",
            f"{num_nodes:,} nodes are few: attention runs on dense blocks, many graphs in a batch",
        ),
        (
            True,
            "WalkMask(hops=8) on ResampledWalks(budget=64)",
            f"about 64 stored pairs per node on any graph{hubs}: attention in O(64 N), signed "
            "coefficients, no limit on N",
        ),
    ]


def _others(summary: GraphSummary) -> Rules:
    """Conditions, actions and reasons, of which all that apply are taken."""
    irregular = summary.shape is None and not summary.is_forest and summary.num_nodes > _SMALL
    return [
        (
            irregular,
            "0.1 * GlobalMask() + that mask",
            "each node then sees all others, at the cost of unmasked linear attention",
        ),
        (
            irregular and summary.has_triangles and not summary.directed,
            "SeparatorMask(), weights as lengths",
            "meshes have small separators: functions of the distance over all of the surface",
        ),
        (
            irregular and summary.made_edges and summary.axes == 3,
            "RFDMask()",
            "points in space: diffusion over near points in O(N m), without edges",
        ),
        (
            summary.num_edges > 0 and summary.num_nodes > _LARGE and summary.shape is None,
            "ReorderNodes() in the transform of the data",
            "neighbours with near numbers share cache lines: large graphs run faster",
        ),
        (
            summary.made_edges,
            "look at the neighbours",
            "the file has no edges: those of KNNGraph are used; RadiusGraph may suit scans better",
        ),
        (
            summary.directed,
            "row i of a mask follows edges backwards: W[i, j] weighs j -> i",
            "edges have directions: ToUndirected, where they mean nothing; masks on distances "
            "raise an error",
        ),
        (
            summary.has_negative_weights,
            "WalkMask, whose entries may be negative",
            "weights are negative: masks known by products alone (GRFMask, PowerSeriesMask) then "
            "serve small graphs",
        ),
        (
            summary.components > 1,
            "add GlobalMask where nodes must see other components",
            f"masks made from edges never join the {summary.components:,} components",
        ),
        (
            summary.isolated > 0,
            "remove isolated nodes (RemoveIsolatedNodes), or keep a local branch",
            f"{summary.isolated:,} nodes have no edge and attend to themselves alone",
        ),
    ]
