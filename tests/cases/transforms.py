"""Transforms, functions and datasets."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from graphmask import datasets, transforms

from .base import Case, random_walks


def points() -> Data:
    return Data(
        pos=torch.rand(12, 3, generator=torch.Generator().manual_seed(4)), y=torch.tensor([1])
    )


def mesh() -> Data:
    """A tetrahedron and a point of no face."""
    face = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2], [2, 3, 3, 3]])
    return Data(pos=points().pos[:5], face=face)


def graph() -> Data:
    return Data(
        edge_index=torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 2]]), x=torch.eye(5), num_nodes=5
    )


def cloud() -> Data:
    return transforms.KNNGraph(3)(points())


def molecule() -> Data:
    """Carbon monoxide, by the categories of `from_smiles`."""
    atoms = torch.tensor([[6, 0, 1, 4, 0, 0, 2, 0, 0], [8, 0, 1, 6, 0, 0, 2, 0, 0]])
    return Data(
        x=atoms,
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.tensor([[3, 0, 0], [3, 0, 0]]),
    )


def described() -> Data:
    return molecule().update({"smiles": "[C-]#[O+]"})


def _add_walks(sets: int) -> transforms.AddWalks:
    return transforms.AddWalks(random_walks(2), torch.Generator().manual_seed(5), sets)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def drawn() -> Data:
    """A cloud in two variants of different sizes, with graphs and walks."""
    draw = Compose(
        [
            transforms.RandomPointDropout(0.4, _seeded()),
            transforms.KNNGraph(3),
            _add_walks(1),
        ]
    )
    return transforms.Variants(draw, copies=2)(points())


def _encode(**options: Any) -> transforms.AddWalkEncoding:
    return transforms.AddWalkEncoding(4, generator=torch.Generator().manual_seed(5), **options)


TRANSFORMS = (
    Case("add-walks", lambda: _add_walks(1), data=graph),
    Case("add-walks-twice", lambda: _add_walks(2), data=graph),
    Case("walk-encoding", _encode, data=graph),
    Case("walk-encoding-narrow", lambda: _encode(width=1), data=graph),
    Case(
        "walk-encoding-sampled",
        lambda: _encode(sampler=random_walks(4, normalization="rw")),
        data=graph,
    ),
    Case("knn", lambda: transforms.KNNGraph(3, weight=transforms.Gaussian(0.5)), data=points),
    Case("radius", lambda: transforms.RadiusGraph(0.6), data=points),
    Case("farthest", lambda: transforms.FarthestPoints(5), data=points),
    Case(
        "farthest-drawn",
        lambda: transforms.FarthestPoints(5, generator=torch.Generator().manual_seed(5)),
        data=points,
    ),
    Case("unit-sphere", transforms.UnitSphere, data=points),
    Case(
        "anisotropic-scale",
        lambda: transforms.RandomAnisotropicScale(generator=_seeded()),
        data=points,
    ),
    Case("shift", lambda: transforms.RandomShift(generator=_seeded()), data=points),
    Case("point-dropout", lambda: transforms.RandomPointDropout(0.4, _seeded()), data=points),
    Case("pick-variant", lambda: transforms.PickVariant(_seeded()), data=drawn),
    Case(
        "variants",
        lambda: transforms.Variants(transforms.RandomPointDropout(0.4, _seeded()), copies=2),
        data=points,
    ),
    Case("reorder-cuthill-mckee", transforms.ReorderNodes, data=graph),
    Case("reorder-hilbert", lambda: transforms.ReorderNodes(transforms.Hilbert()), data=points),
    Case("hypercube-graph", transforms.HypercubeGraph, data=graph),
    Case("expander-graph", lambda: transforms.ExpanderGraph(4, _seeded()), data=graph),
    Case("minimum-spanning-tree", transforms.MinimumSpanningTree, data=graph),
    Case("shape-invariants", lambda: transforms.ShapeInvariants(2), data=cloud),
    Case(
        "mesh-cotangent", lambda: transforms.MeshToGraph(weight=transforms.Cotangent()), data=mesh
    ),
    Case("heat-kernel-mesh", lambda: transforms.HeatKernelSignature(4), data=mesh),
    Case("heat-kernel-graph", lambda: transforms.HeatKernelSignature(4, 2), data=graph),
    Case("descriptors", lambda: transforms.MoleculeDescriptors(["MolWt", "TPSA"]), data=described),
    Case("fingerprint", lambda: transforms.MorganFingerprint(16), data=described),
    Case(
        "standardize",
        lambda: transforms.Standardize.fit([points()], attr="pos", limit=3.0),
        data=points,
    ),
    Case("one-hot-molecule", transforms.OneHotMolecule, data=molecule),
    Case("mesh-length", lambda: transforms.MeshToGraph(weight=transforms.EdgeLength()), data=mesh),
)

FUNCTIONS = (
    Case("all_variants", lambda: [each.pos for each in transforms.all_variants(drawn())]),
    Case(
        "minimum_spanning_tree",
        lambda: transforms.minimum_spanning_tree(graph().edge_index, None, 5),
    ),
    Case("knn_graph", lambda: transforms.knn_graph(points().pos, 2)),
    Case("radius_graph", lambda: transforms.radius_graph(points().pos, 0.5)),
    Case("farthest_points", lambda: transforms.farthest_points(points().pos, 3)),
    Case("partition_nodes", lambda: transforms.partition_nodes(graph().edge_index, 5, 2)),
    Case(
        "cut_share", lambda: torch.tensor(transforms.cut_share(graph().edge_index, torch.arange(5)))
    ),
    Case(
        "edge_distance",
        lambda: transforms.edge_distance(points().pos, torch.tensor([[0, 1], [2, 3]])),
    ),
)

# tests/datasets opens them, where their files exist.
DATASETS = (
    *(datasets.CachedDataset, datasets.DigitsPointCloud, datasets.ElasticBody, datasets.GitHub),
    *(datasets.GridField, datasets.Heterophilous, datasets.ISPRSFilterTest, datasets.KITTIObjects),
    *(datasets.MeshNormals, datasets.Minesweeper, datasets.MNIST, datasets.ModelNet),
    *(datasets.MoleculeCSV, datasets.MoleculeNet, datasets.MotifDetection),
    *(datasets.PrimitiveShapes, datasets.ScanObjectNN, datasets.SDFMolecules),
    *(datasets.SemanticKITTI, datasets.ShapeFolder, datasets.SHREC16, datasets.SplitDataset),
    *(datasets.TangledCables, datasets.TerrainScenes, datasets.TUText, datasets.read_shape),
    datasets.scaffold_split,
)
