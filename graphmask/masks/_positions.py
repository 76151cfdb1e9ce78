"""Dense matrices of pairs of positions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._positions import centred_positions
from graphmask.operators import SparseOperator
from graphmask.operators._grids import pairs_within_graphs
from graphmask.operators.base import check_dense
from graphmask.topology import Topology


def offsets(topology: Topology, dim: int, dtype: torch.dtype) -> Tensor:
    """``[N, N, D]``, the offsets between all nodes.

    Raises:
        ValueError: as :func:`centred_positions`, and for more than 2^31 numbers.
    """
    check_dense(topology.num_nodes, topology.num_nodes, dim)
    pos = centred_positions(topology, dim, dtype)
    return pos.unsqueeze(1) - pos.unsqueeze(0)


def from_dense(topology: Topology, dense: Tensor) -> SparseOperator:
    """The blocks of a non-negative matrix ``[H, N, N]`` on the graphs, as an operator."""
    pattern = topology.derive(pairs_within_graphs)
    value = dense[:, pattern.row.long(), pattern.col.long()]
    return SparseOperator(topology, pattern, value, nonnegative=True)
