"""Softmax attention at two resolutions: node by node between some clusters, by means elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from graphmask._checks import check_integer, check_probability, value_error
from graphmask._precision import full_precision
from graphmask.config import ConfigMixin
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology
from graphmask.transforms.partition import partition_nodes


class MultilevelAttention(ConfigMixin, nn.Module):
    r"""Softmax attention, exact between the clusters of a graph that attend most, coarse elsewhere.

    .. math::
        x'_i = W_o \Big\Vert_h \frac{\sum_j s_{ij} v_j}{\sum_j s_{ij}}, \qquad
        s_{ij} = \begin{cases}
            \exp(q_i \cdot k_j / \sqrt d) & (c_i, c_j) \in J \\
            \exp(\bar q_{c_i} \cdot \bar k_{c_j} / \sqrt d) & \text{else}
        \end{cases}

    :math:`c_i` is the cluster of node i, of P in its graph by
    :func:`~graphmask.transforms.partition_nodes`, and :math:`\bar q_c, \bar k_c` are means over a
    cluster. J holds, per graph and head, the ``blocks`` P pairs of clusters whose coarse logits,
    less the largest of their row, are largest; with ``blocks`` of at least P this is softmax
    attention. Gradients pass all scores, and none the choice of J, which features decide.

    As ``conv`` of a layer or model it stands beside a masked attention, or alone with no mask. It
    depends on the order of nodes as far as partitions do.

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        size: the largest mean size of clusters, in nodes. (default: :obj:`32`)
        blocks: pairs of clusters in J per cluster. (default: :obj:`4`)
        dropout: of the output. (default: :obj:`0.0`)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, which is not read, ``batch [N]``
        - **output:** ``[N, C]``

    Raises:
        ValueError: where C is no multiple of H, x has not C channels, and for a part of a graph.

    Cost: O(N blocks size d + P^2 d) per head for d channels, O(N sqrt N) with ``size`` of about
    sqrt N; memory N blocks size + P^2 numbers per head. Clusters are found once per topology.

    Source: Zeng et al., "Multi Resolution Analysis (MRA) for Approximate Self-Attention" (ICML
    2022): two levels, as in its experiments, with clusters in the place of segments of 32 tokens.
    Its option to count blocks on the diagonal always to J is left out.

    Example:
        >>> import torch, graphmask as gm
        >>> attention = gm.nn.MultilevelAttention(8, heads=2, size=2, blocks=1)
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> attention(torch.randn(4, 8), path).shape
        torch.Size([4, 8])
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, conv=attention)
    """

    reads_topology = True
    ordered = True

    def __init__(
        self, channels: int, heads: int, size: int = 32, blocks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.heads = check_integer("heads", heads, 1)
        if channels % heads:
            raise value_error("channels", f"a multiple of heads = {heads}", channels)
        self.size = check_integer("size", size, 1)
        self.blocks = check_integer("blocks", blocks, 1)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.qkv.reset_parameters()
        self.out.reset_parameters()

    def prepare(self, topology: Topology) -> Topology:
        """The same topology, with its clusters."""
        topology.derive(make_clusters, self.size)
        return topology

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``layer(x, edge_index, ...)`` or ``layer(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        topology.part.check_hops("conv", self, None)
        q, k, v = self.qkv(x).unflatten(1, (3, self.heads, -1)).unbind(1)
        clusters = topology.derive(make_clusters, self.size)
        out = attend_by_clusters(q, k, v, clusters, self.blocks)
        return self.dropout(self.out(out.flatten(1)))

    def __repr__(self) -> str:
        sizes = f"size={self.size}, blocks={self.blocks}"
        return f"MultilevelAttention({self.channels}, heads={self.heads}, {sizes})"


class Clusters(NamedTuple):
    """Clusters of the nodes of graphs, those of graphs of as many clusters one after the other.

    Attributes:
        members: ``[P, w]`` nodes of each cluster, N where it has fewer than w.
        place: ``[N]``, the position of each node in ``members``.
        shapes: number of graphs, and of the clusters of each, in the order of ``members``.
    """

    members: Tensor
    place: Tensor
    shapes: tuple[tuple[int, int], ...]


def make_clusters(topology: Topology, size: int) -> Clusters:
    """Partition each graph into clusters of ``size`` nodes on average, or a few less."""
    cluster, counts = _partition(topology, size)
    parts = Topology(topology.edge_index.new_empty(2, 0), batch=cluster)
    width = parts.largest_graph if topology.num_nodes else 0
    place = cluster * width + parts.local_index
    members = torch.full((sum(counts) * width,), topology.num_nodes, device=topology.device)
    members[place] = torch.arange(topology.num_nodes, device=topology.device)
    graphs = Counter(count for count in counts if count)
    shapes = tuple((graphs[count], count) for count in sorted(graphs))
    return Clusters(members.view(sum(counts), width), place, shapes)


def _partition(topology: Topology, size: int) -> tuple[Tensor, tuple[int, ...]]:
    """The cluster ``[N]`` of each node, and the number of clusters of each graph.

    Graphs of few clusters come first.
    """
    rank, edges = topology.local_index, topology.edge_index
    batch = torch.zeros_like(rank) if topology.batch is None else topology.batch
    sizes = topology.graph_sizes.tolist()
    nodes = torch.argsort(batch, stable=True).split(sizes)
    of_edge = batch[edges[0]]
    per_graph = torch.bincount(of_edge, minlength=len(sizes)).tolist()
    links = rank[edges[:, torch.argsort(of_edge, stable=True)]].split(per_graph, 1)
    counts = tuple(-(-n // size) for n in sizes)
    cluster, first = torch.zeros_like(rank), 0
    for graph in sorted(range(len(counts)), key=counts.__getitem__):
        member, count = nodes[graph], counts[graph]
        if count > 1:
            cluster[member] = partition_nodes(links[graph], len(member), count)
        cluster[member] += first
        first += count
    return cluster, counts


def attend_by_clusters(q: Tensor, k: Tensor, v: Tensor, clusters: Clusters, blocks: int) -> Tensor:
    """Attention ``[N, H, d]`` of ``q, k, v [N, H, d]``, see :class:`MultilevelAttention`."""
    if not len(q):
        return v
    with full_precision(q.device):
        queries, keys, values = in_one_type(q, k, v)
        queries = queries * q.shape[-1] ** -0.5
        members, place, shapes = clusters
        ones = values.new_ones(1, 1, 1).expand(*values.shape[:2], 1)
        stacked = [_stack(x, members) for x in (queries, keys, torch.cat([values, ones], -1))]
        sizes = [graphs * count for graphs, count in shapes]
        groups = zip(shapes, *(x.split(sizes, 1) for x in stacked), strict=True)
        sums = []
        for shape, *group in groups:
            queries, keys, values = (x.unflatten(1, shape) for x in group)
            sums.append(_attend(queries, keys, values, blocks))
        total = torch.cat(sums, 1).flatten(1, 2)[:, place]
        return (total[..., :-1] / total[..., -1:]).transpose(0, 1).to(v.dtype)


def _stack(x: Tensor, members: Tensor) -> Tensor:
    """``[H, P, w, C]`` of the members of clusters, 0 where there are none, from ``[N, H, C]``."""
    rows = pad(x.flatten(1), (0, 0, 0, 1)).index_select(0, members.flatten())
    return rows.view(*members.shape, *x.shape[1:]).permute(2, 0, 1, 3)


def _attend(q: Tensor, k: Tensor, v: Tensor, blocks: int) -> Tensor:
    """The sums ``[H, G P, w, d + 1]`` of graphs of P clusters of up to w nodes.

    For ``q, k [H, G, P, w, d]`` and ``v [H, G, P, w, d + 1]``, of which the last channel is 1 at
    nodes and 0 elsewhere.
    """
    heads, graphs, count, width, _ = q.shape
    present = v[..., -1:].detach()
    size = present.sum(3)
    mean_q, mean_k = q.sum(3) / size, k.sum(3) / size
    kept = _choose(mean_q, mean_k, blocks)
    is_kept = torch.zeros(heads, graphs, count**2, dtype=torch.bool, device=q.device)
    is_kept = is_kept.scatter(2, kept, True).unflatten(2, (count, count))
    far, top = _attend_means(mean_q, mean_k, v.sum(3), is_kept)

    # Clusters of all heads and graphs in a row.
    first = count * torch.arange(heads * graphs, device=q.device).view(heads, graphs, 1)
    target, source = ((x + first).flatten() for x in (kept // count, kept % count))
    q, k, v = (x.flatten(0, 2) for x in (q, k, v))
    q, k, v = q.index_select(0, target), k.index_select(0, source), v.index_select(0, source)
    near, most = _attend_nodes(q, k, v)
    # Every node divides its scores by the largest, coarse or fine.
    top, index = top.flatten().unsqueeze(1).repeat(1, width), target.unsqueeze(1).expand_as(most)
    shift = top.scatter_reduce(0, index, most, "amax")
    total = torch.exp(top - shift).unsqueeze(-1) * far.flatten(0, 2).unsqueeze(1)
    near = torch.exp(most - shift.index_select(0, target)).unsqueeze(-1) * near
    return total.index_add(0, target, near).unflatten(0, (heads, -1))


def _attend_means(q: Tensor, k: Tensor, v: Tensor, is_kept: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of clusters over the others that are not kept for them, and the largest logits."""
    logit = (q @ k.mT).masked_fill(is_kept, -torch.inf)
    top = logit.detach().amax(-1, keepdim=True)
    return torch.exp(logit - top.masked_fill(top == -torch.inf, 0)) @ v, top


def _attend_nodes(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the nodes of clusters over those of others, and their largest logits."""
    logit = (q @ k.mT).masked_fill(v[..., -1:].mT == 0, -torch.inf)
    top = logit.detach().amax(-1, keepdim=True)
    return torch.exp(logit - top) @ v, top.squeeze(-1)


@torch.no_grad()
def _choose(q: Tensor, k: Tensor, blocks: int) -> Tensor:
    """``[H, G, K]``, the chosen ones of the pairs of P clusters of ``q, k [H, G, P, d]``."""
    logit, count = q @ k.mT, q.shape[2]
    score = (logit - logit.amax(-1, keepdim=True)).flatten(2)
    return score.topk(min(blocks, count) * count, 2, sorted=False).indices
