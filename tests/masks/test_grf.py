from __future__ import annotations

from functools import partial

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, attention, reference
from graphmask.masks import Deconvolution, Diffusion, Free, GRFMask, NonNegative, PStepWalk
from graphmask.testing import example_topologies


def graph() -> Topology:
    return example_topologies()["weighted"]


def adjacency() -> torch.Tensor:
    return reference.adjacency(graph().edge_index, 13, graph().edge_weight)


def test_the_target_of_a_symmetric_graph_is_the_convolution() -> None:
    mask = GRFMask(3, 1, partial(Diffusion, scale=0.5))
    alpha = reference.convolution(mask.f())
    assert_close(mask.target(graph()).to_dense(), reference.power_series(adjacency(), alpha))
    assert_close(alpha[0, :4], reference.diffusion(1.0, 3), rtol=1e-6, atol=1e-6)


def test_a_kernel_is_given_by_alpha() -> None:
    mask = GRFMask(12, alpha=partial(Diffusion, scale=2.0))
    kernel = torch.linalg.matrix_exp(2.0 * (adjacency() - torch.eye(13)))
    assert_close(mask(mask.prepare(graph())).to_dense()[0], kernel, rtol=1e-5, atol=1e-5)
    assert isinstance(mask.f, Deconvolution)
    assert [name for name, _ in mask.named_parameters()] == ["coefficients.alpha.log_scale"]


def test_an_even_walk_is_exact_from_half_its_steps() -> None:
    mask = GRFMask(2, alpha=partial(PStepWalk, steps=4, scale=0.3)).double()
    kernel = torch.linalg.matrix_power(0.7 * torch.eye(13) + 0.3 * adjacency(), 4)
    assert_close(mask.target(graph()).to_dense()[0], kernel, rtol=1e-6, atol=1e-6)


def test_without_f_and_alpha_f_is_learned_non_negative() -> None:
    assert isinstance(GRFMask(2).f, NonNegative)
    assert isinstance(GRFMask(2, f=Free).f, Free)


def test_a_kernel_without_root_is_refused_when_evaluated() -> None:
    mask = GRFMask(2, 2, alpha=Free)
    topology = mask.prepare(graph())
    mask.f.alpha.value.data[1, 0] = -1.0
    with pytest.raises(ValueError, match=r"`alpha` must be positive at hop 0.*got -1 in head 1"):
        mask(topology)


def test_gradients_reach_the_scale_of_the_kernel() -> None:
    mask = GRFMask(3, 2, alpha=Diffusion)
    q = torch.rand(13, 2, 3, generator=torch.Generator().manual_seed(0))
    attention(q, q, q, mask(mask.prepare(graph()))).square().sum().backward()
    assert (mask.f.alpha.log_scale.grad != 0).all()


def test_shared_walks_are_definite_and_biased_on_the_diagonal() -> None:
    mask = GRFMask(3, shared_walks=True, sampler=cases.random_walks(3))
    seeds = (torch.Generator().manual_seed(seed) for seed in range(100))
    drawn = [
        mask(graph().with_walks(mask.sampler(graph(), seed))).to_dense().detach()[0]
        for seed in seeds
    ]
    assert all(torch.linalg.eigvalsh(each).min() > -1e-10 for each in drawn)
    target = mask.target(graph()).to_dense()[0].detach()
    excess = (torch.stack(drawn).mean(0) - target).diagonal()
    assert excess.min() > -1e-2
    assert excess.max() > 1e-1
    assert len(mask.prepare(graph()).walk_sets) == 1


def test_repr() -> None:
    assert repr(GRFMask(2)) == "GRFMask(hops=2, heads=1, f=NonNegative)"
    assert (
        repr(GRFMask(2, f=Free, shared_walks=True))
        == "GRFMask(hops=2, heads=1, f=Free, shared_walks=True)"
    )
    assert repr(GRFMask(2, alpha=Diffusion)) == "GRFMask(hops=2, heads=1, alpha=Diffusion)"
