"""Masks whose nodes decide by features of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference, walks
from graphmask.testing import example_topologies
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, random_walks, scrambled, walks_reference
from .graphs import normal
from .series import COEFFICIENTS, walk_mask


def featured() -> dict[str, Topology]:
    """Some of the examples, with three features of each node."""
    graphs = example_topologies()
    return {
        name: graphs[name].with_features(normal(graphs[name].num_nodes, 3, seed=seed))
        for seed, name in enumerate(("empty", "multigraph", "weighted", "signed", "ragged"))
    }


def node_coefficients(alpha: masks.Coefficients, shift: Tensor, topology: Topology) -> Tensor:
    """``[N, H, K + 1]``, from parameters moved by a linear function of the features."""
    change = torch.einsum("nc,hsc->nhs", topology.x.double(), shift.double())
    ((name, theta),) = alpha.named_parameters()
    rows = theta.double().reshape(len(theta), -1) + change
    moved = {name: rows.reshape(change.shape[:2].numel(), *theta.shape[1:])}
    rows = COEFFICIENTS[type(alpha)](SimpleNamespace(**{**vars(alpha), **moved})).double()
    return rows.view(*change.shape[:2], rows.shape[1])


def _reference(mask: masks.AdaptiveWalkMask, topology: Topology) -> Tensor:
    S = walks_reference(topology, 0, mask.hops)
    S = reference.symmetric_part(S) if mask.symmetrize else S
    return reference.adaptive_walk_mask(
        S, node_coefficients(mask.coefficients, mask.shift, topology), mask.of_keys
    )


MASK_REFERENCES[masks.AdaptiveWalkMask] = _reference


def adaptive(alpha: Any = masks.NonNegative, **options: Any) -> masks.AdaptiveWalkMask:
    arguments = {"channels": 3, "hops": 2, "heads": 2, "sampler": random_walks(3)} | options
    return scrambled(masks.AdaptiveWalkMask(alpha=alpha, **arguments))


_CASES = {
    "adaptive": adaptive,
    "adaptive-signed": lambda: adaptive(masks.Free, heads=1),
    "adaptive-keys": lambda: adaptive(masks.Diffusion, of_keys=True),
    "adaptive-symmetrized": lambda: adaptive(masks.PageRank, symmetrize=True),
    "adaptive-shells": lambda: adaptive(sampler=walks.Shells(budget=4, hops=3)),
    "adaptive-sum": lambda: 0.3 * masks.GlobalMask() + adaptive(of_keys=True),
    "adaptive-hadamard": lambda: adaptive() * walk_mask(masks.Diffusion, hops=2),
    "adaptive-headwise": lambda: masks.HeadwiseMask([adaptive(heads=1), masks.GlobalMask()]),
}

MASKS = (
    *(Case(name, make, topologies=featured) for name, make in _CASES.items()),
    Case(
        "adaptive-iid",
        lambda: adaptive(sampler=walks.IIDWalks(num_walks=3, hops=2)),
        True,
        topologies=featured,
    ),
)


def _operator(topology: Topology, nonnegative: bool, of_keys: bool) -> operators.MaskOperator:
    alpha = normal(topology.num_nodes, 2, 3, seed=5)
    alpha = alpha.abs() if nonnegative else alpha
    nonnegative = nonnegative and topology.nonnegative
    adjacency = topology.adjacency()
    return operators.NodeSeriesOperator(topology, *adjacency, alpha, nonnegative, of_keys)


OPERATORS = (
    Case("node-series", lambda topology: _operator(topology, True, False)),
    Case("node-series-keys", lambda topology: _operator(topology, False, True)),
)
