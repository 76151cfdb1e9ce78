from __future__ import annotations

import networkx
import pytest
import torch
from cases.graphs import edgeless
from torch.testing import assert_close

from graphmask import attention
from graphmask.masks import ToeplitzMask


def test_values_of_lines_and_planes() -> None:
    """Offsets of row and column, from the node that is attended to, to the one that attends."""
    mask = ToeplitzMask(3, signed=True)
    mask.raw.data = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    assert mask(edgeless(3)).to_dense()[0].tolist() == [[0, -1, -2], [1, 0, -1], [2, 1, 0]]
    mask = ToeplitzMask((2, 3), signed=True)
    mask.raw.data = torch.arange(15.0).reshape(1, 3, 5)
    dense = mask(edgeless(6)).to_dense()
    assert dense[0, 0].tolist() == [7, 6, 5, 2, 1, 0]
    assert dense[0, 5].tolist() == [14, 13, 12, 9, 8, 7]


def test_distances_are_those_of_shortest_paths() -> None:
    mask = ToeplitzMask((3, 2, 2), shared="distance")
    assert mask.raw.shape == (1, 5)
    mask.raw.data = torch.arange(5.0).unsqueeze(0)
    graph = networkx.grid_graph((2, 2, 3))
    nodes = sorted(graph)
    length = dict(networkx.all_pairs_shortest_path_length(graph))
    expected = torch.tensor([[float(length[x][y]) for y in nodes] for x in nodes])
    assert_close(mask(edgeless(12)).to_dense()[0].log(), expected, check_dtype=False)


def test_initial_values_are_ones_and_the_class_token_attends_to_all() -> None:
    mask = ToeplitzMask((2, 2), heads=2, class_token=True)
    assert_close(mask(edgeless(5)).to_dense(), torch.ones(2, 5, 5), check_dtype=False)
    mask.raw.data.fill_(-100.0)
    dense = mask(edgeless(5)).to_dense()[0].round()
    assert dense[0].tolist() == dense[:, 0].tolist() == [1.0] * 5
    assert dense[1:, 1:].sum() == 0


@pytest.mark.parametrize("shape", [(50_000,), (173, 211), (31, 29, 37)], ids=str)
def test_a_large_grid_in_single_precision(
    shape: tuple[int, ...], generator: torch.Generator
) -> None:
    """Some rows of the product, on lengths with large prime factors."""
    mask = ToeplitzMask(shape).float()
    mask.raw.data.copy_(torch.rand(mask.raw.shape, generator=generator))
    topology = edgeless(mask.raw.new_empty(shape).numel())
    x = torch.rand(topology.num_nodes, generator=generator, dtype=torch.float32)
    operator = mask(topology)
    rows = torch.randint(topology.num_nodes, (5, 1), generator=generator)
    cols = torch.arange(topology.num_nodes).unsqueeze(0)
    expected = (operator._at(rows, cols)[0].double() * x).sum(1)
    assert_close((operator @ x)[0, rows.squeeze(1)].double(), expected, rtol=1e-5, atol=0)


def test_many_small_grids_in_slices(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    mask, topology = ToeplitzMask((2, 2)), edgeless(*[4] * 9)
    q, k, v = (torch.rand(36, 1, 3, generator=generator).requires_grad_() for _ in range(3))

    def gradients() -> tuple[torch.Tensor, ...]:
        loss = attention(q, k, v, mask(topology)).square().sum()
        return torch.autograd.grad(loss, (q, k, v, mask.raw))

    expected = gradients()
    monkeypatch.setattr("graphmask.operators.executions.BLOCK_MEMORY", 16 * 8 * 2)
    assert_close(gradients(), expected)
