"""The laws, for everything registered in tests/cases/; no law knows one case from another."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator
from copy import deepcopy
from types import ModuleType
from typing import Any

import cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import graphmask as gm
from graphmask import datasets, features, masks, nn, operators, reference, transforms, values, walks
from graphmask.masks.combinators import CombinedMask
from graphmask.testing import (
    assert_batch_independent,
    check_feature_map,
    check_layer,
    check_mask,
    check_operator,
    check_sampler,
    check_value_map,
    example_topologies,
)
from graphmask.testing.graphs import replace

PACKAGES = (masks, operators, walks, features, values, nn, transforms, datasets)


# Graphs of the quick run: no edge, parallel edges and loops, directions, signs, and a ragged batch
# in any order with graphs of one and two nodes. The others repeat them in `make test-full`.
QUICK = ("empty", "multigraph", "directed", "signed", "ragged")


def parametrize(cases: tuple[Any, ...]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=str)


def parametrize_with_graphs(cases: tuple[Any, ...], names: tuple[str, ...] = ()) -> Any:
    """Cases with the graphs that they are defined on; slow where a quick graph stands for them.

    Args:
        cases: to run.
        names: of the example graphs to run on; all by default. A case with graphs of its own runs
            on these.
    """
    rows = []
    for case in cases:
        own = case.topologies is not example_topologies
        for name in case.topologies() if own else names or example_topologies():
            slow = not own and not names and name not in QUICK
            marks = [pytest.mark.slow] if slow else []
            rows.append(pytest.param(case, name, id=f"{case}-{name}", marks=marks))
    return pytest.mark.parametrize(("case", "name"), rows)


def parametrize_with_all_graphs(cases: tuple[Any, ...]) -> Any:
    """Cases, with the quick graphs in a list, and with all graphs where that is slow."""
    rows = []
    for case in cases:
        own = getattr(case, "topologies", example_topologies) is not example_topologies
        graphs = list((case.topologies if own else example_topologies)().values())
        quick = graphs if own else [example_topologies()[name] for name in QUICK]
        rows.append(pytest.param(case, quick, id=str(case)))
        if not own:
            rows.append(pytest.param(case, graphs, id=f"{case}-all", marks=pytest.mark.slow))
    return pytest.mark.parametrize(("case", "graphs"), rows)


def public(package: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(package).items()
        if name[0] != "_" and not inspect.ismodule(value)
    }


def kinds(thing: Any) -> Iterator[str]:
    """Names of all of this library that a thing is made of."""
    if inspect.isclass(thing) or inspect.isfunction(thing):
        yield thing.__name__
    elif type(thing).__module__.startswith("graphmask") or isinstance(thing, (list, tuple, dict)):
        yield type(thing).__name__
        parts = (
            thing.values() if isinstance(thing, dict) else getattr(thing, "__dict__", {}).values()
        )
        for part in (
            *parts,
            *(thing if isinstance(thing, (list, tuple, torch.nn.ModuleList)) else ()),
        ):
            yield from kinds(part)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_that_is_public_is_registered(package: ModuleType) -> None:
    known = {name for thing in cases.registered() for name in kinds(thing)}
    absent = {
        name for name in public(package) - known if not inspect.isabstract(getattr(package, name))
    }
    assert not absent, f"add to tests/cases/: {sorted(absent)}"
    assert set(getattr(package, "__all__", public(package))) == public(package)


@parametrize_with_all_graphs(cases.MASKS)
def test_masks_keep_all_laws(case: cases.Case, graphs: list[gm.Topology]) -> None:
    check_mask(case.make(), graphs)


@parametrize_with_graphs(cases.MASKS)
def test_masks_are_their_definition(case: cases.Case, name: str) -> None:
    mask = case.make()
    topology = mask.prepare(case.topologies()[name])
    dense = mask(topology).to_dense()
    assert_close(dense, cases.mask_reference(mask, topology), check_dtype=False)


def leaves_of(case: cases.Case, name: str) -> tuple[Any, gm.Topology, list[Tensor], list[Tensor]]:
    """A mask, a topology it can read, q, k and v, and all leaves that have a gradient."""
    mask, topology = case.make(), case.topologies()[name]
    generator = torch.Generator().manual_seed(0)
    qkv = [
        torch.randn(topology.num_nodes, 2, 3, generator=generator).requires_grad_()
        for _ in range(3)
    ]
    leaves = [*qkv, *mask.parameters()]
    if case.differentiable:
        weight = torch.rand(topology.num_edges, generator=generator).requires_grad_()
        topology = replace(topology, edge_weight=weight)
        leaves.append(weight)
    return mask, mask.prepare(topology), qkv, leaves


@parametrize_with_graphs(cases.MASKS)
def test_attention_is_its_definition_forward_and_backward(case: cases.Case, name: str) -> None:
    mask, topology, (q, k, v), leaves = leaves_of(case, name)
    dense = cases.mask_reference(mask, topology)
    operator = mask(topology)
    phi = [reference.elu_plus_one(x) for x in (q, k)]
    expected = reference.attention(*phi, v, dense, dense if operator.sums_itself else None)
    out = gm.attention(q, k, v, operator, features.EluPlusOne())
    assert_close(out, expected)
    grad_output = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    # Both depend on walks that carry a gradient.
    grads, expected_grads = (
        torch.autograd.grad(y, leaves, grad_output, True, materialize_grads=True)
        for y in (out, expected)
    )
    assert all(grad.isfinite().all() for grad in grads)
    assert_close(grads, expected_grads)


@parametrize_with_graphs(cases.MASKS, ("weighted", "signed", "ragged"))
def test_executions_have_the_gradients_of_the_definition(case: cases.Case, name: str) -> None:
    mask, topology, (q, k, v), leaves = leaves_of(case, name)
    phi = [reference.relu_features(x, 1e-3) for x in (q, k)]
    dense = cases.mask_reference(mask, topology)
    expected = (
        reference.attention(*phi, v, dense, dense if mask(topology).sums_itself else None)
        .square()
        .sum()
    )
    expected_grads = torch.autograd.grad(
        expected, leaves, retain_graph=True, materialize_grads=True
    )
    for execution in cases.EXECUTIONS:
        if execution.refusal(mask(topology)) is None:
            loss = gm.attention(q, k, v, mask(topology), execution=execution).square().sum()
            grads = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
            assert_close(grads, expected_grads)


@st.composite
def graphs(draw: st.DrawFn) -> gm.Topology:
    """Up to six nodes in up to three graphs, in any order.

    Edges within graphs, of any sign and number.
    """
    batch = draw(st.lists(st.integers(0, 2), min_size=1, max_size=6))
    nodes = st.integers(0, len(batch) - 1)
    pairs = st.tuples(nodes, nodes).filter(lambda pair: batch[pair[0]] == batch[pair[1]])
    weights = st.sampled_from([-1.0, 0.0, 0.25, 1.0, 3.0])
    edges = draw(st.lists(st.tuples(pairs, weights), max_size=10))
    index = torch.tensor([pair for pair, _ in edges], dtype=torch.long).reshape(-1, 2).mT
    weight = torch.tensor([weight for _, weight in edges], dtype=torch.float64)
    return gm.Topology(index, len(batch), weight, torch.tensor(batch))


@parametrize(tuple(case for case in cases.MASKS if case.topologies is example_topologies))
@given(graphs())
@settings(max_examples=10)
def test_attention_is_its_definition_on_any_graph(case: cases.Case, topology: gm.Topology) -> None:
    mask = case.make()
    topology = mask.prepare(topology)
    q = torch.linspace(-1, 1, topology.num_nodes * 4).reshape(-1, 2, 2)
    phi = reference.elu_plus_one(q)
    expected = reference.attention(phi, phi, q, cases.mask_reference(mask, topology))
    assert_close(
        gm.attention(q, q, q, mask(topology), features.EluPlusOne()), expected, rtol=1e-7, atol=1e-7
    )


@parametrize_with_graphs(cases.OPERATORS)
def test_operators_keep_all_laws(case: cases.Case, name: str) -> None:
    check_operator(case.make(case.topologies()[name]))


@parametrize(cases.SAMPLERS)
@pytest.mark.parametrize("draws", [150, pytest.param(600, marks=pytest.mark.slow)])
def test_samplers_keep_all_laws(case: cases.Case, draws: int) -> None:
    check_sampler(case.make(), draws=draws)


@parametrize(cases.FEATURES)
def test_feature_maps_keep_all_laws(case: cases.Case) -> None:
    check_feature_map(case.make(), channels=5)


@parametrize(cases.VALUES)
def test_value_maps_keep_all_laws(case: cases.ValueCase) -> None:
    check_value_map(case.make(), channels=4, heads=2)


@parametrize(cases.FEATURES)
def test_feature_maps_are_their_definition(case: cases.Case, generator: torch.Generator) -> None:
    x, phi = torch.randn(7, 2, 5, generator=generator), case.make()
    assert_close(phi.queries(x), case.reference(phi, x))
    assert_close(phi.keys(x), (case.key_reference or case.reference)(phi, x))


@parametrize_with_all_graphs(cases.LAYERS)
def test_layers_keep_all_laws(case: cases.Case, graphs: list[gm.Topology]) -> None:
    check_layer(cases.seeded(case.make), case.channels, graphs, case.per_graph)


@parametrize(cases.LAYERS)
def test_layers_take_raw_edges_or_a_topology(case: cases.Case) -> None:
    layer = cases.seeded(case.make).eval()
    topology = example_topologies()["ragged"]
    x = torch.ones(topology.num_nodes, case.channels)
    raw = layer(x, topology.edge_index, edge_weight=topology.edge_weight, batch=topology.batch)
    assert_close(raw, layer(x, topology), rtol=0, atol=0)


@parametrize(cases.LAYERS)
def test_layers_in_single_precision_do_not_see_batch_mates(case: cases.Case) -> None:
    """Walks are drawn from raw edges, at random: see test_the_walks_of_cases_are_random."""
    examples = example_topologies()
    graphs = [
        examples[name] for name in ("weighted", "single", "directed", "empty", "multigraph", "pair")
    ]
    layer = cases.seeded(case.make).float().eval()

    def raw(x: Tensor, topology: gm.Topology) -> Tensor:
        return layer(x, topology.edge_index, edge_weight=topology.edge_weight, batch=topology.batch)

    assert_batch_independent(raw, graphs, case.channels, torch.float32, case.per_graph)


def test_the_walks_of_cases_are_random() -> None:
    topology = example_topologies()["weighted"]
    sampler = cases.random_walks(3)
    first, second = (
        sampler(topology, torch.Generator().manual_seed(seed)).to_dense() for seed in (0, 1)
    )
    assert (first[2:] != second[2:]).sum() > 20


@parametrize(cases.LAYERS)
def test_layers_on_stored_walks_do_not_see_batch_mates(case: cases.Case) -> None:
    layer = cases.seeded(case.make).float().eval()
    generator = torch.Generator().manual_seed(0)
    draw = transforms.AddWalks(cases.random_walks(3), generator, sets=2)
    examples = [example_topologies()[name] for name in ("weighted", "single", "directed", "pair")]
    graphs = [
        Data(
            x=torch.randn(each.num_nodes, case.channels, generator=generator, dtype=torch.float32),
            edge_index=each.edge_index,
            edge_weight=torch.ones(each.num_edges, dtype=torch.float32),
            num_nodes=each.num_nodes,
        )
        for each in examples
    ]
    graphs = [draw(graph) for graph in graphs]
    alone = torch.cat([layer(graph.x, gm.Topology.from_data(graph)) for graph in graphs])
    (batch,) = DataLoader(graphs, batch_size=4, generator=generator)
    assert_close(layer(batch.x, gm.Topology.from_data(batch)), alone, rtol=1e-5, atol=1e-5)


@parametrize(cases.LAYERS)
def test_layers_draw_from_dropout_alone(case: cases.Case) -> None:
    """In training too: what is random is dropout, which follows the global state."""
    layer = cases.seeded(case.make)
    for module in layer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # It depends on the whole batch in training, by its definition.
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval().train = lambda mode: None  # type: ignore[method-assign]
    topology = example_topologies()["ragged"]
    x = torch.ones(topology.num_nodes, case.channels)
    assert_close(layer.train()(x, topology), layer.eval()(x, topology), rtol=0, atol=0)


def test_layers_reset_their_parameters() -> None:
    for case in cases.LAYERS:
        layer = cases.seeded(case.make)
        shapes = [parameter.shape for parameter in layer.parameters()]
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for parameter in layer.parameters():
                parameter.fill_(7.0)
            layer.reset_parameters()
        assert all((p != 7).any() and p.isfinite().all() for p in layer.parameters()), case
        assert [parameter.shape for parameter in layer.parameters()] == shapes, case


def test_masks_print_their_cost() -> None:
    assert not [case.name for case in cases.MASKS if not str(case.make()).endswith(" per column")]


def test_masks_reset_their_parameters() -> None:
    for case in cases.MASKS:
        mask = case.make()
        mask.reset_parameters()
        first = deepcopy(mask.state_dict())
        with torch.no_grad():
            for parameter in mask.parameters():
                parameter.add_(1.0)
        mask.reset_parameters()
        assert_close(mask.state_dict(), first, msg=lambda text, case=case: f"{case}: {text}")


def everything() -> list[cases.Case]:
    return [
        *cases.MASKS, *cases.SAMPLERS, *cases.FEATURES, *cases.VALUES, *cases.LAYERS,
        *cases.TRANSFORMS,
    ]  # fmt: skip


def test_reprs_name_the_class_and_survive_pickling() -> None:
    for case in everything():
        instance = cases.seeded(case.make)
        assert isinstance(instance, CombinedMask) or type(instance).__name__ in repr(instance), case
        assert repr(pickle.loads(pickle.dumps(instance))) == repr(instance), case


def content(data: Data) -> dict[str, Tensor]:
    return dict(flat("", data.to_dict()))


def flat(name: str, values: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(f"{name}{key}.", value)
        elif key != "smiles":
            yield f"{name}{key}", torch.as_tensor(value).clone().reshape(-1)


@parametrize(cases.TRANSFORMS)
def test_transforms_leave_their_input_alone(case: cases.Case) -> None:
    data = case.data()
    before = content(data)
    result = case.make()(data)
    assert_close(content(data), before, rtol=0, atol=0)
    assert_close(content(case.make()(data)), content(result), rtol=0, atol=0)


@parametrize(cases.TRANSFORMS)
def test_what_transforms_write_is_batched(case: cases.Case) -> None:
    graphs = [case.make()(case.data()) for _ in range(3)]
    (batch,) = DataLoader(graphs, batch_size=3, generator=torch.Generator())
    for graph, again in zip(graphs, batch.to_data_list(), strict=True):
        assert_close(content(again), content(graph), rtol=0, atol=0)


def test_functions_are_deterministic() -> None:
    for case in cases.FUNCTIONS:
        assert_close(case.make(), case.make(), rtol=0, atol=0)
