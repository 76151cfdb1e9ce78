from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch_geometric.loader import DataLoader

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


@pytest.mark.usefixtures("double_default")
def test_positions_are_single_under_a_double_default() -> None:
    data = small()[0]
    assert data.pos.dtype == torch.float32
    assert data.y.dtype == torch.long


def test_the_same_seed_draws_the_same_clouds_and_leaves_the_global_state_alone() -> None:
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = clouds(small(seed=3))
    torch.manual_seed(99)
    assert torch.equal(first, clouds(small(seed=3)))
    torch.set_rng_state(state)
    assert np.array_equal(legacy, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("other", [{"seed": 1}, {"train": False}, {"noise": 0.1}])
def test_seed_split_and_noise_change_every_cloud(other: dict) -> None:
    same = (clouds(small()) == clouds(small(**other))).flatten(1).any(1)
    assert not same.any()


def test_splits_share_no_cloud() -> None:
    train, test = clouds(small(noise=0.0)), clouds(small(noise=0.0, train=False))
    assert torch.cdist(train.flatten(1), test.flatten(1)).min() > 0.1


def test_more_clouds_extend_fewer() -> None:
    assert torch.equal(clouds(small()), clouds(small(num_per_class=5))[:36])


def test_sizes_vary() -> None:
    size = clouds(small(num_per_class=10)).std(1).norm(dim=1)
    assert size.max() > 2 * size.min()


def test_cache(tmp_path: Path) -> None:
    first = small(root=tmp_path)
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    second = small(root=tmp_path)
    assert Path(second.processed_paths[0]).stat().st_mtime_ns == stamp
    assert torch.equal(clouds(first), clouds(second))
    assert torch.equal(clouds(first), clouds(small()))
    assert clouds(small(root=tmp_path, num_points=16)).shape[1] == 16
    assert len(small(root=tmp_path, train=False, num_per_class=2)) == 24


def test_loader() -> None:
    batch = next(iter(DataLoader(small(), batch_size=5)))
    assert batch.pos.shape == (160, 3)
    assert batch.batch.bincount().tolist() == 5 * [32]


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


@pytest.mark.parametrize("name", ["num_points", "num_per_class"])
def test_counts_are_positive_integers(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        small(**{name: 0})
    with pytest.raises(TypeError, match=f"`{name}` must be an integer, got float"):
        small(**{name: 8.0})


@pytest.mark.parametrize("noise", [-0.1, 1.0, float("nan")])
def test_noise_is_a_fraction(noise: float) -> None:
    with pytest.raises(ValueError, match=r"`noise` must be in \[0, 1\)"):
        small(noise=noise)


def test_seed_is_not_negative() -> None:
    with pytest.raises(ValueError, match="`seed` must be at least 0, got -1"):
        small(seed=-1)
