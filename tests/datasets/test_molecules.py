"""Datasets of molecules, and their scaffold split."""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from dataset_files import MOLECULES
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.utils import from_smiles

from graphmask.datasets import MoleculeCSV, MoleculeNet, SDFMolecules, scaffold_split
from graphmask.transforms import RadiusGraph

pytest.importorskip("rdkit")
SMILES = ["CCO", "c1ccccc1", "[Na+].[Cl-]", "C"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(MOLECULES)
    return path


def smiles_of(dataset: MoleculeCSV) -> list[str]:
    return [data.smiles for data in dataset]


@pytest.mark.usefixtures("double_default")
def test_graphs_are_those_of_pyg_and_missing_targets_are_nan(path: Path) -> None:
    dataset = MoleculeCSV(path, targets=["toxic", "celsius"])
    assert smiles_of(dataset) == SMILES
    for data in dataset:
        expected = from_smiles(data.smiles)
        for name in ("x", "edge_index", "edge_attr"):
            assert torch.equal(data[name], expected[name])
    assert dataset[3].edge_index.shape == (2, 0)
    assert dataset.num_targets == 2
    y, nan = torch.cat([data.y for data in dataset]), float("nan")
    assert y.dtype == torch.float32
    expected = torch.tensor([[0, 78.4], [1, 80.1], [nan, 1465], [nan, nan]])
    torch.testing.assert_close(y, expected.float(), equal_nan=True)


def test_all_other_columns_are_targets_unless_named(path: Path) -> None:
    assert MoleculeCSV(path).target_names == ("celsius", "toxic")
    assert MoleculeCSV(path, targets=[])[0].y.shape == (1, 0)
    named = MoleculeCSV(path, smiles="smiles", targets=("celsius",))
    assert named[0].y.tolist() == [[pytest.approx(78.4)]]
    path.write_text("name,smiles\nethanol,CCO\n")
    message = r"line 2: 'ethanol' is not a finite .*name the columns of targets by `targets=`"
    with pytest.raises(ValueError, match=message):
        MoleculeCSV(path)


def test_a_column_of_ids_is_no_target_by_default(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("mol_id,smiles,y\n7,CCO,1\n8,CC,1\n")
    with pytest.raises(ValueError, match="`targets` must be given, since 'mol_id' numbers"):
        MoleculeCSV(path)
    assert MoleculeCSV(path, targets=["y"])[0].y.tolist() == [[1]]
    path.write_text("smiles,y,scaffold_fold\nCCO,0.5,1\nCC,0.25,1\n")
    with pytest.raises(ValueError, match="`targets` must be given, since 'scaffold_fold' numbers"):
        MoleculeCSV(path)
    path.write_text("smiles,id\nCCO,1\nCC,1\n")  # a measure of that name
    assert MoleculeCSV(path).target_names == ("id",)


def test_unreadable_molecules_are_counted_once_or_raise(path: Path) -> None:
    # PyG has charges from -5 to 6.
    path.write_text(MOLECULES + "1,C(C,0\n1,,0\n\n1,CC(C)(C)(C)C,0\n1,[Fe+9],0\n1,CC,0\n")
    message = r"^4 molecules of .*table\.csv are left out.*the first is 'C\(C' in line 6"
    with pytest.warns(UserWarning, match=message) as warned:
        dataset = MoleculeCSV(path, targets=["toxic"])
    assert len(warned) == 1
    assert smiles_of(dataset) == [*SMILES, "CC"]
    with pytest.raises(ValueError, match=r"cannot read 'C\(C' in line 6 of .*`skip_invalid=True`"):
        MoleculeCSV(path, targets=["toxic"], skip_invalid=False)


def test_rdkit_is_quiet_while_it_reads_and_not_afterwards(path: Path, capfd) -> None:
    from rdkit import Chem, RDLogger

    RDLogger.EnableLog("rdApp.*")
    path.write_text("smiles,y\nC(C,1\nC,2\n")
    with pytest.warns(UserWarning, match="1 molecules"):
        MoleculeCSV(path)
    assert capfd.readouterr().err == ""
    assert Chem.MolFromSmiles("C(C") is None
    assert "C(C" in capfd.readouterr().err


def test_hydrogens_are_added_on_demand(path: Path) -> None:
    assert MoleculeCSV(path, targets=[])[0].num_nodes == 3
    ethanol = MoleculeCSV(path, targets=[], with_hydrogen=True)[0]
    assert torch.equal(ethanol.x, from_smiles("CCO", with_hydrogen=True).x)


def test_compressed_and_marked_files_are_read(path: Path) -> None:
    packed = path.with_name("table.csv.gz")
    packed.write_bytes(gzip.compress(MOLECULES.encode("utf-8-sig")))
    assert smiles_of(MoleculeCSV(packed, targets=["celsius"])) == SMILES


def test_the_cache_follows_the_file_and_the_arguments(path: Path, tmp_path: Path) -> None:
    def read(target: str) -> MoleculeCSV:
        return MoleculeCSV(path, targets=[target], processed_root=tmp_path / "cache")

    stamp = Path(read("toxic").processed_paths[0]).stat().st_mtime_ns
    assert Path(read("toxic").processed_paths[0]).stat().st_mtime_ns == stamp
    assert read("celsius")[0].y.item() == pytest.approx(78.4)
    path.write_text(MOLECULES.replace("CCO", "CCN"))
    assert smiles_of(read("toxic"))[0] == "CCN"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"smiles": "mol"},
            ValueError,
            "`smiles, targets` must be columns that .* has once, of .*, toxic, got 'mol', of 0",
        ),
        ({"targets": ["celsius", "kelvin"]}, ValueError, "got 'kelvin'"),
        ({"targets": "toxic"}, TypeError, r"must be a list of names, such as \['toxic'\], got str"),
        ({"skip_invalid": "warn"}, TypeError, "`skip_invalid` must be a bool"),
    ],
)
def test_bad_arguments_are_errors(path: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        MoleculeCSV(path, **options)


def test_columns_of_one_name_and_missing_files_are_errors(path: Path, tmp_path: Path) -> None:
    path.write_text("smiles,y,y\nC,1,2\n")
    with pytest.raises(ValueError, match=r"has once, of smiles, y, y, got 'y', of 2 columns"):
        MoleculeCSV(path)
    for cls in (MoleculeCSV, SDFMolecules):
        with pytest.raises(FileNotFoundError, match=r"none is missing"):
            cls(tmp_path / "none")


def test_without_rdkit_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rdkit"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[molecules\]"'):
        MoleculeCSV(path, targets=["toxic"])


def with_hydrogens(smiles: str) -> Data:
    return from_smiles(smiles, with_hydrogen=True)


def test_a_benchmark_has_its_columns_and_graphs_by_a_function(tmp_path: Path) -> None:
    (tmp_path / "bace.csv").write_text("mol,Class\nCCO,1\nC,0\n")
    dataset = MoleculeNet(tmp_path, "bace", processed_root=tmp_path)
    assert dataset.classification
    assert dataset.target_names == ("Class",)
    assert [data.y.item() for data in dataset] == [1, 0]
    options = {"from_smiles": with_hydrogens, "processed_root": tmp_path}
    graphs = MoleculeNet(tmp_path, "BACE", **options)
    assert [data.num_nodes for data in graphs] == [9, 5]
    assert graphs[0].y.tolist() == [[1]]
    # Functions of one name have caches of their own.
    for sign in (1, -1):
        signed = partial(lambda smiles, sign: Data(x=sign * torch.ones(1, 1)), sign=sign)
        options["from_smiles"] = lambda smiles, signed=signed: signed(smiles)
        assert MoleculeNet(tmp_path, "bace", **options)[0].x.item() == sign


WATER = [("O", 0, 0, 0.1), ("H", 0.8, 0, -0.5), ("H", -0.8, 0, -0.5)]
CARBONYL = [("C", 1, 2, 3), ("O", 2.2, 2, 3)]
FIVE = [("C", 0, 0, 0), *(("F", i, 0, 0) for i in range(1, 6))]  # more bonds than carbon has


def record(name: str, atoms: list[tuple], bonds: list[tuple], **tags: float) -> str:
    """A record of an SDF file."""
    lines = [name, "", "", f"{len(atoms):3}{len(bonds):3}  0  0  0  0  0  0  0  0999 V2000"]
    lines += [f"{x:10.4f}{y:10.4f}{z:10.4f} {element:<3} 0  0" for element, x, y, z in atoms]
    lines += [f"{a:3}{b:3}{order:3}  0" for a, b, order in bonds] + ["M  END"]
    lines += [line for tag, value in tags.items() for line in (f">  <{tag}>", f"{value}", "")]
    return "\n".join([*lines, "$$$$", ""])


@pytest.fixture
def sdf(tmp_path: Path) -> Path:
    path = tmp_path / "molecules.sdf"
    water = record("water", WATER, [(1, 2, 1), (1, 3, 1)], energy=-76.4, dipole=1.85)
    path.write_text(water + record("formaldehyde", CARBONYL, [(1, 2, 2)], dipole=2.33))
    return path


def test_positions_bonds_and_tags_are_those_of_the_record(sdf: Path) -> None:
    water, formaldehyde = SDFMolecules(sdf, targets=["dipole", "energy"])
    assert water.x[:, 0].tolist() == [8, 1, 1]
    assert water.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    torch.testing.assert_close(water.pos, torch.tensor([atom[1:] for atom in WATER]))
    torch.testing.assert_close(water.y, torch.tensor([[1.85, -76.4]]))
    assert (water.name, water.smiles) == ("water", "O")
    assert formaldehyde.edge_attr[:, 0].tolist() == [2, 2]
    assert formaldehyde.y[0, 0].item() == pytest.approx(2.33)
    assert formaldehyde.y[0, 1].isnan()
    oxygen = SDFMolecules(sdf, remove_hydrogen=True)[0]
    torch.testing.assert_close(oxygen.pos, torch.tensor([[0, 0, 0.1]]))
    assert oxygen.y.shape == (1, 0)


def test_unreadable_records_are_counted_once_or_raise(sdf: Path) -> None:
    five = record("five", FIVE, [(1, i, 1) for i in range(2, 7)])
    sdf.write_text(five + sdf.read_text() + five)
    with pytest.warns(UserWarning, match=r"^2 molecules of .*the first is record 1\."):
        assert [data.name for data in SDFMolecules(sdf)] == ["water", "formaldehyde"]
    with pytest.raises(ValueError, match="cannot read record 1 of"):
        SDFMolecules(sdf, skip_invalid=False)


def test_records_are_read_in_other_writing_or_refused(sdf: Path) -> None:
    text = sdf.read_text()
    packed = sdf.with_name("molecules.sdf.gz")
    packed.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode("utf-8-sig")))
    assert [data.name for data in SDFMolecules(packed)] == ["water", "formaldehyde"]
    sdf.write_bytes(text.replace("\n", "\r").encode())
    assert len(SDFMolecules(sdf)) == 2
    sdf.write_text(text + "short\n$$$$\n")
    with pytest.raises(ValueError, match="cannot read record 3 of"):
        SDFMolecules(sdf, skip_invalid=False)
    for content, message in (
        (b"", "holds no molecule"),
        (text[: text.rindex("2.33")].encode(), "ends within a record"),
        (text.replace("water", "wäter").encode("latin-1"), "line 1 is not in UTF-8"),
    ):
        sdf.write_bytes(content)
        with pytest.raises(ValueError, match=rf"molecules\.sdf.*{message}"):
            SDFMolecules(sdf)


