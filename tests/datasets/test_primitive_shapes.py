from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from graphmask.datasets import PrimitiveShapes
from graphmask.datasets._surfaces import SURFACES, area_element
from graphmask.datasets.primitive_shapes import draw_cloud


def small(**options) -> PrimitiveShapes:
    return PrimitiveShapes(**{"num_points": 32, "num_per_class": 3, **options})


def clouds(dataset: PrimitiveShapes) -> torch.Tensor:
    return torch.stack([data.pos for data in dataset])


def test_shapes_classes_and_order() -> None:
    dataset = small()
    assert len(dataset) == 36
    assert dataset.num_classes == len(dataset.class_names) == 12
    assert dataset.class_names[1] == "torus"
    assert [int(data.y) for data in dataset] == 3 * list(range(12))
    assert clouds(dataset).shape == (36, 32, 3)
    assert torch.isfinite(clouds(dataset)).all()


def test_splits_share_no_cloud() -> None:
    train, test = clouds(small(noise=0.0)), clouds(small(noise=0.0, train=False))
    assert torch.cdist(train.flatten(1), test.flatten(1)).min() > 0.1


def test_sizes_vary() -> None:
    size = clouds(small(num_per_class=10)).std(1).norm(dim=1)
    assert size.max() > 2 * size.min()


def test_clouds_lie_on_their_surface_up_to_an_affine_map() -> None:
    # Without noise an ellipsoid satisfies a quadratic equation exactly; a torus and a knot do not.
    for name, solvable in (("ellipsoid", True), ("torus", False), ("trefoil", False)):
        cloud = draw_cloud(SURFACES[name], 200, 0.0, np.random.default_rng(0)).astype(float)
        x, y, z = ((cloud - cloud.mean(0)) / cloud.std()).T
        terms = np.stack([x * x, y * y, z * z, x * y, y * z, z * x, x, y, z], axis=1)
        _, residual, *_ = np.linalg.lstsq(terms, np.ones(len(x)), rcond=None)
        assert (residual[0] < 1e-6) == solvable, name


def test_area_elements_add_up_to_closed_forms() -> None:
    u, v = np.random.default_rng(0).random((2, 200_000))
    shape = np.array([0.5, 0.5, 0.5])
    expected = {
        "ellipsoid": 4 * np.pi,
        "torus": 4 * np.pi**2 * 0.4,
        "cylinder": 2 * np.pi * 0.875 * 2,
        "box": 24.0,
        "tetrahedron": 24 * np.sqrt(3),  # insphere of radius 1
    }
    for name, area in expected.items():
        assert area_element(SURFACES[name], u, v, shape).mean() == pytest.approx(area, rel=0.02), (
            name
        )


def test_bounding_boxes_do_not_tell_the_class() -> None:
    def boxes(train: bool) -> tuple[np.ndarray, list[int]]:
        dataset = small(train=train, num_points=64, num_per_class=20)
        pos = clouds(dataset)
        centred = pos - pos.mean(1, keepdim=True)
        axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors
        extents = [cloud.amax(1) - cloud.amin(1) for cloud in (pos, centred @ axes)]
        return torch.cat([extent.sort(1).values for extent in extents], 1).numpy(), [
            int(d.y) for d in dataset
        ]

    forest = RandomForestClassifier(100, random_state=0).fit(*boxes(True))
    assert forest.score(*boxes(False)) < 0.3
