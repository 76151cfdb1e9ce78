"""Softmax attention at many resolutions: by means of clusters, finer where they attend most."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from graphmask._checks import check_integer, check_probability, value_error
from graphmask._precision import full_precision
from graphmask.config import ConfigMixin
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._clusters import Clusters, Level, make_clusters


class MultilevelAttention(ConfigMixin, nn.Module):
    r"""Softmax attention, exact between the clusters of a graph that attend most, coarse elsewhere.

    .. math::
        x'_i = W_o \Big\Vert_h \frac{\sum_j e^{s_{ij}} v_j}{\sum_j e^{s_{ij}}}, \qquad
        s^l_{ab} = \begin{cases}
            \bar q_a \cdot \bar k_b / \sqrt d & \text{if the clusters of } (a, b) \in J_{l + 1} \\
            s^{l + 1}_{ab} \text{ of these clusters} & \text{else}
        \end{cases}

    Level 0 are the nodes, :math:`s = s^0`, and level l has P_l clusters per graph of the members of
    level l - 1, by :func:`~graphmask.transforms.partition_nodes`; :math:`\bar q, \bar k` are means
    over the nodes of a cluster. On the last level all pairs have their own logit. J_l holds, per
    graph and head, the ``blocks`` P_l pairs among those whose logit less the largest of their row
    is largest. With ``blocks`` of at least P_1 this is softmax attention. Gradients pass all
    scores, and none the choice of J, which features decide.

    As ``conv`` of a layer or model it stands beside a masked attention, or alone with no mask. It
    depends on the order of nodes as far as partitions do.

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        size: the largest mean size of clusters, in nodes; or of several levels, from the finest
            on, each a multiple of the one before, such as ``(32, 1024)``. (default: :obj:`32`)
        blocks: pairs of clusters in J per cluster. (default: :obj:`4`)
        dropout: of the output. (default: :obj:`0.0`)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, which is not read, ``batch [N]``
        - **output:** ``[N, C]``

    Raises:
        ValueError: where C is no multiple of H, sizes are no multiples, x has not C channels, and
            for a part of a graph.

    Cost: for d channels per head O(P^2 d) on the last level, and below it O(N blocks r d), where r
    is the ratio of two sizes; memory the same without d. With one size of about sqrt N this is
    O(N sqrt N), with log N sizes O(N log N). Clusters are found once per topology.

    Source: Zeng et al., "Multi Resolution Analysis (MRA) for Approximate Self-Attention" (ICML
    2022), Section 4, with clusters in the place of segments of 32 tokens; one size is its MRA-2.
    Its option to count blocks on the diagonal always to J is left out.

    Example:
        >>> import torch, graphmask as gm
        >>> attention = gm.nn.MultilevelAttention(8, heads=2, size=(2, 4), blocks=1)
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> attention(torch.randn(4, 8), path).shape
        torch.Size([4, 8])
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, conv=attention)
    """

    reads_topology = True
    ordered = True

    def __init__(
        self,
        channels: int,
        heads: int,
        size: int | Sequence[int] = 32,
        blocks: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.heads = check_integer("heads", heads, 1)
        if channels % heads:
            raise value_error("channels", f"a multiple of heads = {heads}", channels)
        self.size = _check_sizes(size)
        self.blocks = check_integer("blocks", blocks, 1)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of clusters of all levels."""
        return (self.size,) if isinstance(self.size, int) else self.size

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.qkv.reset_parameters()
        self.out.reset_parameters()

    def prepare(self, topology: Topology) -> Topology:
        """The same topology, with its clusters."""
        topology.derive(make_clusters, self.sizes)
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
        clusters = topology.derive(make_clusters, self.sizes)
        out = attend_by_clusters(q, k, v, clusters, self.blocks)
        return self.dropout(self.out(out.flatten(1)))

    def __repr__(self) -> str:
        sizes = f"size={self.size}, blocks={self.blocks}"
        return f"MultilevelAttention({self.channels}, heads={self.heads}, {sizes})"


