"""Power series of the adjacency, and of learned edge weights."""

from __future__ import annotations

import copy

import cases
import pytest
import torch
from builders import ring
from cases.graphs import normal
from torch import Tensor
from torch.nn.parameter import UninitializedParameter
from torch.testing import assert_close

from graphmask import Topology, attention, reference
from graphmask.features import Identity
from graphmask.masks import Free, NonNegative, PowerSeriesMask
from graphmask.operators import Pairs, _powers
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import replace

EDGES = torch.tensor([[0, 0, 1, 2, 3, 3], [1, 1, 2, 0, 4, 4]])


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_nodes_of_no_weight_have_finite_gradients(normalization: str) -> None:
    """The edges 3 -> 4 cancel and 2 -> 0 weighs nothing; node 5 has no edge."""
    weight = torch.tensor([0.5, 0.5, 1.0, 0.0, 2.0, -2.0], requires_grad=True)
    topology = Topology(EDGES, 6, weight)
    mask = PowerSeriesMask(hops=2, normalization=normalization)
    q = torch.ones(6, 1, 2)
    attention(q, q, torch.eye(6).unsqueeze(1), mask(topology)).square().sum().backward()
    assert weight.grad.isfinite().all()
    alone = torch.autograd.grad((mask(topology) @ torch.eye(6)).square().sum(), weight)[0]
    dense = reference.power_series(
        reference.adjacency(EDGES, 6, weight, normalization), mask.alpha()
    )
    assert_close(alone[:3], torch.autograd.grad(dense.square().sum(), weight)[0][:3])


def test_signs_follow_from_coefficients_and_weights() -> None:
    positive, negative = featured("weighted"), featured("signed")
    for edge_dim in (None, 3):
        assert PowerSeriesMask(alpha=NonNegative, edge_dim=edge_dim)(positive).nonnegative
        assert not PowerSeriesMask(alpha=NonNegative, edge_dim=edge_dim)(negative).nonnegative
        assert not PowerSeriesMask(alpha=Free, edge_dim=edge_dim)(positive).nonnegative


def test_training_after_validation_in_inference_mode() -> None:
    topology, mask, x = example_topologies()["weighted"], PowerSeriesMask(hops=2), torch.ones(13, 1)
    with torch.inference_mode():
        expected = mask(topology) @ x
        (mask(topology).mT @ x).sum()
    out = mask(topology) @ x
    assert_close(out, expected)
    (out.sum() + (mask(topology).mT @ x).sum()).backward()
    assert mask.alpha.raw.grad.isfinite().all()


def featured(name: str = "weighted", dim: int = 3) -> Topology:
    topology = example_topologies()[name]
    return replace(topology, edge_attr=normal(topology.num_edges, dim))


def learned_mask(edge_dim: int = 3) -> PowerSeriesMask:
    """A mask whose weights are no longer the initial ones."""
    return cases.scrambled(PowerSeriesMask(2, 2, edge_dim=edge_dim))


def test_weights_are_softplus_of_the_features() -> None:
    """softplus(log z) = log(1 + z); two parallel edges; the second head reads no features."""
    mask = PowerSeriesMask(1, 2, normalization=None, edge_dim=1).double()
    mask.edge_weights.linear.weight.data = torch.tensor([[1.0], [0.0]])
    mask.edge_weights.linear.bias.data = torch.zeros(2)
    edges, weight = torch.tensor([[0, 0, 1], [1, 1, 2]]), torch.tensor([1.0, 2.0, 1.0])
    attr = torch.tensor([[1.0], [2.0], [4.0]]).log()
    alpha = mask.alpha()[..., None, None]
    M = mask(Topology(edges, 3, weight, edge_attr=attr)).to_dense()
    W = (M - alpha[:, 0] * torch.eye(3)) / alpha[:, 1]
    two, three = torch.tensor([2.0, 3.0]).log()
    assert_close(W[0, 1, 0], two + 2 * three)
    assert_close(W[0, 2, 1], torch.tensor(5.0).log())
    assert_close(W[1, 1, 0], 3 * two)
    assert (W != 0).sum() == 4


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_initial_edge_weights_are_ones(normalization: str) -> None:
    masks = [PowerSeriesMask(3, 2, normalization=normalization, edge_dim=dim) for dim in (None, 3)]
    assert_close(*(mask(featured("multigraph")).to_dense() for mask in masks))


