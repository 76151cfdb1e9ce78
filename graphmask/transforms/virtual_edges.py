"""Virtual edges that bring all nodes of a graph close: hypercubes and random expanders."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask._settings import repr_of
from graphmask.topology import Topology
from graphmask.transforms._batches import Transform
from graphmask.transforms._edges import write_edges
from graphmask.transforms._generators import CarriesGenerator, check_generator


class _VirtualEdges(Transform):
    """Appends edges, and a last column of ``edge_attr`` that is 1 for them and 0 for others."""

    @abstractmethod
    def _links(self, nodes: Tensor) -> Tensor:
        """``[2, L]`` pairs of the nodes of one graph, each in one direction."""

    def forward(self, data: Data) -> Data:
        """Append the edges."""
        if data.edge_index is None:
            raise value_error("data", "a graph with `edge_index`", list(data.keys()))
        topology = Topology.from_data(data)
        order = torch.arange(topology.num_nodes, device=topology.device)
        if topology.batch is not None:
            order = torch.argsort(topology.batch, stable=True)
        graphs = order.split(topology.graph_sizes.tolist())
        links = torch.cat([self._links(nodes) for nodes in graphs], 1)
        virtual = torch.cat([links, links.flip(0)], 1)
        weight, attr = data.get("edge_weight"), data.get("edge_attr")
        if weight is not None:
            weight = torch.cat([weight, weight.new_ones(virtual.shape[1])])
        if attr is None:
            attr = torch.zeros(topology.num_edges, 0, device=virtual.device)
        attr = attr.unsqueeze(1) if attr.dim() == 1 else attr
        real = torch.cat([attr, attr.new_zeros(len(attr), 1)], 1)
        added = real.new_zeros(virtual.shape[1], real.shape[1])
        added[:, -1] = 1
        write_edges(data, torch.cat([data.edge_index, virtual], 1), weight)
        data.edge_attr = torch.cat([real, added])
        return data


class HypercubeGraph(_VirtualEdges):
    r"""Join nodes of a graph whose codes differ in one bit, beside the edges that it has.

    The code of a node is the Gray code of its rank within its graph, :math:`i \oplus \lfloor i / 2
    \rfloor`, so that consecutive nodes are joined, among others. A graph of n nodes gets about
    :math:`\tfrac12 n \log_2 n` links, each in both directions, and any two nodes are within
    :math:`\lceil \log_2 n \rceil` hops; where n is no power of two, the cube lacks the nodes from n
    on and stays connected. The order of nodes matters, and :class:`ReorderNodes` makes neighbours
    close first.

    ``edge_attr`` gets one column more, which is 1 for these edges and 0 for those of the graph:
    with ``PowerSeriesMask(edge_dim=D + 1)`` each head learns how much it reads of either. They
    weigh 1 where edges have weights. Other attributes of edges, and walks, are dropped.

    Cost: O(N log N) for the links.

    Raises:
        ValueError: if data has no ``edge_index``, and as :class:`~graphmask.Topology` does.

    Source: Wang et al., "What Dense Graph Do You Need for Self-Attention?" (ICML 2022); the codes
    are those of its code, whose nodes are blocks of 16 tokens and attend to themselves, too.

    Example:
        >>> import torch
        >>> data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> HypercubeGraph()(data).edge_index
        tensor([[0, 1, 1, 2],
                [1, 2, 0, 1]])
    """

    def _links(self, nodes: Tensor) -> Tensor:
        rank = torch.arange(len(nodes), device=nodes.device)
        # Codes differ in bit b where ranks differ in bits 0 to b.
        masks = [(2 << bit) - 1 for bit in range(max(len(nodes) - 1, 0).bit_length())]
        ends = [torch.stack([rank, rank ^ mask]) for mask in masks]
        pairs = torch.cat(ends, 1) if ends else rank.new_empty(2, 0)
        kept = (pairs[0] < pairs[1]) & (pairs[1] < len(nodes))
        return nodes[pairs[:, kept]]

    def __repr__(self) -> str:
        return "HypercubeGraph()"


class ExpanderGraph(CarriesGenerator, _VirtualEdges):
    r"""Join the nodes of a graph by a random expander, beside the edges that it has.

    The links are those of ``degree / 2`` random cycles through all nodes, so that each node has
    ``degree`` of them, in both directions, and the graph is connected; with high probability any
    two nodes are within O(log n) hops, and the spectral gap is close to the largest possible. Links
    that several cycles share are listed several times.

    Attributes of edges are written as by :class:`HypercubeGraph`.

    Args:
        degree: an even number. (default: :obj:`4`)
        generator: the source of randomness; in a worker process of a ``DataLoader`` as for
            :class:`PickVariant`. (default: :obj:`None`, the operating system)

    Cost: O(N degree).

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: for an odd degree or one below 2, if data has no ``edge_index``, and as
            :class:`~graphmask.Topology` does.

    Source: Shirzad et al., "Exphormer: Sparse Transformers for Graphs" (ICML 2023), whose expanders
    are unions of random permutations or cycles, drawn up to 100 times for a large spectral gap;
    here they are drawn once. Friedman, "A proof of Alon's second eigenvalue conjecture" (2003).

    Example:
        >>> import torch
        >>> data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=5)
        >>> data = ExpanderGraph(2, torch.Generator().manual_seed(0))(data)
        >>> data.edge_index[1].bincount().tolist(), data.edge_attr.flatten().unique().tolist()
        ([2, 2, 2, 2, 2], [1.0])
    """

    def __init__(self, degree: int = 4, generator: torch.Generator | None = None) -> None:
        if check_integer("degree", degree, 2) % 2:
            raise value_error("degree", "an even number", degree)
        self.degree, self.generator = degree, check_generator(generator)

    def _links(self, nodes: Tensor) -> Tensor:
        if len(nodes) < 2:
            return nodes.new_empty(2, 0)
        keys = self.uniform(self.degree // 2, len(nodes)).to(nodes.device)
        cycle = nodes[keys.argsort(1)]
        return torch.stack([cycle.flatten(), cycle.roll(1, 1).flatten()])

    def __repr__(self) -> str:
        return repr_of(self, "degree")
