"""Operators."""

from __future__ import annotations

import torch

from graphmask import operators
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from .base import Case


def _sparse(
    topology: Topology, heads: int = 2, nonnegative: bool = False
) -> operators.SparseOperator:
    position = torch.arange(topology.num_nodes**2)[::3]
    pattern = Pattern.from_coo(
        position // topology.num_nodes,
        position % topology.num_nodes,
        (topology.num_nodes, topology.num_nodes),
    )
    if topology.batch is not None:
        row, col = pattern.row.long(), pattern.col.long()
        inside = topology.batch[row] == topology.batch[col]
        pattern = Pattern.from_coo(row[inside], col[inside], pattern.shape)
    value = torch.randn(heads, pattern.nnz, generator=torch.Generator().manual_seed(2))
    return operators.SparseOperator(
        topology, pattern, value.abs() if nonnegative else value, nonnegative
    )


def _polynomial(
    topology: Topology, order: int, nonnegative: bool = False
) -> operators.PowerSeriesOperator:
    alpha = torch.randn(2, order + 1, generator=torch.Generator().manual_seed(3))
    known = nonnegative and topology.nonnegative
    return operators.PowerSeriesOperator(
        topology, *topology.adjacency("rw"), alpha.abs() if known else alpha, known
    )


OPERATORS = (
    Case("global", operators.GlobalOperator),
    Case("sparse", _sparse),
    Case("sparse-positive", lambda t: _sparse(t, 1, nonnegative=True)),
    Case("power-series-1", lambda t: _polynomial(t, 1)),
    Case("power-series-positive", lambda t: _polynomial(t, 3, nonnegative=True)),
    Case(
        "product", lambda t: operators.ProductOperator(_sparse(t), _polynomial(t, 2), _sparse(t).mT)
    ),
    Case("scaled", lambda t: -0.25 * _sparse(t)),
    Case("scaled-per-head", lambda t: torch.tensor([0.5, -2.0]) * operators.GlobalOperator(t)),
    Case("sum-sparse", lambda t: _sparse(t) + _sparse(t, 1, nonnegative=True) + _polynomial(t, 1)),
    Case("sum-signed", lambda t: operators.GlobalOperator(t) + _sparse(t)),
    Case("sum-nested", lambda t: 0.5 * (operators.GlobalOperator(t) + _sparse(t)) + _sparse(t, 1)),
    Case("sum-wide", lambda t: operators.GlobalOperator(t) + _polynomial(t, 2, nonnegative=True)),
)

EXECUTIONS = (operators.Pairs(), operators.Lifted(), operators.Lifted(memory=1), operators.Dense())