def _check_sizes(size: int | Sequence[int]) -> int | tuple[int, ...]:
    if not isinstance(size, Sequence):
        return check_integer("size", size, 1)
    sizes = tuple(check_integer("size", number, 1) for number in size)
    if not sizes or any(b % a or a == b for a, b in pairwise(sizes)):
        raise value_error("size", "an integer, or integers of which each divides the next", size)
    return sizes


class Stack(NamedTuple):
    """Queries, keys ``[H, M, d]`` and values ``[H, M, d + 1]`` of nodes, or means of clusters.

    The last channel of values is the number of nodes, and values are sums over them.
    """

    q: Tensor
    k: Tensor
    v: Tensor

    def gather(self, level: Level) -> Stack:
        """The members ``[H, P + 1, w, d]`` of clusters, 0 where there are none."""
        index = level.members.flatten()
        q, k, v = (pad(x, (0, 0, 0, 1)).index_select(1, index) for x in self)
        shape = level.members.shape
        return Stack(q.unflatten(1, shape), k.unflatten(1, shape), v.unflatten(1, shape))

    def average(self) -> Stack:
        """The means of the P clusters of members ``[H, P + 1, w, d]``."""
        q, k, v = (x[:, :-1] for x in self)
        size, total = v[..., -1:].detach(), v.sum(2)
        whole = total[..., -1:].detach()
        return Stack((q * size).sum(2) / whole, (k * size).sum(2) / whole, total)


class Rows(NamedTuple):
    """What M rows attend to so far, and what is left to refine.

    Attributes:
        total: ``[H, M, d + 1]``, sums of ``exp(s - top) v``.
        top: ``[H, M]``, the largest logit s of these sums, -inf where there is none.
        pairs: ``[H, K, 2]``, pairs of clusters to refine, M where there is none.
        counts: number of graphs, and of pairs of each.
    """

    total: Tensor
    top: Tensor
    pairs: Tensor
    counts: tuple[tuple[int, int], ...]


def attend_by_clusters(q: Tensor, k: Tensor, v: Tensor, clusters: Clusters, blocks: int) -> Tensor:
    """Attention ``[N, H, d]`` of ``q, k, v [N, H, d]``, see :class:`MultilevelAttention`."""
    if not len(q):
        return v
    with full_precision(q.device):
        queries, keys, values = (x.transpose(0, 1) for x in in_one_type(q, k, v))
        ones = values.new_ones(1, 1, 1).expand(*values.shape[:2], 1)
        stack = Stack(queries * q.shape[-1] ** -0.5, keys, torch.cat([values, ones], -1))
        members = []
        for level in clusters.levels:
            members.append(stack.gather(level))
            stack = members[-1].average()
        shapes = clusters.shapes
        rows = _attend_coarsest(stack, tuple((shape[0], shape[-1]) for shape in shapes), blocks)
        for depth in reversed(range(len(members))):
            kept = [blocks * shape[depth] for shape in shapes] if depth else []
            rows = _refine(rows, members[depth], clusters.levels[depth], kept)
        return (rows.total[..., :-1] / rows.total[..., -1:]).transpose(0, 1).to(v.dtype)


