"""Identity of a weighted graph: numbers that tell whether edges or weights are those of before.

Whatever is stored on a ``Data`` beside the graph that it depends on is stored with the identity of
that graph, ``[N, 2]``: for each node its number then, and a hash of the edges at both its ends. It
is a node-level attribute, so that PyG batches, selects and permutes it with the nodes. It does not
depend on the order of edges, on the names of nodes, or on other graphs of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import DeferredChecks, is_integral, value_error
from ._random import mix, stream


def identify(edge_index: Tensor, edge_weight: Tensor | None, number: Tensor) -> Tensor:
    """``[N, 2]``, the identity of a graph whose nodes have these numbers. O(N + E)."""
    return torch.stack([number, _hash_edges(edge_index, edge_weight, number)], 1)


def check_identity(
    name: str,
    identity: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor | None,
    num_nodes: int,
    remedy: str,
    checks: DeferredChecks,
) -> None:
    """Check, with other deferred values, that a graph is the one that was identified.

    Args:
        name: of what was stored.
        identity: ``[N, 2]`` at least.
        edge_index: ``[2, E]``; ids out of range raise an error of their own.
        edge_weight: ``[E]`` or :obj:`None`.
        num_nodes: N.
        remedy: ends the error.
        checks: collects the check.

    Raises:
        ValueError: at once for another number of nodes, when the checks run for other edges.
    """
    expected = "of this graph, with the edges and weights that it has now"
    if not is_integral(identity) or identity.dim() != 2 or identity.shape[1] < 2:
        raise value_error(name, "stored with the identity of its graph", identity)
    if identity.dtype != torch.int64:
        kept = "stored with the identity of its graph in int64, as it was written"
        raise value_error(name, kept, f"{identity.dtype}: {remedy}")
    if len(identity) != num_nodes:
        got = f"that of a graph of {len(identity)} nodes, for {num_nodes}"
        raise value_error(name, expected, f"{got}: {remedy}")
    number, stored = identity[:, 0], identity[:, 1]
    differs = _hash_edges(edge_index, edge_weight, number) != stored

    def check(count: int) -> None:
        if count:
            got = f"that of a graph with other ones at {count} of {num_nodes} nodes"
            raise value_error(name, expected, f"{got}: {remedy}")

    checks.add(check, differs.sum())


def _hash_edges(edge_index: Tensor, edge_weight: Tensor | None, number: Tensor) -> Tensor:
    """``[N]``, for each node the sum modulo 2^64 of hashes (source, target, weight) of its edges.

    Each edge counts at its target and, by another hash, at its source: degrees of both kinds
    normalise weights.

    Sums of 64 well mixed bits coincide by chance once in 2^64 times; without an order of edges, any
    order gives the same sum, and so does any partition into graphs.
    """
    total = torch.zeros_like(number)
    if not len(number):
        return total
    source, target = edge_index.clamp(0, len(number) - 1)
    edge = stream(1, number)[source] + stream(2, number)[target]
    weight = 1.0 if edge_weight is None else edge_weight.detach()
    edge = mix(edge + bits(torch.as_tensor(weight, device=number.device)))
    return total.index_add(0, target, edge).index_add(0, source, mix(edge))


def bits(weight: Tensor) -> Tensor:
    """Integers for numbers, equal where these are equal in float32."""
    single = weight.float() + 0.0  # of both zeros one
    bits = single.view(torch.int32).long()
    if weight.dtype == torch.float64:
        is_beyond = single.isinf() | ((single == 0) & (weight != 0))
        bits = torch.where(is_beyond, weight.view(torch.int64), bits)
    return bits
