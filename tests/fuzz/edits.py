"""Walks that are read from an edited ``Data`` are refused, or those of the graph that it now is."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
import torch_geometric.transforms as T
from torch_geometric import utils
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import graphmask as gm

from .campaign import Draw, Refused
from .definition import assert_close

CASES = 2_000
Edit = Callable[[Draw, Any], Any]
SAME: dict[str, Edit] = {}  # edits that keep the graph, or rename its nodes with their walks
OTHER: dict[str, Edit] = {}


def graph(draw: Draw, weighted: bool) -> Data:
    """Four to fourteen nodes, some isolated, often undirected, with weights or none."""
    n = draw.integer(4, 14)
    edges = draw.integers(n - draw.integer(0, 2), 2, draw.choice([0, n, 2 * n]))
    weight = draw.uniform(edges.shape[1]).float() + 0.1 if weighted else None
    if draw.chance(0.7):
        edges, weight = utils.to_undirected(edges, weight, n, reduce="mean")
    data = Data(edge_index=edges, num_nodes=n, x=draw.normal(n, 3).float(), y=torch.arange(n))
    if weight is not None:
        data.edge_weight = weight
    return data


def case(seed: int) -> None:
    draw = Draw("edits", seed)
    normalization = draw.choice(["sym", "rw", None])
    sampler = gm.walks.ResampledWalks(400, draw.integer(1, 3), normalization=normalization)
    add = gm.transforms.AddWalks(sampler, sets=draw.integer(1, 2))
    data, names = add(graph(draw, draw.chance(0.5))), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw.integer(0, 99))
        for _ in range(draw.choice([1, 1, 2])):
            # Of a split, or of the graphs of a batch, the first is edited on.
            data = data[0] if isinstance(data, (list, tuple)) else data
            names.insert(0, draw.choice([*SAME, *OTHER]))
            if isinstance(data, Batch) and ("batch" in names[0] or names[0] == "loader"):
                raise Refused("a batch of batches counts its graphs twice: it is refused")
            try:
                data = (SAME | OTHER)[names[0]](draw, data)
            except Exception as error:
                raise Refused(f"{names[0]}: {error}") from error
    for part in data if isinstance(data, (list, tuple)) else [data]:
        _check(part, add, names)


def _check(data: Data, add: gm.transforms.AddWalks, names: list[str]) -> None:
    try:
        stored = gm.Topology.from_data(data)
    except ValueError as error:
        if set(names) <= set(SAME):
            raise AssertionError(f"after {names}: refused the same graph: {error}") from error
        return
    if not stored.walk_sets:
        return
    fresh = gm.Topology.from_data(add(copy(data)))
    for old, new in zip(stored.walk_sets, fresh.walk_sets, strict=False):
        # Walks of the whole budget are powers of the adjacency: nothing in them is random.
        assert_close(old.to_dense(), new.to_dense().double(), 1e-4, f"after {names}: stored walks")
        if old.normalization != new.normalization:
            raise AssertionError(f"after {names}: {old.normalization} became {new.normalization}")


def _others(draw: Draw, data: Data, count: int) -> list[Data]:
    """More graphs with walks of the same setting, and this one among them."""
    hops = data.walk_table.shape[1] - 1
    normalization = (None, "sym", "rw")[int(data.walk_normalization)]
    sets = 1 + ("walk_index_1" in data)
    sampler = gm.walks.ResampledWalks(400, hops, normalization=normalization)
    add = gm.transforms.AddWalks(sampler, sets=sets)
    return [*(add(graph(draw, "edge_weight" in data)) for _ in range(count)), data]


SAME |= {
    "normalize_features": lambda draw, data: T.NormalizeFeatures()(data),
    "split_nodes": lambda draw, data: T.RandomNodeSplit(num_val=1, num_test=1)(data),
    "add_encoding": lambda draw, data: T.AddRandomWalkPE(3)(data),
    "degree_profile": lambda draw, data: T.LocalDegreeProfile()(data),
    "clone": lambda draw, data: data.clone(),
    "copy": lambda draw, data: copy(data),
    "batch": lambda draw, data: Batch.from_data_list(_others(draw, data, 2)),
    "batch_and_back": lambda draw, data: Batch.from_data_list(
        _others(draw, data, 2)
    ).to_data_list(),
    "batch_of_batch": lambda draw, data: Batch.from_data_list([data, data]),
    "slice_of_batch": lambda draw, data: Batch.from_data_list(_others(draw, data, 3))[1:],
    "loader": lambda draw, data: next(iter(DataLoader(_others(draw, data, 2), 3, shuffle=True))),
    "constant": lambda draw, data: T.Constant()(data),
    "reorder_nodes": lambda draw, data: gm.transforms.ReorderNodes()(data),
    "walks_again": lambda draw, data: _others(draw, data, 0)[0],
    "center": lambda draw, data: T.Center()(_set(data, pos=data.x.clone())),
}
OTHER |= {
    "link_split": lambda draw, data: T.RandomLinkSplit(num_val=0.2, num_test=0.2)(data),
    "link_split_undirected": lambda draw, data: T.RandomLinkSplit(
        num_val=0.1, num_test=0.3, is_undirected=True
    )(data),
    "to_undirected": lambda draw, data: T.ToUndirected()(data),
    "add_self_loops": lambda draw, data: T.AddSelfLoops()(data),
    "add_remaining_self_loops": lambda draw, data: T.AddRemainingSelfLoops()(data),
    "remove_self_loops": lambda draw, data: T.RemoveSelfLoops()(data),
    "remove_duplicates": lambda draw, data: T.RemoveDuplicatedEdges()(data),
    "virtual_node": lambda draw, data: T.VirtualNode()(data),
    "diffusion": lambda draw, data: T.GDC()(data),
    "two_hop": lambda draw, data: T.TwoHop()(_coalesced(data)),
    "line_graph": lambda draw, data: T.LineGraph()(data),
    "remove_isolated": lambda draw, data: T.RemoveIsolatedNodes()(data),
    "largest_components": lambda draw, data: T.LargestConnectedComponents(draw.integer(1, 2))(data),
    "gcn_norm": lambda draw, data: T.GCNNorm()(data),
    "half_hop": lambda draw, data: T.HalfHop()(data),
    "pad": lambda draw, data: T.Pad(20, 80)(data),
    "to_sparse": lambda draw, data: T.ToSparseTensor(remove_edge_index=False)(data),
    "nearest": lambda draw, data: gm.transforms.KNNGraph(2)(_set(data, pos=data.x.clone())),
    "ego_nets": lambda draw, data: T.RootedEgoNets(1)(data),
    "coalesce": lambda draw, data: data.coalesce(),
    "sort": lambda draw, data: data.sort(),
    "first_nodes": lambda draw, data: data.subgraph(torch.arange(draw.integer(1, data.num_nodes))),
    "subgraph": lambda draw, data: data.subgraph(draw.uniform(data.num_nodes) < 0.7),
    "edge_subgraph": lambda draw, data: data.edge_subgraph(draw.uniform(data.num_edges) < 0.7),
    "dropout_edge": lambda draw, data: _set(
        data, **_kept(data, utils.dropout_edge(data.edge_index, p=0.3)[1])
    ),
    "weights_set": lambda draw, data: _set(data, edge_weight=draw.uniform(data.num_edges).float()),
    "weights_of_one": lambda draw, data: _set(data, edge_weight=torch.ones(data.num_edges)),
    "weights_removed": lambda draw, data: _without(data, "edge_weight"),
    "weights_doubled": lambda draw, data: _set(data, edge_weight=2 * _weights(data)),
    "weights_double_precision": lambda draw, data: _set(data, edge_weight=_weights(data).double()),
    "weights_shuffled": lambda draw, data: _set(
        data, edge_weight=_weights(data)[draw.permutation(data.num_edges)]
    ),
    "two_weights_exchanged": lambda draw, data: _set(data, edge_weight=_exchange(_weights(data))),
    "one_weight_changed": lambda draw, data: _set(
        data, edge_weight=_weights(data) + 1e-2 * (torch.arange(data.num_edges) == 0)
    ),
    "edges_permuted": lambda draw, data: _set(
        data, **_kept(data, draw.permutation(data.num_edges))
    ),
    "edges_reversed": lambda draw, data: _set(data, edge_index=data.edge_index.flip(0)),
    "one_edge_turned": lambda draw, data: _set(
        data, edge_index=torch.cat([data.edge_index[:, :1].flip(0), data.edge_index[:, 1:]], 1)
    ),
    "one_edge_removed": lambda draw, data: _set(
        data, **_kept(data, torch.arange(1, data.num_edges))
    ),
    "edges_doubled": lambda draw, data: _set(
        data, **_kept(data, torch.arange(data.num_edges).repeat(2))
    ),
    "edge_ends_exchanged": lambda draw, data: _set(
        data, edge_index=_rewired(draw, data.edge_index)
    ),
    "nodes_permuted": lambda draw, data: _permuted(draw, data),
    "two_nodes_exchanged": lambda draw, data: _relabelled(
        data, _exchange(torch.arange(data.num_nodes))
    ),
    "node_added": lambda draw, data: _set(
        data, num_nodes=data.num_nodes + 1, x=torch.cat([data.x, data.x[:1]])
    ),
    "walks_of_another": lambda draw, data: _walks_of(graph(draw, "edge_weight" in data), data),
    "batch_with_edited": lambda draw, data: Batch.from_data_list(
        [*_others(draw, copy(data), 1), _set(data.clone(), edge_index=data.edge_index.flip(0))]
    ),
    "edited_batch": lambda draw, data: _edited_batch(draw, data),
}


def _coalesced(data: Data) -> Data:
    """As PyG takes it for: its products write beyond their memory for other edges."""
    data.validate()
    return data.coalesce()


def _weights(data: Data) -> torch.Tensor:
    return data.edge_weight if "edge_weight" in data else torch.ones(data.num_edges)


def _set(data: Data, **attributes: Any) -> Data:
    for name, value in attributes.items():
        data[name] = value
    return data


def _without(data: Data, name: str) -> Data:
    del data[name]
    return data


def _kept(data: Data, edges: torch.Tensor) -> dict[str, torch.Tensor]:
    kept = {"edge_index": data.edge_index[:, edges]}
    return kept | ({"edge_weight": data.edge_weight[edges]} if "edge_weight" in data else {})


def _exchange(x: torch.Tensor) -> torch.Tensor:
    """The first and the last number exchanged."""
    return torch.cat([x[-1:], x[1:-1], x[:1]])


def _rewired(draw: Draw, edge_index: torch.Tensor) -> torch.Tensor:
    """Two edges exchange their targets: every degree stays."""
    source, target = edge_index
    return torch.stack([source, _exchange(target)])


def _relabelled(data: Data, new: torch.Tensor) -> Data:
    order = new.argsort()
    return _set(data, edge_index=new[data.edge_index], x=data.x[order], y=data.y[order])


def _permuted(draw: Draw, data: Data) -> Data:
    return _relabelled(data, draw.permutation(data.num_nodes))


def _walks_of(data: Data, other: Data) -> Data:
    """A graph that carries the walks of another one, with all that AddWalks wrote."""
    data.num_nodes = other.num_nodes
    data.x = other.x
    data.edge_index = data.edge_index.clamp(max=max(0, other.num_nodes - 1))
    return _set(data, **{name: other[name] for name in other.to_dict() if "walk" in name})


def _edited_batch(draw: Draw, data: Data) -> Batch:
    """The graphs of a batch exchange an edge's end, or lose an edge."""
    batch = Batch.from_data_list(_others(draw, data, 2))
    mask = torch.arange(batch.num_edges) != draw.integer(0, max(0, batch.num_edges - 1))
    return _set(batch, **_kept(batch, mask))
