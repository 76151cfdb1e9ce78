from __future__ import annotations

import math
from collections.abc import Callable

import cases
import pytest
import torch
from builders import ring, seeded
from counting import Written
from torch import Tensor
from torch.autograd import forward_ad
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.features import EluPlusOne, ReLU
from graphmask.masks import Diffusion, GlobalMask, PowerSeriesMask, WalkMask
from graphmask.normalizers.row_sums import divide
from graphmask.operators import Dense, Lifted, MaskOperator, Pairs, SparseOperator
from graphmask.testing import example_topologies
from graphmask.walks import ResampledWalks

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
MASKS = {
    "global": GlobalMask,
    "series": lambda: PowerSeriesMask(hops=2, heads=2),
    "walk": lambda: cases.scrambled(WalkMask(2, 2, sampler=cases.random_walks(2))),
    "sum": lambda: (
        0.3 * GlobalMask() + cases.scrambled(WalkMask(2, 2, sampler=cases.random_walks(2)))
    ),
}
every_mask = pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)


def operator(make: Callable, name: str = "ragged") -> MaskOperator:
    mask, topology = make(), example_topologies()[name]
    return mask(mask.prepare(topology))


def qkv(num_nodes: int = 23, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded()
    shapes = [(num_nodes, 2, width) for width in (4, 4, 3)]
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0] * 4, [10, 50.5, 10]), ([1.0, -1.0, 3.0, -2.0], [10, (-1 + 300) / 4, -10])],
    ids=["positive", "signed"],
)
def test_attention_on_a_path_is_a_mean_by_absolute_weights(
    values: list[float], expected: list[float]
) -> None:
    topology = Topology(PATH, 3)
    mask = SparseOperator(topology, topology.pattern, torch.tensor([values]))
    q, v = torch.ones(3, 1, 1), torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    assert_close(attention(q, q, v, mask).flatten(), torch.tensor(expected))
    default, relu = attention(-q, q, v, mask), attention(-q, q, v, mask, ReLU())
    assert_close(default, relu, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [GlobalMask, lambda: PowerSeriesMask(hops=2)], ids=["global", "series"]
)
def test_a_positive_mask_averages(make: Callable) -> None:
    q, k, _ = qkv()
    same = attention(q, k, torch.full((23, 2, 1), 7.0), operator(make))
    assert_close(same, torch.full((23, 2, 1), 7.0))


@every_mask
def test_the_scale_of_a_mask_does_not_matter(make: Callable) -> None:
    assert_close(attention(*qkv(), 5 * operator(make)), attention(*qkv(), operator(make)))
    assert_close(attention(*qkv(), -5 * operator(make)), -attention(*qkv(), operator(make)))


@pytest.mark.parametrize("execution", [None, Pairs(), Lifted(), Dense()], ids=repr)
def test_a_node_that_sees_no_other_gets_zeros_and_finite_gradients(execution: object) -> None:
    """Under the first power of W alone, isolated nodes have empty rows.

    The features of node 0 vanish besides.
    """
    topology = example_topologies()["sparse"]
    weight = topology.adjacency()[1].unsqueeze(0).clone().requires_grad_()
    mask = SparseOperator(topology, topology.pattern, weight, nonnegative=True)
    leaves = [x.clone().requires_grad_() for x in qkv(13)]
    leaves[0].data[0] = -1.0
    out = attention(*leaves, mask, ReLU(epsilon=0.0), execution)
    empty = topology.pattern.rowptr.diff() == 0
    assert empty.any()
    assert (out[empty] == 0).all()
    assert (out[0] == 0).all()
    out.square().sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in (*leaves, weight))


def test_zero_over_zero_is_zero() -> None:
    numerator, denominator = (
        torch.tensor([0.0, 1.0, 3.0]).requires_grad_(),
        torch.tensor([0.0, 0.0, 2.0]).requires_grad_(),
    )
    ratio = divide(numerator, denominator)
    assert ratio.tolist() == [0, 0, 1.5]
    ratio.sum().backward()
    assert (numerator.grad.tolist(), denominator.grad.tolist()) == ([0, 0, 0.5], [0, 0, -0.75])


@every_mask
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_summed_in_single(make: Callable, half: torch.dtype) -> None:
    out = attention(*qkv(dtype=half), operator(make))
    expected = attention(*(x.double() for x in qkv(dtype=half)), operator(make))
    assert out.dtype == half
    assert_close(out.double(), expected, rtol=2e-2, atol=2e-2)


def test_sums_over_many_nodes_do_not_saturate() -> None:
    """100,000 scores of one: float16 ends at 65,504, and bfloat16 sums stop at 256."""
    topology = Topology(PATH[:, :0], 100_000)
    for half in (torch.float16, torch.bfloat16):
        ones = torch.ones(100_000, 1, 1, dtype=half)
        assert_close(attention(ones, ones, ones, GlobalMask()(topology)), ones)


