from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, attention, reference
from graphmask.masks import Free, NonNegative, PowerSeriesMask
from graphmask.testing import assert_gradients, example_topologies

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


REFUSED = [
    ({"hops": -1}, ValueError, "`hops` must be at least 0"),
    ({"hops": 2.0}, TypeError, "`hops` must be an integer"),
    ({"normalization": "row"}, ValueError, "`normalization` must be 'sym', 'rw' or None, got row"),
    ({"normalization": ["sym"]}, ValueError, "`normalization`"),
]


@pytest.mark.parametrize(("options", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(options: dict, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        PowerSeriesMask(**options)


def test_a_signed_series_is_refused_on_a_large_graph() -> None:
    topology = Topology(EDGES, 20_000)
    q = torch.ones(20_000, 1, 1)
    with pytest.raises(ValueError, match=r"`mask` must be non-negative.*PowerSeriesOperator"):
        attention(q, q, q, PowerSeriesMask(hops=2, alpha=Free)(topology))


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
