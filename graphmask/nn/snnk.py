"""Scalable neural network kernels: layers whose inputs and weights meet in an inner product."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, relu

from graphmask._buffers import SingleBuffers
from graphmask._checks import check_integer, type_error, value_error
from graphmask._precision import full_precision
from graphmask.config import ConfigMixin
from graphmask.features import Coupling, Orthogonal
from graphmask.features.base import check_scale
from graphmask.features.couplings import check_coupling
from graphmask.features.random_features import draw_rows, half_square
from graphmask.kernels.products import accumulator


class NetworkKernel(ConfigMixin, ABC):
    r"""Random features of the function of input and weights that a layer is.

    .. math:: E[\Phi(x) \cdot \Psi(w, b)] = k(x, w, b)

    over a random projection G with rows of N(0, I).
    """

    def shape(self, num_features: int, channels: int) -> tuple[int, int]:
        """The shape of G for m features of d channels."""
        return num_features, channels

    @abstractmethod
    def inputs(self, x: Tensor, projection: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``, features of inputs."""

    @abstractmethod
    def weights(self, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
        """``[l, d]`` and ``[l] -> [l, m]``, features of weights and biases."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ReLUKernel(NetworkKernel):
    r"""The arc-cosine kernel of order 1, of angles between inputs and weights.

    .. math::
        k(x, w, b) = E[\text{ReLU}(g \cdot \bar x)\, \text{ReLU}(g \cdot \bar w)]
            = \frac{|\bar x| |\bar w|}{2 \pi} (\sin\theta + (\pi - \theta) \cos\theta), \qquad
        \bar x = [x, 1],\ \bar w = [w, b]

    for their angle :math:`\theta`. It is no estimate of :math:`\text{ReLU}(w \cdot x + b)`, whose
    place it takes: it is close to :math:`\bar w \cdot \bar x / 2` where that is large, and 0 at the
    opposite angle.

    Source: Cho and Saul, "Kernel Methods for Deep Learning" (NeurIPS 2009), for the kernel;
    Sehanobish et al., "Scalable Neural Network Kernels" (ICLR 2024), for the layer.

    Example:
        >>> import torch, graphmask as gm
        >>> layer = gm.nn.SNNKLinear(4, 3, num_features=8, kernel=gm.nn.ReLUKernel())
        >>> bool((layer(torch.randn(5, 4)) >= 0).all())
        True
    """

    def shape(self, num_features: int, channels: int) -> tuple[int, int]:
        return num_features, channels + 1

    def inputs(self, x: Tensor, projection: Tensor) -> Tensor:
        return relu(pad(x, (0, 1), value=1) @ projection.mT) * len(projection) ** -0.5

    def weights(self, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
        joint = torch.cat([weight, bias.unsqueeze(-1)], -1)
        return relu(joint @ projection.mT) * len(projection) ** -0.5


class ExponentialKernel(NetworkKernel):
    r"""Positive features of :math:`k(x, w, b) = \exp(w \cdot x + b)`.

    .. math::
        \Phi(x)_r = m^{-1/2} \exp(s\, g_r \cdot x - s^2 |x|^2 / 2), \qquad
        \Psi(w, b)_r = m^{-1/2} \exp(g_r \cdot w / s - |w|^2 / 2 s^2 + b)

    Args:
        scale: s; the variance is least for about :math:`(|w| / |x|)^{1/2}`. (default: :obj:`None`,
            ``(3 d) ** -0.25``, for inputs of unit variance and the weights that layers start with)

    Raises:
        ValueError: for a scale that is not positive.

    Source: Sehanobish et al., "Scalable Neural Network Kernels" (ICLR 2024); Choromanski et al.,
    "Rethinking Attention with Performers" (ICLR 2021), for the features.

    Example:
        >>> import torch, graphmask as gm
        >>> kernel, linear = gm.nn.ExponentialKernel(), torch.nn.Linear(4, 3)
        >>> layer = gm.nn.SNNKLinear.from_linear(linear, num_features=2**16, kernel=kernel)
        >>> x = torch.ones(1, 4)
        >>> bool(torch.allclose(layer(x), linear(x).exp(), rtol=0.2))
        True
    """

    def __init__(self, scale: float | None = None) -> None:
        self.scale = None if scale is None else check_scale(scale)

    def inputs(self, x: Tensor, projection: Tensor) -> Tensor:
        x = x * self._scale(x)
        return (x @ projection.mT - half_square(x)).exp() * len(projection) ** -0.5

    def weights(self, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
        w = weight / self._scale(weight)
        exponent = w @ projection.mT - half_square(w) + bias.unsqueeze(-1)
        return exponent.exp() * len(projection) ** -0.5

    def _scale(self, x: Tensor) -> float:
        return (3 * x.shape[-1]) ** -0.25 if self.scale is None else self.scale

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.scale is None else self.scale})"


class CosineKernel(ExponentialKernel):
    r"""Features of :math:`k(x, w, b) = \cos(w \cdot x + b)`.

    .. math::
        \Phi(x)_r = (2/m)^{1/2} e^{s^2 |x|^2 / 2} (\cos, \sin)(s\, g_r \cdot x), \qquad
        \Psi(w, b)_r = (2/m)^{1/2} e^{g_r \cdot w / s - |w|^2 / 2 s^2} (\cos b, -\sin b)

    for r up to m / 2: real and imaginary parts of the features of :math:`e^{i w \cdot x}`, for
    inputs that are short. Arguments are those of :class:`ExponentialKernel`.

    Raises:
        ValueError: for an odd number of features.

    Source: Sehanobish et al., "Scalable Neural Network Kernels" (ICLR 2024): universal random
    features of a function whose Fourier transform is two points.

    Example:
        >>> import torch, graphmask as gm
        >>> kernel, linear = gm.nn.CosineKernel(), torch.nn.Linear(2, 3)
        >>> layer = gm.nn.SNNKLinear.from_linear(linear, num_features=2**17, kernel=kernel)
        >>> x = torch.ones(1, 2)
        >>> bool(torch.allclose(layer(x), linear(x).cos(), atol=0.1))
        True
    """

    def shape(self, num_features: int, channels: int) -> tuple[int, int]:
        if num_features % 2:
            expected = "even, a cosine and a sine per direction"
            raise value_error("num_features", expected, num_features)
        return num_features // 2, channels

    def inputs(self, x: Tensor, projection: Tensor) -> Tensor:
        x = x * self._scale(x)
        angle, size = x @ projection.mT, half_square(x).exp() * len(projection) ** -0.5
        return torch.cat([angle.cos(), angle.sin()], -1) * size

    def weights(self, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
        sizes, phase = super().weights(weight, torch.zeros_like(bias), projection), bias[..., None]
        return torch.cat([phase.cos() * sizes, -phase.sin() * sizes], -1)


class SineKernel(CosineKernel):
    r"""Features of :math:`k(x, w, b) = \sin(w \cdot x + b)`, those of the cosine a quarter later.

    Arguments, errors and source are those of :class:`CosineKernel`.

    Example:
        >>> import torch, graphmask as gm
        >>> layer = gm.nn.SNNKLinear(4, 3, num_features=8, kernel=gm.nn.SineKernel())
        >>> layer(torch.randn(5, 4)).shape
        torch.Size([5, 3])
    """

    def weights(self, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
        return super().weights(weight, bias - math.pi / 2, projection)


class SNNKLinear(ConfigMixin, SingleBuffers):
    r"""A linear layer and its activation as an inner product of random features.

    .. math:: y_l = \Phi(x) \cdot \Psi_l + c_l

    The features :math:`\Phi` of inputs are fixed, and :math:`\Psi` is learned. It starts at the
    features :math:`\Psi(w_l, b_l)` of weights drawn as for ``torch.nn.Linear``, with
    :meth:`from_linear` at those of given ones, so that :math:`y_l` is an unbiased estimate of the
    kernel :math:`k(x, w_l, b_l)`; learning may leave them for any others. With m features per
    output in the place of d + 1 weights, few features make it the smaller layer.

    Since :math:`\Psi` is linear, it can be joined with a linear map behind it, :meth:`bundle`.

    Args:
        in_channels: d.
        out_channels: l.
        num_features: m.
        kernel: k. (default: :obj:`None`, :class:`ReLUKernel`)
        bias: whether c is learned, from 0 on. (default: :obj:`False`)
        coupling: of the rows of G. (default: :obj:`None`, :class:`~graphmask.features.Orthogonal`)
        seed: of G. (default: :obj:`0`)

    Attributes:
        weight: ``[l, m]``, the learned features.
        projection: G, a buffer.

    Shapes:
        - **input:** ``[..., d]``
        - **output:** ``[..., l]``

    Raises:
        TypeError: where x is no floating-point tensor.
        ValueError: where x has not d channels, and as the kernel does.

    Cost: O(m (d + l)) per row.

    Source: Sehanobish et al., "Scalable Neural Network Kernels" (ICLR 2024).

    Example:
        >>> import torch, graphmask as gm
        >>> layer = gm.nn.SNNKLinear(8, 32, num_features=16)
        >>> after = torch.nn.Linear(32, 4)
        >>> x = torch.randn(5, 8)
        >>> joint = layer.bundle(after)
        >>> bool(torch.allclose(joint(x), after(layer(x)), atol=1e-5)), joint.weight.shape
        (True, torch.Size([4, 16]))
    """

    projection: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_features: int,
        kernel: NetworkKernel | None = None,
        bias: bool = False,
        coupling: Coupling | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels, 1)
        self.out_channels = check_integer("out_channels", out_channels, 1)
        self.num_features = check_integer("num_features", num_features, 1)
        self.kernel = ReLUKernel() if kernel is None else _check_kernel(kernel)
        self.coupling = Orthogonal() if coupling is None else check_coupling(coupling)
        self.seed = check_integer("seed", seed, 0)
        shape = self.kernel.shape(num_features, in_channels)
        self.register_buffer("projection", torch.empty(shape))
        draw_rows(self.projection, self.coupling, torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(torch.empty(out_channels, num_features))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_linear(
        cls,
        layer: nn.Linear,
        num_features: int,
        kernel: NetworkKernel | None = None,
        coupling: Coupling | None = None,
        seed: int = 0,
    ) -> SNNKLinear:
        """Estimate the kernel of the weights of a layer, which are read once.

        Arguments are those of the class.
        """
        if not isinstance(layer, nn.Linear):
            raise type_error("layer", "a torch.nn.Linear", layer)
        sizes = layer.in_features, layer.out_features, num_features
        with torch.random.fork_rng(devices=[]):
            new = cls(*sizes, kernel, coupling=coupling, seed=seed).to(layer.weight)
        new._write(layer)
        return new

    def bundle(self, layer: nn.Linear) -> SNNKLinear:
        """This layer and a linear one behind it as one layer, equal to both.

        Raises:
            ValueError: for a layer of other inputs than this one's outputs.

        Cost: O(l l' m) once for l' outputs, whose number of weights is l' m in place of
        l m + l l'.
        """
        if not isinstance(layer, nn.Linear):
            raise type_error("layer", "a torch.nn.Linear", layer)
        if layer.in_features != self.out_channels:
            expected = f"of {self.out_channels} input channels (out_channels)"
            raise value_error("layer", expected, layer.in_features)
        has_bias = self.bias is not None or layer.bias is not None
        sizes = self.in_channels, layer.out_features, self.num_features
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            joint = SNNKLinear(*sizes, self.kernel, has_bias, self.coupling, self.seed)
            joint = joint.to(self.weight)
            joint.projection.copy_(self.projection)
            weight, after = (x.to(accumulator(self.weight)) for x in (self.weight, layer.weight))
            with full_precision(weight.device):
                joint.weight.copy_(after @ weight)
                if self.bias is not None and joint.bias is not None:
                    joint.bias.copy_(after @ self.bias.to(after))
            if layer.bias is not None and joint.bias is not None:
                joint.bias.add_(layer.bias)
        return joint

    def reset_parameters(self) -> None:
        """Draw weights anew, as those of ``torch.nn.Linear``."""
        self._write(nn.Linear(self.in_channels, self.out_channels).to(self.projection))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def _write(self, layer: nn.Linear) -> None:
        weight = layer.weight.to(self.projection)
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.to(weight)
        with full_precision(weight.device):
            self.weight.copy_(self.kernel.weights(weight, bias, self.projection))

    def features(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``, the features of inputs.

        With these, the best weights for a sum of squares solve a linear regression.
        """
        if not x.is_floating_point():
            raise type_error("x", "a floating-point tensor", x)
        if x.shape[-1:] != (self.in_channels,):
            raise value_error("x", f"of shape [..., d] with d = {self.in_channels}", x)
        return self.kernel.inputs(x, self.projection.to(x.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., l]``."""
        with full_precision(x.device):
            features = self.features(x.to(accumulator(x)))
            bias = None if self.bias is None else self.bias.to(features.dtype)
            return linear(features, self.weight.to(features.dtype), bias).to(x.dtype)

    def __repr__(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, {self.num_features}"
        bias = "" if self.bias is None else ", bias=True"
        return f"SNNKLinear({sizes}, {self.kernel!r}{bias})"


def _check_kernel(kernel: NetworkKernel) -> NetworkKernel:
    if not isinstance(kernel, NetworkKernel):
        raise type_error("kernel", "a NetworkKernel, such as ReLUKernel()", kernel)
    return kernel
