from __future__ import annotations

import networkx as nx
import pytest
import torch

from graphmask.datasets._grids import grid_edges, grid_positions


@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 4), (3, 2, 4), (2, 2, 2, 3)])
def test_neighbours_on_each_axis_are_the_grid_of_networkx(shape: tuple[int, ...]) -> None:
    grid = nx.grid_graph(shape[::-1])
    ordered = sorted(grid.nodes)
    places = {place: number for number, place in enumerate(ordered)}
    expected = sorted((places[a], places[b]) for pair in grid.edges for a, b in (pair, pair[::-1]))
    assert grid_edges(shape).T.tolist() == [list(edge) for edge in expected]
    assert grid_positions(shape).tolist() == [
        list(map(float, place if len(shape) > 1 else [place])) for place in ordered
    ]


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 4)])
def test_diagonal_neighbours_are_those_at_distance_one_in_the_largest_coordinate(
    shape: tuple[int, ...],
) -> None:
    pos = grid_positions(shape)
    distance = torch.cdist(pos, pos, p=float("inf"))
    assert torch.equal(grid_edges(shape, diagonals=True), (distance == 1).nonzero().T)
