from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    GATv2Conv,
    GCNConv,
    GINEConv,
    GraphConv,
    JumpingKnowledge,
    Linear,
    MedianAggregation,
    SAGEConv,
    SortAggregation,
    global_mean_pool,
)

from graphmask import Topology
from graphmask.features import EluPlusOne
from graphmask.masks import GlobalMask, PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalTransformer, TopologicalTransformerLayer
from graphmask.testing import check_layer, example_topologies, permute
from graphmask.testing.graphs import astype
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks, WalkSampler

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def walk_mask(heads: int = 2) -> WalkMask:
    return WalkMask(2, heads, sampler=cases.random_walks(2))


def graph_conv() -> GraphConv:
    return cases.seeded(lambda: GraphConv(4, 4))


def block(**options: Any) -> TopologicalTransformerLayer:
    return cases.seeded(lambda: TopologicalTransformerLayer(4, 2, **options))


def model(**options: Any) -> TopologicalTransformer:
    return cases.seeded(
        lambda: TopologicalTransformer(3, 4, 5, **{"num_layers": 2, "heads": 2, **options})
    )


def featured() -> Topology:
    return cases.edges.featured()["weighted"]


def features(num_nodes: int, channels: int) -> Tensor:
    return torch.randn(num_nodes, channels, generator=torch.Generator().manual_seed(0))


def test_a_block_adds_both_branches_to_its_input() -> None:
    topology, x = example_topologies()["weighted"], features(13, 4)
    made = block(mask=GlobalMask(), conv=graph_conv())
    normed = made.norm(x)
    h = (
        x
        + made.attention(normed, topology)
        + made.conv(normed, topology.edge_index, topology.edge_weight)
    )
    assert_close(made(x, topology), h + made.feed_forward(h))


@pytest.mark.parametrize(
    ("conv", "expected"), [(GraphConv(4, 4), True), (GCNConv(4, 4), True), (SAGEConv(4, 4), False)]
)
def test_weights_reach_the_convolution_that_takes_them(conv: nn.Module, expected: bool) -> None:
    topology, x = example_topologies()["weighted"], features(13, 4)
    made = block(conv=conv.double())
    unweighted = Topology(topology.edge_index, 13)
    assert torch.allclose(made(x, topology), made(x, unweighted)) != expected


def test_dropout_reaches_every_branch() -> None:
    made = block(mask=GlobalMask(), conv=graph_conv(), dropout=0.3)
    found = [module.p for module in made.modules() if isinstance(module, nn.Dropout)]
    assert found == [0.3] * 4
    assert block(mask=GlobalMask(), expansion=3).feed_forward[1].out_features == 12


def test_every_block_learns_its_own_copy() -> None:
    mask, conv, phi = walk_mask(), graph_conv(), EluPlusOne()
    made = model(mask=mask, conv=conv, feature_map=phi, num_layers=3)
    masks = [layer.attention.mask for layer in made.layers]
    convs = [layer.conv for layer in made.layers]
    assert len({id(each) for each in (*masks, mask)}) == 4
    assert len({id(each.lin_rel.weight) for each in (*convs, conv)}) == 4
    assert not torch.equal(convs[0].lin_rel.weight, convs[1].lin_rel.weight)


class Counted(WalkSampler):
    """Counts how often walks are drawn."""

    draws = 0

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, ...]:
        Counted.draws += 1
        return cases.random_walks(self.hops)._draw(topology, seed)


def test_walks_are_drawn_once_for_all_blocks() -> None:
    made = model(mask=WalkMask(2, 2, sampler=Counted(2)), num_layers=4)
    Counted.draws = 0
    made(features(3, 3), PATH)
    assert Counted.draws == 1


@pytest.mark.parametrize(
    "pool", [None, global_mean_pool, MedianAggregation()], ids=["nodes", "function", "aggregation"]
)
def test_outputs_per_node_or_per_graph(pool: Any) -> None:
    """In any order of ``batch``, and with graphs of no nodes at the end."""
    ragged = example_topologies()["ragged"]
    topology = Topology(ragged.edge_index, 23, ragged.edge_weight, ragged.batch, num_graphs=6)
    out = model(mask=GlobalMask(), pool=pool)(features(23, 3), topology)
    assert out.shape == (23 if pool is None else 6, 5)


