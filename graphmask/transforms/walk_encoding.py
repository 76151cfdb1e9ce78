"""Return probabilities of random walks as node features, without powers of matrices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask._random import generator_from, seed_from
from graphmask._settings import describe_setting
from graphmask.topology import Topology
from graphmask.transforms._batches import Transform
from graphmask.transforms._graph_alone import topology_alone, write_encoding
from graphmask.walks import WalkSampler

from ._returns import return_probabilities


class AddWalkEncoding(Transform):
    r"""Add the random walk encoding: the probabilities to be back after 1, 2, ..., K steps.

    .. math:: p_i = [P_{ii}, (P^2)_{ii}, \dots, (P^K)_{ii}], \qquad P = D^{-1} A

    A walk follows edges from source to target, in proportion to their weights; a node that no edge
    leaves has zeros. On graphs without weights this is the result of PyG's ``AddRandomWalkPE``,
    which forms the powers. (With weights PyG's result differs: it drops the numerator of P.)

    :math:`(P^k)_{ii}` is the inner product of row i of :math:`P^{\lceil k/2 \rceil}` and column i
    of :math:`P^{\lfloor k/2 \rfloor}`, so walks of K / 2 steps are enough, and no powers are
    stored. As long as both have at most ``width`` entries, as they do wherever fewer nodes lie
    within K / 2 steps, the result is **exact** up to rounding, and at all nodes for k up to 3.
    Elsewhere rows and columns are resampled down to ``width / 16`` entries, independently of each
    other: the result is random, and **unbiased** but for being cut at 1. The generator matters for
    such nodes alone.

    The encoding belongs to the weighted graph: ``encoded_graph_random_walk_pe``, named after
    ``attr_name`` (or ``x``), holds its identity, and :meth:`graphmask.Topology.from_data` raises an
    error once edges or weights are others, as after ``RandomLinkSplit``, whose held-out edges the
    encoding has seen. Delete the attribute to keep the encoding of the former graph.

    Args:
        walk_length: K. (default: :obj:`16`)
        attr_name: the attribute to write, ``[N, K]``; :obj:`None` appends to ``x``. (default:
            :obj:`"random_walk_pe"`)
        sampler: a sampler whose walks give the diagonals instead, for comparison, of normalisation
            ``"rw"`` and at least K hops. (default: :obj:`None`, walks that meet in the middle)
        width: entries that a row may have and stay exact. (default: :obj:`2048`)
        generator: gives ``seed``, once, at construction: the encoding of a graph then depends on
            it and on the graph alone. (default: :obj:`None`, the operating system)

    Raises:
        TypeError: if ``sampler`` is not a :class:`~graphmask.walks.WalkSampler`.
        ValueError: if K or ``width`` is below 1, data has no edges, or the sampler has another
            normalisation or too few hops.

    Cost: per node and step, the edges that leave the nodes within K / 2 steps, at most ``8 *
    width`` of them, or ``width / 2`` once a row was resampled: linear in N on any graph; beside it,
    the neighbours of neighbours of hubs, O(E^1.5) at most. O(E + N K) memory. On CPUs it is many
    times faster with the extra ``fast`` (numba).

    Source: Dwivedi et al., "Graph Neural Networks with Learnable Structural and Positional
    Representations" (ICLR 2022); the resampling is that of
    :class:`~graphmask.walks.ResampledWalks`.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.transforms.AddWalkEncoding(walk_length=4)(path).random_walk_pe
        tensor([[0.0000, 0.5000, 0.0000, 0.5000],
                [0.0000, 1.0000, 0.0000, 1.0000],
                [0.0000, 0.5000, 0.0000, 0.5000]])
    """

    def __init__(
        self,
        walk_length: int = 16,
        attr_name: str | None = "random_walk_pe",
        sampler: WalkSampler | None = None,
        width: int = 2048,
        generator: torch.Generator | None = None,
    ) -> None:
        self.walk_length = check_integer("walk_length", walk_length, 1)
        self.width = check_integer("width", width, 1)
        if sampler is not None:
            _check_sampler(sampler, walk_length)
        self.attr_name, self.sampler = attr_name, sampler
        self.seed = None if generator is None else seed_from(generator)

    def forward(self, data: Data) -> Data:
        """Write the encoding."""
        topology = topology_alone(data)
        generator = generator_from(self.seed)
        with torch.no_grad():
            encoding = self._encode(topology, generator).to(torch.get_default_dtype())
        return write_encoding(data, encoding, self.attr_name, topology)

    def _encode(self, topology: Topology, generator: torch.Generator | None) -> Tensor:
        if self.sampler is None:
            seed = seed_from(generator)
            return return_probabilities(topology, self.walk_length, self.width, seed)[0]
        weight = None if topology.edge_weight is None else topology.edge_weight.detach()
        # Samplers walk against the direction of edges.
        edge_index = topology.edge_index.flip(0)
        reverse = Topology(edge_index, topology.num_nodes, weight, topology.batch)
        walks = self.sampler(reverse, generator)
        is_return = (walks.row == walks.col) & (walks.hop > 0) & (walks.hop <= self.walk_length)
        entry = walks.row[is_return].long() * self.walk_length + walks.hop[is_return].long() - 1
        encoding = walks.weight.new_zeros(topology.num_nodes * self.walk_length)
        encoding = encoding.index_add(0, entry, walks.weight[is_return])
        return encoding.reshape(-1, self.walk_length)

    def __repr__(self) -> str:
        option = f"width={self.width}" if self.sampler is None else describe_setting(self.sampler)
        seed = "" if self.seed is None else f", seed={self.seed}"
        return f"AddWalkEncoding({self.walk_length}, {self.attr_name!r}, {option}{seed})"


def _check_sampler(sampler: WalkSampler, walk_length: int) -> None:
    if not isinstance(sampler, WalkSampler):
        raise type_error("sampler", "a WalkSampler, such as IIDWalks()", sampler)
    if sampler.normalization != "rw":
        raise value_error("sampler", "of normalization 'rw'", f"{sampler.normalization!r}")
    if sampler.hops < walk_length:
        expected = f"of at least {walk_length} hops, as the encoding"
        raise value_error("sampler", expected, repr(sampler))
