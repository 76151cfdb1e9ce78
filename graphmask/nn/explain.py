"""Explanations of models: masks of edges for PyG's explainers, and learned coefficients of hops."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset

from graphmask._checks import type_error, value_error
from graphmask._deprecation import deprecated_alias
from graphmask.masks import Coefficients


class ExplainableEdges(nn.Module):
    r"""A model whose edges PyG's explainers can mask: the mask multiplies ``edge_weight``.

    ``torch_geometric.explain`` puts the mask that it learns for edges into message passing layers.
    Masked attention passes no messages: an edge acts there through the topological mask, a function
    of the weighted adjacency. So the mask m multiplies the weights, :math:`w'_e = \sigma(m_e)\,
    w_e`, and its gradient is that of ``edge_weight``. Convolutions that take ``edge_weight`` get
    the masked weights, and do not apply the mask to their messages again (``conv.explain =
    False``); other convolutions are explained by their messages.

    Topological masks must carry a gradient to ``edge_weight``, as ``PowerSeriesMask``,
    ``DiffusionMask`` and masks on walks of samplers such as ``IIDWalks`` do; others raise an error.

    Args:
        model: a module called as ``model(x, edge_index, edge_weight=..., ...)``.

    Raises:
        TypeError: where the model is no module.
        ValueError: where its ``forward`` takes no ``edge_weight``.

    Cost: that of the model, O(E) more.

    Source: Ying et al., "GNNExplainer" (NeurIPS 2019), for edge masks.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.explain import Explainer, GNNExplainer
        >>> layer = gm.nn.TopologicalAttention(4, heads=1, mask=gm.masks.PowerSeriesMask(hops=2))
        >>> explainer = Explainer(
        ...     gm.nn.ExplainableEdges(layer),
        ...     GNNExplainer(epochs=5),
        ...     explanation_type="model",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="regression", task_level="node", return_type="raw"),
        ... )
        >>> x, edge_index = torch.randn(3, 4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> explainer(x, edge_index, index=0).edge_mask.shape
        torch.Size([4])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise type_error("model", "a torch.nn.Module", model)
        arguments = inspect.signature(model.forward).parameters
        has_keywords = any(value.kind == value.VAR_KEYWORD for value in arguments.values())
        if "edge_weight" not in arguments and not has_keywords:
            expected = "a model whose forward takes edge_weight"
            raise value_error("model", expected, type(model).__name__)
        self.model = model
        self.edges = _EdgeWeights()
        for module in model.modules():
            takes = inspect.signature(module.forward).parameters
            if isinstance(module, MessagePassing) and "edge_weight" in takes:
                module.explain = False

    def reset_parameters(self) -> None:
        """Reset all learnable parameters of the model."""
        reset(self.model)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """The model's output; under an explainer, that of masked edges."""
        edge_weight = self.edges(x, edge_index, edge_weight)
        return self.model(x, edge_index, edge_weight=edge_weight, **kwargs)


class _EdgeWeights(MessagePassing):
    """A message passing layer, since explainers put their masks of edges into these."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> Tensor | None:
        if not self.explain:
            return edge_weight
        mask = self._edge_mask.sigmoid() if self._apply_sigmoid else self._edge_mask
        return mask if edge_weight is None else mask * edge_weight


def hop_coefficients(model: nn.Module) -> dict[str, Tensor]:
    r"""The coefficients of every mask of a model: how much of each hop each head takes.

    Args:
        model: any module.

    Returns:
        The :math:`\alpha` (or the f of masks that are products) of hops 0 to K, ``[H, K + 1]``,
        without gradient, by the name of the :class:`~graphmask.masks.Coefficients` in the model.
        Empty for a model without such masks.

    Raises:
        TypeError: where the model is no module.

    Cost: O(H K) per mask.

    Example:
        >>> import graphmask as gm
        >>> mask = gm.masks.WalkMask(hops=3, heads=2, alpha=gm.masks.PageRank)
        >>> layer = gm.nn.TopologicalAttention(8, heads=2, mask=mask)
        >>> {name: alpha.shape for name, alpha in gm.nn.hop_coefficients(layer).items()}
        {'mask.coefficients': torch.Size([2, 4])}
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    with torch.no_grad():
        return {
            name: module().clone()
            for name, module in model.named_modules()
            if isinstance(module, Coefficients)
        }


learned_alphas = deprecated_alias("learned_alphas", hop_coefficients)
