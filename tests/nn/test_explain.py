"""PyG's explainers on masked attention, where it is known which edges and features matter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.explain import Explainer, Explanation, GNNExplainer
from torch_geometric.nn import GCNConv, MessagePassing, SAGEConv

from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.nn import (
    ExplainableEdges,
    TopologicalAttention,
    TopologicalGPS,
    TopologicalTransformer,
)
from graphmask.walks import IIDWalks

# A star of five leaves, and a pair apart: node 3 alone carries what node 0 reads.
STAR = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 7, 6]])


def signal(num_nodes: int = 8) -> Tensor:
    return (torch.arange(num_nodes) == 3).to(torch.get_default_dtype()).unsqueeze(1) * torch.tensor(
        [0.0, 1.0]
    )


class Reader(nn.Module):
    """One layer that passes on values.

    Node 0 reads the mean of its neighbours, whatever queries and keys are.

    Above a tenth it says yes.
    """

    def __init__(
        self, alpha: tuple[float, ...] = (0.01, 1.0), normalization: str | None = None
    ) -> None:
        super().__init__()
        mask = PowerSeriesMask(len(alpha) - 1, normalization=normalization)
        mask.alpha.raw.data.copy_(torch.tensor([alpha]).expm1().log())
        self.layer = cases.seeded(lambda: TopologicalAttention(2, 1, mask))
        with torch.no_grad():
            self.layer.qkv.weight.zero_()
            self.layer.qkv.bias.copy_(torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
            self.layer.qkv.weight[4:] = torch.eye(2)
            self.layer.out.weight.copy_(torch.eye(2))
            self.layer.out.bias.zero_()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        return 10 * self.layer(x, edge_index, edge_weight)[:, 1:] - 1


def explain(
    model: nn.Module,
    x: Tensor,
    edges: Tensor,
    index: int | None = 0,
    mode: str = "binary_classification",
    level: str = "node",
    **types: str,
) -> Explanation:
    explainer = Explainer(
        model,
        GNNExplainer(epochs=100, lr=0.05, edge_size=0.02, edge_ent=0.0),
        explanation_type="model",
        model_config={"mode": mode, "task_level": level, "return_type": "raw"},
        **types,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return explainer(x, edges, index=index)


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.global_rng
def test_the_edge_that_carries_the_signal_is_found() -> None:
    found = explain(ExplainableEdges(Reader()), signal(), STAR, edge_mask_type="object").edge_mask
    assert int(found.argmax()) == 2
    assert found[2] > 2 * found[:5][torch.arange(5) != 2].max()
    assert (found[5:] == 0).all()  # no gradient reaches the pair apart


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.global_rng
def test_both_edges_of_a_path_to_the_signal_are_found() -> None:
    """Two hops: 3 -> 1 -> 0, and a branch 2 -> 0 without signal."""
    edges = torch.tensor([[3, 1, 2], [1, 0, 0]])
    model = ExplainableEdges(Reader((0.01, 0.01, 1.0)))
    found = explain(model, signal(4), edges, edge_mask_type="object").edge_mask
    assert found[:2].min() > 2 * found[2]


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.global_rng
@pytest.mark.parametrize("kind", ["attributes", "common_attributes"])
def test_the_feature_that_matters_is_found(kind: str) -> None:
    """No wrapper is needed for features."""
    found = explain(Reader(), signal() + 1, STAR, node_mask_type=kind).node_mask
    assert (found[:, 0] == 0).all()
    if kind == "attributes":
        assert (found[:6, 1] > 0).all()
        assert (found[6:] == 0).all()
    else:
        assert found[0, 1] > 0


@pytest.mark.global_rng
def test_the_mask_multiplies_edge_weights_and_is_taken_off_again() -> None:
    model, weight = ExplainableEdges(Reader()), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    (hook,) = (module for module in model.modules() if isinstance(module, MessagePassing))
    logits = torch.linspace(-1, 1, 7)
    hook.explain, hook._edge_mask, hook._apply_sigmoid = True, logits, True
    assert_close(
        model(signal(), STAR, weight), model.model(signal(), STAR, weight * logits.sigmoid())
    )
    assert_close(model(signal(), STAR), model.model(signal(), STAR, logits.sigmoid()))
    hook.explain = None
    assert_close(
        model(signal(), STAR, edge_weight=weight),
        model.model(signal(), STAR, weight),
        rtol=0,
        atol=0,
    )


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.global_rng
def test_convolutions_meet_the_mask_once() -> None:
    """Those that take weights meet it there, the others in their messages."""

    def model(conv: nn.Module) -> ExplainableEdges:
        return ExplainableEdges(
            cases.seeded(lambda: TopologicalGPS(2, conv, norm=None, mask=PowerSeriesMask(hops=1)))
        )

    weighed, other = model(GCNConv(2, 2)), model(SAGEConv(2, 2))
    for made in (weighed, other):
        before = made(signal(), STAR)
        found = explain(made, signal(), STAR, mode="regression", edge_mask_type="object").edge_mask
        assert (found[:5] > 0).all()
        assert_close(made(signal(), STAR), before)
    assert weighed.model.conv.explain is False
    assert other.model.conv.explain is not False


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.global_rng
@pytest.mark.parametrize(
    "mask", [lambda: PowerSeriesMask(2, 2), lambda: WalkMask(2, 2, sampler=IIDWalks(32, hops=2))]
)
def test_models_of_graphs(mask: Callable) -> None:
    from torch_geometric.nn import global_add_pool

    made = cases.seeded(
        lambda: TopologicalTransformer(
            2, 4, 1, 2, 2, mask(), pool=global_add_pool, conv=GCNConv(4, 4)
        )
    )
    run = partial(explain, ExplainableEdges(made), signal(), STAR, index=None, level="graph")
    found = run(edge_mask_type="object", node_mask_type="object")
    assert found.edge_mask.shape == (7,)
    assert found.node_mask.shape == (8, 1)
    assert (found.edge_mask > 0).all()


@pytest.mark.global_rng
def test_masks_without_a_gradient_refuse_by_name() -> None:
    model = ExplainableEdges(TopologicalAttention(2, 1, WalkMask(hops=2)))
    with pytest.raises(
        ValueError, match=r"`edge_weight` must be without gradient for ResampledWalks.*IIDWalks"
    ):
        explain(model, signal(), STAR, edge_mask_type="object")


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ExplainableEdges("model"), TypeError, "`model` must be a torch.nn.Module"),
    (
        lambda: ExplainableEdges(nn.Linear(2, 2)),
        ValueError,
        "`model` must be a model whose forward takes edge_weight",
    ),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
