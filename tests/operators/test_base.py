from __future__ import annotations

import pytest
import torch
from builders import features
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import FourierMask, GlobalMask, RFDMask
from graphmask.operators import GlobalOperator, MaskOperator, PowerSeriesOperator, SparseOperator
from graphmask.testing import example_topologies

HALVES = (torch.float16, torch.bfloat16)


def operator() -> SparseOperator:
    topology = example_topologies()["weighted"]
    pattern, weight = topology.adjacency()
    scale = torch.tensor([[1.0], [2.0]])
    return SparseOperator(topology, pattern, scale * weight, nonnegative=True)


@pytest.mark.parametrize("missing", ["_matmul", "_transpose", "to_dense"])
def test_operators_define_three_methods(missing: str) -> None:
    names = {"_matmul", "_transpose", "to_dense"} - {missing}
    partial = type("Partial", (MaskOperator,), {name: lambda self: None for name in names})
    with pytest.raises(TypeError, match=missing):
        partial(example_topologies()["pair"], 1, True, 1)


def test_shape_and_repr() -> None:
    mask = operator()
    assert (mask.shape, mask.num_nodes) == ((2, 13, 13), 13)
    assert repr(mask) == "SparseOperator(2, 13, 13)"
    assert str(mask) == f"{mask!r}: {mask.pattern.nnz} multiply-adds per head and column"


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("shape", [(13,), (13, 2), (3, 2, 13, 2)], ids=str)
def test_half_precision_products(half: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape).to(half)
    product = operator() @ x
    assert product.dtype == half
    assert_close(product.double(), operator().to_dense() @ x.double(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_attending_sums_half_precision_in_single(half: torch.dtype) -> None:
    qkv = [x.to(half) for x in features(13)]
    sums = operator().attend(*qkv)[:2]
    assert {x.dtype for x in sums} <= {torch.float32, torch.float64}
    expected = operator().attend(*(x.double() for x in qkv))[:2]
    assert_close(sums, expected, check_dtype=False, rtol=1e-6, atol=1e-6)


def test_rows_of_a_large_graph() -> None:
    """200,000 nodes: their square would need 320 gigabytes."""
    steps = torch.stack([torch.arange(199_999), torch.arange(1, 200_000)])
    topology = Topology(torch.cat([steps, steps.flip(0)], 1), 200_000)
    pattern, weight = topology.adjacency("rw")
    series = PowerSeriesOperator(topology, pattern, weight, torch.tensor([[0.0, 0.0, 1.0]]))
    sparse = SparseOperator(topology, pattern, weight.unsqueeze(0))
    for mask in (series, sparse, GlobalOperator(topology)):
        assert mask.rows(torch.tensor([100_000, 0])).shape == (1, 2, 200_000)
        assert mask.rows(torch.empty(0, dtype=torch.long)).shape == (1, 0, 200_000)
    two_hops = series.rows(torch.tensor([100_000]))[0, 0, 99_997:100_004]
    assert_close(two_hops, torch.tensor([0, 0.25, 0, 0.5, 0, 0.25, 0]))


def test_dense_matrices_beyond_all_proportion_are_refused() -> None:
    graph = Topology(torch.empty(2, 0, dtype=torch.long), 50_000, pos=torch.zeros(50_000, 3))
    message = "`topology` must be .* entries as a dense matrix.*50,000 x 50,000 .*= 2,500,000,000"
    with pytest.raises(ValueError, match=message):
        GlobalMask()(graph).to_dense()
    with pytest.raises(ValueError, match=message):
        GlobalMask()(graph).rows(torch.arange(50_000))
    for mask in (RFDMask(), FourierMask()):
        with pytest.raises(ValueError, match="50,000 x 50,000 x 3"):
            mask.target(graph)