def test_records_are_batched_transformed_and_cached(sdf: Path, tmp_path: Path) -> None:
    options = {"processed_root": tmp_path / "cache", "pre_transform": RadiusGraph(2.0)}
    dataset, again = (SDFMolecules(sdf, **options) for _ in range(2))
    assert dataset[0].edge_index.shape == (2, 6)
    batch = next(iter(DataLoader(again, batch_size=2)))
    assert batch.name == ["water", "formaldehyde"]
    assert torch.equal(batch.pos, torch.cat([data.pos for data in dataset]))


def test_tags_that_are_missing_or_no_numbers_are_errors(sdf: Path) -> None:
    message = r"no molecule has the tag charge\): `targets` must be tags: dipole, energy"
    with pytest.raises(ValueError, match=message):
        SDFMolecules(sdf, targets=["charge"])
    sdf.write_text(sdf.read_text().replace("1.85", "strong"))
    with pytest.raises(ValueError, match=r"record 1, dipole: 'strong' is not a finite"):
        SDFMolecules(sdf, targets=["dipole"])
    with pytest.raises(TypeError, match="`remove_hydrogen` must be a bool"):
        SDFMolecules(sdf, remove_hydrogen=1)


RINGS = {"c1ccccc1": 10, "C1CC1": 8, "C1CCCCC1": 6, "c1ccncc1": 4, "c1ccsc1": 2}
# 30 molecules in turns; those of a ring have chains of different lengths.
RINGED = ["C" * n + ring for n in range(10) for ring, size in RINGS.items() if n < size]


