"""PyG's cached datasets compare transforms by ``repr``: it must name what changes the result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

import graphmask as gm
from graphmask import transforms, walks

LAWS = walks.Geometric(0.3), walks.Poisson(2.0), walks.FixedLength(2), walks.UniformLength(3)

# Two values at least for each argument. Arguments that change no result have one.
VALUES: dict[str, tuple[Any, ...]] = {
    "attr_name": ("pe", "rw"),
    "attr": ("u", "x"),
    "bits": (4, 8),
    "cat": (True, False),
    "copies": (2, 3),
    "budget": (4, 5),
    "cosine": (False, True),
    "decay": (0.5, 0.7),
    "degree": (4, 6),
    "flow": ("source_to_target", "target_to_source"),
    "force_undirected": (False, True),
    "function": (None, torch.exp, torch.sqrt),
    "generator": (None, 1, 2),
    "hops": (2, 3),
    "k": (3, 4),
    "law": LAWS,
    "length": (2, 3),
    "length_law": LAWS,
    "limit": (None, 5.0),
    "longest": (3, 4),
    "loop": (False, True),
    "max_edges": (None, 1000),
    "max_num_neighbors": (None, 5, 6),
    "radius": (1, 2),
    "rate": (2.0, 3.0),
    "normalization": ("sym", "rw", None),
    "mean": (torch.zeros(2), torch.ones(2)),
    "names": (None, ["MolWt"], ["MolWt", "TPSA"]),
    "num_points": (4, 5),
    "num_times": (8, 16),
    "num_walks": (4, 8),
    "num_workers": (1,),
    "order": (transforms.CuthillMcKee(), transforms.Hilbert(), transforms.Hilbert(bits=3)),
    "p": (0.2, 0.4),
    "p_halt": (0.2, 0.4),
    "period": (None, 1.0, (1.0, 2.0)),
    "r": (0.5, 0.6),
    "ratio": (0.5, 0.6),
    "remove_faces": (False, True),
    "sampler": (walks.IIDWalks(4), walks.IIDWalks(5), walks.TruncatedWalks(0.1)),
    "scale": (1.0, 2.0),
    "scales": (3, 4),
    "scale_invariant": (False, True),
    "sets": (1, 2),
    "shift": (0.1, 0.2),
    "size": (8, 16),
    "skip_degenerate": (False, True),
    "start": (0, 1),
    "std": (torch.ones(2), torch.tensor([1.0, 2.0])),
    "tolerance": (0.1, 0.2),
    "transform": (
        transforms.KNNGraph(3),
        transforms.KNNGraph(4),
        Compose([transforms.UnitSphere()]),
    ),
    "walk_length": (4, 5),
    "weight": (None, transforms.EdgeLength(), transforms.Gaussian(1.0), transforms.Gaussian(2.0)),
    "width": (16, 32),
}

# Arguments of one class that another one means otherwise.
OWN: dict[type, dict[str, tuple[Any, ...]]] = {
    transforms.RandomAnisotropicScale: {"scales": ((0.5, 1.0), (0.5, 2.0))},
}

# Arguments that exclude each other, and those that a sampler of another normalisation excludes.
BASES: dict[type, list[dict[str, Any]]] = {
    transforms.AddWalkEncoding: [{"sampler": None}],
    transforms.FarthestPoints: [{"num_points": 4, "ratio": None}],
    walks.RepellingWalks: [{"p_halt": None}],
    walks.IIDWalks: [{"p_halt": None}],
}
VARIED: dict[type, set[str]] = {
    transforms.AddWalkEncoding: {"sampler"},
    transforms.FarthestPoints: {"ratio"},
    walks.RepellingWalks: {"p_halt"},
    walks.IIDWalks: {"p_halt"},
}


def is_public_setting(value: Any) -> bool:
    kinds = walks.WalkSampler, walks.LengthLaw, BaseTransform
    named = (transforms.Gaussian, transforms.EdgeLength, transforms.Cotangent, transforms.Hilbert)
    is_kind = isinstance(value, type) and (issubclass(value, kinds) or value in named)
    return is_kind and not inspect.isabstract(value)


CLASSES = [
    value
    for package in (walks, transforms)
    for value in vars(package).values()
    if is_public_setting(value)
]


def make(cls: type, arguments: dict[str, Any]) -> Any:
    if arguments.get("generator") is not None:
        seed = arguments["generator"]
        arguments = {**arguments, "generator": torch.Generator().manual_seed(seed)}
    return cls(**arguments)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_objects_of_different_settings_print_differently(cls: type) -> None:
    """A new argument without values here fails: it must be printed, or change no result."""
    names = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    choices = VALUES | OWN.get(cls, {})
    base = {name: choices[name][0] for name in names} | dict(*BASES.get(cls, [{}]))
    assert repr(make(cls, base)) == repr(make(cls, base))
    for name in set(names) - VARIED.get(cls, set()):
        texts = [repr(make(cls, {**base, name: value})) for value in choices[name]]
        assert len(set(texts)) == len(texts), (name, texts)


def test_settings_of_samplers_and_generators_reach_the_transform() -> None:
    samplers = [walks.ResampledWalks(4, 2), walks.ResampledWalks(4, 2, decay=0.1)]
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    makers: list[Callable[..., Any]] = [gm.transforms.AddWalks]
    texts = {repr(make(sampler, seed)) for make in makers for sampler in samplers for seed in seeds}
    assert len(texts) == 4
