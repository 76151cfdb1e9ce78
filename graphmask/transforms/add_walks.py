"""Walks drawn once per graph, stored so that PyG batches them by its own rules."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask._identity import identify
from graphmask._random import generator_from, seed_from
from graphmask._settings import describe_setting
from graphmask._walk_storage import remove_walks, walk_attributes, write_walks
from graphmask.transforms._batches import Transform
from graphmask.transforms._graph_alone import topology_alone
from graphmask.walks import WalkSampler


class AddWalks(Transform):
    """Draws walks on a graph and stores them as node-index attributes.

    ``walk_index [2, P]`` holds the pairs (i, j) that walks connect, by row and then column,
    ``walk_table [P, K + 1]`` the weights of each pair for all hops; further independent sets are
    ``walk_index_1``, ``walk_table_1`` and so on. ``walk_normalization`` is 0 for :obj:`None`, 1 for
    ``"sym"``, 2 for ``"rw"``.

    PyG's ``DataLoader`` concatenates them and shifts indices by the nodes before, so that they stay
    in order: a batch is neither sorted nor summed. :meth:`graphmask.Topology.from_data` reads them
    back, in any order of nodes.

    Walks belong to the weighted graph that they were drawn on, whose identity is stored beside them
    (``walk_graph``, ``walk_start_index``). Reading them raises an error once edges or weights are
    others, as after ``RandomLinkSplit``, ``ToUndirected`` or ``AddSelfLoops``: apply this transform
    last; and once their pairs or ``walk_normalization`` are others, in place or not. Other
    attributes, values of a table, the order of edges, consistent names of nodes
    (:class:`~graphmask.transforms.ReorderNodes`), batches, and subgraphs that walks do not leave
    may change.

    Args:
        sampler: draws the walks.
        generator: gives ``seed``, once, at construction. The walks of a graph then depend on the
            seed and on the graph alone, not on the graphs before, the batch or the worker process.
            (default: :obj:`None`, new walks in each call, from the operating system)
        sets: number of independent sets; :class:`~graphmask.masks.GRFMask` reads two,
            :class:`~graphmask.masks.StitchedMask` two per degree. (default: :obj:`1`)

    Raises:
        TypeError: where the sampler is no :class:`~graphmask.walks.WalkSampler`.
        ValueError: for fewer than one set, data without edges, or edge weights that require a
            gradient: stored walks carry none.

    Cost: that of the sampler, for each graph once when used as ``pre_transform``.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> data = gm.transforms.AddWalks(gm.walks.ResampledWalks(budget=4, hops=1))(data)
        >>> data.walk_index.tolist(), data.walk_table.tolist()
        ([[0, 0, 1, 1], [0, 1, 0, 1]], [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
        >>> sorted(gm.transforms.AddWalks.attributes(data))
        ['walk_graph', 'walk_index', 'walk_normalization', 'walk_start_index', 'walk_table']
    """

    def __init__(
        self, sampler: WalkSampler, generator: torch.Generator | None = None, sets: int = 1
    ) -> None:
        if not isinstance(sampler, WalkSampler):
            raise type_error("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise type_error("generator", "a torch.Generator", generator)
        self.sampler, self.sets = sampler, check_integer("sets", sets, 1)
        self.seed = None if generator is None else seed_from(generator)

    @staticmethod
    def attributes(data: Data) -> list[str]:
        """Return the names of the attributes that hold the walks of ``data``, if it has any.

        A loader leaves them out by ``exclude_keys``.
        """
        return walk_attributes(data)

    def forward(self, data: Data) -> Data:
        remove_walks(data)
        topology = topology_alone(data)
        if topology.requires_grad and torch.is_grad_enabled():
            raise value_error(
                "edge_weight",
                "without gradient, since stored walks carry none: detach() it, or draw in every "
                "step, with a mask's own sampler, such as IIDWalks",
                topology.edge_weight,
            )
        graph = identify(topology.edge_index, topology.edge_weight, topology.local_index)
        walk_sets = [
            self.sampler(topology, generator_from(self.seed, index)) for index in range(self.sets)
        ]
        write_walks(data, walk_sets, graph)
        return data

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f", seed={self.seed}"
        return f"AddWalks({describe_setting(self.sampler)}, sets={self.sets}{seed})"
