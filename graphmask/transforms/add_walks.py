"""Walks drawn once per graph, stored so that PyG batches them by its own rules."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import check_integer, refuse, refuse_type
from graphmask._walks import NORMALIZATIONS
from graphmask.topology import Topology
from graphmask.walks import WalkSampler


class AddWalks(BaseTransform):
    """Draws walks on a graph and stores them as node-index attributes.

    It writes ``walk_index [2, nnz]`` (rows and columns), ``walk_hop [nnz]``, ``walk_weight [nnz]``, ``walk_num_hops`` and
    ``walk_normalization`` (0 for :obj:`None`, 1 for ``"sym"``, 2 for ``"rw"``); with several sets also ``walk_set [nnz]``,
    the set of each entry. PyG's ``DataLoader`` concatenates them and shifts ``walk_index`` by the nodes before;
    :meth:`graphmask.Topology.from_data` reads them back.

    Args:
        sampler: draws the walks.
        generator: the source of randomness, which goes on from graph to graph. (default: :obj:`None`, the operating system)
        sets: number of independent sets; :class:`~graphmask.masks.GRFMask` reads two,
            :class:`~graphmask.masks.StitchedMask` two per degree. (default: :obj:`1`)

    Raises:
        TypeError: where the sampler is none.
        ValueError: for fewer than one set, data without edges, or edge weights of which a gradient is wanted: what is stored
            has none.

    Cost: that of the sampler, for each graph once when used as ``pre_transform``.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> data = gm.transforms.AddWalks(gm.walks.ResampledWalks(budget=4, hops=1))(data)
        >>> data.walk_index.tolist(), data.walk_hop.tolist()
        ([[0, 0, 1, 1], [0, 1, 0, 1]], [0, 1, 1, 0])
    """

    def __init__(self, sampler: WalkSampler, generator: torch.Generator | None = None, sets: int = 1) -> None:
        if not isinstance(sampler, WalkSampler):
            raise refuse_type("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        self.sampler, self.generator, self.sets = sampler, generator, check_integer("sets", sets, 1)

    def forward(self, data: Data) -> Data:
        topology = Topology.from_data(data).with_walks()
        if topology.requires_grad and torch.is_grad_enabled():
            raise refuse(
                "edge_weight",
                "without gradient, since stored walks carry none: detach() it, or draw in every step, with a mask's own "
                "sampler, such as IIDWalks",
                topology.edge_weight,
            )
        drawn = [self.sampler(topology, self.generator) for _ in range(self.sets)]
        data.walk_index = torch.cat([torch.stack([walks.row, walks.col]) for walks in drawn], 1)
        data.walk_hop = torch.cat([walks.hop for walks in drawn])
        data.walk_weight = torch.cat([walks.weight for walks in drawn])
        data.walk_num_hops = self.sampler.hops
        data.walk_normalization = NORMALIZATIONS.index(drawn[0].normalization)
        data.pop("walk_set", None)  # of an earlier draw
        if self.sets > 1:
            number = torch.arange(self.sets, device=topology.device)
            data.walk_set = number.repeat_interleave(torch.tensor([walks.nnz for walks in drawn], device=number.device))
        return data

    def __repr__(self) -> str:
        return f"AddWalks({self.sampler!r}, sets={self.sets})"
