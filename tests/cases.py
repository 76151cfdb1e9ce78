"""Everything public as data: what the laws of test_laws.py run on. A new mask is one reference and one case here.

Letters: N nodes, H heads, K hops, d channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv, MeanAggregation, SAGEConv, global_add_pool

from graphmask import datasets, features, masks, nn, operators, reference, transforms, walks
from graphmask.kernels import Pattern
from graphmask.masks import TopologicalMask
from graphmask.testing import example_topologies
from graphmask.topology import Topology

TOPOLOGIES = tuple(example_topologies())


@dataclass(frozen=True)
class Case:
    """A public thing: its name, how to make it, and what its laws need to know of it."""

    name: str
    make: Callable[..., Any]
    differentiable: bool = False  # in edge_weight
    channels: int = 4
    per_graph: bool = False
    data: Callable[[], Data] | None = None
    reference: Callable[[Tensor], Tensor] | None = None

    def __str__(self) -> str:
        return self.name


def scrambled(module: torch.nn.Module) -> Any:
    """The module with other parameters in every head, of both signs, drawn without the global random state."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.7)
    return module


def seeded(make: Callable[[], Any]) -> Any:
    """What ``make`` makes from a fixed global random state, which is then put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


# Coefficients [H, K + 1] as formulas of their parameters.
COEFFICIENTS: dict[type, Callable[[Any], Tensor]] = {
    masks.Free: lambda c: c.value,
    masks.NonNegative: lambda c: (1 + c.raw.double().exp()).log(),
    masks.Diffusion: lambda c: reference.diffusion(c.log_scale.double().exp(), c.hops),
    masks.RegularizedLaplacian: lambda c: reference.regularized_laplacian(c.log_scale.double().exp(), c.hops, c.power),
    masks.Cosine: lambda c: reference.cosine(c.log_scale.double().exp(), c.hops),
    masks.PageRank: lambda c: reference.pagerank(1 / (1 + (-c.logit.double()).exp()), c.hops),
    masks.PStepWalk: lambda c: reference.p_step_walk(1 / (1 + (-c.logit.double()).exp()), c.hops, c.steps),
    masks.Deconvolution: lambda c: reference.deconvolution(coefficients_reference(c.alpha), c.factors),
}


def coefficients_reference(coefficients: masks.Coefficients) -> Tensor:
    return COEFFICIENTS[type(coefficients)](coefficients).double()


def adjacency_reference(topology: Topology, normalization: Any) -> Tensor:
    return reference.adjacency(topology.edge_index, topology.num_nodes, topology.edge_weight, normalization)


def walks_reference(topology: Topology, number: int, hops: int) -> Tensor:
    drawn = topology.walk_sets[number]
    parts = (drawn.row.long(), drawn.col.long(), drawn.hop.long(), drawn.weight)
    return reference.walk_matrices(*parts, drawn.num_nodes, drawn.num_hops)[: hops + 1]


def _series(mask: masks.PowerSeriesMask, topology: Topology) -> Tensor:
    return reference.power_series(adjacency_reference(topology, mask.normalization), coefficients_reference(mask.alpha))


def _walk(mask: masks.WalkMask, topology: Topology) -> Tensor:
    S = walks_reference(topology, 0, mask.hops)
    return reference.walk_mask(reference.symmetric_part(S) if mask.symmetrize else S, coefficients_reference(mask.alpha))


def _grf(mask: masks.GRFMask, topology: Topology) -> Tensor:
    factors = [walks_reference(topology, number, mask.hops) for number in (0, 0 if mask.shared_walks else 1)]
    return reference.grf_mask(*factors, coefficients_reference(mask.f))


def _stitched(mask: masks.StitchedMask, topology: Topology) -> Tensor:
    factors = [walks_reference(topology, number, mask.hops) for number in range(2 * mask.degree)]
    return reference.stitched_mask(factors, coefficients_reference(mask.f))


# Masks [H, N, N] as dense formulas of their parameters and a topology with walks.
MASK_REFERENCES: dict[type, Callable[[Any, Topology], Tensor]] = {
    masks.GlobalMask: lambda mask, topology: reference.global_mask(topology.num_nodes, topology.batch),
    masks.PowerSeriesMask: _series,
    masks.WalkMask: _walk,
    masks.GRFMask: _grf,
    masks.StitchedMask: _stitched,
    masks.SumMask: lambda mask, topology: sum(mask_reference(each, topology) for each in mask.masks),
    masks.ScaledMask: lambda mask, topology: (
        torch.as_tensor(mask.scale, dtype=torch.float64).reshape(-1, 1, 1) * mask_reference(mask.mask, topology)
    ),
}


def mask_reference(mask: TopologicalMask, topology: Topology) -> Tensor:
    return MASK_REFERENCES[type(mask)](mask, topology)


def random_walks(hops: int, **options: Any) -> walks.ResampledWalks:
    """A budget so small that nearly every row is thinned at random."""
    return walks.ResampledWalks(budget=2, hops=hops, width=4, **options)


def _walk_mask(alpha: Any = masks.Free, heads: int = 2, hops: int = 3, **options: Any) -> masks.WalkMask:
    return scrambled(masks.WalkMask(hops, heads, alpha, sampler=random_walks(hops, **options), seed=3))


def _symmetrized(alpha: Any = masks.Free) -> masks.WalkMask:
    return scrambled(masks.WalkMask(3, 2, alpha, sampler=random_walks(3), symmetrize=True))


def _stitched_mask(**coefficients: Any) -> masks.StitchedMask:
    return scrambled(masks.StitchedMask(2, 2, 2, **coefficients, sampler=random_walks(2)))


def _power_series(order: int, alpha: Any = masks.NonNegative, **options: Any) -> masks.PowerSeriesMask:
    return scrambled(masks.PowerSeriesMask(order, 2, alpha, **options))


def _parameter(*values: float) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))


MASKS = (
    Case("global", masks.GlobalMask),
    Case("power-series-0", lambda: _power_series(0, masks.Free), differentiable=True),
    Case("power-series-1", lambda: _power_series(1, masks.Free, normalization="rw"), differentiable=True),
    Case("power-series", lambda: _power_series(3), differentiable=True),
    Case("power-series-signed", lambda: _power_series(2, masks.Free, normalization=None), differentiable=True),
    Case("power-series-diffusion", lambda: _power_series(3, masks.Diffusion), differentiable=True),
    Case("walk-free", _walk_mask),
    Case("walk-shared", lambda: _walk_mask(heads=1)),
    Case("walk-non-negative", lambda: _walk_mask(masks.NonNegative, normalization="rw")),
    Case("walk-diffusion", lambda: _walk_mask(masks.Diffusion)),
    Case("walk-laplacian", lambda: _walk_mask(partial(masks.RegularizedLaplacian, scale=2.0))),
    Case("walk-pagerank", lambda: _walk_mask(masks.PageRank)),
    Case("walk-symmetrized", _symmetrized),
    Case("walk-symmetrized-p-step", lambda: _symmetrized(partial(masks.PStepWalk, steps=2))),
    Case("walk-iid", lambda: scrambled(masks.WalkMask(2, 2, sampler=walks.IIDWalks(n_walks=3, hops=3))), differentiable=True),
    Case("grf", lambda: scrambled(masks.GRFMask(2, 2, sampler=random_walks(2)))),
    Case("grf-signed", lambda: scrambled(masks.GRFMask(2, 2, masks.Free, sampler=random_walks(3)))),
    Case("grf-shared-walks", lambda: scrambled(masks.GRFMask(2, shared_walks=True, sampler=random_walks(2)))),
    Case("grf-kernel", lambda: scrambled(masks.GRFMask(3, 2, alpha=masks.Diffusion, sampler=random_walks(3)))),
    Case("grf-kernel-signed", lambda: scrambled(masks.GRFMask(2, 2, alpha=masks.Cosine, sampler=random_walks(2)))),
    Case("stitched", _stitched_mask),
    Case("stitched-kernel", lambda: _stitched_mask(alpha=partial(masks.RegularizedLaplacian, power=2))),
    Case("scaled", lambda: 0.3 * _walk_mask()),
    Case("scaled-per-head", lambda: _parameter(0.5, -0.2) * masks.GlobalMask()),
    Case("sum-positive", lambda: 0.5 * masks.GlobalMask() + _walk_mask(masks.Diffusion)),
    Case("sum-signed", lambda: 0.3 * masks.GlobalMask() + _walk_mask()),
    Case("sum-negative", lambda: -0.3 * masks.GlobalMask() + _walk_mask()),
    Case("sum-learned", lambda: _parameter(0.2, -0.4) * masks.GlobalMask() + _walk_mask() + _walk_mask(masks.PageRank)),
    Case("sum-sparse", lambda: _walk_mask() + 2 * _walk_mask(masks.Diffusion, heads=1)),
    Case("sum-wide", lambda: masks.GlobalMask() + _power_series(2), differentiable=True),
    Case("sum-of-walks", lambda: scrambled(masks.GRFMask(1, 2, sampler=random_walks(1))) + _walk_mask(hops=2)),
    Case("sum-of-all-walks", lambda: _symmetrized() + _stitched_mask()),
)


def _sparse(topology: Topology, heads: int = 2, nonnegative: bool = False) -> operators.SparseOperator:
    position = torch.arange(topology.num_nodes**2)[::3]
    pattern = Pattern.from_coo(
        position // topology.num_nodes, position % topology.num_nodes, (topology.num_nodes, topology.num_nodes)
    )
    if topology.batch is not None:
        row, col = pattern.row.long(), pattern.col.long()
        inside = topology.batch[row] == topology.batch[col]
        pattern = Pattern.from_coo(row[inside], col[inside], pattern.shape)
    value = torch.randn(heads, pattern.nnz, generator=torch.Generator().manual_seed(2))
    return operators.SparseOperator(topology, pattern, value.abs() if nonnegative else value, nonnegative)


def _polynomial(topology: Topology, order: int, nonnegative: bool = False) -> operators.PowerSeriesOperator:
    alpha = torch.randn(2, order + 1, generator=torch.Generator().manual_seed(3))
    known = nonnegative and topology.nonnegative
    return operators.PowerSeriesOperator(topology, *topology.adjacency("rw"), alpha.abs() if known else alpha, known)


OPERATORS = (
    Case("global", operators.GlobalOperator),
    Case("sparse", _sparse),
    Case("sparse-positive", lambda t: _sparse(t, 1, nonnegative=True)),
    Case("power-series-1", lambda t: _polynomial(t, 1)),
    Case("power-series-positive", lambda t: _polynomial(t, 3, nonnegative=True)),
    Case("product", lambda t: operators.ProductOperator(_sparse(t), _polynomial(t, 2), _sparse(t).mT)),
    Case("scaled", lambda t: -0.25 * _sparse(t)),
    Case("scaled-per-head", lambda t: torch.tensor([0.5, -2.0]) * operators.GlobalOperator(t)),
    Case("sum-sparse", lambda t: _sparse(t) + _sparse(t, 1, nonnegative=True) + _polynomial(t, 1)),
    Case("sum-signed", lambda t: operators.GlobalOperator(t) + _sparse(t)),
    Case("sum-nested", lambda t: 0.5 * (operators.GlobalOperator(t) + _sparse(t)) + _sparse(t, 1)),
    Case("sum-wide", lambda t: operators.GlobalOperator(t) + _polynomial(t, 2, nonnegative=True)),
)

EXECUTIONS = (operators.Pairs(), operators.Lifted(), operators.Lifted(memory=1), operators.Dense())

SAMPLERS = (
    Case("iid", lambda: walks.IIDWalks(n_walks=6, p_halt=0.2, hops=3)),
    Case("iid-never-halting", lambda: walks.IIDWalks(n_walks=4, p_halt=0.0, hops=2, normalization="rw")),
    Case("iid-poisson", lambda: walks.IIDWalks(n_walks=6, hops=3, length_law=walks.Poisson(2.0))),
    Case("iid-uniform", lambda: walks.IIDWalks(n_walks=6, hops=3, normalization=None, length_law=walks.UniformLength(5))),
    Case("antithetic", lambda: walks.AntitheticWalks(n_walks=6, p_halt=0.3, hops=3)),
    Case("antithetic-odd", lambda: walks.AntitheticWalks(n_walks=5, p_halt=0.6, hops=2, normalization="rw")),
    Case("systematic", lambda: walks.IIDWalks(5, hops=3, length_law=walks.Systematic(walks.Geometric(0.3)))),
    Case("repelling", lambda: walks.RepellingWalks(n_walks=6, p_halt=0.2, hops=3)),
    Case("repelling-fixed", lambda: walks.RepellingWalks(9, hops=3, normalization=None, length_law=walks.FixedLength(3))),
    Case("repelling-antithetic", lambda: walks.RepellingWalks(4, hops=3, length_law=walks.Antithetic(walks.Geometric(0.3)))),
    Case("resampled", lambda: walks.ResampledWalks(budget=3, hops=3, width=5)),
    Case("resampled-one", lambda: walks.ResampledWalks(budget=1, hops=3, normalization=None)),
    Case("resampled-narrow", lambda: walks.ResampledWalks(budget=4, hops=3, normalization="rw", width=2)),
    Case("resampled-wide", lambda: walks.ResampledWalks(budget=2, hops=3, width=40, decay=1.0)),
    Case("truncated", lambda: walks.TruncatedWalks(tolerance=0.05, hops=3)),
)

FEATURES = (
    Case("relu", features.ReLU, reference=lambda x: reference.relu_features(x, 1e-3)),
    Case("relu-no-floor", lambda: features.ReLU(epsilon=0.0), reference=reference.relu_features),
    Case("elu-plus-one", features.EluPlusOne, reference=reference.elu_plus_one),
)


def _attention(mask: TopologicalMask, **options: Any) -> nn.TopologicalAttention:
    return nn.TopologicalAttention(4, 2, mask, **options)


def _grf_mask() -> masks.GRFMask:
    return scrambled(masks.GRFMask(2, 2, sampler=random_walks(2)))


LAYERS = (
    Case("attention-global", lambda: _attention(masks.GlobalMask(), dropout=0.5)),
    Case("attention-power-series", lambda: _attention(_power_series(2), feature_map=features.EluPlusOne())),
    Case("attention-walk", lambda: _attention(_walk_mask())),
    Case("attention-walk-iid", lambda: _attention(masks.WalkMask(2, sampler=walks.IIDWalks(n_walks=3, hops=2)))),
    Case("attention-grf", lambda: _attention(_grf_mask())),
    Case("attention-sum", lambda: _attention(_parameter(0.2, -0.1) * masks.GlobalMask() + _walk_mask())),
    Case("block", lambda: nn.TopologicalTransformerLayer(4, 2, _walk_mask(), dropout=0.5)),
    Case("block-both", lambda: nn.TopologicalTransformerLayer(4, 2, _walk_mask(masks.PageRank), GraphConv(4, 4))),
    Case("block-local", lambda: nn.TopologicalTransformerLayer(4, 2, conv=SAGEConv(4, 4))),
    Case("model", lambda: nn.TopologicalTransformer(3, 4, 2, 2, 2, _walk_mask(), dropout=0.1), channels=3),
    Case(
        "model-add-pool",
        lambda: nn.TopologicalTransformer(3, 4, 2, 1, 2, _walk_mask(), pool=global_add_pool, conv=GraphConv(4, 4)),
        channels=3,
        per_graph=True,
    ),
    Case(
        "model-mean-pool",
        lambda: nn.TopologicalTransformer(3, 4, 2, 1, 2, _grf_mask(), pool=MeanAggregation()),
        channels=3,
        per_graph=True,
    ),
)


def points() -> Data:
    return Data(pos=torch.rand(12, 3, generator=torch.Generator().manual_seed(4)), y=torch.tensor([1]))


def mesh() -> Data:
    """A tetrahedron and a point of no face."""
    face = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2], [2, 3, 3, 3]])
    return Data(pos=points().pos[:5], face=face)


def graph() -> Data:
    return Data(edge_index=torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 2]]), x=torch.eye(5), num_nodes=5)


def _add_walks(sets: int) -> transforms.AddWalks:
    return transforms.AddWalks(random_walks(2), torch.Generator().manual_seed(5), sets)


TRANSFORMS = (
    Case("add-walks", lambda: _add_walks(1), data=graph),
    Case("add-walks-twice", lambda: _add_walks(2), data=graph),
    Case("knn", lambda: transforms.KNNGraph(3, weight=transforms.Gaussian(0.5)), data=points),
    Case("radius", lambda: transforms.RadiusGraph(0.6), data=points),
    Case("farthest", lambda: transforms.FarthestPoints(5), data=points),
    Case("unit-sphere", transforms.UnitSphere, data=points),
    Case("reorder-cuthill-mckee", transforms.ReorderNodes, data=graph),
    Case("reorder-hilbert", lambda: transforms.ReorderNodes(transforms.Hilbert()), data=points),
    Case("mesh-cotangent", lambda: transforms.MeshToGraph(transforms.Cotangent()), data=mesh),
    Case("mesh-length", lambda: transforms.MeshToGraph(transforms.EdgeLength()), data=mesh),
)

FUNCTIONS = (
    Case("knn_graph", lambda: transforms.knn_graph(points().pos, 2)),
    Case("radius_graph", lambda: transforms.radius_graph(points().pos, 0.5)),
    Case("farthest_points", lambda: transforms.farthest_points(points().pos, 3)),
    Case("edge_distance", lambda: transforms.edge_distance(points().pos, torch.tensor([[0, 1], [2, 3]]))),
)

# Their files may be elsewhere: tests/datasets opens them.
DATASETS = (datasets.DigitsPointCloud, datasets.ModelNet, datasets.PrimitiveShapes, datasets.SHREC16)


def registered() -> Iterator[Any]:
    """An instance of everything registered, and what has no instances here."""
    for case in (*MASKS, *SAMPLERS, *FEATURES, *LAYERS, *TRANSFORMS):
        yield seeded(case.make)
    topology = example_topologies()["ring"]
    for case in OPERATORS:
        operator = case.make(topology)
        x = torch.ones(2, topology.num_nodes, 1)
        yield from (operator, operator.entries(), operator.attend(x, x, x))
    yield from EXECUTIONS
    yield random_walks(1)(topology)
    yield from DATASETS
    yield from (getattr(transforms, case.name) for case in FUNCTIONS)
