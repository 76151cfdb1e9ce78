"""Recommendations of masks for a graph."""

from __future__ import annotations

from collections.abc import Iterator

from .summary import GraphSummary

# Nodes up to which the blocks of a graph may be built, and from which on memory access matters.
_SMALL, _LARGE = 500, 20_000


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
    return dict([_recommend_main(summary), *_recommend_others(summary)])


def _recommend_main(summary: GraphSummary) -> tuple[str, str]:
    shape = summary.shape
    if not summary.num_edges:
        action = "KNNGraph(k=8) or RadiusGraph first"
        return action, "there are no edges, and masks on graphs need some"
    if summary.is_path:
        reason = "the nodes form a sequence: O(N), or O(N log N) for any function of the offset"
        return f"CausalMask(0.9), or ToeplitzMask({shape})", reason
    if shape is not None:
        reason = "the graph is a grid: O(N log N) for any function of the offset, nothing per pair"
        return f"ToeplitzMask({shape}), or GridDiffusionMask({shape})", reason
    if summary.is_forest:
        reason = "the graph is a forest: functions of the distance cost O(N), over all nodes"
        return "TreeDistanceMask()", reason
    if summary.num_nodes <= _SMALL:
        count = f"{summary.num_nodes:,} nodes are few"
        reason = f"{count}: attention runs on dense blocks, many graphs in a batch"
        return "WalkMask(hops=8) or PowerSeriesMask(hops=4)", reason
    hubs = ", hubs included, whose neighbours are sampled" if summary.has_hubs else ""
    return "WalkMask(hops=8) on ResampledWalks(budget=64)", (
        f"about 64 stored pairs per node on any graph{hubs}: attention in O(64 N), signed "
        "coefficients, no limit on N"
    )


def _recommend_others(summary: GraphSummary) -> Iterator[tuple[str, str]]:
    has_edges, is_grid = summary.num_edges > 0, summary.shape is not None
    if not (is_grid or summary.is_forest) and summary.num_nodes > _SMALL:
        reason = "each node then sees all others, at the cost of unmasked linear attention"
        yield "0.1 * GlobalMask() + that mask", reason
        if summary.has_triangles and not summary.directed:
            reason = "meshes have small separators: functions of the distance over the surface"
            yield "SeparatorMask(), weights as lengths", reason
        if summary.made_edges and summary.axes == 3:
            reason = "points in space: diffusion over near points in O(N m), without edges"
            yield "RFDMask()", reason
    if has_edges and summary.num_nodes > _LARGE and not is_grid:
        reason = "neighbours with near numbers share cache lines: large graphs run faster"
        yield "ReorderNodes() in the transform of the data", reason
    if summary.made_edges:
        reason = "the file has no edges: KNNGraph made them; RadiusGraph may suit scans better"
        yield "look at the neighbours", reason
    if summary.directed:
        reason = "edges have directions, which masks on distances do not take: see ToUndirected"
        yield "row i of a mask follows edges backwards: W[i, j] weighs j -> i", reason
    if summary.has_negative_weights:
        reason = "weights are negative: GRFMask and PowerSeriesMask then serve small graphs only"
        yield "WalkMask, whose entries may be negative", reason
    if summary.components > 1:
        reason = f"masks made from edges never join the {summary.components:,} components"
        yield "add GlobalMask where nodes must see other components", reason
    if summary.isolated > 0:
        reason = f"{summary.isolated:,} nodes have no edge and attend to themselves alone"
        yield "remove isolated nodes (RemoveIsolatedNodes), or keep a local branch", reason
