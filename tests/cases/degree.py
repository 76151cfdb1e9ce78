"""Masks that know degrees."""

from __future__ import annotations

import torch

from graphmask import masks, reference
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, adjacency_reference, scrambled


def _reference(mask: masks.DegreeMask, topology: Topology) -> torch.Tensor:
    batch = torch.zeros(topology.num_nodes) if topology.batch is None else topology.batch
    return reference.degree_mask(
        adjacency_reference(topology, None), batch, mask.log_power.double().exp()
    )


MASK_REFERENCES[masks.DegreeMask] = _reference

MASKS = (
    Case("degree", lambda: scrambled(masks.DegreeMask(2)), differentiable=True),
    Case("degree-shared", masks.DegreeMask, differentiable=True),
)
