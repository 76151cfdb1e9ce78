"""Edges explained through the masks of attention."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset

from graphmask._checks import type_error, value_error


class ExplainableEdges(nn.Module):
    r"""A model whose edges PyG's explainers can mask.

    The mask of the edges multiplies ``edge_weight``.

    ``torch_geometric.explain`` puts the mask that it learns for edges into message passing layers.
    Masked attention passes no messages, and what an edge does there it does through the topological
    mask, a function of the weighted adjacency. So the mask m multiplies the weights, :math:`w'_e =
    \sigma(m_e)\, w_e`, and its gradient is that of ``edge_weight``. Convolutions of the model that
    take ``edge_weight`` meet the mask there, and are told not to apply it to their messages again
    (``conv.explain = False``); those that do not take it are explained by their messages, as ever.

    Masks that carry a gradient to ``edge_weight`` are needed: ``PowerSeriesMask``,
    ``DiffusionMask``, or masks on walks whose sampler carries one, such as ``IIDWalks``; others
    refuse by name.

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
        if "edge_weight" not in arguments and all(
            each.kind != each.VAR_KEYWORD for each in arguments.values()
        ):
            raise value_error(
                "model", "a model whose forward takes edge_weight", type(model).__name__
            )
        self.model = model
        self.edges = _EdgeWeights()
        for module in model.modules():
            if (
                isinstance(module, MessagePassing)
                and "edge_weight" in inspect.signature(module.forward).parameters
            ):
                module.explain = False

    def reset_parameters(self) -> None:
        """Reset all learnable parameters of the model."""
        reset(self.model)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """The model's output; under an explainer, that of masked edges."""
        return self.model(
            x, edge_index, edge_weight=self.edges(x, edge_index, edge_weight), **kwargs
        )


class _EdgeWeights(MessagePassing):
    """Where explainers leave their mask of edges: PyG looks for message passing layers."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> Tensor | None:
        if not self.explain:
            return edge_weight
        mask = self._edge_mask.sigmoid() if self._apply_sigmoid else self._edge_mask
        return mask if edge_weight is None else mask * edge_weight
