from __future__ import annotations

import torch
from cases.graphs import edgeless, grid, path
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import NonNegative, RandomWalkKernelMask
from graphmask.testing import example_topologies
from graphmask.testing.graphs import replace
from graphmask.walks import ResampledWalks, Walks


def unweighted(n: int) -> Topology:
    return replace(grid(n, n), edge_weight=None)


def dense(mask: RandomWalkKernelMask, topology: Topology) -> Tensor:
    return mask(mask.prepare(topology)).to_dense()


def test_values_are_counts_of_visits() -> None:
    """In the paper f counts visits of n walks of fixed length, over n; here of explicit walks."""
    # From node 0: paths 0-1-0 and 0-1-2. From node 1: 1-0-1 twice. From node 2: 2-1-0 and 2-1-2.
    visits = torch.tensor([[3.0, 2.0, 1.0], [2.0, 4.0, 0.0], [1.0, 2.0, 3.0]]) / 2
    at_hop = [
        [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 1.0, 0], [1, 0, 0], [0, 1, 0]],
        [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]],
    ]
    S = torch.tensor(at_hop)
    assert_close(S.sum(0), visits)
    hop, row, col = S.nonzero(as_tuple=True)
    walks = Walks.from_entries(row, col, hop, S[hop, row, col], 3, 2, "rw")
    topology = path(3).with_walks(walks)
    inner = visits @ visits.mT
    expected = inner / (inner.diagonal().sqrt()[:, None] * inner.diagonal().sqrt())
    assert_close(RandomWalkKernelMask(hops=2)(topology).to_dense()[0], expected)


def test_walks_are_exact_within_the_budget() -> None:
    topology, mask = unweighted(6), RandomWalkKernelMask(hops=4)
    assert_close(dense(mask, topology), mask.target(topology).to_dense())


def test_the_diagonal_is_one_and_the_mask_positive_semi_definite() -> None:
    mask = RandomWalkKernelMask(
        hops=3, sampler=ResampledWalks(budget=2, hops=3, normalization="rw")
    )
    M = dense(mask, example_topologies()["ragged"])[0]
    assert_close(M.diagonal(), torch.ones(23))
    assert torch.linalg.eigvalsh(M).min() > -1e-12
    assert ((M >= 0) & (M <= 1 + 1e-12)).all()


def test_a_node_without_visits_has_a_row_of_zeros_and_finite_gradients() -> None:
    walks = Walks.from_entries(
        torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), torch.ones(1), 2, 1, "rw"
    )
    topology = edgeless(2).with_walks(walks)
    mask = RandomWalkKernelMask(hops=1, alpha=NonNegative)
    assert not list(RandomWalkKernelMask().parameters())
    M = mask(topology) @ torch.eye(2)
    assert_close(M[0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    M.sum().backward()
    assert mask.coefficients.raw.grad.isfinite().all()
