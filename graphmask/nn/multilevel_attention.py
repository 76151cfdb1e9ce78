"""Softmax attention at two resolutions: node by node between some clusters, by means elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from graphmask._checks import check_integer, check_probability, value_error
from graphmask._precision import full_precision
from graphmask.config import ConfigMixin
from graphmask.kernels import Pattern, sddmm, spmm
from graphmask.kernels.products import in_one_type
from graphmask.operators._grids import pairs_within_graphs
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
    """Clusters of the nodes of graphs, those of a graph one after the other.

    Attributes:
        members: ``[P, w]`` nodes of each cluster, N where it has fewer than w.
        place: ``[N]``, the position of each node in ``members``.
        pairs: all pairs of clusters of the same graph.
        counts: of clusters in each graph.
    """

    members: Tensor
    place: Tensor
    pairs: Pattern
    counts: tuple[int, ...]


def make_clusters(topology: Topology, size: int) -> Clusters:
    """Partition each graph into clusters of ``size`` nodes on average, or a few less."""
    cluster, counts = _partition(topology, size)
    no_edges = topology.edge_index.new_empty(2, 0)
    parts = Topology(no_edges, batch=cluster)
    total, width = sum(counts), parts.largest_graph if topology.num_nodes else 0
    place = cluster * width + parts.local_index
    members = torch.full((total * width,), topology.num_nodes, device=topology.device)
    members[place] = torch.arange(topology.num_nodes, device=topology.device)
    sizes = torch.tensor(counts, dtype=torch.long, device=topology.device)
    graph = torch.arange(len(counts), device=topology.device).repeat_interleave(sizes)
    pairs = pairs_within_graphs(Topology(no_edges, batch=graph))
    return Clusters(members.view(total, width), place, pairs, counts)


def _partition(topology: Topology, size: int) -> tuple[Tensor, tuple[int, ...]]:
    """The cluster ``[N]`` of each node, and the number of clusters of each graph."""
    rank, edges = topology.local_index, topology.edge_index
    batch = torch.zeros_like(rank) if topology.batch is None else topology.batch
    sizes = topology.graph_sizes.tolist()
    nodes = torch.argsort(batch, stable=True).split(sizes)
    of_edge = batch[edges[0]]
    per_graph = torch.bincount(of_edge, minlength=len(sizes)).tolist()
    links = rank[edges[:, torch.argsort(of_edge, stable=True)]].split(per_graph, 1)
    counts = tuple(-(-n // size) for n in sizes)
    cluster, first = torch.zeros_like(rank), 0
    for member, link, count in zip(nodes, links, counts, strict=True):
        if count > 1:
            cluster[member] = partition_nodes(link, len(member), count)
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
        by_heads = queries.transpose(0, 1), keys.transpose(0, 1), values.transpose(0, 1)
        return _attend(*by_heads, clusters, blocks).transpose(0, 1).to(v.dtype)


def _attend(q: Tensor, k: Tensor, v: Tensor, clusters: Clusters, blocks: int) -> Tensor:
    """For ``[H, N, d]``; letters: H heads, P clusters of up to w nodes, L pairs, K of them in J."""
    members, place, pairs, counts = clusters
    present = (members < len(place)).to(q.dtype).unsqueeze(-1)
    row, col = pairs.row.long(), pairs.col.long()
    q, k, v = (pad(x, (0, 0, 0, 1))[:, members] for x in (q, k, v))
    v = torch.cat([v, present.expand(len(v), -1, -1, -1)], -1)
    size = present.sum(1)
    logit = sddmm(pairs, q.sum(2) / size, k.sum(2) / size)
    with torch.no_grad():
        kept = _choose(logit, row, counts, blocks)
        is_kept = torch.zeros_like(logit, dtype=torch.bool).scatter(1, kept, True)
    coarse = logit.masked_fill(is_kept, -torch.inf)
    top = _row_max(coarse, row, len(members))
    weight = torch.exp(coarse - top.masked_fill(top == -torch.inf, 0)[:, row])
    far = spmm(pairs, weight, v.sum(2)).unsqueeze(2)

    head = torch.arange(len(q), device=q.device).unsqueeze(1)
    source, target = col[kept], row[kept]
    fine = q[head, target] @ k[head, source].mT
    fine = fine.masked_fill(present[source].mT == 0, -torch.inf)
    # Every node divides its scores by the largest, coarse or fine.
    most, index = fine.detach().amax(-1), target.unsqueeze(-1).expand(*kept.shape, members.shape[1])
    shift = top.unsqueeze(-1).repeat(1, 1, members.shape[1]).scatter_reduce(1, index, most, "amax")
    near = torch.exp(fine - shift[head, target].unsqueeze(-1)) @ v[head, source]
    total = torch.exp(top.unsqueeze(-1) - shift).unsqueeze(-1) * far
    flat = (head * len(members) + target).flatten()
    total = total.flatten(0, 1).index_add(0, flat, near.flatten(0, 1)).unflatten(0, top.shape)
    sums = total.flatten(1, 2)[:, place]
    return sums[..., :-1] / sums[..., -1:]


def _choose(logit: Tensor, row: Tensor, counts: tuple[int, ...], blocks: int) -> Tensor:
    """``[H, K]``, the chosen ones among the pairs of each graph, which stand together."""
    score = logit - _row_max(logit, row, sum(counts))[:, row]
    first, chosen = 0, []
    for count, part in zip(counts, score.split([count**2 for count in counts], 1), strict=True):
        chosen.append(part.topk(min(blocks, count) * count, 1, sorted=False).indices + first)
        first += count**2
    return torch.cat(chosen, 1)


def _row_max(logit: Tensor, row: Tensor, rows: int) -> Tensor:
    """``[H, P]``, the largest of ``[H, L]`` in each row, without a gradient."""
    lowest = logit.new_full((len(logit), rows), -torch.inf)
    return lowest.scatter_reduce(1, row.expand_as(logit), logit.detach(), "amax")
