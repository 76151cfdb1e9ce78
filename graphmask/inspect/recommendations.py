"""Recommendations of masks for a graph."""

from __future__ import annotations

from .summary import GraphSummary

# Nodes up to which the blocks of a graph may be built.
_SMALL = 500

# Nodes from which on the order of the nodes matters for memory access.
_LARGE = 20_000


def recommend(summary: GraphSummary) -> dict[str, str]:
    """Recommend masks for a graph, the main one first.

    Recommendations follow from what the definitions need and cost, not from accuracies: which mask
    learns best only training shows, and a model with a local convolution beside the attention
    should be among those compared.

    Returns:
        What to use, with the reason.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.inspect import recommend, summarize_graph
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> next(iter(recommend(summarize_graph(path))))
        'CausalMask(0.9), or ToeplitzMask((1, 3))'
    """
    return dict([_main(summary), *_additions(summary), *_cautions(summary)])


def _main(summary: GraphSummary) -> tuple[str, str]:
    shape = summary.shape
    if summary.num_edges == 0:
        reason = "there are no edges, and masks on graphs need some"
        return "KNNGraph(k=8) or RadiusGraph first", reason
    if summary.is_path:
        reason = "the nodes form a sequence: O(N), or O(N log N) for any function of the offset"
        return f"CausalMask(0.9), or ToeplitzMask({shape})", reason
    if shape is not None:
        reason = (
            "the graph is a grid: any function of the offset costs O(N log N), over all nodes, "
            "and stores nothing per pair"
        )
        return f"ToeplitzMask({shape}), or GridDiffusionMask({shape})", reason
    if summary.is_forest:
        reason = "the graph is a forest: functions of the distance cost O(N), over all nodes"
        return "TreeDistanceMask()", reason
    if summary.num_nodes <= _SMALL:
        reason = (
            f"{summary.num_nodes:,} nodes are few: attention runs on dense blocks, "
            "and batches hold many graphs"
        )
        return "WalkMask(hops=8) or PowerSeriesMask(order=4)", reason
    hubs = ", hubs included, whose neighbours are sampled" if summary.has_hubs else ""
    reason = (
        f"about 64 stored pairs per node on any graph{hubs}: attention in O(64 N), "
        "signed coefficients, no limit on N"
    )
    return "WalkMask(hops=8) on ResampledWalks(budget=64)", reason


def _additions(summary: GraphSummary) -> list[tuple[str, str]]:
    items = []
    if summary.shape is None and not summary.is_forest and summary.num_nodes > _SMALL:
        items.append(
            (
                "0.1 * GlobalMask() + that mask",
                "each node then sees all others, at the cost of unmasked linear attention",
            )
        )
        if summary.has_triangles and not summary.directed:
            items.append(
                (
                    "SeparatorMask(), weights as lengths",
                    "meshes have small separators: functions of the distance over all of the surface",
                )
            )
        if summary.made_edges and summary.axes == 3:
            items.append(
                (
                    "RFDMask()",
                    "points in space: diffusion over near points in O(N m), without edges",
                )
            )
    if summary.num_edges and summary.num_nodes > _LARGE and summary.shape is None:
        items.append(
            (
                "ReorderNodes() in the transform of the data",
                "neighbours with near numbers share cache lines: large graphs run faster",
            )
        )
    return items


def _cautions(summary: GraphSummary) -> list[tuple[str, str]]:
    items = {
        "look at the neighbours": (
            summary.made_edges,
            "the file has no edges: those of KNNGraph(k=8) are used here; "
            "RadiusGraph may suit scans better",
        ),
        "row i of a mask follows edges backwards: W[i, j] weighs j -> i": (
            summary.directed,
            "edges have directions: ToUndirected, where they mean nothing; "
            "masks on distances raise an error",
        ),
        "WalkMask, whose entries may be negative": (
            summary.has_negative_weights,
            "weights are negative: masks known by products alone (GRFMask, PowerSeriesMask) "
            "then serve small graphs",
        ),
        "add GlobalMask where nodes must see other components": (
            summary.components > 1,
            f"masks made from edges never join the {summary.components:,} components",
        ),
        "remove isolated nodes (RemoveIsolatedNodes), or keep a local branch": (
            summary.isolated > 0,
            f"{summary.isolated:,} nodes have no edge and attend to themselves alone",
        ),
    }
    return [(action, reason) for action, (applies, reason) in items.items() if applies]