@every_mask
def test_autocast_sums_in_single(make: Callable) -> None:
    single = [x.float() for x in qkv()]
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(*single, operator(make))
        mixed = attention(single[0].bfloat16(), single[1].bfloat16(), single[2], operator(make))
    assert (out.dtype, mixed.dtype) == (torch.float32, torch.float32)
    assert_close(out, attention(*single, operator(make)), rtol=1e-5, atol=1e-5)
    assert_close(mixed, out, rtol=5e-2, atol=5e-2)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("name", ["ragged", "weighted"])
@every_mask
def test_compiles_as_one_graph_with_a_prepared_operator(make: Callable, name: str) -> None:
    torch.compiler.reset()
    prepared = operator(make, name)
    leaves, again = (
        [x.clone().requires_grad_() for x in qkv(prepared.num_nodes)] for _ in range(2)
    )
    expected = attention(*again, prepared, EluPlusOne())
    compiled = torch.compile(
        lambda q, k, v: attention(q, k, v, prepared, EluPlusOne()),
        fullgraph=True,
        backend="aot_eager",
    )
    out = compiled(*leaves)
    assert_close(out, expected)
    grad_output = torch.ones_like(out)
    expected_grads = torch.autograd.grad(expected, again, grad_output, retain_graph=True)
    assert_close(torch.autograd.grad(out, leaves, grad_output), expected_grads)


LINEAR = {
    "global": GlobalMask,
    "walk": lambda: WalkMask(3, sampler=ResampledWalks(budget=4, hops=3)),
    "series": lambda: PowerSeriesMask(hops=2),
    "sum": lambda: (
        -0.5 * GlobalMask() + WalkMask(3, alpha=Diffusion, sampler=ResampledWalks(budget=4, hops=3))
    ),
}


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR)
def test_the_work_is_linear_in_the_nodes(make: Callable) -> None:
    """Counted in numbers written, forward and backward; then on 200,000 nodes."""
    counts = []
    for size in (3_000, 6_000):
        mask = make()
        topology = mask.prepare(ring(size))
        leaves = [torch.rand(size, 2, 4, generator=seeded()).requires_grad_() for _ in range(3)]
        with Written() as written:
            attention(*leaves, mask(topology)).sum().backward()
        counts.append(written.count)
    assert 1.9 < counts[1] / counts[0] < 2.1
    large, x = ring(200_000), torch.ones(200_000, 1, 2, dtype=torch.float32)
    assert attention(x, x, x, mask.float()(mask.prepare(large))).isfinite().all()


def test_attention_of_no_nodes() -> None:
    empty, x = Topology(PATH[:, :0], 0), torch.ones(0, 2, 3)
    for make in MASKS.values():
        mask = make()
        assert attention(x, x, torch.ones(0, 2, 5), mask(mask.prepare(empty))).shape == (0, 2, 5)


def linear_in_values(case: cases.Case) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    mask = cases.seeded(case.make).double()
    topology = next(graph for graph in case.topologies().values() if graph.num_nodes > 1)
    if topology.x is None:
        topology = topology.with_features(torch.ones(topology.num_nodes, 3).double())
    topology = mask.prepare(topology)
    shape = topology.num_nodes, mask(topology).heads, 2
    q = torch.linspace(0.1, 1, math.prod(shape)).double().view(shape)
    return q, lambda v: attention(q, q, v, mask(topology), ReLU())


@pytest.mark.parametrize("case", cases.MASKS[::5], ids=str)
def test_transforms_of_functions_are_right_or_refused(case: cases.Case) -> None:
    q, attend = linear_in_values(case)
    try:
        grad = torch.func.grad(lambda v: attend(v).sum())(q)
    except RuntimeError as error:  # of this library, or of checkpoints of torch
        if "torch.func" not in str(error):
            raise
    else:
        v = q.clone().requires_grad_()
        assert_close(grad, torch.autograd.grad(attend(v).sum(), v)[0])
    assert attend(q).isfinite().all()


@pytest.mark.parametrize("case", cases.MASKS[::5], ids=str)
def test_forward_mode_is_right_or_refused(case: cases.Case) -> None:
    # torch takes the derivatives of operators without one in forward mode for zero.
    q, attend = linear_in_values(case)
    with forward_ad.dual_level():
        try:
            out = attend(forward_ad.make_dual(q, q + 1))
        except NotImplementedError:
            return
        tangent = forward_ad.unpack_dual(out).tangent
    assert_close(tangent, attend(q + 1))  # which is linear
