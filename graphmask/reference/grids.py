"""Masks on sequences, grids, hypercubes and products of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


def causal_mask(num_nodes: int, gamma: Tensor, batch: Tensor | None = None) -> Tensor:
    """M_ij = gamma_h^(number of nodes of the same graph from j up to i, i left out) for j <= i in one graph, else 0: [H, N, N].

    >>> causal_mask(3, torch.tensor([0.5]), torch.tensor([0, 1, 0])).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]]]
    """
    graph = [0] * num_nodes if batch is None else batch.tolist()
    steps = torch.zeros(num_nodes, num_nodes, dtype=torch.long)
    present = torch.zeros(num_nodes, num_nodes, dtype=torch.double)
    for i, j in np.ndindex(num_nodes, num_nodes):
        if j <= i and graph[i] == graph[j]:
            present[i, j] = 1
            steps[i, j] = sum(graph[k] == graph[i] for k in range(j, i))
    return present * gamma.double()[:, None, None] ** steps


def blocks_of(block: Tensor, batch: Tensor) -> Tensor:
    """The same block [H, P, P] for each graph, its nodes in the order in which they are listed.

    [H, N, N].

    >>> blocks_of(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([0, 1, 1, 0]))[0].tolist()
    [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0], [0.0, 3.0, 4.0, 0.0], [3.0, 0.0, 0.0, 4.0]]
    """
    graph = batch.tolist()
    rank = [graph[:i].count(graph[i]) for i in range(len(graph))]
    return block.double()[:, rank][:, :, rank] * (batch[:, None] == batch[None, :])


def toeplitz_mask(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_ij = value[h, x_i - x_j + n - 1] on a grid of lengths n, nodes in row-major order.

    [H, P, P].

    >>> toeplitz_mask(torch.tensor([[1.0, 2.0, 3.0]]), (2,)).tolist()
    [[[2.0, 1.0], [3.0, 2.0]]]
    """
    places = list(np.ndindex(*shape))
    middle = torch.tensor(shape) - 1
    rows = []
    for x in places:
        offsets = [torch.tensor(x) - torch.tensor(y) + middle for y in places]
        rows.append(torch.stack([value[(slice(None), *offset)] for offset in offsets], -1))
    return torch.stack(rows, 1).double()


def grid_distance_mask(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_ij = value[h, |x_i - x_j|_1], the length of a shortest path on the grid: [H, P, P].

    >>> grid_distance_mask(torch.tensor([[1.0, 2.0, 3.0]]), (2, 2))[0, 0].tolist()
    [1.0, 2.0, 2.0, 3.0]
    """
    places = list(np.ndindex(*shape))
    distance = [
        [sum(abs(a - b) for a, b in zip(x, y, strict=True)) for y in places] for x in places
    ]
    return value.double()[:, torch.tensor(distance)]


def with_class_token(block: Tensor) -> Tensor:
    """A first node more, whose row and column are ones: [H, P + 1, P + 1].

    >>> with_class_token(torch.tensor([[[5.0]]])).tolist()
    [[[1.0, 1.0], [1.0, 5.0]]]
    """
    heads, size, _ = block.shape
    column = torch.ones(heads, size, 1, dtype=torch.double)
    row = torch.ones(heads, 1, size + 1, dtype=torch.double)
    return torch.cat([row, torch.cat([column, block.double()], 2)], 1)


def grid_laplacian(shape: tuple[int, ...], axis: int) -> Tensor:
    """D - A of the edges along one axis of a grid, nodes in row-major order.

    The sum over axes is the grid's: [P, P].

    >>> grid_laplacian((3,), axis=0).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    places = list(np.ndindex(*shape))
    A = torch.zeros(len(places), len(places), dtype=torch.double)
    for i, x in enumerate(places):
        if x[axis] + 1 < shape[axis]:
            j = places.index((*x[:axis], x[axis] + 1, *x[axis + 1 :]))
            A[i, j] = A[j, i] = 1
    return torch.diag(A.sum(1)) - A


def grid_diffusion_mask(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_h = exp(-sum_a t[h, a] L_a) for the Laplacians of the edges along each axis a: [H, P, P].

    >>> [round(x, 4) for x in grid_diffusion_mask(torch.tensor([[0.5]]), (2,))[0, 0].tolist()]
    [0.6839, 0.3161]
    """
    L = torch.stack([grid_laplacian(shape, axis) for axis in range(len(shape))])
    return torch.matrix_exp(-torch.einsum("ha,aij->hij", t.double(), L))


def hypercube_mask(t: Tensor, dimensions: int) -> Tensor:
    """M_h = exp(-t_h L), L the Laplacian of all words of n bits, joined where they differ in one.

    [H, P, P].

    >>> [round(x, 4) for x in hypercube_mask(torch.tensor([0.5]), 1)[0, 0].tolist()]
    [0.6839, 0.3161]
    """
    size = 2**dimensions
    A = torch.tensor(
        [[float((i ^ j).bit_count() == 1) for j in range(size)] for i in range(size)],
        dtype=torch.double,
    )
    return torch.matrix_exp(-t.double()[:, None, None] * (torch.diag(A.sum(1)) - A))


def kronecker_mask(A: Tensor, B: Tensor) -> Tensor:
    """M_ij = A[i_a, j_a] B[i_b, j_b] for i = i_a N_b + i_b: [H, P, P].

    >>> kronecker_mask(torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]), torch.tensor([[[1.0, 3.0], [3.0, 1.0]]]))[0, 0].tolist()
    [1.0, 3.0, 2.0, 6.0]
    """
    product = torch.einsum("hij,hkl->hikjl", A.double(), B.double())
    return product.flatten(3, 4).flatten(1, 2)
