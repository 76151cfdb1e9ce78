from __future__ import annotations

import networkx
import pytest
import torch
from cases.grids import of_sizes
from counting import Written
from scipy.linalg import expm
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import HypercubeMask

NONE = torch.empty(2, 0, dtype=torch.long)


@pytest.mark.parametrize("bits", [1, 2, 3, 6])
@pytest.mark.parametrize("t", [0.01, 0.7, 20.0])
def test_the_heat_kernel_of_networkx_and_scipy(bits: int, t: float) -> None:
    graph = networkx.hypercube_graph(bits)
    L = networkx.laplacian_matrix(graph, sorted(graph)).toarray().astype(float)
    operator = HypercubeMask(scale=t).double()(Topology(NONE, 2**bits))
    expected = torch.from_numpy(expm(-t * L))
    assert_close(operator.to_dense()[0], expected, rtol=1e-10, atol=1e-12)
    assert_close((operator @ torch.eye(2**bits))[0], expected, rtol=1e-10, atol=1e-12)


def test_products_are_exact_entry_by_entry() -> None:
    """In float32, from the largest entry of a column down to the smallest, 15 orders of magnitude below."""
    operator = HypercubeMask(scale=0.05).float()(Topology(NONE, 2**12))
    x = torch.zeros(2**12, dtype=torch.float32)
    x[0] = 1
    found = (operator @ x)[0].double()
    expected = (
        HypercubeMask(scale=0.05)
        .double()(Topology(NONE, 2**12))
        .rows(torch.tensor([0]))[0, 0]
        .double()
    )
    assert expected.min() < 1e-15 * expected.max()
    assert_close(found, expected, rtol=1e-5, atol=0)


def test_work_grows_as_the_nodes_do_times_their_logarithm() -> None:
    written = []
    for bits in (10, 15):
        operator = HypercubeMask()(Topology(NONE, 2**bits))
        with Written() as count:
            _ = operator @ torch.ones(2**bits, 4)
        written.append(count.count)
    assert written[1] < 1.2 * 32 * 15 / 10 * written[0]


@pytest.mark.parametrize("t", [0, -1.0, float("nan")])
def test_times_that_are_not_positive_are_refused(t: float) -> None:
    with pytest.raises(ValueError, match="`scale` must be"):
        HypercubeMask(scale=t)


def test_other_graphs_are_refused() -> None:
    for call in (HypercubeMask(), HypercubeMask().prepare):
        with pytest.raises(
            ValueError,
            match=r"`topology` must be of graphs whose.* are powers of two, got graphs of \[3, 6\] nodes",
        ):
            call(of_sizes(4, 3, 6))


def test_graphs_of_no_node_are_no_hypercubes_and_no_harm() -> None:
    topology = Topology(NONE, batch=torch.tensor([1, 3, 1]), num_graphs=6)
    assert_close(HypercubeMask()(topology) @ torch.ones(3), torch.ones(1, 3), check_dtype=False)
    assert (
        HypercubeMask()(Topology(NONE, batch=torch.tensor([1]), num_graphs=2)) @ torch.ones(1)
    ).tolist() == [[1.0]]
