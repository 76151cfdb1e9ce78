"""Nothing makes float64 on a device that has none, such as Apple's GPUs: emulated on the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cases
import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import graphmask as gm
from graphmask._precision import double_dtype
from graphmask._random import uniform
from graphmask.testing import example_topologies
from graphmask.testing.graphs import astype
from graphmask.transforms import _returns
from graphmask.walks import resampled
from graphmask.walks._rows import Rows, running_sums

pytestmark = pytest.mark.usefixtures("single_by_default")


class NoDouble(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in tree_leaves(out)):
            raise TypeError(f"{func} makes float64")
        return out


@pytest.fixture(autouse=True)
def _no_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where the device is not the CPU."""
    monkeypatch.setattr(resampled, "_compiled", lambda: None)
    monkeypatch.setattr(_returns, "HAS_NUMBA", False)


def test_the_widest_type_is_that_of_the_device() -> None:
    assert double_dtype() == torch.float64
    assert double_dtype(SimpleNamespace(type="mps")) == torch.float32
    with NoDouble():
        assert double_dtype() == torch.float32


@pytest.mark.parametrize("case", cases.MASKS, ids=str)
def test_masks(case: cases.Case) -> None:
    mask = cases.seeded(case.make).float()
    graph, fresh = (astype(list(case.topologies().values())[-1], torch.float32) for _ in range(2))
    graph = mask.draw_walks(graph)
    q = torch.rand(graph.num_nodes, mask.heads, 3, generator=torch.Generator().manual_seed(0))
    expected = [mask(graph) @ q.transpose(0, 1), gm.attention(q, q, q, mask(graph))]
    with NoDouble():
        operator = mask(mask.prepare(fresh.with_walks(*graph.walk_sets)))
        actual = [operator @ q.transpose(0, 1), gm.attention(q, q, q, operator)]
        if actual[0].requires_grad:
            actual[0].sum().backward()
    assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", cases.TRANSFORMS, ids=str)
def test_transforms(case: cases.Case) -> None:
    data, transform = case.data(), cases.seeded(case.make)
    for key, value in list(data):
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
            data[key] = value.float()
    with NoDouble():
        transform(data)


@pytest.mark.parametrize("case", cases.SAMPLERS, ids=str)
def test_samplers(case: cases.Case) -> None:
    graph = astype(example_topologies()["ragged"], torch.float32)
    with NoDouble():
        walks = cases.seeded(case.make)(graph, torch.Generator().manual_seed(0))
    assert walks.table.dtype == torch.float32


@pytest.mark.slow
def test_resampled_walks_are_unbiased_in_single_precision() -> None:
    graph = astype(example_topologies()["weighted"], torch.float32)
    sampler, generator = gm.walks.ResampledWalks(budget=3, hops=2, width=4), torch.Generator()
    generator.manual_seed(0)
    with NoDouble():
        drawn = torch.stack([sampler(graph, generator).to_dense()[2] for _ in range(400)])
    W = graph.pattern.to_dense(graph.adjacency()[1])
    error = (drawn.mean(0) - W @ W).abs()
    assert bool((error <= 4.5 * drawn.std(0) / len(drawn) ** 0.5 + 1e-5).all())


def test_numbers_and_sums_of_single_precision() -> None:
    with NoDouble():
        numbers = uniform(0, torch.arange(2**16))
    assert numbers.dtype == torch.float32
    assert 0 <= float(numbers.min()) < float(numbers.max()) < 1
    counts = torch.tensor([0, 3, 1, 70_000, 2])
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    value = torch.rand(int(counts.sum()), generator=torch.Generator().manual_seed(0))
    rows = Rows(ptr, torch.zeros(len(value), dtype=torch.long), value)
    exact = running_sums(value.double(), rows)
    assert_close(running_sums(value, rows).double(), exact, rtol=1e-6, atol=0)
