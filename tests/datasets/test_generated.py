"""Generated datasets: what they draw, and that no shortcut works."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from networkx.algorithms.isomorphism import GraphMatcher
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from graphmask.datasets import MotifDetection, PrimitiveShapes, TangledCables, TerrainScenes
from graphmask.datasets._surfaces import SURFACES, area_element
from graphmask.datasets.motif_detection import MOTIFS
from graphmask.datasets.primitive_shapes import draw_cloud
from graphmask.datasets.tangled_cables import draw_cables
from graphmask.datasets.terrain import (
    BUILDING,
    DENSITY,
    GROUND,
    TREE,
    Ground,
    Scene,
    _build,
    draw_scene,
)
from graphmask.transforms import knn_graph

TRIANGLES = nx.Graph(
    [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (6, 7), (7, 8), (8, 6), (2, 5), (5, 8), (8, 2)]
)
NAMED = {
    "caveman": TRIANGLES,
    "cycle": nx.cycle_graph(10),
    "grid": nx.grid_2d_graph(3, 3),
    "ladder": nx.ladder_graph(5),
    "circular_ladder": nx.circular_ladder_graph(5),
}


def has_motif(data: Data, motif: str) -> bool:
    graph = to_networkx(data, to_undirected=True)
    return GraphMatcher(graph, NAMED[motif]).subgraph_is_isomorphic()


@pytest.mark.parametrize("motif", MOTIFS)
def test_positives_hold_the_motif_and_classes_do_not_differ_in_size(motif: str) -> None:
    dataset = MotifDetection(motif=motif, num_pairs=60)
    assert dataset.y.tolist() == [0, 1] * 60
    assert all(has_motif(data, motif) for data in dataset[1:8:2])
    edges = np.array([data.num_edges / 2 for data in dataset]).reshape(-1, 2)
    # The links besides are 3 to 4 in the mean: their difference has about twice that variance.
    assert abs((edges[:, 1] - edges[:, 0]).mean()) < 4 * np.sqrt(8 / 60)
    density = 2 * (edges[:, 0].mean() - NAMED[motif].number_of_edges() - 3.6) / 100
    assert abs(density - MOTIFS[motif].density * 99) < 4 * np.sqrt(2 * density / 100 / 60)


def test_no_negative_holds_the_motif_by_chance() -> None:
    negatives = MotifDetection(motif="circular_ladder", num_pairs=8)[::2]
    assert not any(has_motif(data, "circular_ladder") for data in negatives)


def test_graphs_are_simple_and_without_isolated_nodes() -> None:
    for data in MotifDetection(motif="grid", num_pairs=5, num_nodes=30):
        assert data.is_undirected()
        assert not data.has_isolated_nodes()
        assert not data.has_self_loops()
        assert data.is_coalesced()
    smallest = MotifDetection(motif="cycle", num_pairs=30, num_nodes=10)
    assert {data.x.shape[1] for data in smallest} == {5}


def test_features_are_the_largest_degrees_of_neighbours() -> None:
    data = MotifDetection(motif="ladder", num_pairs=1)[1]
    graph = to_networkx(data, to_undirected=True)
    for node, row in enumerate(data.x.tolist()):
        degrees = sorted((graph.degree[other] for other in graph[node]), reverse=True)
        assert row == (degrees + 5 * [0])[:5]


def test_nodes_of_the_motif_are_shuffled_among_the_others() -> None:
    positives = MotifDetection(motif="cycle", num_pairs=8)[1::2]
    graphs = [to_networkx(data, to_undirected=True).subgraph(range(10)) for data in positives]
    assert max(graph.number_of_edges() for graph in graphs) < 10


def clouds(**options: object) -> torch.Tensor:
    dataset = PrimitiveShapes(**{"num_points": 32, "num_per_class": 3, **options})
    assert [int(data.y) for data in dataset] == len(dataset) // 12 * list(range(12))
    return torch.stack([data.pos for data in dataset])


def test_clouds_of_splits_differ_and_so_do_their_sizes() -> None:
    train, test = clouds(noise=0.0), clouds(noise=0.0, train=False)
    assert train.shape == (36, 32, 3)
    assert train.isfinite().all()
    assert torch.cdist(train.flatten(1), test.flatten(1)).min() > 0.1
    size = clouds(num_per_class=10).std(1).norm(dim=1)
    assert size.max() > 2 * size.min()


def test_clouds_lie_on_their_surface_up_to_an_affine_map() -> None:
    # Without noise an ellipsoid satisfies a quadratic equation exactly; a torus and a knot do not.
    for name, solvable in (("ellipsoid", True), ("torus", False), ("trefoil", False)):
        cloud = draw_cloud(SURFACES[name], 200, 0.0, np.random.default_rng(0)).astype(float)
        x, y, z = ((cloud - cloud.mean(0)) / cloud.std()).T
        terms = np.stack([x * x, y * y, z * z, x * y, y * z, z * x, x, y, z], axis=1)
        _, residual, *_ = np.linalg.lstsq(terms, np.ones(len(x)), rcond=None)
        assert (residual[0] < 1e-6) == solvable, name


AREAS = {
    "ellipsoid": 4 * np.pi,
    "torus": 4 * np.pi**2 * 0.4,
    "cylinder": 2 * np.pi * 0.875 * 2,
    "box": 24.0,
    "tetrahedron": 24 * np.sqrt(3),  # insphere of radius 1
}


@pytest.mark.parametrize("name", AREAS)
def test_area_elements_add_up_to_closed_forms(name: str) -> None:
    u, v = np.random.default_rng(0).random((2, 200_000))
    area = area_element(SURFACES[name], u, v, np.array([0.5, 0.5, 0.5])).mean()
    assert area == pytest.approx(AREAS[name], rel=0.02)


def test_bounding_boxes_do_not_tell_the_class() -> None:
    def boxes(train: bool) -> np.ndarray:
        pos = clouds(train=train, num_points=64, num_per_class=20)
        centred = pos - pos.mean(1, keepdim=True)
        axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors
        extents = [cloud.amax(1) - cloud.amin(1) for cloud in (pos, centred @ axes)]
        return torch.cat([extent.sort(1).values for extent in extents], 1).numpy()

    labels = np.tile(np.arange(12), 20)
    forest = RandomForestClassifier(100, random_state=0).fit(boxes(True), labels)
    assert forest.score(boxes(False), labels) < 0.3


def test_cables_are_evenly_spaced_at_one_distance_from_their_middle() -> None:
    cables = draw_cables(4, 64, np.random.default_rng(0))
    step = np.linalg.norm(np.diff(cables, axis=1), axis=2)
    np.testing.assert_allclose(step, step.mean(1, keepdims=True).repeat(63, 1), rtol=0.03)
    # Cables of a bundle differ in length by their bends alone, and are longer than its middle.
    assert (63 * step.mean(1) > 1).all()
    opposite = draw_cables(2, 4096, np.random.default_rng(1))
    # They are a diameter apart, unless the bundle comes back to itself.
    gap = np.linalg.norm(opposite[0][:, None] - opposite[1], axis=2).min(1)
    assert np.median(gap) == pytest.approx(0.1, abs=1e-4)
    assert gap.max() < 0.102


def test_the_graph_stays_in_its_cable_and_the_nearest_click_does_not() -> None:
    inside, nearest = [], []
    for data in TangledCables(train=False, num_scenes=60):
        source, target = knn_graph(data.pos, 4)
        inside.append((data.y[source] == data.y[target]).float().mean())
        assert data.x.sum() == 4
        clicks = data.x.argmax(0)
        assert data.y[clicks].tolist() == [0, 1, 2, 3]
        nearest.append((torch.cdist(data.pos, data.pos[clicks]).argmin(1) == data.y).float().mean())
    assert 0.98 < torch.stack(inside).mean() < 0.99
    assert torch.stack(nearest).mean() < 0.3


def test_ground_is_at_height_zero_and_trees_and_roofs_above_it() -> None:
    pos, label = draw_scene(20_000, 0.0, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    side = np.sqrt(20_000 / DENSITY)
    xy = rng.uniform(-side / 2, side / 2, (20_000, 2))
    np.testing.assert_allclose(pos[:, :2], xy, atol=1e-4)
    height = pos[:, 2] - Ground(rng)(xy)
    np.testing.assert_allclose(height[label == GROUND], 0, atol=1e-4)
    # A crown begins at half of its height, 3 to 18 metres.
    assert height[label == TREE].min() >= 1.5
    assert height[label == TREE].max() <= 18
    # A house is level and the ground is not: a roof may come close to it, hardly ever below it.
    assert np.median(height[label == BUILDING]) > 3
    assert (height[label == BUILDING] > 0).mean() > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_building_is_a_rectangle_of_its_sides(seed: int) -> None:
    pos = np.random.default_rng(5).uniform(-30, 30, (200_000, 2))
    scene = Scene(pos, cKDTree(pos), np.zeros(len(pos)), np.zeros(len(pos), dtype=np.int64))
    _build(scene, Ground(np.random.default_rng(6)), np.zeros(2), np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    half = np.array([rng.uniform(3, 20), rng.uniform(3, 10)])
    roof = pos[scene.label == BUILDING]
    assert 60**2 * len(roof) / len(pos) == pytest.approx(4 * half.prod(), rel=0.05)
    # Along its axes a rectangle of half sides a and b has the variances a^2 / 3 and b^2 / 3.
    variances = np.linalg.eigvalsh(np.cov(roof.T))
    np.testing.assert_allclose(variances, np.sort(half) ** 2 / 3, rtol=0.05)


def test_scenes_have_shares_of_all_classes_that_height_alone_does_not_tell() -> None:
    dataset = TerrainScenes(num_scenes=3)
    for data in dataset:
        share = torch.bincount(data.y, minlength=3) / data.num_nodes
        assert share[GROUND] > 0.5
        assert (share > 0.04).all()
        area = (data.pos[:, :2].max(0).values - data.pos[:, :2].min(0).values).prod()
        assert data.num_nodes / area == pytest.approx(DENSITY, rel=0.02)
    assert (dataset[0].num_nodes, dataset.num_classes) == (32_768, 3)
    # The best threshold on height leaves more errors than a third of the objects' share.
    height = torch.cat([data.pos[:, 2] for data in dataset])
    is_object = (dataset.y != GROUND)[height.argsort()].float()
    errors = is_object.cumsum(0) + (1 - is_object).flip(0).cumsum(0).flip(0)
    assert errors.min() / len(height) > is_object.mean() / 3
    sharp, blurred = (draw_scene(5_000, noise, np.random.default_rng(3))[0] for noise in (0.0, 0.2))
    assert (blurred - sharp).std() == pytest.approx(0.2, rel=0.05)
