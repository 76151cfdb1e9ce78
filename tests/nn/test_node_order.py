"""Models compute large graphs in an order of the nodes in which neighbours are close."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from models import features
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.nn import GCNConv, global_mean_pool

from graphmask import Topology
from graphmask.masks import GlobalMask, OneHop, PowerSeriesMask, ToeplitzMask, WalkMask
from graphmask.nn import MultilevelAttention, TopologicalTransformer
from graphmask.testing import example_topologies
from graphmask.walks import IIDWalks, ResampledWalks


@pytest.fixture(autouse=True)
def all_patterns_are_large_and_badly_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.kernels.pattern._LARGE", 1)
    monkeypatch.setattr("graphmask.kernels.pattern._NEAR", -1)


def model(**arguments: object) -> TopologicalTransformer:
    sizes = {"in_channels": 4, "hidden_channels": 8, "out_channels": 3, "num_layers": 2, "heads": 2}
    return cases.seeded(lambda: TopologicalTransformer(**sizes, **arguments)).double()


def shuffled_ring(nodes: int = 40) -> Topology:
    """A ring with random names, a chord of negative weight, and two graphs in turn."""
    name = torch.randperm(nodes, generator=torch.Generator().manual_seed(0))
    ends = torch.stack([name, name.roll(2)])
    weight = torch.linspace(0.5, 2, nodes, dtype=torch.double)
    batch = torch.empty(nodes, dtype=torch.long)
    batch[name] = torch.arange(nodes) % 2
    pos = features(nodes, 3).double()
    return Topology(ends, nodes, weight, batch, pos, edge_attr=weight.unsqueeze(1))


def with_walks(topology: Topology) -> Topology:
    walks = ResampledWalks(budget=6, hops=2)(topology, torch.Generator().manual_seed(0))
    return topology.with_walks(walks)


MODELS: dict[str, Callable[[], TopologicalTransformer]] = {
    "walks": lambda: model(mask=WalkMask(2, 2), jk="cat"),
    "pooled": lambda: model(mask=WalkMask(2, 2) + GlobalMask(), pool=global_mean_pool),
    "series beside a convolution": lambda: model(
        mask=PowerSeriesMask(2, 2), conv=cases.seeded(lambda: GCNConv(8, 8))
    ),
    "another mask in each block": lambda: model(mask=[WalkMask(2, 2, alpha=OneHop), GlobalMask()]),
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_those_in_the_order_of_the_data(name: str) -> None:
    network, topology = MODELS[name](), with_walks(shuffled_ring())
    prepared, x = network.prepare(topology), features(40, 4).double().requires_grad_()
    assert prepared.permuted is not None
    assert topology.permuted is None

    def run(graph: Topology) -> tuple[Tensor, ...]:
        out = network(x, graph)
        return out, *torch.autograd.grad(out.square().sum(), [x, *network.parameters()])

    assert_close(run(prepared), run(topology))


def test_a_renamed_graph_is_the_graph_of_renamed_nodes() -> None:
    for topology in example_topologies().values():
        topology = with_walks(topology)
        order = torch.randperm(topology.num_nodes, generator=torch.Generator().manual_seed(1))
        permuted = topology.permute(order)
        mask = cases.seeded(lambda: WalkMask(2, 1))
        expected = mask(topology).to_dense()[:, order][:, :, order]
        assert_close(mask(permuted).to_dense(), expected)
        for name in ("batch", "pos"):
            before, after = getattr(topology, name), getattr(permuted, name)
            assert before is None if after is None else torch.equal(after, before[order])
        assert torch.equal(order[permuted.edge_index], topology.edge_index)


def learned(topology: Topology) -> Topology:
    weight = topology.edge_weight.clone().requires_grad_()
    return Topology(topology.edge_index, topology.num_nodes, weight, topology.batch)


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        ({"mask": ToeplitzMask(20, heads=2)}, lambda topology: topology),
        (
            {
                "mask": PowerSeriesMask(2, 2),
                "conv": cases.seeded(lambda: MultilevelAttention(8, 2, size=10)),
            },
            lambda topology: topology,
        ),
        ({"mask": GlobalMask()}, lambda topology: topology),
        ({"mask": PowerSeriesMask(2, 2)}, learned),
        ({"mask": WalkMask(2, 2, sampler=IIDWalks(4, hops=2))}, learned),
    ],
    ids=["ordered mask", "ordered convolution", "no patterns", "learned weights", "learned walks"],
)
def test_the_order_is_that_of_the_data(
    arguments: dict[str, object], change: Callable[..., Topology]
) -> None:
    assert model(**arguments).prepare(change(shuffled_ring())).permuted is None


def test_a_good_order_and_a_small_graph_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    network, topology = model(mask=WalkMask(2, 2)), with_walks(shuffled_ring())
    monkeypatch.setattr("graphmask.kernels.pattern._NEAR", 1)
    assert network.prepare(topology).permuted is None
    monkeypatch.setattr("graphmask.kernels.pattern._LARGE", 10**6)
    assert network.prepare(with_walks(shuffled_ring())).permuted is None


def test_changes_of_the_graph_end_the_order() -> None:
    network, topology, x = model(mask=PowerSeriesMask(2, 2)), shuffled_ring(), features(40, 4)
    prepared = network.eval().prepare(topology)
    assert prepared.with_walks(*with_walks(topology).walk_sets).permuted is None
    assert prepared.to("cpu").permuted is None
    prepared.edge_weight.mul_(torch.linspace(1, 3, 40))
    assert prepared.permuted is None
    fresh = Topology(topology.edge_index, 40, prepared.edge_weight, topology.batch)
    assert_close(network(x.double(), prepared), network(x.double(), fresh))


def test_a_model_on_a_renamed_graph_compiles() -> None:
    torch.compiler.reset()
    network, x = model(mask=WalkMask(2, 2)).eval(), features(40, 4).double()
    prepared = network.prepare(with_walks(shuffled_ring()))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, prepared), network(x, prepared))
