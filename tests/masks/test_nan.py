"""NaN and infinity stay in their graph: those of a batch do not see each other."""

from __future__ import annotations

import cases
import pytest
import torch
from cases.graphs import normal
from torch.testing import assert_close

from graphmask import attention

BATCHES = {
    case: next(graph for graph in case.topologies().values() if graph.num_graphs > 1)
    for case in cases.MASKS
    if any(graph.num_graphs > 1 for graph in case.topologies().values())
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=str)
@pytest.mark.parametrize("case", BATCHES, ids=str)
def test_graphs_do_not_see_the_values_of_others(case: cases.Case, value: float) -> None:
    mask, graph = cases.seeded(case.make), BATCHES[case]
    operator = mask(mask.prepare(graph))
    other = graph.batch != graph.batch[0]
    clean = normal(graph.num_nodes, operator.heads, 2).abs()
    broken = clean.clone()
    broken[0] = value

    def attend(x: torch.Tensor) -> torch.Tensor:
        return attention(x, x, x, operator)

    def multiply(x: torch.Tensor) -> torch.Tensor:
        return (operator @ x.transpose(0, 1)).transpose(0, 1)

    for function in (multiply, attend):
        results = []
        for x in (broken, clean):
            x = x.clone().requires_grad_()
            out = function(x)[other]
            results.append((out, torch.autograd.grad(out.sum(), x)[0][other]))
        assert_close(*results)
        assert not function(broken)[~other].isfinite().all()
