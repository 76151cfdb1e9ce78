from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.testing import example_topologies
from graphmask.walks import TruncatedWalks


def exact(topology: Topology, hops: int, normalization: str) -> torch.Tensor:
    W = reference.adjacency(
        topology.edge_index, topology.num_nodes, topology.edge_weight, normalization
    )
    return reference.walk_powers(W, hops)


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("name", sorted(example_topologies()))
def test_no_tolerance_loses_nothing(name: str, normalization: str) -> None:
    topology = example_topologies()[name]
    walks = TruncatedWalks(0.0, hops=4, normalization=normalization)(topology)
    assert_close(walks.to_dense(), exact(topology, 4, normalization))


@pytest.mark.parametrize("tolerance", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("name", ["weighted", "directed", "signed", "multigraph"])
def test_rows_err_by_no_more_than_they_say(name: str, tolerance: float) -> None:
    topology, lost = example_topologies()[name], []
    for normalization, order in (("sym", 2), ("rw", 1)):
        walks = TruncatedWalks(tolerance, hops=5, normalization=normalization)(topology)
        error = torch.linalg.vector_norm(
            walks.to_dense() - exact(topology, 5, normalization), ord=order, dim=2
        )
        bound = tolerance * torch.arange(6.0)
        assert (error <= bound.unsqueeze(1) * (1 + 1e-9)).all()
        lost.append(float(error.max()))
    assert tolerance < 0.1 or min(lost) > 0


def test_small_entries_are_dropped_together_up_to_the_tolerance() -> None:
    edges = torch.stack([torch.arange(1, 6), torch.zeros(5, dtype=torch.long)])
    weight = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05])
    walks = TruncatedWalks(0.31, hops=1, normalization=None)(Topology(edges, 6, weight))
    assert walks.to_dense()[1, 0, 1:].tolist() == [0.5, 0.2, 0, 0, 0]


def test_nothing_is_random() -> None:
    topology = example_topologies()["weighted"]
    first, second = (
        TruncatedWalks(0.1, hops=3)(topology, torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    assert torch.equal(first.weight, second.weight)


def test_the_tolerance_is_a_size() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        TruncatedWalks(-0.1)
    assert repr(TruncatedWalks(0.5, 2)) == "TruncatedWalks(tolerance=0.5, hops=2)"
