"""Each law passes a correct object and fails for one that violates it alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphmask import Topology, testing
from graphmask.features import FeatureMap, ReLU, Scores
from graphmask.masks import GlobalMask, TopologicalMask
from graphmask.operators import Attended, GlobalOperator, MaskOperator, Pairs, SparseOperator
from graphmask.values import Encoded, ValueMap
from graphmask.walks import IIDWalks, WalkSampler

GRAPHS = testing.example_topologies()


def broken(**methods: Callable[..., Any]) -> SparseOperator:
    """An operator of values above 1, correct except for some methods."""
    topology = GRAPHS["directed"]
    value = torch.linspace(1, 2, topology.pattern.nnz, dtype=torch.float64).unsqueeze(0)
    cls = type("Broken", (SparseOperator,), methods)
    return cls(topology, topology.pattern, value, nonnegative=True)


def rule_without_scores(self: SparseOperator, *_: object) -> Callable[..., Attended]:
    return lambda q, k, v, _: Attended(self._matmul(v), torch.ones_like(q[..., 0]))


right = SparseOperator
NO_ENTRIES = {"lookup": lambda M, p: None}
BROKEN_OPERATORS = {
    name: (broken(**methods), law, message)
    for name, methods, law, message in (
        ("product", {"_matmul": lambda M, x: 2 * right._matmul(M, x)}, "matmul", "product"),
        ("heads", {"_matmul": lambda M, x: right._matmul(M, x)[:, :, :1]}, "matmul", "shapes"),
        ("rows", {"lookup": lambda M, p: 2 * right.lookup(M, p)}, "matmul", "rows"),
        ("rows by products", {"_transpose": lambda M: M} | NO_ENTRIES, "matmul", "rows"),
        ("shape", {"to_dense": lambda M: torch.ones(2, 13, 13)}, "matmul", "dense matrix of shape"),
        ("transpose", {"_transpose": lambda M: M}, "adjoint", "<y, M x>"),
        ("sign", {"to_dense": lambda M: -right.to_dense(M)}, "entries", "non-negative"),
        ("entries", {"to_dense": lambda M: right.to_dense(M) ** 2}, "entries", "entries"),
        ("lookup", {"lookup": lambda M, p: 2 * right.lookup(M, p)}, "entries", "single entries"),
        ("attend", {"_own_rule": rule_without_scores}, "executions_agree", "numerators"),
    )
}


@pytest.mark.parametrize(
    ("operator", "law", "expected"), BROKEN_OPERATORS.values(), ids=BROKEN_OPERATORS
)
def test_laws_of_operators_can_fail(operator: MaskOperator, law: str, expected: str) -> None:
    check = getattr(testing, f"assert_{law}")
    check(broken())
    with pytest.raises(AssertionError, match=expected):
        check(operator)
    with pytest.raises(AssertionError):
        testing.check_operator(operator)


class Imprecise(Pairs):
    """An execution with a wrong denominator."""

    def _run(self, mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        sums = super()._run(mask, q, k, v, scores)
        return Attended(sums.numerator, sums.denominator * 1.001)


def test_a_wrong_execution_fails() -> None:
    with pytest.raises(AssertionError, match=r"denominators of .*Imprecise"):
        testing.assert_executions_agree(broken(), [Imprecise()])


WRONG_FUNCTIONS = {
    "names": (lambda x, t: x * torch.arange(len(x)).unsqueeze(1), "permuted"),
    "edge-order": (lambda x, t: x * t.edge_index[0, 0], "shuffled edges|permuted"),
    "batch-mates": (lambda x, t: x - x.mean(0), "in a batch"),
    "sorted-batch": (
        lambda x, t: x * (1 if t.batch is None else bool((t.batch.diff() >= 0).all())),
        "interleaved",
    ),
    "slope": (lambda x, t: Wrong.apply(x), "finite differences"),
    "curvature": (lambda x, t: Curved.apply(x), "finite differences"),
    "dtype": (lambda x, t: x.double(), "a module in torch.float32 gave torch.float64"),
    "chance": (lambda x, t: x + torch.rand(1), "twice|random state"),
}


def test_laws_of_positions_can_fail() -> None:
    cloud = Topology(torch.empty(2, 0, dtype=torch.long), pos=torch.eye(3).double())
    for law in (testing.assert_translation_invariant, testing.assert_rotation_equivariant):
        with pytest.raises(AssertionError, match="positions"):
            law(lambda x, topology: topology.pos, cloud)
        with pytest.raises(AssertionError, match="has no positions"):
            law(lambda x, topology: x, GRAPHS["ring"])


class Shifted(ValueMap):
    """Reads positions themselves, and has a channel more than it says."""

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        pos = topology.pos[:, None, :1].expand(-1, v.shape[1], -1)
        return Encoded(torch.cat([v, pos], -1)) if self.widens else Encoded(v + pos)


@pytest.mark.parametrize(("widens", "message"), [(True, "channels"), (False, "moved")])
def test_laws_of_value_maps_can_fail(widens: bool, message: str) -> None:
    values = Shifted()
    values.widens = widens
    with pytest.raises(AssertionError, match=message):
        testing.check_value_map(values, channels=2)


class Wrong(torch.autograd.Function):
    """x^2, with the derivative x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * ctx.saved_tensors[0]


