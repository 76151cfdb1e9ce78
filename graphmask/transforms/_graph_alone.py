"""Graphs read for transforms, and encodings of them written."""

from __future__ import annotations

import copy

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms.add_positional_encoding import add_node_attr

from graphmask._checks import DeferredChecks
from graphmask._encodings import ENCODED_GRAPH, check_encodings, encoding_keys
from graphmask._identity import identify
from graphmask._walk_storage import walk_attributes
from graphmask.topology import Topology


def topology_alone(data: Data) -> Topology:
    """Read a topology without the walks and encodings on ``data``, which may be out of date."""
    alone = copy.copy(data)
    for key in (*walk_attributes(data), *encoding_keys(data)):
        del alone[key]
    return Topology.from_data(alone)


def write_encoding(data: Data, encoding: Tensor, name: str | None, topology: Topology) -> Data:
    """Store an encoding of a graph, as an attribute or at the end of ``x``, with its identity.

    Raises:
        ValueError: where ``x`` ends in an encoding of another graph.
    """
    key = ENCODED_GRAPH + ("x" if name is None else name)
    edges = topology.edge_index, topology.edge_weight
    if name is None and key in data:
        checks = DeferredChecks()
        check_encodings(data, *edges, topology.num_nodes, checks, [key])
        checks.run()
    data[key] = identify(*edges, topology.local_index)
    return add_node_attr(data, encoding, name)
