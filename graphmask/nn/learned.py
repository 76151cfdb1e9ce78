"""What the masks of a model have learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask.masks import Coefficients


def learned_alphas(model: nn.Module) -> dict[str, Tensor]:
    r"""The coefficients of every mask of a model: how much of each hop each head takes.

    Args:
        model: any module.

    Returns:
        For each of its :class:`~graphmask.masks.Coefficients`, by its name in the model, the
        :math:`\alpha` (or the f of masks that are products) of hops 0 to K, ``[H, K + 1]``, without
        gradient. Empty for a model without such masks.

    Raises:
        TypeError: where the model is no module.

    Cost: O(H K) per mask.

    Example:
        >>> import graphmask as gm
        >>> layer = gm.nn.TopologicalAttention(8, heads=2, mask=gm.masks.WalkMask(hops=3, heads=2, alpha=gm.masks.PageRank))
        >>> {name: alpha.shape for name, alpha in gm.nn.learned_alphas(layer).items()}
        {'mask.coefficients': torch.Size([2, 4])}
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    with torch.no_grad():
        return {
            name: each().clone()
            for name, each in model.named_modules()
            if isinstance(each, Coefficients)
        }