def test_aggregations_that_need_sorted_graphs_get_them() -> None:
    ragged = example_topologies()["ragged"]
    made, x = model(mask=GlobalMask(), pool=SortAggregation(k=1)), features(23, 3)
    order = torch.argsort(ragged.batch, stable=True)
    assert_close(made(x, ragged), made(x[order], permute(ragged, order)))


def test_a_single_graph_is_pooled_to_one_row() -> None:
    x = features(3, 3)
    made = model(mask=GlobalMask(), pool=global_mean_pool)
    assert made(x, PATH).shape == (1, 5)
    assert_close(made(x, PATH), made(x, PATH, batch=torch.zeros(3, dtype=torch.long)))


def test_every_parameter_learns() -> None:
    made = model(mask=walk_mask(), conv=graph_conv())
    made(features(13, 3), example_topologies()["weighted"]).square().sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize(
    "mask", [GlobalMask(), PowerSeriesMask(hops=2, heads=2), walk_mask()], ids=repr
)
def test_compiles_as_one_graph_on_a_prepared_topology(mask: Any) -> None:
    torch.compiler.reset()
    made, x = model(mask=mask, num_layers=1).double(), features(13, 3)
    topology = mask.prepare(example_topologies()["weighted"])
    expected = made(x, topology)
    found = torch.compile(made, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, expected)
    parameters = list(made.parameters())
    slopes = [torch.autograd.grad(out.square().sum(), parameters) for out in (found, expected)]
    assert_close(*slopes)


SUMS = {
    "walks": walk_mask,
    "symmetrized": lambda: WalkMask(2, 2, symmetrize=True),
    "order one": lambda: PowerSeriesMask(1, 2),
    "sum": lambda: walk_mask() + PowerSeriesMask(1, 2),
    "edge features": lambda: PowerSeriesMask(2, 2, edge_dim=2),
}


def assert_compiled_once_for_all_sizes(mask: Any, backend: str, num_layers: int) -> None:
    """For the sizes of the first batch, then for any.

    And again where another execution serves a batch better.
    """
    torch.compiler.reset()
    counters.clear()
    made = model(mask=mask, num_layers=num_layers, pool=global_mean_pool).double()
    parameters = list(made.parameters())
    run = torch.compile(made, fullgraph=True, backend=backend)
    draw = AddWalks(ResampledWalks(budget=4, hops=2), torch.Generator().manual_seed(0))
    for sizes in (
        [5, 9],
        [7, 4, 6],
        [3, 8],
        [6, 6, 4, 9],
        [11, 2],
        [8, 7, 5],
        [12, 3, 4],
        [10, 5],
        [4, 13, 2, 3],
        [6, 8],
    ):
        graphs = []
        for size in sizes:
            step = torch.arange(size - 1)
            edges = torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])])
            attr = torch.stack([edges.sum(0), edges.diff(dim=0)[0]], 1).double()
            graphs.append(draw(Data(edge_index=edges, edge_attr=attr, num_nodes=size)))
        topology = mask.prepare(Topology.from_data(Batch.from_data_list(graphs)))
        x = features(sum(sizes), 3)
        found, expected = run(x, topology), made(x, topology)
        assert_close(found, expected)
        assert_close(
            *(torch.autograd.grad(out.square().sum(), parameters) for out in (found, expected))
        )
    assert counters["stats"]["unique_graphs"] <= 5


@pytest.mark.parametrize("make", SUMS.values(), ids=SUMS)
def test_batches_of_all_sizes_are_compiled_once(make: Any) -> None:
    assert_compiled_once_for_all_sizes(make(), "aot_eager", 2)


