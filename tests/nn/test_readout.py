"""Readouts of graphs, against the formula; tests/test_laws.py has the laws of models with one."""

from __future__ import annotations

from typing import Any

import cases
import pytest
import torch
from models import PATH, features, model
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.nn import (
    MeanAggregation,
    SortAggregation,
    global_add_pool,
    global_mean_pool,
)

from graphmask.masks import GlobalMask
from graphmask.nn import Readout
from graphmask.nn.readout import pool_graphs
from graphmask.testing import example_topologies

BATCH = torch.tensor([2, 0, 2, 0, 4, 2, 0])  # graphs 1 and 3 have no node


def readout(*arguments: Any, **options: Any) -> Readout:
    return cases.scrambled(cases.seeded(lambda: Readout(*arguments, **options))).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_readout_is_its_formula(dtype: torch.dtype) -> None:
    layer = readout(3, 2, ("mean", "max", "sum"), (4, 5, 6), 0.5, "batch_norm", graph_channels=2)
    layer = layer.to(dtype)
    x, u = features(7, 3).to(dtype), features(5, 2).to(dtype)
    z = x @ layer.nodes[0].weight.T + layer.nodes[0].bias
    norm = layer.nodes[1].module
    z = (z - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
    z = z.clamp(min=0)
    rows = []
    for graph in range(5):
        part = z[graph == BATCH]
        pools = [part.mean(0), part.amax(0), part.sum(0)] if len(part) else [z.new_zeros(12)]
        rows.append(torch.cat([*pools, u[graph]]))
    hidden = torch.stack(rows)
    linears = [module for module in layer.graphs if isinstance(module, nn.Linear)]
    for number, linear in enumerate(linears):
        hidden = hidden @ linear.weight.T + linear.bias
        hidden = hidden if number == len(linears) - 1 else hidden.clamp(min=0)
    assert_close(layer(x, BATCH, 5, u), hidden)
    assert_close(layer(x, BATCH, u=u), hidden)


@pytest.mark.parametrize("aggr", ["median", ("min", "std"), SortAggregation(k=2), "softmax"])
def test_nodes_come_in_any_order(aggr: Any) -> None:
    layer, x = readout(3, 2, aggr, (4,)), features(7, 3)
    order = torch.argsort(BATCH, stable=True)
    assert_close(layer(x, BATCH, 5), layer(x[order], BATCH[order], 5))


@pytest.mark.parametrize(("num_nodes", "size"), [(0, 3), (1, 1), (4, None)])
def test_few_nodes_and_graphs(num_nodes: int, size: int | None) -> None:
    """In training a batch normalisation alone refuses them, as in PyG."""
    layer = readout(3, 2, norm=None, hidden=(4, 4), dropout=0.0).train()
    batch = None if size is None else torch.zeros(num_nodes, dtype=torch.long)
    assert layer(features(num_nodes, 3), batch, size).shape == (size or 1, 2)


def test_sums_over_nodes_in_half_precision_are_taken_in_full() -> None:
    layer = readout(1, 1, "sum", (1,), norm=None)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0 if parameter.dim() > 1 else 0.0)
    x = torch.ones(3000, 1)
    assert layer.bfloat16()(x.bfloat16()).item() == 3008  # in bfloat16: 256


@pytest.mark.parametrize("pool", [global_mean_pool, global_add_pool, MeanAggregation()])
def test_pools_of_half_precision_do_not_overflow(pool: Any) -> None:
    x = torch.full((1800, 1), 64.0)  # sums have few digits
    pooled = pool_graphs(pool, x.half(), torch.arange(1800) % 2)
    wide = pool_graphs(pool, x, torch.arange(1800) % 2)
    assert pooled.dtype == torch.float16
    assert torch.equal(pooled.float(), wide)


def test_features_of_graphs_reach_the_output_of_a_model() -> None:
    head = cases.seeded(lambda: Readout(8, 5, hidden=(4,), graph_channels=2))
    transformer = model(mask=GlobalMask(), jk="cat", head=head).eval()
    topology, u = example_topologies()["ragged"], features(4, 2)
    x = features(topology.num_nodes, 3)

    def run(u: Tensor | None) -> Tensor:
        return transformer(x, topology, u=u)

    assert run(u).shape == (4, 5)
    changed = (run(u) != run(u + torch.tensor([[1.0], [0], [0], [0]]))).any(1)
    assert changed.tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match=r"`u` must be floating-point numbers of shape \[4, 2\]"):
        run(None)


def test_a_lazy_readout_reads_the_channels_of_all_blocks() -> None:
    transformer = model(
        mask=GlobalMask(), jk="cat", head=cases.seeded(lambda: Readout(-1, 5))
    ).eval()
    assert "Readout(-1, 5" in repr(transformer)
    assert cases.seeded(lambda: transformer(features(3, 3), PATH)).shape == (1, 5)
    assert transformer.head.channels == 8
