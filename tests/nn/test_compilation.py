"""Layers and models compile as one graph, and once for batches of all sizes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from models import MASKS, assert_compiles, attention, edge_mask, features, gps, model, walk_mask
from torch import nn
from torch._dynamo.utils import counters
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool

from graphmask import Topology
from graphmask.masks import GlobalMask, PowerSeriesMask, WalkMask
from graphmask.nn import EdgeHead, Readout
from graphmask.testing import example_topologies
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks

NORMS = ("batch_norm", "layer_norm", "graph_norm", "instance_norm", None)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    **{f"attention-{name}": lambda mask=mask: attention(mask()) for name, mask in MASKS.items()},
    **{f"gps-{norm}": lambda norm=norm: gps(walk_mask(), norm=norm).eval() for norm in NORMS},
    "model-cat": lambda: model(6, mask=PowerSeriesMask(2, 2), jk="cat"),
    "model-readout": lambda: model(
        6,
        mask=[PowerSeriesMask(2, 2), GlobalMask()],
        jk="sum",
        head=cases.seeded(lambda: Readout(4, 5, hidden=(4,))),
    ).eval(),
    "model-max": lambda: model(6, mask=GlobalMask(), jk="max", num_layers=1),
}
QUICK = ("attention-sum", "gps-graph_norm", "model-cat")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, make in LAYERS.items()
    ],
)
def test_layers_compile_as_one_graph_on_a_prepared_topology(make: Callable) -> None:
    assert_compiles(make(), features(23, 6), example_topologies()["ragged"])


@pytest.mark.slow
def test_models_of_several_sizes_compile_in_one_process() -> None:
    # The second makes torch read the number of channels as unknown.
    torch.compiler.reset()
    topology = example_topologies()["ragged"]
    for channels in (3, 6, 7):
        head = cases.seeded(lambda: Readout(4, 5, hidden=(4,)))
        network = model(channels, mask=PowerSeriesMask(2, 2), jk="sum", head=head).eval()
        x, prepared = features(23, channels), network.prepare(topology)
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        assert_close(compiled(x, prepared), network(x, prepared))


def test_a_lazy_model_with_edge_features_compiles_after_its_first_input() -> None:
    transformer = model(-1, mask=PowerSeriesMask(2, 2, edge_dim=-1), num_layers=1)
    topology = cases.edges.featured()["weighted"]
    cases.seeded(lambda: transformer(features(13, 3), topology))
    assert_compiles(transformer, features(13, 3), topology)


def test_parallel_edges_are_summed_in_one_graph_that_is_compiled_first() -> None:
    torch.compiler.reset()
    mask = edge_mask()
    transformer = model(mask=mask, num_layers=1)
    topology = mask.prepare(cases.edges.featured()["multigraph"])
    compiled = torch.compile(transformer, fullgraph=True, backend="aot_eager")
    assert_close(compiled(features(7, 3), topology), transformer(features(7, 3), topology))


def test_the_head_for_edges_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    head, x = cases.seeded(lambda: EdgeHead(4)).eval(), features(3, 4)
    pairs = torch.tensor([[0, 2, 2, 1], [1, 1, 2, 2]])
    compiled = torch.compile(head, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, pairs), head(x, pairs))


FEW_BATCHES = ([5, 9], [7, 4, 6], [3, 8], [6, 6, 4, 9])
BATCHES = (*FEW_BATCHES, [11, 2], [8, 7, 5], [12, 3, 4], [10, 5], [4, 13, 2, 3], [6, 8])


def batch_of_paths(sizes: list[int], transform: AddWalks) -> Topology:
    graphs = []
    for size in sizes:
        step = torch.arange(size - 1)
        edges = torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])])
        attr = torch.stack([edges.sum(0), edges.diff(dim=0)[0]], 1).double()
        graphs.append(transform(Data(edge_index=edges, edge_attr=attr, num_nodes=size)))
    return Topology.from_data(Batch.from_data_list(graphs))


def count_compilations(
    mask: Any, batches: tuple[list[int], ...], backend: str = "aot_eager", num_layers: int = 1
) -> int:
    """Run a compiled model and the model itself, forward and backward, and compare them."""
    torch.compiler.reset()
    counters.clear()
    transformer = model(mask=mask, num_layers=num_layers, pool=global_mean_pool)
    parameters = list(transformer.parameters())
    compiled = torch.compile(transformer, fullgraph=True, backend=backend)
    transform = AddWalks(ResampledWalks(budget=4, hops=2), torch.Generator().manual_seed(0))
    for sizes in batches:
        topology, x = mask.prepare(batch_of_paths(sizes, transform)), features(sum(sizes), 3)
        out, expected = compiled(x, topology), transformer(x, topology)
        assert_close(out, expected)
        grads = (torch.autograd.grad(y.square().sum(), parameters) for y in (out, expected))
        assert_close(*grads)
    return counters["stats"]["unique_graphs"]


BATCHED_MASKS = {
    "walks": walk_mask,
    "symmetrized": lambda: WalkMask(2, 2, symmetrize=True),
    "order one": lambda: PowerSeriesMask(1, 2),
    "sum": lambda: walk_mask() + PowerSeriesMask(1, 2),
    "edge features": lambda: PowerSeriesMask(2, 2, edge_dim=2),
}


def test_a_model_is_compiled_for_the_first_batch_and_then_for_all_sizes() -> None:
    assert count_compilations(walk_mask(), FEW_BATCHES) == 2


@pytest.mark.slow
@pytest.mark.parametrize("mask", BATCHED_MASKS.values(), ids=BATCHED_MASKS)
def test_few_batches_are_compiled_again_for_another_execution(mask: Callable) -> None:
    assert count_compilations(mask(), BATCHES, num_layers=2) <= 5


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("g++") and not shutil.which("clang++"), reason="inductor needs a C++ compiler"
)
def test_few_batches_are_compiled_again_by_inductor() -> None:
    assert count_compilations(walk_mask(), BATCHES, "inductor") <= 5
