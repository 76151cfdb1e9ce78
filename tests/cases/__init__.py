"""Everything public as data: what the laws of test_laws.py run on.

A new mask is one reference and one case here.

Letters: N nodes, H heads, K hops, d channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import graphmask as gm
from graphmask.testing import example_topologies

from . import (
    adaptive,
    degree,
    diffusion,
    edges,
    grids,
    operators,
    paths,
    points,
    random_walk_kernel,
    ripple,
    series,
    trees,
)
from .base import MASK_REFERENCES as MASK_REFERENCES
from .base import TOPOLOGIES as TOPOLOGIES
from .base import Case as Case
from .base import adjacency_reference as adjacency_reference
from .base import mask_reference as mask_reference
from .base import random_walks as random_walks
from .base import scrambled as scrambled
from .base import seeded as seeded
from .features import FEATURES as FEATURES
from .features import SCORES as SCORES
from .layers import LAYERS as LAYERS
from .layers import MIXINS as MIXINS
from .layers import PARTS as PARTS
from .operators import EXECUTIONS as EXECUTIONS
from .samplers import SAMPLERS as SAMPLERS
from .series import coefficients_reference as coefficients_reference
from .transforms import DATASETS as DATASETS
from .transforms import FUNCTIONS as FUNCTIONS
from .transforms import TRANSFORMS as TRANSFORMS
from .values import VALUES as VALUES
from .values import ValueCase as ValueCase
from .values import placed as placed
from .values import with_positions as with_positions

# One module per family of masks.
_FAMILIES = (
    series, adaptive, degree, diffusion, edges, grids, paths, points, random_walk_kernel, ripple,
    trees,
)  # fmt: skip

MASKS = tuple(case for family in _FAMILIES for case in family.MASKS)
OPERATORS = tuple(
    case for module in (operators, *_FAMILIES) for case in getattr(module, "OPERATORS", ())
)


def registered() -> Iterator[Any]:
    """An instance of everything registered, and what has no instances here."""
    for case in (*MASKS, *SAMPLERS, *FEATURES, *LAYERS, *TRANSFORMS):
        yield seeded(case.make)
    for case in OPERATORS:
        topology = next(graph for graph in case.topologies().values() if graph.num_nodes > 1)
        operator = case.make(topology)
        x = torch.ones(max(operator.heads, 2), topology.num_nodes, 1)
        yield from (operator, operator.entries(), gm.operators.attend(operator, x, x, x))
    for value_case in VALUES:
        value_map, topology = seeded(value_case.make), placed()["pair"]
        encoded = value_map(torch.ones(2, 2, 4), topology)
        yield from (value_map, encoded, encoded.decode(encoded.values))
    yield from (*EXECUTIONS, *map(seeded, PARTS), *MIXINS)
    yield from (*SCORES, gm.masks.symmetrize, gm.nn.to_masked, gm.nn.hop_coefficients)
    yield from (gm.nn.learned_alphas, gm.nn.parameter_groups, gm.operators.attend)
    yield random_walks(1)(example_topologies()["ring"])
    yield from DATASETS
    yield from (getattr(gm.transforms, case.name) for case in FUNCTIONS)
    yield gm.transforms.NodePartition  # a dataset of parts: tests/transforms opens it
