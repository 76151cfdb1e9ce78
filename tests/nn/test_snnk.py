"""Layers as inner products of random features beside their definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases.base import seeded
from cases.graphs import normal
from torch.autograd import gradcheck
from torch.testing import assert_close

from graphmask import reference
from graphmask.features import IID
from graphmask.nn import CosineKernel, ExponentialKernel, ReLUKernel, SineKernel, SNNKLinear

X = normal(7, 3, seed=4) / 2


def linear() -> torch.nn.Linear:
    return seeded(lambda: torch.nn.Linear(3, 2)).double()


def defined(kernel: Any, layer: torch.nn.Linear, projection: torch.Tensor) -> torch.Tensor:
    w, b = layer.weight, layer.bias
    if isinstance(kernel, ReLUKernel):
        return reference.relu_network_kernel(X, w, b, projection)
    scale = kernel.scale or 9**-0.25
    waves = isinstance(kernel, CosineKernel)
    value = reference.exponential_network_kernel(X, w, b, projection, scale, 1j if waves else 1.0)
    return value.imag if isinstance(kernel, SineKernel) else value.real if waves else value


def exact(kernel: Any, layer: torch.nn.Linear) -> torch.Tensor:
    if isinstance(kernel, ReLUKernel):
        joint = torch.cat([layer.weight, layer.bias.unsqueeze(1)], 1)
        return reference.arc_cosine_kernel(torch.cat([X, torch.ones(7, 1)], 1), joint)
    z = layer(X)
    functions = {ExponentialKernel: torch.exp, CosineKernel: torch.cos, SineKernel: torch.sin}
    return functions[type(kernel)](z)


KERNELS = (ReLUKernel(), ExponentialKernel(), ExponentialKernel(0.8), CosineKernel(), SineKernel())
parametrize = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


@parametrize
def test_layers_are_their_definition(kernel: Any) -> None:
    layer = SNNKLinear.from_linear(linear(), 8, kernel)
    assert_close(layer(X), defined(kernel, linear(), layer.projection))
    x = X[:2].clone().requires_grad_()
    assert gradcheck(lambda x, weight: layer.features(x) @ weight.mT, (x, layer.weight))


@parametrize
def test_estimates_are_unbiased(kernel: Any) -> None:
    draws = torch.stack(
        [SNNKLinear.from_linear(linear(), 200, kernel, IID(), seed)(X) for seed in range(300)]
    ).detach()
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact(kernel, linear())).abs() < 4.5 * error).all()


@parametrize
@pytest.mark.parametrize("bias", [False, True])
def test_bundles_are_both_layers(kernel: Any, bias: bool) -> None:
    layer = seeded(lambda: SNNKLinear(3, 5, 8, kernel, bias)).double()
    after = seeded(lambda: torch.nn.Linear(5, 2, bias=not bias)).double()
    if bias:
        layer.bias.data.copy_(normal(5))
    joint = layer.bundle(after)
    assert_close(joint(X), after(layer(X)))
    assert joint.weight.shape == (2, 8)


@parametrize
def test_layers_of_half_precision_are_read(kernel: Any) -> None:
    half = linear().bfloat16()
    layer = SNNKLinear.from_linear(half, 8, kernel)
    exact = SNNKLinear.from_linear(half.double(), 8, kernel)
    assert layer.projection.dtype == torch.float32
    assert_close(layer.weight.double(), exact.weight, rtol=1e-2, atol=1e-3)


def test_bundles_of_layers_of_other_types() -> None:
    layer = seeded(lambda: SNNKLinear(3, 2, 8, bias=True))
    after = seeded(lambda: torch.nn.Linear(2, 4, dtype=torch.float64))
    joint = layer.bundle(after)
    assert_close(joint(X.float()), after(layer(X.float()).double()).float())


@pytest.mark.global_rng
def test_half_precision_and_wrong_arguments() -> None:
    layer = seeded(lambda: SNNKLinear(3, 2, 8))
    out = layer(X.bfloat16())
    assert out.dtype == torch.bfloat16
    assert_close(out.float(), layer(X.float()), rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(layer(X.float()), layer(X.float()), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"`x` must be of shape \[..., d\] with d = 3"):
        layer(torch.ones(2, 4))
    with pytest.raises(TypeError, match="`x` must be a floating-point tensor"):
        layer(torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="`num_features` must be even"):
        SNNKLinear(3, 2, 7, CosineKernel())
    with pytest.raises(ValueError, match="`layer` must be of 2 input channels"):
        layer.bundle(torch.nn.Linear(3, 2))
    with pytest.raises(TypeError, match="`kernel` must be a NetworkKernel"):
        SNNKLinear(3, 2, 8, torch.nn.ReLU())
