from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.testing import example_topologies
from graphmask.walks import TruncatedWalks


@pytest.mark.parametrize("tolerance", [0.0, 1e-3, 0.03, 0.3])
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph", "ragged"])
def test_rows_err_by_at_most_the_tolerance_per_hop(name: str, tolerance: float) -> None:
    topology, lost = example_topologies()[name], []
    for normalization, order in (("sym", 2), ("rw", 1)):
        W = reference.adjacency(
            topology.edge_index, topology.num_nodes, topology.edge_weight, normalization
        )
        walks = TruncatedWalks(tolerance, hops=5, normalization=normalization)(topology)
        error = torch.linalg.vector_norm(
            walks.to_dense() - reference.walk_powers(W, 5), ord=order, dim=2
        )
        bound = tolerance * torch.arange(6.0) + 1e-12
        assert (error <= bound.unsqueeze(1) * (1 + 1e-9)).all()
        lost.append(float(error.max()))
    assert tolerance < 0.1 or min(lost) > 0


def test_small_entries_are_dropped_together_up_to_the_tolerance() -> None:
    edges = torch.stack([torch.arange(1, 6), torch.zeros(5, dtype=torch.long)])
    weight = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05])
    walks = TruncatedWalks(0.31, hops=1, normalization=None)(Topology(edges, 6, weight))
    assert walks.to_dense()[1, 0, 1:].tolist() == [0.5, 0.2, 0, 0, 0]


def test_halves_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    topology, sampler = example_topologies()["weighted"], TruncatedWalks(0.05, hops=4)
    whole = sampler(topology)
    monkeypatch.setattr("graphmask.walks.truncated._TERMS", 3)
    assert_close(sampler(topology).to_dense(), whole.to_dense(), rtol=0, atol=0)


def test_nothing_is_random() -> None:
    topology, sampler = example_topologies()["weighted"], TruncatedWalks(0.1, hops=3)
    first, second = sampler(topology), sampler(topology)
    assert_close(first.weight, second.weight, rtol=0, atol=0)
