"""Operators."""

from __future__ import annotations

import torch

from graphmask import operators
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from .base import Case
from .graphs import generator


def sparse(
    topology: Topology, heads: int = 2, nonnegative: bool = False, estimate: bool = False
) -> operators.SparseOperator:
    """Every third pair of nodes, within graphs."""
    n, index = topology.num_nodes, torch.arange(topology.num_nodes**2)[::3]
    row, col = index // max(n, 1), index % max(n, 1)
    if topology.batch is not None:
        inside = topology.batch[row] == topology.batch[col]
        row, col = row[inside], col[inside]
    pattern = Pattern.from_coo(row, col, (n, n))
    value = torch.randn(heads, pattern.nnz, generator=generator(2))
    value = value.abs() if nonnegative else value
    return operators.SparseOperator(topology, pattern, value, nonnegative, estimate)


def _polynomial(
    topology: Topology, order: int, nonnegative: bool = False
) -> operators.PowerSeriesOperator:
    alpha = torch.randn(2, order + 1, generator=generator(3))
    nonnegative = nonnegative and topology.nonnegative
    return operators.PowerSeriesOperator(
        topology, *topology.adjacency("rw"), alpha.abs() if nonnegative else alpha, nonnegative
    )


OPERATORS = (
    Case("global", operators.GlobalOperator),
    Case("sparse", sparse),
    Case("sparse-positive", lambda t: sparse(t, 1, nonnegative=True)),
    Case("sparse-estimate", lambda t: sparse(t, estimate=True)),
    Case("power-series-1", lambda t: _polynomial(t, 1)),
    Case("power-series-positive", lambda t: _polynomial(t, 3, nonnegative=True)),
    Case(
        "product", lambda t: operators.ProductOperator(sparse(t), _polynomial(t, 2), sparse(t).mT)
    ),
    Case("scaled", lambda t: -0.25 * sparse(t)),
    Case("scaled-per-head", lambda t: torch.tensor([0.5, -2.0]) * operators.GlobalOperator(t)),
    Case("sum-sparse", lambda t: sparse(t) + sparse(t, 1, nonnegative=True) + _polynomial(t, 1)),
    Case("sum-signed", lambda t: operators.GlobalOperator(t) + sparse(t)),
    Case("sum-nested", lambda t: 0.5 * (operators.GlobalOperator(t) + sparse(t)) + sparse(t, 1)),
    Case(
        "headwise",
        lambda t: operators.HeadwiseOperator(sparse(t, 1), operators.GlobalOperator(t)),
    ),
    Case(
        "headwise-sparse",
        lambda t: operators.HeadwiseOperator(sparse(t), sparse(t, 1, nonnegative=True).mT),
    ),
    Case("sum-wide", lambda t: operators.GlobalOperator(t) + _polynomial(t, 2, nonnegative=True)),
)

EXECUTIONS = (operators.Pairs(), operators.Lifted(), operators.Lifted(memory=1), operators.Dense())