class Curved(Wrong):
    """x^2, with a derivative that has none."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2 * ctx.saved_tensors[0].detach()


class Layer(nn.Module):
    def __init__(self, function: Callable[[Tensor, Topology], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, topology: Topology) -> Tensor:
        return self.scale * self.function(x, topology)


@pytest.mark.global_rng
@pytest.mark.parametrize(("function", "expected"), WRONG_FUNCTIONS.values(), ids=WRONG_FUNCTIONS)
def test_laws_of_layers_can_fail(function: Callable, expected: str) -> None:
    with pytest.raises(AssertionError, match=expected):
        testing.check_layer(
            Layer(function), 3, [GRAPHS["ring"], GRAPHS["weighted"], GRAPHS["ring"]]
        )


class Forgetful(nn.Module):
    """Keeps a number outside the state dict."""

    kept = 0.0

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.kept += 1
        return super().load_state_dict(*args, **kwargs)


def test_a_state_that_is_not_kept_is_found() -> None:
    with pytest.raises(AssertionError, match="state dict"):
        testing.assert_round_trip(
            Forgetful(), lambda m, dtype: torch.full((1,), m.kept, dtype=dtype)
        )


class Built(TopologicalMask):
    """Returns what a function of the topology returns."""

    def __init__(self, build: Callable[[Topology], MaskOperator], heads: int = 1) -> None:
        super().__init__(heads=heads)
        self.build = build

    def _operator(self, topology: Topology) -> MaskOperator:
        return self.build(topology)


WRONG_MASKS = {
    "chance": (Built(lambda t: float(torch.rand(1)) * GlobalOperator(t)), "random state"),
    "leak": (
        Built(lambda t: GlobalOperator(Topology(t.edge_index, t.num_nodes))),
        "in a batch",
    ),
    "heads": (Built(GlobalOperator, heads=2), "2 heads"),
}


@pytest.mark.global_rng
@pytest.mark.parametrize(("mask", "expected"), WRONG_MASKS.values(), ids=WRONG_MASKS)
def test_laws_of_masks_can_fail(mask: TopologicalMask, expected: str) -> None:
    with pytest.raises(AssertionError, match=expected):
        testing.check_mask(mask, list(GRAPHS.values())[3:6])


class Altered(IIDWalks):
    """Correct walks, altered after drawing."""

    def __init__(self, alter: Callable[..., tuple]) -> None:
        super().__init__(num_walks=4, hops=2)
        self.alter = alter

    def _draw(self, topology: Topology, seed: int) -> Any:
        walks = super()._draw(topology, seed)
        return self.alter(topology, seed, walks.row, walks.col, walks.hop, walks.weight)


def missing(topology: Topology, seed: int, *entries: Tensor) -> list[Tensor]:
    keep = (entries[1] != 0) | (entries[2] != 2)
    return [x[keep] for x in entries]


def by_node_ids(topology: Topology, seed: int, *entries: Tensor) -> tuple[Tensor, ...]:
    """Draws depend on the ids of nodes in the batch, not in their graph."""
    union = Topology(topology.edge_index, topology.num_nodes, topology.edge_weight)
    return IIDWalks(4, hops=2)._draw(union, seed)


def scaled(factor: Callable[[Tensor], Any]) -> Altered:
    return Altered(lambda t, s, *e: (*e[:3], e[3] * factor(e[2])))


def reseeded(seed: Callable[[], int]) -> Altered:
    return Altered(lambda t, s, *e: IIDWalks(4, hops=2)._draw(t, seed()))


OFF = "off its target|off their targets"
WRONG_SAMPLERS = {
    "factor": (scaled(lambda hop: 1.1**hop), OFF),
    "offset": (Altered(lambda t, s, *e: (*e[:3], e[3] + 0.05 * (e[2] > 0))), OFF),
    "missing": (Altered(missing), f"{OFF}|in a batch"),
    "zero-hops": (scaled(lambda hop: 1 + 1e-6 * (hop == 0)), OFF),
    "one-seed": (reseeded(lambda: 7), OFF),
    "batch": (Altered(by_node_ids), "in a batch and alone"),
    "system": (reseeded(lambda: random.SystemRandom().getrandbits(60)), "equal"),
    "global": (scaled(lambda hop: 1 + 0 * torch.rand(1)), "random state of torch"),
    "no-gradient": (Altered(lambda t, s, *e: (*e[:3], e[3].detach())), "says it is differentiable"),
    "slope": (Altered(lambda t, s, *e: (*e[:3], 2 * e[3] - e[3].detach())), "finite differences"),
    "few": (Altered(lambda t, s, *e: IIDWalks(4, hops=2)._draw(t, s)), "16 times the walks"),
}
QUICK = "factor", "batch", "system", "global"


@pytest.mark.global_rng
@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        pytest.param(*case, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, case in WRONG_SAMPLERS.items()
    ],
)
def test_laws_of_samplers_can_fail(sampler: WalkSampler, expected: str) -> None:
    with pytest.raises(AssertionError, match=expected):
        testing.check_sampler(sampler)


@pytest.mark.parametrize("seed", range(4))
def test_a_right_draw_passes_and_a_biased_one_does_not(seed: int) -> None:
    drawn = torch.randn(400, 2, 5, 5, generator=torch.Generator().manual_seed(seed))
    testing.assert_unbiased(drawn, torch.zeros(2, 5, 5))
    with pytest.raises(AssertionError, match="off"):
        testing.assert_unbiased(drawn + 0.1, torch.ones(2, 5, 5) * 1e-9)


class Odd(FeatureMap):
    def __init__(self, queries: Callable, keys: Callable) -> None:
        super().__init__()
        self.of_queries, self.of_keys = queries, keys

    def queries(self, x: Tensor) -> Tensor:
        return self.of_queries(x)

    def keys(self, x: Tensor) -> Tensor:
        return self.of_keys(x)


WRONG_FEATURES = {
    "negative": (torch.tanh, torch.tanh, "below 0"),
    "nan": (torch.log, torch.log, "below 0"),
    "mixing": (lambda x: (x - x.mean(-2, keepdim=True)).exp(), torch.exp, "alone and among others"),
    "widths": (torch.exp, lambda x: torch.cat([x, x], -1).exp(), "numbers of features"),
    "shape": (lambda x: x.exp().flatten(), torch.exp, "turned"),
    "slope": (Wrong.apply, torch.exp, "finite differences"),
}


@pytest.mark.parametrize(
    ("queries", "keys", "expected"), WRONG_FEATURES.values(), ids=WRONG_FEATURES
)
def test_laws_of_feature_maps_can_fail(queries: Callable, keys: Callable, expected: str) -> None:
    with pytest.raises(AssertionError, match=expected):
        testing.check_feature_map(Odd(queries, keys), channels=3)


DRAWS = {"torch": lambda: torch.rand(1), "numpy": np.random.rand, "python": random.random}


@pytest.mark.global_rng
@pytest.mark.parametrize("name", DRAWS)
def test_draws_from_global_states_are_found(name: str) -> None:
    with (
        pytest.raises(AssertionError, match=f"random state of {name} was changed"),
        testing.global_rng_untouched(),
    ):
        DRAWS[name]()


def test_checks_leave_no_trace() -> None:
    mask, layer = GlobalMask(), Layer(lambda x, t: x)
    before = torch.get_default_dtype()
    testing.check_mask(mask, GRAPHS["pair"])
    testing.check_layer(layer, 3, GRAPHS["pair"])
    testing.check_feature_map(ReLU(), 3)
    assert torch.get_default_dtype() == before
    assert layer.scale.item() == 1
    assert layer.training


def test_batches_keep_walks_and_order() -> None:
    sampler, graphs = IIDWalks(3, hops=2), (GRAPHS["weighted"], GRAPHS["ring"])
    drawn = [graph.with_walks(sampler(graph, torch.Generator())) for graph in graphs]
    union, ids = testing.batch_topologies(drawn, interleaved=True)
    assert all((nodes.diff() > 0).all() for nodes in ids)
    assert (union.batch.diff() < 0).any()
    together = union.walks.to_dense()
    for graph, nodes in zip(drawn, ids, strict=True):
        alone = graph.walks.to_dense().to(together.dtype)
        assert torch.equal(together[:, nodes][:, :, nodes], alone)


def test_a_former_name_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="use `graphmask.testing.batch_topologies`"):
        former = testing.join
    assert former is testing.batch_topologies
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing
