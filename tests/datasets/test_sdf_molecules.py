from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from graphmask.datasets import SDFMolecules
from graphmask.transforms import RadiusGraph

pytest.importorskip("rdkit")


def record(
    name: str,
    atoms: list[tuple[str, float, float, float]],
    bonds: list[tuple[int, int, int]],
    **tags: object,
) -> str:
    """A record of an SDF file, written by hand."""
    lines = [name, "", "", f"{len(atoms):3}{len(bonds):3}  0  0  0  0  0  0  0  0999 V2000"]
    lines += [f"{x:10.4f}{y:10.4f}{z:10.4f} {element:<3} 0  0" for element, x, y, z in atoms]
    lines += [f"{a:3}{b:3}{order:3}  0" for a, b, order in bonds] + ["M  END"]
    lines += [line for tag, value in tags.items() for line in (f">  <{tag}>", f"{value}", "")]
    return "\n".join([*lines, "$$$$", ""])


WATER = [("O", 0, 0, 0.1), ("H", 0.8, 0, -0.5), ("H", -0.8, 0, -0.5)]
CARBONATE = [("C", 1, 2, 3), ("O", 2.2, 2, 3)]
FIVE = [("C", 0, 0, 0), *(("F", i, 0, 0) for i in range(1, 6))]  # more bonds than carbon has


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "molecules.sdf"
    path.write_text(
        record("water", WATER, [(1, 2, 1), (1, 3, 1)], energy=-76.4, dipole=1.85)
        + record("formaldehyde", CARBONATE, [(1, 2, 2)], dipole=2.33)
    )
    return path


def test_positions_bonds_and_tags(path: Path) -> None:
    water, formaldehyde = SDFMolecules(path, targets=["dipole", "energy"])
    assert water.x[:, 0].tolist() == [8, 1, 1]
    assert water.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    torch.testing.assert_close(water.pos, torch.tensor([atom[1:] for atom in WATER]))
    torch.testing.assert_close(water.y, torch.tensor([[1.85, -76.4]]))
    assert (water.name, water.smiles) == ("water", "O")
    assert formaldehyde.edge_attr[:, 0].tolist() == [2, 2]
    assert formaldehyde.y[0, 0].item() == pytest.approx(2.33)
    assert formaldehyde.y[0, 1].isnan()


def test_without_hydrogens(path: Path) -> None:
    water = SDFMolecules(path, remove_hydrogen=True)[0]
    assert water.num_nodes == 1
    torch.testing.assert_close(water.pos, torch.tensor([[0, 0, 0.1]]))
    assert water.y.shape == (1, 0)


def test_unreadable_molecules_are_counted_once_or_raise(path: Path) -> None:
    five = record("five", FIVE, [(1, i, 1) for i in range(2, 7)])
    path.write_text(five + path.read_text() + five)
    with pytest.warns(UserWarning, match=r"^2 molecules of .*the first is record 1\."):
        assert [data.name for data in SDFMolecules(path)] == ["water", "formaldehyde"]
    with pytest.raises(ValueError, match="cannot read record 1 of"):
        SDFMolecules(path, skip_invalid=False)


def test_loader_transform_and_cache(path: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    dataset = SDFMolecules(path, processed_root=cache, pre_transform=RadiusGraph(2.0))
    assert dataset[0].edge_index.shape == (2, 6)
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert batch.name == ["water", "formaldehyde"]
    assert batch.pos.shape == (5, 3)
    again = SDFMolecules(path, processed_root=cache, pre_transform=RadiusGraph(2.0))
    assert torch.equal(again[1].pos, dataset[1].pos)


def test_tags_that_are_none(path: Path) -> None:
    message = r"no molecule has the tag charge\): `targets` must be tags: dipole, energy"
    with pytest.raises(ValueError, match=message):
        SDFMolecules(path, targets=["charge"])
    path.write_text(path.read_text().replace("1.85", "strong"))
    with pytest.raises(ValueError, match=r"record 1, dipole: could not convert .*'strong'"):
        SDFMolecules(path, targets=["dipole"])


def test_arguments(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.sdf is missing"):
        SDFMolecules(tmp_path / "none.sdf")
    with pytest.raises(TypeError, match="`targets` must be a list of names"):
        SDFMolecules(path, targets="energy")
    with pytest.raises(TypeError, match="`remove_hydrogen` must be a bool"):
        SDFMolecules(path, remove_hydrogen=1)
