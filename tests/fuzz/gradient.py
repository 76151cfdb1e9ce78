"""Gradients of attention are those of its definition, in float64."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import cases
import torch
from torch import Tensor

import graphmask as gm
from graphmask.testing import assert_gradients
from graphmask.testing._numbers import default_dtype
from graphmask.testing.graphs import replace

from . import definition, graphs
from .campaign import Draw, Refused
from .definition import assert_close
from .forward import feature_map, operator_of
from .masks import Masks

CASES = 5_000
_TOLERANCE = 1e-6


def case(seed: int) -> None:
    draw = Draw("gradient", seed)
    with default_dtype(torch.float64):
        family = Masks(draw)
        mask = family.mask(draw.choice([0, 0, 0, 1, 2, 3]))
        graph, operator, weight = _operator(draw, mask, family)
        form = draw.choice(cases.FEATURES)
        phi = deepcopy(feature_map(form.name, torch.float64))
        q, k = (draw.normal(graph.num_nodes, family.heads, 5).requires_grad_() for _ in range(2))
        v = draw.normal(graph.num_nodes, family.heads, draw.integer(1, 3)).requires_grad_()
        norm = definition.normalizer(draw, phi, family.heads)
        scores = phi.scores if norm.needs_denominator else phi.scores.unnormalized()
        ways = [way for way in cases.EXECUTIONS if way.refusal(operator, scores) is None]
        way = draw.choice([None, None, *ways])
        modules = mask, phi, norm
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        leaves = [q, k, v, *weight, *parameters]
        out = gm.attention(q, k, v, operator, phi, way, norm)
        direction = draw.normal(*out.shape)
        expected = _definition(mask, graph, operator, phi, norm, form, q, k, v)
        actual, exact = (
            torch.autograd.grad(
                (y * direction).sum(), leaves, retain_graph=True, materialize_grads=True
            )
            if y.requires_grad
            else [x.new_zeros(()) for x in leaves]
            for y in (out, expected)
        )
        names = ["q", "k", "v", *["edge_weight"] * len(weight), *["parameter"] * len(parameters)]
        for name, a, b in zip(names, actual, exact, strict=True):
            law = f"gradient of {name} by {way} with {form.name} and {norm}"
            allowed = _TOLERANCE * (1 + float(b.abs().max()) if b.numel() else 1)
            assert_close(a.flatten(), b.flatten(), allowed, law)
        if draw.chance(0.05) and out.numel():
            phi.requires_grad_(False)
            norm.requires_grad_(False)
            assert_gradients(
                lambda *x: gm.attention(*x, mask(graph), phi, way, norm), q, k, v, module=mask
            )


def _operator(
    draw: Draw, mask: Any, family: Masks
) -> tuple[gm.Topology, gm.operators.MaskOperator, list[Tensor]]:
    """Return a topology and its operator; its weights are a leaf where the mask allows it."""
    graph = graphs.topology(draw, family.kind, torch.float64, family.size)
    if graph.edge_weight is not None and draw.chance(0.6):
        # Both directions of an edge are one number: masks on undirected graphs are functions of
        # it. Where a weight is zero, normalisations have no derivative.
        weight = graph.edge_weight.where(graph.edge_weight != 0, 0.5)
        ends = graph.edge_index.sort(0).values.double()
        _, place = torch.unique(torch.stack([*ends, weight]), dim=1, return_inverse=True)
        leaf = weight.new_zeros(int(place.max()) + 1 if len(place) else 0)
        # No two degrees are equal by chance: their maximum would have no derivative.
        leaf = leaf.index_copy(0, place, weight) * (1 + 0.01 * draw.uniform(len(leaf)))
        leaf.requires_grad_()
        try:
            return *operator_of(mask, replace(graph, edge_weight=leaf[place])), [leaf]
        except ValueError as error:
            if "gradient" not in str(error):
                raise
    return *operator_of(mask, graph), []


def _definition(
    mask: Any,
    graph: gm.Topology,
    operator: Any,
    phi: Any,
    norm: Any,
    form: cases.Case,
    q: Tensor,
    k: Tensor,
    v: Tensor,
) -> Tensor:
    M = cases.mask_reference(mask, graph)
    a, b = form.reference(phi, q), (form.key_reference or form.reference)(phi, k)
    s = torch.einsum("ihm,jhm->hij", a, b)
    top = s.new_zeros(*s.shape[:2], 1)
    if isinstance(phi.scores, gm.features.SquaredProducts):
        s = s.clamp(min=0).square()
    if isinstance(phi.scores, gm.features.Exponentials):
        present = (M != 0).expand_as(s)
        top = (
            s.masked_fill(~present, -torch.inf).amax(-1, keepdim=True).detach()
            if s.numel()
            else top
        )
        top = top.where(top.isfinite(), 0.0)
        s = (s - top).where(present, 0.0).exp() * present
    signed = phi.scores.signed
    Z = (M if operator.sums_itself and not signed else M.abs()) * (s.abs() if signed else s)
    total, size = definition.denominator(norm, Z, top), Z.abs().sum(-1, keepdim=True)
    size = size.maximum(total.abs())
    tiny = operator.to_dense().sign() != M.sign()  # by rounding
    kinks = (s != 0) & (s.abs() < 1e-11)
    if ((total.abs() < 1e-3 * size) | (size.abs() < 1e-6) & (size != 0)).any() or (
        tiny | kinks
    ).any():
        raise Refused("ill-conditioned: no comparison of derivatives")
    out = (M * s) @ v.transpose(0, 1) / total.where(total != 0, 1.0)
    out = out.where(total != 0, 0.0).transpose(0, 1)
    return out * definition.degree_scale(norm, operator.topology)
