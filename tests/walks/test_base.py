from __future__ import annotations

import cases
import pytest
import torch
from builders import NO_EDGES, seeded
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.testing import check_sampler, example_topologies, global_rng_untouched
from graphmask.walks import (
    AntitheticWalks,
    IIDWalks,
    RepellingWalks,
    ResampledWalks,
    WalkSampler,
)

WEIGHTED = example_topologies()["weighted"]
SAMPLERS = (
    IIDWalks(num_walks=4, hops=3),
    RepellingWalks(num_walks=4, hops=3),
    cases.random_walks(3),
)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


@pytest.mark.global_rng
@every_sampler
def test_draws_follow_the_generator_or_the_system_and_never_the_global_state(
    sampler: WalkSampler,
) -> None:
    generator = seeded()
    with global_rng_untouched():
        drawn = [sampler(WEIGHTED, source) for source in (generator, generator, seeded(1), None)]
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append(sampler(WEIGHTED))
    dense = [walks.to_dense() for walks in drawn]
    for position, first in enumerate(dense):
        assert not any(torch.equal(first, second) for second in dense[:position])


@every_sampler
def test_walks_of_few_hops_or_without_edges(sampler: WalkSampler) -> None:
    for hops in (0, 1):
        walks = type(sampler)(hops=hops)(WEIGHTED, seeded())
        assert walks.num_hops == hops
        assert_close(walks.to_dense()[0], torch.eye(13))
    for num_nodes in (0, 1, 5):
        walks = sampler(Topology(NO_EDGES, num_nodes), seeded())
        assert_close(walks.to_dense()[0], torch.eye(num_nodes), check_dtype=False)
        assert walks.nnz == num_nodes


@every_sampler
def test_weights_of_any_precision(sampler: WalkSampler) -> None:
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        graph = Topology(WEIGHTED.edge_index, 13, WEIGHTED.edge_weight.to(dtype))
        walks = sampler(graph, seeded())
        assert walks.weight.dtype == torch.promote_types(dtype, torch.float32)
        assert_close(walks.to_dense()[0], torch.eye(13), check_dtype=False)


class Deterministic(WalkSampler):
    """A sampler of a user: all of W, one hop."""

    def _draw(self, topology: Topology, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pattern, weight = topology.adjacency(self.normalization)
        nodes = torch.arange(topology.num_nodes)
        row, col = torch.cat([nodes, pattern.row.long()]), torch.cat([nodes, pattern.col.long()])
        hop = (torch.arange(len(row)) >= len(nodes)).long()
        return row, col, hop, torch.cat([torch.ones(len(nodes)), weight])


def test_samplers_can_be_written() -> None:
    check_sampler(Deterministic(hops=1), draws=20)
    with pytest.raises(TypeError, match="_draw"):
        WalkSampler(hops=2)


def test_samplers_that_choose_by_weight_accept_no_gradient_and_name_those_that_do() -> None:
    graph = Topology(WEIGHTED.edge_index, 13, WEIGHTED.edge_weight.clone().requires_grad_())
    expected = (
        "`edge_weight` must be without gradient for Deterministic, .* IIDWalks, .* PowerSeriesMask"
    )
    with pytest.raises(ValueError, match=expected):
        Deterministic(hops=1)(graph, seeded())
    with torch.no_grad():
        assert not Deterministic(hops=1)(graph, seeded()).weight.requires_grad


def test_reprs_and_the_former_name_of_the_number_of_walks() -> None:
    law = "length_law=Antithetic(Geometric(p_halt=0.2))"
    shared = "hops=3, normalization='sym', "
    assert repr(AntitheticWalks(4, 0.2, 3)) == f"AntitheticWalks({shared}num_walks=4, {law})"
    assert repr(ResampledWalks(8, 3)) == f"ResampledWalks({shared}budget=8, width=64, decay=0.7)"
    for sampler in (IIDWalks, AntitheticWalks, RepellingWalks):
        with pytest.warns(DeprecationWarning, match="num_walks"):
            assert sampler(n_walks=5).num_walks == 5
