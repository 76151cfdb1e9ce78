from __future__ import annotations

import pytest
import torch
from cases.grids import of_sizes
from counting import Written
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import ToeplitzMask
from graphmask.operators import Dense, Lifted, ToeplitzOperator

NONE = torch.empty(2, 0, dtype=torch.long)


def test_a_line_by_hand() -> None:
    mask = ToeplitzMask(3, signed=True)
    mask.raw.data = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    assert_close(
        mask(Topology(NONE, 3)).to_dense()[0],
        torch.tensor([[0.0, -1, -2], [1, 0, -1], [2, 1, 0]]),
        check_dtype=False,
    )


def test_a_plane_by_hand() -> None:
    """Offsets are row offsets, then column offsets, of the node that attends from the node that is attended to."""
    mask = ToeplitzMask((2, 3), signed=True)
    mask.raw.data = torch.arange(15.0).reshape(1, 3, 5)
    dense = mask(Topology(NONE, 6)).to_dense()
    assert dense[0, 0].tolist() == [7, 6, 5, 2, 1, 0]
    assert dense[0, 5].tolist() == [14, 13, 12, 9, 8, 7]


def test_distances_are_those_of_shortest_paths() -> None:
    networkx = pytest.importorskip("networkx")
    mask = ToeplitzMask((3, 2, 2), shared="distance")
    assert mask.raw.shape == (1, 5)
    mask.raw.data = torch.arange(5.0).unsqueeze(0)
    graph = networkx.grid_graph((2, 2, 3))
    nodes = sorted(graph)
    length = dict(networkx.all_pairs_shortest_path_length(graph))
    expected = torch.tensor([[float(length[x][y]) for y in nodes] for x in nodes])
    assert_close(mask(Topology(NONE, 12)).to_dense()[0].log(), expected, check_dtype=False)


def test_it_starts_at_ones_and_the_class_token_sees_all() -> None:
    mask = ToeplitzMask((2, 2), heads=2, class_token=True)
    assert_close(mask(Topology(NONE, 5)).to_dense(), torch.ones(2, 5, 5), check_dtype=False)
    mask.raw.data.fill_(-100.0)
    dense = mask(of_sizes(5)).to_dense()[0].round()
    assert dense[0].tolist() == dense[:, 0].tolist() == [1.0] * 5
    assert dense[1:, 1:].sum() == 0


@pytest.mark.parametrize("shape", [(50_000,), (173, 211), (31, 29, 37)], ids=str)
def test_a_large_grid_in_single_precision(
    shape: tuple[int, ...], generator: torch.Generator
) -> None:
    """Rows of the product against sums over rows of the definition, on lengths with large prime factors."""
    mask = ToeplitzMask(shape).float()
    mask.raw.data.copy_(torch.rand(mask.raw.shape, generator=generator))
    topology = Topology(NONE, mask.raw.new_empty(shape).numel())
    x = torch.rand(topology.num_nodes, generator=generator, dtype=torch.float32)
    operator = mask(topology)
    rows = torch.randint(topology.num_nodes, (5, 1), generator=generator)
    cols = torch.arange(topology.num_nodes).unsqueeze(0)
    expected = (operator._at(rows, cols)[0].double() * x).sum(1)
    assert_close((operator @ x)[0, rows.squeeze(1)].double(), expected, rtol=1e-5, atol=0)


def test_work_grows_as_the_nodes_do() -> None:
    written = []
    for side in (32, 64, 128):
        operator = ToeplitzMask((side, side))(Topology(NONE, side * side))
        with Written() as count:
            _ = operator @ torch.ones(side * side, 4)
        written.append(count.count)
    assert written[1] < 4.3 * written[0]
    assert written[2] < 4.3 * written[1]


@pytest.mark.parametrize("execution", [None, Lifted(), Dense()], ids=repr)
@pytest.mark.parametrize("class_token", [False, True])
def test_all_ways_to_sum(execution: object, class_token: bool, generator: torch.Generator) -> None:
    topology = of_sizes(*[6 + class_token] * 3)
    operator = ToeplitzOperator(
        topology, (2, 3), torch.rand(2, 3, 5, generator=generator), True, class_token
    )
    q, k, v = (torch.rand(2, topology.num_nodes, 4, generator=generator) for _ in range(3))
    score = operator.to_dense() * (q @ k.mT)
    assert_close(tuple(operator.attend(q, k, v, execution)), (score @ v, score.sum(-1)))


def test_many_small_grids_in_slices(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    mask, topology = ToeplitzMask((2, 2)), of_sizes(*[4] * 9)
    q, k, v = (torch.rand(36, 1, 3, generator=generator).requires_grad_() for _ in range(3))

    def slopes() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(
            attention(q, k, v, mask(topology)).square().sum(), (q, k, v, mask.raw)
        )

    expected = slopes()
    monkeypatch.setattr("graphmask.operators.executions.BLOCK_MEMORY", 16 * 8 * 2)
    assert_close(slopes(), expected)


def test_signed_values_serve_small_grids_only() -> None:
    q = torch.ones(9, 1, 1)
    mask = ToeplitzMask((3, 3), signed=True)
    mask.raw.data[0, 0] = -1
    assert attention(q, q, q, mask(Topology(NONE, 9))).shape == q.shape
    large, q = Topology(NONE, 150 * 150), torch.ones(150 * 150, 1, 1)
    with pytest.raises(ValueError, match=r"`mask` must be non-negative.*ToeplitzOperator"):
        attention(q, q, q, ToeplitzMask((150, 150), signed=True)(large))


REFUSED = [
    ({"shape": ()}, ValueError, "`shape` must be of 1 or 2 or 3 axes"),
    ({"shape": (2, 2, 2, 2)}, ValueError, "`shape` must be of 1 or 2 or 3 axes, got"),
    ({"shape": (2, 0)}, ValueError, "`shape` must be at least 1"),
    ({"shape": (2, 1.5)}, TypeError, "`shape` must be an integer"),
    ({"shape": "44"}, TypeError, "`shape` must be the lengths of the axes of a grid"),
    (
        {"shape": 3, "shared": "length"},
        ValueError,
        "`shared` must be 'distance' or None, got length",
    ),
]


@pytest.mark.parametrize(("options", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(options: dict, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        ToeplitzMask(**options)


@pytest.mark.parametrize("sizes", [(4,), (6, 4), (7, 7), ()])
def test_other_graphs_are_refused(sizes: tuple[int, ...]) -> None:
    topology = of_sizes(*sizes) if sizes else Topology(NONE, 0)
    for call in (ToeplitzMask((2, 3)), ToeplitzMask((2, 3)).prepare):
        with pytest.raises(
            ValueError,
            match=r"`topology` must be of graphs of 2 x 3 = 6 nodes each, as `shape` says, got graphs",
        ):
            call(topology)
    with pytest.raises(ValueError, match=r"2 x 3 \+ 1 = 7 nodes each"):
        ToeplitzMask((2, 3), class_token=True)(of_sizes(6))


def test_values_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`value` must be of shape \[H, 3, 5\], all offsets"):
        ToeplitzOperator(Topology(NONE, 6), (2, 3), torch.ones(1, 3, 3), nonnegative=True)


def test_what_it_prints() -> None:
    mask = ToeplitzMask((2, 3), heads=2, shared="distance", class_token=True)
    assert (
        str(mask)
        == "ToeplitzMask((2, 3), heads=2, shared='distance', class_token=True): O(N log N) per column"
    )