@pytest.mark.skipif(
    not shutil.which("g++") and not shutil.which("clang++"), reason="inductor needs a C++ compiler"
)
def test_batches_of_all_sizes_are_compiled_once_by_inductor() -> None:
    assert_compiled_once_for_all_sizes(walk_mask(), "inductor", 1)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_and_autocast(half: torch.dtype) -> None:
    made, topology, x = model(mask=walk_mask()), example_topologies()["weighted"], features(13, 3)
    expected = made(x, topology)
    with torch.autocast("cpu", half):
        mixed = made.float()(x.float(), topology)
    assert_close(mixed.double(), expected, rtol=0.1, atol=0.1)
    assert_close(made.to(half)(x.to(half), topology).double(), expected, rtol=0.1, atol=0.1)


def test_resetting_draws_new_parameters() -> None:
    made = model(mask=walk_mask(), conv=graph_conv(), pool=global_mean_pool)
    before = [parameter.clone() for parameter in made.parameters()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made.reset_parameters()
    changed = [
        not torch.equal(now, then) for now, then in zip(made.parameters(), before, strict=True)
    ]
    assert sum(changed) > len(changed) / 3


def test_features_of_edges_reach_the_mask_and_the_convolution_that_takes_them() -> None:
    conv = cases.seeded(lambda: GATv2Conv(4, 4, edge_dim=3))
    for options in ({"mask": PowerSeriesMask(2, 2, edge_dim=3)}, {"conv": conv}):
        made = model(**options)
        for each in made.parameters():
            each.data.add_(0.1)
        topology, x = featured(), features(13, 3)
        attr = topology.edge_attr.clone().requires_grad_()
        out = made(x, topology.edge_index, topology.edge_weight, edge_attr=attr)
        assert_close(out, made(x, topology), rtol=0, atol=0)
        assert not torch.allclose(
            out, made(x, topology.edge_index, topology.edge_weight, edge_attr=attr.flip(0))
        )
        assert torch.autograd.grad(out.square().sum(), attr)[0].abs().sum() > 0


def test_a_model_that_reads_features_of_edges_keeps_all_laws() -> None:
    made = model(
        mask=PowerSeriesMask(2, 2, edge_dim=3),
        conv=cases.seeded(lambda: GINEConv(nn.Linear(4, 4), edge_dim=3)),
    )
    graphs = cases.edges.featured()
    check_layer(
        cases.scrambled(made),
        3,
        [graphs[name] for name in ("pair", "multigraph", "signed", "ragged")],
    )


class TestLazySizes:
    def lazy(self, **options: Any) -> TopologicalTransformer:
        return cases.seeded(
            lambda: TopologicalTransformer(-1, 4, 5, **{"num_layers": 1, "heads": 2, **options})
        )

    def test_the_first_input_tells_the_size(self) -> None:
        made = self.lazy(mask=GlobalMask())
        cases.seeded(made.reset_parameters)
        assert made.in_channels == -1
        assert "in_channels=-1" in repr(made)
        assert cases.seeded(lambda: made(features(3, 7), PATH)).shape == (3, 5)
        assert (made.in_channels, made.encoder.weight.shape) == (7, (4, 7))
        with pytest.raises(ValueError, match="in_channels = 7"):
            made(features(3, 6), PATH)

    def test_the_same_parameters_are_drawn_as_for_a_known_size(self) -> None:
        drawn = [cases.seeded(lambda kind=kind: kind(7, 4)).weight for kind in (nn.Linear, Linear)]
        assert_close(*drawn, rtol=0, atol=0)

    def test_copies_are_lazy_too(self) -> None:
        made = self.lazy(mask=GlobalMask())
        for each in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert cases.seeded(lambda each=each: each(features(3, 7), PATH)).shape == (3, 5)
        assert made.in_channels == -1

    def test_parameters_are_loaded_into_a_model_that_has_seen_no_input(self) -> None:
        known = cases.seeded(lambda: TopologicalTransformer(3, 4, 5, 1, 2, GlobalMask()))
        made = self.lazy(mask=GlobalMask())
        made.load_state_dict(known.state_dict())
        assert made.in_channels == 3
        assert_close(made(features(3, 3), PATH), known(features(3, 3), PATH), rtol=0, atol=0)


class TestJumpingKnowledge:
    def outputs(self, made: TopologicalTransformer) -> list[Tensor]:
        topology, kept = example_topologies()["weighted"], []
        x = made.encoder(features(13, 3))
        for layer in made.layers:
            x = layer(x, topology)
            kept.append(x)
        return kept

    @pytest.mark.parametrize("mode", ["cat", "max", "lstm"])
    def test_the_head_reads_all_blocks(self, mode: str) -> None:
        made = model(mask=GlobalMask(), num_layers=3, jk=mode)
        read = {
            "cat": lambda xs: torch.cat(xs, 1),
            "max": lambda xs: torch.stack(xs).amax(0),
            "lstm": made.jk,
        }[mode]
        expected = made.head(made.norm(read(self.outputs(made))))
        found = made(features(13, 3), example_topologies()["weighted"])
        assert_close(found, expected)
        assert all(
            each is not None
            for each in torch.autograd.grad(found.square().sum(), list(made.parameters()))
        )

    def test_without_it_the_head_reads_the_last(self) -> None:
        made = model(mask=GlobalMask(), num_layers=3)
        expected = made.head(made.norm(self.outputs(made)[-1]))
        assert_close(made(features(13, 3), example_topologies()["weighted"]), expected)

    def test_a_module_of_pyg_is_copied(self) -> None:
        jk = cases.seeded(lambda: JumpingKnowledge("lstm", 4, 2))
        made = model(mask=GlobalMask(), jk=jk)
        assert made.jk is not jk
        assert_close(made.jk.att.weight, jk.att.weight)
        assert model(mask=GlobalMask(), jk=JumpingKnowledge("cat")).head.in_features == 8

    @pytest.mark.parametrize("mode", ["cat", "max"])
    def test_it_compiles_as_one_graph(self, mode: str) -> None:
        assert_compiles(model(mask=GlobalMask(), jk=mode), example_topologies()["weighted"])


def test_a_lazy_model_with_features_of_edges_compiles_as_one_graph_after_its_first_input() -> None:
    made = cases.seeded(
        lambda: TopologicalTransformer(-1, 4, 5, 1, 2, PowerSeriesMask(2, 2, edge_dim=-1))
    )
    for name in ("weighted", "multigraph"):
        topology = cases.edges.featured()[name]
        cases.seeded(lambda topology=topology: made(features(topology.num_nodes, 3), topology))
        assert_compiles(made, PowerSeriesMask(2, 2, edge_dim=3).prepare(topology))


def test_parallel_edges_are_summed_in_one_graph_that_is_compiled_first() -> None:
    torch.compiler.reset()
    mask = PowerSeriesMask(2, 2, edge_dim=3)
    made, topology = (
        model(mask=mask, num_layers=1).double(),
        mask.prepare(cases.edges.featured()["multigraph"]),
    )
    found = torch.compile(made, fullgraph=True, backend="aot_eager")(features(7, 3), topology)
    assert_close(found, made(features(7, 3), topology))


def assert_compiles(made: TopologicalTransformer, topology: Topology) -> None:
    torch.compiler.reset()
    made, x = made.double(), features(topology.num_nodes, 3)
    topology = made.layers[0].attention.mask.prepare(topology)
    expected = made(x, topology)
    found = torch.compile(made, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, expected)
    parameters = list(made.parameters())
    assert_close(
        *(torch.autograd.grad(out.square().sum(), parameters) for out in (found, expected))
    )


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_forward_and_backward_with_features_of_edges(half: torch.dtype) -> None:
    conv = cases.seeded(lambda: GINEConv(nn.Linear(4, 4), edge_dim=3))
    made = cases.scrambled(
        model(mask=PowerSeriesMask(2, 2, edge_dim=3), conv=conv, jk="cat")
    ).float()
    topology, x = astype(featured(), torch.float32), features(13, 3).float()
    parameters = list(made.parameters())
    expected = torch.autograd.grad(made(x, topology).square().mean(), parameters)
    with torch.autocast("cpu", half):
        loss = made(x, topology).float().square().mean()
    for found, exact in zip(torch.autograd.grad(loss, parameters), expected, strict=True):
        assert found.isfinite().all()
        assert torch.linalg.vector_norm(found - exact) < 0.1 * (
            torch.linalg.vector_norm(exact) + 1e-3
        )


def test_the_repr_shows_every_part() -> None:
    made = model(mask=walk_mask(), pool=global_mean_pool, conv=graph_conv(), jk="max", dropout=0.5)
    assert (
        repr(made)
        == """TopologicalTransformer(
  in_channels=3, hidden_channels=4, out_channels=5, num_layers=2, heads=2,
  mask=WalkMask(hops=2, heads=2, alpha=Free),
  pool=global_mean_pool,
  conv=GraphConv(4, 4),
  feature_map=ReLU(epsilon=0.001),
  dropout=0.5,
  jk=JumpingKnowledge(max),
)"""
    )


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: block(), ValueError, "`mask, conv` must be given, one of them at least"),
    (lambda: block(mask=GlobalMask(), dropout=1.0), ValueError, "`dropout`"),
    (lambda: block(mask=GlobalMask(), expansion=0), ValueError, "`expansion`"),
    (lambda: block(mask=walk_mask(3)), ValueError, "`mask` must be of one head or 2"),
    (lambda: block(mask=GlobalMask())(ones(3, 5), PATH), ValueError, "`x`"),
    (lambda: block(mask=GlobalMask())(ones(4, 4), Topology(PATH, 3)), ValueError, "`x`"),
    (lambda: model(mask=GlobalMask(), num_layers=0), ValueError, "`num_layers` must be at least 1"),
    (lambda: model(mask=GlobalMask(), heads=3), ValueError, "`channels` must be a multiple"),
    (lambda: model(), ValueError, "`mask, conv`"),
    (lambda: TopologicalTransformer(0, 4, 5, 1, 2, GlobalMask()), ValueError, "`in_channels`"),
    (lambda: TopologicalTransformer(3, 0, 5, 1, 2, GlobalMask()), ValueError, "`hidden_channels`"),
    (lambda: TopologicalTransformer(3, 4, 0, 1, 2, GlobalMask()), ValueError, "`out_channels`"),
    (lambda: TopologicalTransformer(3, 4, 5.0, 1, 2, GlobalMask()), TypeError, "`out_channels`"),
    (
        lambda: model(mask=GlobalMask())(ones(3, 4), PATH),
        ValueError,
        r"`x` must be of shape \[N, in_channels\]",
    ),
    (lambda: model(mask=GlobalMask())(ones(3, 3).long(), PATH), TypeError, "`x`"),
    (
        lambda: model(mask=GlobalMask())(ones(3, 3), Topology(PATH, 3), ones(4)),
        ValueError,
        "`edge_weight, batch`",
    ),
    (lambda: model(mask=GlobalMask(), pool="mean"), TypeError, "`pool`"),
    (lambda: TopologicalTransformer(-2, 4, 5, 1, 2, GlobalMask()), ValueError, "`in_channels`"),
    (lambda: TopologicalTransformer(3, -1, 5, 1, 2, GlobalMask()), ValueError, "`hidden_channels`"),
    (
        lambda: block(mask=GlobalMask()).__class__(-1, 2, GlobalMask()),
        ValueError,
        "`channels` must be at least 1",
    ),
    (
        lambda: model(mask=GlobalMask(), jk="sum"),
        ValueError,
        "`jk` must be 'cat', 'max', 'lstm' or None, got sum",
    ),
    (
        lambda: model(mask=GlobalMask(), jk=nn.Identity()),
        TypeError,
        "`jk` must be a string or a JumpingKnowledge",
    ),
    (
        lambda: model(mask=GlobalMask(), jk=JumpingKnowledge("lstm", 4, 3)),
        ValueError,
        "`jk` must be of hidden_channels = 4",
    ),
    (
        lambda: model(mask=PowerSeriesMask(2, edge_dim=2))(ones(3, 3), PATH),
        ValueError,
        "`edge_attr` must be given",
    ),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
