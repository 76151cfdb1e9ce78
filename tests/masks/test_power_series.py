"""Power series of the adjacency, and of learned edge weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology, attention, reference
from graphmask.masks import Free, NonNegative, PowerSeriesMask
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import replace

EDGES = torch.tensor([[0, 0, 1, 2, 3, 3], [1, 1, 2, 0, 4, 4]])


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "ragged"])
def test_derivatives_by_the_edge_weight(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    mask = PowerSeriesMask(hops=3, heads=2, normalization=normalization)
    x = torch.randn(topology.num_nodes, 2, generator=torch.Generator().manual_seed(0))

    def product(weight: Tensor) -> Tensor:
        graph = Topology(topology.edge_index, topology.num_nodes, weight, topology.batch)
        return mask(graph) @ x

    assert_gradients(product, topology.edge_weight, module=mask)


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


def test_signs_are_known_from_coefficients_and_weights() -> None:
    positive, negative = example_topologies()["weighted"], example_topologies()["signed"]
    assert PowerSeriesMask(alpha=NonNegative)(positive).nonnegative
    assert not PowerSeriesMask(alpha=NonNegative)(negative).nonnegative
    assert not PowerSeriesMask(alpha=Free)(positive).nonnegative


def test_validation_under_inference_mode_does_not_harm_training() -> None:
    topology, mask = example_topologies()["weighted"], PowerSeriesMask(hops=2)
    x = torch.ones(13, 1)
    with torch.inference_mode():
        expected = mask(topology) @ x
        (mask(topology).mT @ x).sum()
    found = mask(topology) @ x
    assert_close(found, expected)
    (found.sum() + (mask(topology).mT @ x).sum()).backward()
    assert mask.alpha.raw.grad.isfinite().all()


PARALLEL = torch.tensor([[0, 0, 1], [1, 1, 2]])


def featured(name: str = "weighted", dim: int = 3) -> Topology:
    topology = example_topologies()[name]
    return replace(
        topology,
        edge_attr=torch.randn(topology.num_edges, dim, generator=torch.Generator().manual_seed(0)),
    )


def learned(**options: object) -> PowerSeriesMask:
    """A mask whose weights are no longer those that it starts from."""
    mask = PowerSeriesMask(**{"hops": 2, "heads": 2, "edge_dim": 3, **options})
    generator = torch.Generator().manual_seed(1)
    for parameter in mask.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return mask


def test_weights_by_hand() -> None:
    """softplus(log z) = log(1 + z); two parallel edges, the second of weight 2.

    And a head that does not read features.
    """
    mask = PowerSeriesMask(1, 2, normalization=None, edge_dim=1).double()
    mask.edge_weights.linear.weight.data = torch.tensor([[1.0], [0.0]])
    mask.edge_weights.linear.bias.data = torch.zeros(2)
    topology = Topology(
        PARALLEL,
        3,
        torch.tensor([1.0, 2.0, 1.0]),
        edge_attr=torch.tensor([[1.0], [2.0], [4.0]]).log(),
    )
    lead, slope = mask.alpha()[..., None, None].unbind(1)
    W = (mask(topology).to_dense() - lead * torch.eye(3)) / slope
    two, three = torch.tensor([2.0, 3.0]).log()
    assert_close(W[0, 1, 0], two + 2 * three)
    assert_close(W[0, 2, 1], torch.tensor(5.0).log())
    assert_close(W[1, 1, 0], 3 * two)
    assert (W != 0).sum() == 4


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_it_starts_as_the_mask_without_features(normalization: str) -> None:
    topology = featured("multigraph")
    plain, made = (
        PowerSeriesMask(3, 2, normalization=normalization, edge_dim=dim) for dim in (None, 3)
    )
    assert_close(made(topology).to_dense(), plain(topology).to_dense())


@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph"])
def test_derivatives_by_the_features(name: str) -> None:
    topology, mask = featured(name), learned()
    x = torch.randn(topology.num_nodes, 2, generator=torch.Generator().manual_seed(0))

    def product(attr: Tensor, weight: Tensor) -> Tensor:
        return mask(replace(topology, edge_attr=attr, edge_weight=weight)) @ x

    assert_gradients(product, topology.edge_attr, topology.edge_weight, module=mask)


def test_features_change_attention_and_learn() -> None:
    topology, mask = featured(), learned()
    topology.edge_attr.requires_grad_()
    q = torch.randn(13, 2, 3, generator=torch.Generator().manual_seed(2))
    out = attention(q, q, q, mask(topology))
    assert not torch.allclose(
        out, attention(q, q, q, mask(replace(topology, edge_attr=topology.edge_attr.flip(0))))
    )
    out.square().sum().backward()
    assert all(
        each.grad.abs().sum() > 0 for each in (topology.edge_attr, *mask.edge_weights.parameters())
    )


def test_one_number_per_edge_and_whole_numbers_are_features() -> None:
    mask, graph = learned(edge_dim=1), example_topologies()["ring"]
    number = torch.arange(14) % 3
    expected = mask(replace(graph, edge_attr=number.double().unsqueeze(1))).to_dense()
    assert_close(mask(replace(graph, edge_attr=number)).to_dense(), expected)


def test_batch_mates_do_not_matter() -> None:
    mask = learned()
    graphs = [featured(name) for name in ("weighted", "ring", "directed")]
    data = [
        Data(
            edge_index=g.edge_index,
            edge_weight=torch.ones(g.num_edges),
            edge_attr=g.edge_attr,
            num_nodes=g.num_nodes,
        )
        for g in graphs
    ]
    together = mask(Topology.from_data(Batch.from_data_list(data))).to_dense()
    alone = [mask(Topology.from_data(each)).to_dense() for each in data]
    assert_close(
        together, torch.stack([torch.block_diag(*blocks) for blocks in zip(*alone, strict=True)])
    )


def test_signs_of_masks_with_learned_edge_weights() -> None:
    assert learned(alpha=NonNegative)(featured("weighted")).nonnegative
    assert not learned(alpha=NonNegative)(featured("signed")).nonnegative


class TestLazy:
    def test_the_size_is_read_from_the_first_features(self) -> None:
        mask = PowerSeriesMask(2, 2, edge_dim=-1)
        assert repr(mask) == "PowerSeriesMask(hops=2, heads=2, alpha=NonNegative, edge_dim=-1)"
        mask.reset_parameters()
        assert_close(mask(featured()).to_dense(), PowerSeriesMask(2, 2)(featured()).to_dense())
        assert mask.edge_weights.linear.weight.shape == (2, 3)
        assert repr(mask).endswith("edge_dim=3)")
        with pytest.raises(ValueError, match="with D = 3"):
            mask(featured(dim=2))

    def test_copies_are_lazy_too_and_load_what_was_learned(self) -> None:
        made = copy.deepcopy(PowerSeriesMask(2, 2, edge_dim=-1))
        assert isinstance(made.edge_weights.linear.weight, UninitializedParameter)
        made.load_state_dict(learned().state_dict())
        assert_close(made(featured()).to_dense(), learned()(featured()).to_dense(), rtol=0, atol=0)
