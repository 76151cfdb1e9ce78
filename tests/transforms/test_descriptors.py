from __future__ import annotations

import math
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import Subset
from torch_geometric.data import Batch, Data
from torch_geometric.utils import from_smiles

from graphmask.datasets import MoleculeCSV, scaffold_split
from graphmask.extras import MissingExtraError
from graphmask.transforms import MoleculeDescriptors, MorganFingerprint, Standardize

pytest.importorskip("rdkit")


def test_descriptors_have_their_values_and_batch_by_rows() -> None:
    names = ["MolWt", "HeavyAtomCount", "NumHDonors", "RingCount"]
    transform = pickle.loads(pickle.dumps(MoleculeDescriptors(names)))
    molecules = [from_smiles(smiles) for smiles in ("CCO", "c1ccccc1", "O")]
    alone = [transform(molecule) for molecule in molecules]
    expected = torch.tensor([[46.069, 3, 1, 0], [78.114, 6, 0, 1], [18.015, 1, 0, 0]])
    batch = Batch.from_data_list(alone)
    assert_close(batch.u, expected)
    assert_close(transform(Batch.from_data_list(molecules)).u, expected)
    assert "u" not in molecules[0]
    assert MoleculeDescriptors()(molecules[0]).u.shape == (1, 11)


def test_all_descriptors_are_finite_or_nan() -> None:
    names = MoleculeDescriptors.available()
    assert {"MolWt", "qed", "BertzCT"} <= set(names)
    transform = MoleculeDescriptors(names)
    odd = ("CCO", "[Na+].[Cl-]", "[H][H]", "[U]", "C" * 100, "*")
    u = torch.cat([transform(Data(smiles=smiles)).u for smiles in odd])
    assert u.shape == (len(odd), len(names))
    assert not bool(u.isinf().any())
    assert bool(u.isnan().any())
    standard = Standardize.fit([Data(u=u)], limit=8.0)(Data(u=u)).u
    assert bool(standard.isfinite().all())
    assert float(standard.abs().max()) <= 8


def test_wrong_uses_of_descriptors_are_errors(monkeypatch) -> None:
    for names, error, message in (
        ("MolWt", TypeError, "`names` must be a list"),
        ({"MolWt", "TPSA"}, TypeError, "`names` must be a list"),
        ([1], TypeError, "`names` must be a list"),
        ([], ValueError, "`names` must be names of MoleculeDescriptors.available"),
        (["Weight"], ValueError, "each once, got .'Weight'."),
        (["MolWt", "MolWt"], ValueError, "each once, got"),
    ):
        with pytest.raises(error, match=message):
            MoleculeDescriptors(names)
    for data, message in (
        (
            Data(smiles="C1CC"),
            "`smiles` must be of a molecule with atoms that RDKit can read, got 'C1CC'",
        ),
        (Data(smiles=""), "`smiles` must be of a molecule with atoms"),
        (Data(x=torch.eye(2)), "`data` must be with `smiles`"),
        (Data(smiles=7), "`data` must be with `smiles`"),
    ):
        with pytest.raises(ValueError, match=message):
            MoleculeDescriptors()(data)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    monkeypatch.delitem(sys.modules, "rdkit.Chem.Descriptors", raising=False)
    with pytest.raises(MissingExtraError, match=r'rdkit: pip install "graphmask\[molecules\]"'):
        MoleculeDescriptors()


def test_fingerprints_count_substructures_and_stand_behind_other_columns() -> None:
    transform = pickle.loads(pickle.dumps(MorganFingerprint(512)))
    molecules = [from_smiles(smiles) for smiles in ("CCO", "OCC", "c1ccccc1", "CCCO")]
    alone = [transform(molecule).u for molecule in molecules]
    assert_close(transform(Batch.from_data_list(molecules)).u, torch.cat(alone))
    assert_close(alone[0], alone[1])  # another order of atoms
    assert not bool(alone[0].equal(alone[3]))
    atoms = [MorganFingerprint(512, radius=0)(molecule).u.sum().item() for molecule in molecules]
    assert atoms == [3, 3, 6, 4]
    assert_close(alone[2].max(), torch.tensor(6.0))
    described = MoleculeDescriptors(["MolWt"])(molecules[0])
    assert_close(transform(described).u, torch.cat([described.u, alone[0]], 1))
    assert_close(MorganFingerprint(512, cat=False)(described).u, alone[0])


def test_wrong_uses_of_fingerprints_are_errors() -> None:
    for arguments in ({"size": 0}, {"radius": -1}):
        with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
            MorganFingerprint(**arguments)
    with pytest.raises(ValueError, match="`smiles` must be of a molecule"):
        MorganFingerprint()(Data(smiles="C1CC"))
    with pytest.raises(ValueError, match=r"`u` must be of shape \[1, D\], a row per molecule"):
        MorganFingerprint()(Data(smiles="C", u=torch.ones(2, 3)))


def rows(*values: list[float]) -> list[Data]:
    return [Data(u=torch.tensor([row])) for row in values]


def test_columns_come_in_units_of_the_training_set_alone() -> None:
    train = rows([1.0, 5.0, math.nan, math.nan, 1e8], [3.0, 5.0, 2.0, math.nan, 1e8 + 8])
    standardize = Standardize.fit(Subset(train, [0, 1]))
    assert_close(standardize.mean, torch.tensor([2.0, 5.0, 2.0, 0.0, 1e8 + 4]).double())
    assert_close(standardize.std, torch.tensor([1.0, 0.0, 0.0, 0.0, 4.0]).double())
    (test,) = rows([7.0, 6.0, 3.0, 1.0, 1e8])
    assert standardize(test).u.tolist() == [[5, 0, 0, 0, -1]]
    (missing,) = rows([math.nan] * 5)
    assert standardize(missing).u.eq(0).all()
    assert Standardize.fit(train, limit=2.0)(test).u.tolist() == [[2, 0, 0, 0, -1]]
    u = torch.cat([standardize(data).u for data in train])
    assert_close(u[:, 0], torch.tensor([-1.0, 1.0]))
    tenths = rows(*[[0.1]] * 7)
    assert Standardize.fit(tenths).std.item() == 0


def test_wrong_uses_of_units_are_errors() -> None:
    one = torch.ones(2)
    with pytest.raises(TypeError, match="`mean` must be a tensor"):
        Standardize([1.0], one)
    for std in (torch.ones(3), torch.full((2,), math.nan)):
        with pytest.raises(ValueError, match="`std` must be finite, of shape"):
            Standardize(one, std)
    with pytest.raises(ValueError, match="`std` must be non-negative"):
        Standardize(one, -one)
    with pytest.raises(ValueError, match="`limit` must be"):
        Standardize(one, one, limit=-1.0)
    with pytest.raises(ValueError, match="`train` must be examples with rows of `u`"):
        Standardize.fit([])
    for wrong in (Data(), Data(u=torch.ones(2)), Data(u=torch.ones(1, 2).long())):
        for call in (lambda data: Standardize.fit([data]), Standardize(one, one)):
            with pytest.raises(ValueError, match="`data` must be with `u`"):
                call(wrong)
    with pytest.raises(ValueError, match=r"`u` must be of shape \[\*, 2\]"):
        Standardize(one, one)(Data(u=torch.ones(1, 3)))
    infinite = Data(u=torch.tensor([[math.inf, 1.0]]))
    for call in (lambda data: Standardize.fit([data]), Standardize(one, one)):
        with pytest.raises(ValueError, match="`u` must be finite or NaN"):
            call(infinite)


@pytest.mark.slow
@pytest.mark.skipif("GRAPHMASK_DATA" not in os.environ, reason="needs the file of ESOL")
def test_a_forest_on_descriptors_predicts_solubility() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    path = Path(os.environ["GRAPHMASK_DATA"], "molecules", "moleculenet", "esol.csv")
    dataset = MoleculeCSV(path, pre_transform=MoleculeDescriptors())
    train, _, test = scaffold_split([data.smiles for data in dataset])
    u, y = (torch.cat([data[key] for data in dataset]).numpy() for key in ("u", "y"))
    forest = ensemble.RandomForestRegressor(200, random_state=0).fit(u[train], y[train, 0])
    error = forest.predict(u[test]) - y[test, 0]
    assert float((error**2).mean() ** 0.5) < 0.95
