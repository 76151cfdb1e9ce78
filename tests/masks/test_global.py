from __future__ import annotations

import torch
from torch.testing import assert_close

from graphmask import attention, reference
from graphmask.features import EluPlusOne
from graphmask.masks import GlobalMask
from graphmask.testing import example_topologies


def test_attention_under_it_is_linear_attention_of_each_graph(generator: torch.Generator) -> None:
    topology = example_topologies()["ragged"]
    q, k, v = (torch.randn(23, 2, 3, generator=generator) for _ in range(3))
    found = attention(q, k, v, GlobalMask()(topology), EluPlusOne())
    for graph in range(topology.num_graphs):
        own = topology.batch == graph
        phi_q, phi_k = reference.elu_plus_one(q[own]), reference.elu_plus_one(k[own])
        sums = torch.einsum("jhm,jhd->hmd", phi_k, v[own]), phi_k.sum(0)
        numerator, normaliser = (
            torch.einsum("ihm,hmd->ihd", phi_q, sums[0]),
            (phi_q * sums[1]).sum(-1, keepdim=True),
        )
        assert_close(found[own], numerator / normaliser)


def test_it_has_one_head_and_nothing_to_learn() -> None:
    mask = GlobalMask()
    assert (mask.heads, len(list(mask.parameters())), repr(mask)) == (1, 0, "GlobalMask()")