def _attend_coarsest(stack: Stack, shapes: tuple[tuple[int, int], ...], blocks: int) -> Rows:
    """Attend between the P coarsest clusters of a graph, but ``blocks`` P pairs to refine."""
    groups, first = [], 0
    sizes = [graphs * count for graphs, count in shapes]
    for (graphs, count), *group in zip(shapes, *(x.split(sizes, 1) for x in stack), strict=True):
        q, k, v = (x.unflatten(1, (graphs, count)) for x in group)
        logit = q @ k.mT
        score = (logit - logit.amax(-1, keepdim=True)).detach().flatten(2)
        kept = score.topk(min(blocks, count) * count, 2, sorted=False).indices
        logit = logit.flatten(2).scatter(2, kept, -torch.inf).view_as(logit)
        top = logit.detach().amax(-1)
        total = torch.exp(logit - _finite(top).unsqueeze(-1)) @ v
        graph = torch.arange(graphs, device=kept.device).view(-1, 1, 1) * count + first
        pairs = torch.stack([kept // count, kept % count], -1) + graph
        groups.append([x.flatten(1, 2) for x in (total, top, pairs)])
        first += graphs * count
    counts = tuple((graphs, min(blocks, count) * count) for graphs, count in shapes)
    total, top, pairs = (torch.cat(x, 1) for x in zip(*groups, strict=True))
    return Rows(total, top, pairs, counts)


def _refine(rows: Rows, members: Stack, level: Level, kept: list[int]) -> Rows:
    """Attend between the members of pairs of clusters, but ``kept`` pairs of members per graph."""
    heads, count, width, _ = members.q.shape
    first = torch.arange(heads, device=level.members.device).view(-1, 1, 1) * count
    target, source = (rows.pairs + first).flatten(0, 1).unbind(1)
    q, k, v = (x.flatten(0, 1) for x in members)
    values, is_node = v.index_select(0, source), v[..., -1] > 0
    logit = q.index_select(0, target) @ k.index_select(0, source).mT
    logit = logit.masked_fill(~is_node.index_select(0, source).unsqueeze(1), -torch.inf)
    index = target.unsqueeze(1).expand(-1, width)
    before = pad(rows.top, (0, 1), value=-torch.inf).view(-1, 1).repeat(1, width)

    pairs, counts = rows.pairs[:, :0], rows.counts[:0]
    if kept:
        largest = before.scatter_reduce(0, index, logit.detach().amax(-1), "amax")
        score = logit.detach() - _finite(largest).index_select(0, target).unsqueeze(-1)
        score = score.masked_fill(~is_node.index_select(0, target).unsqueeze(-1), -torch.inf)
        places, counts = _choose(score.unflatten(0, (heads, -1)), rows.counts, kept)
        pairs = _find_members(places, rows.pairs, level.members)
        logit = logit.view(heads, -1).scatter(1, places, -torch.inf).view_as(logit)

    top = before.scatter_reduce(0, index, logit.detach().amax(-1), "amax")
    base = _finite(top)
    total = pad(rows.total, (0, 0, 0, 1)).flatten(0, 1).unsqueeze(1)
    total = torch.exp(before - base).unsqueeze(-1) * total
    near = torch.exp(logit - base.index_select(0, target).unsqueeze(-1)) @ values
    total = total.index_add(0, target, near).view(heads, count * width, -1)
    top = top.view(heads, -1)
    return Rows(total[:, level.place], top[:, level.place], pairs, counts)


def _choose(
    score: Tensor, counts: tuple[tuple[int, int], ...], kept: list[int]
) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """The places ``[H, K']`` of the largest scores ``[H, K, w, w]``, ``kept`` of each graph."""
    sizes = [graphs * pairs for graphs, pairs in counts]
    places, chosen, first = [], [], 0
    for (graphs, _), part, most in zip(counts, score.split(sizes, 1), kept, strict=True):
        part = part.reshape(len(score), graphs, -1)
        most = min(most, part.shape[2])
        start = torch.arange(graphs, device=part.device).unsqueeze(1) * part.shape[2] + first
        places.append((part.topk(most, 2, sorted=False).indices + start).flatten(1))
        chosen.append((graphs, most))
        first += graphs * part.shape[2]
    return torch.cat(places, 1), tuple(chosen)


def _find_members(places: Tensor, pairs: Tensor, members: Tensor) -> Tensor:
    """The pairs ``[H, K', 2]`` of members at places among those of pairs of clusters."""
    width = members.shape[1]
    within = places % width**2
    clusters = pairs.gather(1, (places // width**2).unsqueeze(-1).expand(-1, -1, 2))
    return members[clusters, torch.stack([within // width, within % width], -1)]


def _finite(top: Tensor) -> Tensor:
    """0 where a row has no logit yet."""
    return top.masked_fill(top == -torch.inf, 0)
