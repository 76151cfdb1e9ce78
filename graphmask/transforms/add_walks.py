"""Walks drawn once per graph, stored so that PyG batches them by its own rules."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import check_integer, type_error, value_error
from graphmask._walks import NORMALIZATIONS, names_of_pairs, stored_pairs
from graphmask.topology import Topology
from graphmask.walks import Walks, WalkSampler

_OF_ENTRIES = ("walk_index", "walk_hop", "walk_weight", "walk_num_hops", "walk_set")


class AddWalks(BaseTransform):
    """Draws walks on a graph and stores them as node-index attributes.

    Samplers that draw whole pairs (i, j), such as :class:`~graphmask.walks.ResampledWalks`, are
    stored as they are read: ``walk_index [2, P]`` holds the pairs, by row and then column,
    ``walk_table [P, K + 1]`` the weights of each pair for all hops; and further independent sets
    ``walk_index_1``, ``walk_table_1`` and so on. Joined by PyG's ``DataLoader``, which concatenates
    them and shifts indices by the nodes before, they stay in order, so that a batch is neither
    sorted nor summed.

    Samplers that draw entries, such as :class:`~graphmask.walks.IIDWalks`, most of whose table
    would be zero, are stored as ``walk_index [2, nnz]`` (rows and columns), ``walk_hop [nnz]``,
    ``walk_weight [nnz]`` and ``walk_num_hops``; with several sets also ``walk_set [nnz]``, the set
    of each entry. Which form is a matter of the sampler: all graphs that are batched must come from
    the same.

    Either way ``walk_normalization`` is 0 for :obj:`None`, 1 for ``"sym"``, 2 for ``"rw"``.
    :meth:`graphmask.Topology.from_data` reads them back, in any order of nodes.

    Args:
        sampler: draws the walks.
        generator: the source of randomness, which goes on from graph to graph; worker processes of
            a loader have copies of it, all alike unless a ``worker_init_fn`` seeds them. (default:
            :obj:`None`, the operating system)
        sets: number of independent sets; :class:`~graphmask.masks.GRFMask` reads two,
            :class:`~graphmask.masks.StitchedMask` two per degree. (default: :obj:`1`)

    Raises:
        TypeError: where the sampler is none.
        ValueError: for fewer than one set, data without edges, or edge weights of which a gradient
            is wanted: what is stored has none.

    Cost: that of the sampler, for each graph once when used as ``pre_transform``.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> data = gm.transforms.AddWalks(gm.walks.ResampledWalks(budget=4, hops=1))(data)
        >>> data.walk_index.tolist(), data.walk_table.tolist()
        ([[0, 0, 1, 1], [0, 1, 0, 1]], [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    """

    def __init__(
        self, sampler: WalkSampler, generator: torch.Generator | None = None, sets: int = 1
    ) -> None:
        if not isinstance(sampler, WalkSampler):
            raise type_error("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        self.sampler, self.generator, self.sets = sampler, generator, check_integer("sets", sets, 1)

    def forward(self, data: Data) -> Data:
        topology = Topology.from_data(data).with_walks()
        if topology.requires_grad and torch.is_grad_enabled():
            raise value_error(
                "edge_weight",
                "without gradient, since stored walks carry none: detach() it, or draw in every step, with a mask's own "
                "sampler, such as IIDWalks",
                topology.edge_weight,
            )
        drawn = [self.sampler(topology, self.generator) for _ in range(self.sets)]
        for name in [*_OF_ENTRIES, *(each for names in stored_pairs(data) for each in names)]:
            data.pop(name, None)  # of an earlier draw
        data.walk_normalization = NORMALIZATIONS.index(drawn[0].normalization)
        (_store_pairs if all(walks.by_pairs for walks in drawn) else _store_entries)(data, drawn)
        return data

    def __repr__(self) -> str:
        return f"AddWalks({self.sampler!r}, sets={self.sets})"


def _store_pairs(data: Data, drawn: list[Walks]) -> None:
    for number, walks in enumerate(drawn):
        index_name, table_name = names_of_pairs(number)
        data[index_name], data[table_name] = (
            torch.stack([walks.pattern.row, walks.pattern.col]),
            walks.table,
        )


def _store_entries(data: Data, drawn: list[Walks]) -> None:
    data.walk_index = torch.cat([torch.stack([walks.row, walks.col]) for walks in drawn], 1)
    data.walk_hop = torch.cat([walks.hop for walks in drawn])
    data.walk_weight = torch.cat([walks.weight for walks in drawn])
    data.walk_num_hops = drawn[0].num_hops
    if len(drawn) > 1:
        number = torch.arange(len(drawn), device=data.walk_hop.device)
        data.walk_set = number.repeat_interleave(
            torch.tensor([walks.nnz for walks in drawn], device=number.device)
        )
