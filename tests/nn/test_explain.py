"""PyG's explainers on masked attention where the edges and features that matter are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import models
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.explain import Explainer, Explanation, GNNExplainer
from torch_geometric.nn import GCNConv, MessagePassing, SAGEConv, global_add_pool

from graphmask.masks import PowerSeriesMask, WalkMask
from graphmask.nn import ExplainableEdges, TopologicalAttention, TopologicalGPS
from graphmask.walks import IIDWalks

pytestmark = [pytest.mark.usefixtures("single_by_default"), pytest.mark.global_rng]

# A star of five leaves, and a separate pair: of the signal that node 0 reads, node 3 has all.
STAR = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 7, 6]])


def signal(num_nodes: int = 8) -> Tensor:
    """A one in the second feature of node 3, and zeros."""
    x = torch.zeros(num_nodes, 2)
    x[3, 1] = 1
    return x


class Reader(nn.Module):
    """A layer with constant scores: node 0 is positive if its neighbors' mean exceeds 0.1."""

    def __init__(self, *alpha: float) -> None:
        super().__init__()
        mask = PowerSeriesMask(len(alpha) - 1, normalization=None)
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
    **options: str,
) -> Explanation:
    """The explanation of a model, with options of :class:`Explainer`."""
    explainer = Explainer(
        model,
        GNNExplainer(epochs=100, lr=0.05, edge_size=0.02, edge_ent=0.0),
        explanation_type="model",
        model_config={"mode": mode, "task_level": level, "return_type": "raw"},
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return explainer(x, edges, index=index)


def test_the_edge_that_carries_the_signal_is_found() -> None:
    model = ExplainableEdges(Reader(0.01, 1.0))
    edge_mask = explain(model, signal(), STAR, edge_mask_type="object").edge_mask
    assert int(edge_mask.argmax()) == 2
    assert edge_mask[2] > 2 * edge_mask[[0, 1, 3, 4]].max()
    assert (edge_mask[5:] == 0).all()  # no gradient reaches the separate pair


def test_both_edges_of_a_path_to_the_signal_are_found() -> None:
    """Two hops: 3 -> 1 -> 0, and a branch 2 -> 0 without signal."""
    edges = torch.tensor([[3, 1, 2], [1, 0, 0]])
    model = ExplainableEdges(Reader(0.01, 0.01, 1.0))
    edge_mask = explain(model, signal(4), edges, edge_mask_type="object").edge_mask
    assert edge_mask[:2].min() > 2 * edge_mask[2]


def test_the_feature_that_matters_is_found() -> None:
    """Features need no wrapper."""
    x = signal() + 1
    shared = explain(Reader(0.01, 1.0), x, STAR, node_mask_type="common_attributes").node_mask
    assert (shared[0] > 0).tolist() == [False, True]
    per_node = explain(Reader(0.01, 1.0), x, STAR, node_mask_type="attributes").node_mask
    assert (per_node[:, 0] == 0).all()
    assert (per_node[:6, 1] > 0).all()
    assert (per_node[6:] == 0).all()


def test_the_mask_multiplies_edge_weights_and_is_removed_again() -> None:
    model, reader = ExplainableEdges(Reader(0.01, 1.0)), partial(Reader(0.01, 1.0), signal(), STAR)
    (hook,) = (module for module in model.modules() if isinstance(module, MessagePassing))
    weight, logits = torch.arange(1.0, 8.0), torch.linspace(-1, 1, 7)
    hook.explain, hook._edge_mask, hook._apply_sigmoid = True, logits, True
    assert_close(model(signal(), STAR, weight), reader(weight * logits.sigmoid()))
    assert_close(model(signal(), STAR), reader(logits.sigmoid()))
    hook.explain = None
    assert_close(model(signal(), STAR, edge_weight=weight), reader(weight), rtol=0, atol=0)


@pytest.mark.parametrize(("conv", "takes_weights"), [(GCNConv, True), (SAGEConv, False)])
def test_the_mask_is_applied_to_convolutions_once(conv: type, takes_weights: bool) -> None:
    """To the weights of those that take them, else to their messages."""
    options = {"norm": None, "mask": PowerSeriesMask(hops=1)}
    layer = cases.seeded(lambda: TopologicalGPS(2, conv(2, 2), **options))
    model = ExplainableEdges(layer)
    before = model(signal(), STAR)
    options = {"mode": "regression", "edge_mask_type": "object"}
    edge_mask = explain(model, signal(), STAR, **options).edge_mask
    assert (edge_mask[:5] > 0).all()
    assert_close(model(signal(), STAR), before)
    assert (layer.conv.explain is False) == takes_weights


@pytest.mark.parametrize(
    "mask", [lambda: PowerSeriesMask(2, 2), lambda: WalkMask(2, 2, sampler=IIDWalks(32, hops=2))]
)
def test_models_of_graphs_are_explained(mask: Callable) -> None:
    transformer = models.model(2, mask=mask(), pool=global_add_pool, conv=GCNConv(4, 4))
    options = {"mode": "regression", "level": "graph", "index": None}
    types = {"edge_mask_type": "object", "node_mask_type": "object"}
    model = ExplainableEdges(transformer)
    explanation = explain(model, signal(), STAR, **options, **types)
    assert explanation.edge_mask.shape == (7,)
    assert explanation.node_mask.shape == (8, 1)
    assert (explanation.edge_mask > 0).all()


def test_masks_without_a_gradient_raise() -> None:
    model = ExplainableEdges(TopologicalAttention(2, 1, WalkMask(hops=2)))
    message = "`edge_weight` must be without gradient for ResampledWalks.*IIDWalks"
    with pytest.raises(ValueError, match=message):
        explain(model, signal(), STAR, edge_mask_type="object")