@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph"])
def test_features_have_derivatives(name: str) -> None:
    topology, mask = featured(name), learned_mask()
    x = normal(topology.num_nodes, 2)

    def product(attr: Tensor, weight: Tensor) -> Tensor:
        return mask(replace(topology, edge_attr=attr, edge_weight=weight)) @ x

    assert_gradients(product, topology.edge_attr, topology.edge_weight, module=mask)
    shuffled = product(topology.edge_attr.flip(0), topology.edge_weight)
    assert not torch.allclose(product(topology.edge_attr, topology.edge_weight), shuffled)


def test_integers_and_single_numbers_are_features() -> None:
    mask, graph = learned_mask(edge_dim=1), example_topologies()["ring"]
    number = torch.arange(14) % 3
    expected = mask(replace(graph, edge_attr=number.double().unsqueeze(1))).to_dense()
    assert_close(mask(replace(graph, edge_attr=number)).to_dense(), expected)


def test_lazy_masks_read_the_size_of_the_first_features() -> None:
    mask = PowerSeriesMask(2, 2, edge_dim=-1)
    assert repr(mask) == "PowerSeriesMask(hops=2, heads=2, alpha=NonNegative, edge_dim=-1)"
    mask.reset_parameters()
    copied = copy.deepcopy(mask)
    assert_close(mask(featured()).to_dense(), PowerSeriesMask(2, 2)(featured()).to_dense())
    assert mask.edge_weights.linear.weight.shape == (2, 3)
    assert repr(mask).endswith("edge_dim=3)")
    with pytest.raises(ValueError, match="with D = 3"):
        mask(featured(dim=2))
    assert isinstance(copied.edge_weights.linear.weight, UninitializedParameter)
    copied.load_state_dict(learned_mask().state_dict())
    assert_close(copied(featured()).to_dense(), learned_mask()(featured()).to_dense())


SERIES = [
    case
    for case in cases.MASKS
    if case.name.startswith(("power-series", "diffusion")) and "features" not in case.name
]


@pytest.mark.parametrize("mask", SERIES, ids=str)
def test_known_powers_are_those_of_the_definition(
    mask: cases.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of a few hops, and attention over them."""
    monkeypatch.setattr(_powers, "LEAST_NODES", 0)
    for graph in mask.topologies().values():
        module, topology = mask.make(), graph
        operator = module(module.prepare(topology))
        entries = operator.entries()
        if entries is None or not topology.num_nodes:
            continue
        expected = cases.mask_reference(module, topology)
        assert_close(entries.pattern.to_dense(entries.value).expand_as(expected), expected)
        q, k, v = (normal(topology.num_nodes, 2, 3, seed=seed).abs() for seed in range(3))
        leaves = [x.requires_grad_() for x in (q, k, v)] + list(module.parameters())
        weight = expected * torch.einsum("ihm,jhm->hij", q, k)
        size = expected if operator.sums_itself else expected.abs()
        total = (size * torch.einsum("ihm,jhm->hij", q, k)).sum(2)
        mean = torch.einsum("hij,jhd->ihd", weight, v) / total.T.unsqueeze(-1)
        if not mean.isfinite().all():
            continue
        pairs = attention(q, k, v, operator, Identity(), Pairs())
        assert_close(pairs, mean)
        outputs = [torch.autograd.grad(out.square().sum(), leaves) for out in (pairs, mean)]
        assert_close(*outputs)


def test_powers_are_known_where_balls_are_small() -> None:
    path, mask = ring(512), PowerSeriesMask(4, alpha=Free)
    assert mask(path).entries().pattern.nnz == 9 * 512
    x = torch.ones(512, 1, 2)
    assert attention(x, x, x, mask(path)).isfinite().all()
    star = torch.stack([torch.zeros(511, dtype=torch.long), torch.arange(1, 512)])
    hub = Topology(torch.cat([star, star.flip(0)], 1), 512)
    weighted = replace(path, edge_weight=torch.ones(1024, requires_grad=True))
    for topology in (ring(511), hub, weighted):
        assert mask(topology).entries() is None
