"""Features whose directions are sharpened by a power."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from graphmask._checks import check_number, value_error
from graphmask._part import Part
from graphmask.kernels.products import is_half

from .base import FeatureMap


class Focused(FeatureMap):
    r"""Channels to a power, at the length that they had: similar directions come closer.

    .. math:: \phi(x) = \|r\|\, \frac{r^p}{\|r^p\|}, \qquad r = \max(x, 0) + \varepsilon

    Scores stay as large as those of :class:`ReLU`, and are the more unequal the larger p is.

    Args:
        power: p, 1 for :class:`ReLU`. (default: :obj:`3`)
        learn: whether p is learned, as the exponential of a parameter that all heads share.
            (default: :obj:`False`)
        epsilon: the floor, which is positive. (default: :obj:`1e-3`, as in :class:`ReLU`)

    Attributes:
        log_power: log p where it is learned, else :obj:`None`.

    Raises:
        ValueError: for a power, or a floor, that is not positive.

    Cost: O(d) per node.

    Source: Han et al., "FLatten Transformer: Vision Transformer using Focused Linear Attention"
    (ICCV 2023), eqs. 5 and 6, without their convolution.

    Example:
        >>> import torch
        >>> from graphmask.features import Focused
        >>> Focused(power=2.0, epsilon=1e-6).queries(torch.tensor([1.0, 2.0, -1.0]))
        tensor([5.4233e-01, 2.1693e+00, 5.4233e-13])
    """

    log_power: nn.Parameter | None

    def __init__(self, power: float = 3.0, learn: bool = False, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.power, self.learn = check_number("power", power, 0), bool(learn)
        self.epsilon = check_number("epsilon", epsilon, 0)
        for name, number in (("power", power), ("epsilon", epsilon)):
            if number == 0:
                raise value_error(name, "positive", number)
        start = nn.Parameter(torch.tensor(math.log(power))) if learn else None
        self.register_parameter("log_power", start)

    def queries(self, x: Tensor) -> Tensor:
        return self._features(x).to(x.dtype)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self._features(q), self._features(k)

    def of_part(self, q: Tensor, k: Tensor, largest: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._features(q), self._features(k)

    def _features(self, x: Tensor) -> Tensor:
        """Features in single precision where x is half: powers leave the range of half."""
        r = relu(x.float() if is_half(x) else x) + self.epsilon
        # Powers of large numbers overflow; the map is proportional to r.
        largest = r.detach().amax(-1, keepdim=True)
        r = (r / largest).clamp(min=torch.finfo(r.dtype).tiny)
        sharp = r ** (self.power if self.log_power is None else self.log_power.to(r.dtype).exp())
        length = (r.square().sum(-1, keepdim=True) / sharp.square().sum(-1, keepdim=True)).sqrt()
        return largest * length * sharp

    def reset_parameters(self) -> None:
        if self.log_power is not None:
            nn.init.constant_(self.log_power, math.log(self.power))

    def extra_repr(self) -> str:
        return f"power={self.power}, learn={self.learn}, epsilon={self.epsilon}"