def scaffold(smiles: str) -> str:
    """By RDKit's own molecule of the scaffold, not by the shortcut that the library calls."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    molecule = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles))
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


# Of 24, 3 and 3: benzene, cyclopropane and cyclohexane fill 24, and only thiophene fits in three.
# Of 18, 3 and 9: neither cyclohexane nor pyridine fits beside the first two, nor into three.
@pytest.mark.parametrize(
    ("frac", "counts"),
    [((0.8, 0.1, 0.1), (24, 2, 4)), ((0.6, 0.1, 0.3), (18, 2, 10))],
)
def test_large_sets_of_a_scaffold_train_and_small_ones_test(frac: tuple, counts: tuple) -> None:
    splits = scaffold_split(RINGED, frac)
    assert tuple(map(len, splits)) == counts
    rings = [Counter(scaffold(RINGED[i]) for i in split.tolist()) for split in splits]
    assert sum(rings, Counter()) == RINGS
    assert sum(map(len, rings)) == 5
    assert rings[1] == {"c1ccsc1": 2}


@pytest.mark.parametrize(
    ("molecules", "frac", "splits"),
    [
        # Of equal sets, that comes first which appears last.
        (["C1CC1", "c1ccccc1", "C1CCCCC1"], (0.4, 0.3, 0.3), [[2], [1], [0]]),
        # Molecules without rings are one set.
        (["C", "CC", "CCO", "c1ccccc1", "C1CC1"], (0.6, 0.2, 0.2), [[0, 1, 2], [4], [3]]),
    ],
)
def test_small_splits_are_as_counted(molecules: list, frac: tuple, splits: list) -> None:
    assert [split.tolist() for split in scaffold_split(molecules, frac)] == splits


@pytest.mark.parametrize(("size", "frac"), [(10, (0.7, 0.1, 0.2)), (100, (0.57, 0.03, 0.4))])
def test_shares_are_decimal_fractions(size: int, frac: tuple[float, ...]) -> None:
    """In floating point 0.7 + 0.1 is less than 0.8, and 0.57 of a hundred less than 57."""
    rings = [f"C1{'C' * n}C1" for n in range(1, size + 1)]
    sizes = [len(split) for split in scaffold_split(rings, frac)]
    assert sizes == [round(share * size) for share in frac]


def test_mirror_images_are_one_scaffold_unless_chirality_counts() -> None:
    pair = ["C[C@H]1CC[C@@H](O1)c1ccccc1", "C[C@H]1CC[C@H](O1)c1ccccc1"]
    molecules = [*pair, "c1ccccc1", "c1ccncc1"]
    for chirality, train in ((False, [0, 1]), (True, [2, 3])):
        split = scaffold_split(molecules, (0.5, 0.0, 0.5), chirality=chirality)
        assert split[0].tolist() == train


def test_examples_are_split_as_their_smiles() -> None:
    examples = [Data(smiles=smiles) for smiles in RINGED]
    for first, second in zip(scaffold_split(RINGED), scaffold_split(examples), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("molecules", "frac", "error", "message"),
    [
        (SMILES, (0.8, 0.2), ValueError, "`frac` must be three shares that sum to 1"),
        (SMILES, (0.8, 0.1, 0.2), ValueError, "`frac` must be three shares that sum to 1"),
        (SMILES, (1.1, 0.0, -0.1), ValueError, "`frac` must be three shares that sum to 1"),
        (["C", "CC", "CCO"], (0.8, 0.1, 0.1), ValueError, "the training part .* of 1 scaffolds"),
        ([], (0.8, 0.1, 0.1), ValueError, "for 0 molecules"),
        (["C", "C(C"], (0.8, 0.1, 0.1), ValueError, r"readable by RDKit, got 'C\(C' at 1"),
        ([3], (0.8, 0.1, 0.1), TypeError, "`molecules` must be SMILES, or examples .*, got int"),
        ([Data()], (0.8, 0.1, 0.1), TypeError, "`molecules` must be SMILES, or examples"),
    ],
)
def test_what_cannot_be_split_is_an_error(molecules, frac, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        scaffold_split(molecules, frac)
