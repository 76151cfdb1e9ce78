from __future__ import annotations

import gzip
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import from_smiles

from graphmask.datasets import MoleculeCSV, MoleculeNet

TABLE = """name,smiles,celsius,toxic
ethanol,CCO,78.4,0
benzene,c1ccccc1,80.1,1
table salt,[Na+].[Cl-],1465,
methane,C,,NaN
"""
needs_rdkit = pytest.mark.skipif(
    find_spec("rdkit") is None, reason="the extra `molecules` is not installed"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def smiles_of(dataset: MoleculeCSV) -> list[str]:
    return [data.smiles for data in dataset]


@needs_rdkit
@pytest.mark.usefixtures("double_default")
def test_graphs_are_those_of_pyg(path: Path) -> None:
    dataset = MoleculeCSV(path, targets=["celsius", "toxic"])
    assert smiles_of(dataset) == ["CCO", "c1ccccc1", "[Na+].[Cl-]", "C"]
    for data in dataset:
        expected = from_smiles(data.smiles)
        assert torch.equal(data.x, expected.x)
        assert torch.equal(data.edge_index, expected.edge_index)
        assert torch.equal(data.edge_attr, expected.edge_attr)
    assert dataset[3].edge_index.shape == (2, 0)


@needs_rdkit
def test_missing_targets_are_nan(path: Path) -> None:
    dataset = MoleculeCSV(path, targets=["toxic", "celsius"])
    assert dataset.num_targets == 2
    y = torch.cat([data.y for data in dataset])
    assert y.dtype == torch.float32
    nan = float("nan")
    expected = torch.tensor([[0, 78.4], [1, 80.1], [nan, 1465], [nan, nan]])
    torch.testing.assert_close(y, expected, equal_nan=True)


@needs_rdkit
def test_all_other_columns_are_targets_unless_named(path: Path) -> None:
    message = r"row 2: could not convert .*'ethanol'.*name the columns of targets by `targets=`"
    with pytest.raises(ValueError, match=message):
        MoleculeCSV(path)
    path.write_text("celsius,smiles,toxic\n78.4,CCO,0\n")
    dataset = MoleculeCSV(path)
    assert dataset.target_names == ("celsius", "toxic")
    torch.testing.assert_close(dataset[0].y, torch.tensor([[78.4, 0]]))
    path.write_text(TABLE)
    assert MoleculeCSV(path, targets=[])[0].y.shape == (1, 0)
    assert MoleculeCSV(path, smiles="smiles", targets=("celsius",))[0].y.tolist() == [
        [pytest.approx(78.4)]
    ]


@needs_rdkit
def test_unreadable_molecules_are_counted_once_or_raise(path: Path) -> None:
    rows = "bad,C(C,1,0\nempty,,1,0\n\nworse,CC(C)(C)(C)C,1,0\ngood,CC,1,0\n"
    path.write_text(TABLE + rows)
    with pytest.warns(
        UserWarning,
        match=r"^3 molecules of .*table\.csv are left out.*the first is 'C\(C' in row 6",
    ) as warned:
        dataset = MoleculeCSV(path, targets=["toxic"])
    assert len(warned) == 1
    assert smiles_of(dataset) == ["CCO", "c1ccccc1", "[Na+].[Cl-]", "C", "CC"]
    with pytest.raises(ValueError, match=r"cannot read 'C\(C' in row 6 of .*`skip_invalid=True`"):
        MoleculeCSV(path, targets=["toxic"], skip_invalid=False)


@needs_rdkit
def test_atoms_without_a_number_are_unreadable(path: Path) -> None:
    path.write_text("smiles,y\n[Fe+9],1\nC,2\n")  # PyG counts charges from -5 to 6
    with pytest.warns(UserWarning, match=r"1 molecules .*'\[Fe\+9\]' in row 2"):
        assert smiles_of(MoleculeCSV(path)) == ["C"]


@needs_rdkit
def test_rdkit_is_quiet_and_its_log_is_not_switched_off_for_good(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from rdkit import Chem, RDLogger

    RDLogger.EnableLog("rdApp.*")
    path.write_text("smiles,y\nC(C,1\nC,2\n")
    with pytest.warns(UserWarning, match="1 molecules"):
        MoleculeCSV(path)
    assert capfd.readouterr().err == ""
    assert Chem.MolFromSmiles("C(C") is None
    assert "C(C" in capfd.readouterr().err


@needs_rdkit
def test_hydrogens(path: Path) -> None:
    assert MoleculeCSV(path, targets=[])[0].num_nodes == 3
    ethanol = MoleculeCSV(path, targets=[], with_hydrogen=True)[0]
    assert ethanol.num_nodes == 9
    assert torch.equal(ethanol.x, from_smiles("CCO", with_hydrogen=True).x)


@needs_rdkit
def test_compressed_and_marked_files(path: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(TABLE.encode("utf-8-sig")))
    packed = MoleculeCSV(tmp_path / "table.csv.gz", targets=["celsius"])
    assert smiles_of(packed) == smiles_of(MoleculeCSV(path, targets=["celsius"]))


@needs_rdkit
def test_the_cache_follows_the_file_and_the_arguments(path: Path, tmp_path: Path) -> None:
    def opened(target: str) -> MoleculeCSV:
        return MoleculeCSV(path, targets=[target], processed_root=tmp_path / "cache")

    first = opened("toxic")
    stamp = Path(first.processed_paths[0]).stat().st_mtime_ns
    assert Path(opened("toxic").processed_paths[0]).stat().st_mtime_ns == stamp
    assert opened("celsius")[0].y.item() == pytest.approx(78.4)
    path.write_text(TABLE.replace("CCO", "CCN"))
    assert smiles_of(opened("toxic"))[0] == "CCN"


def test_arguments(path: Path, tmp_path: Path) -> None:
    message = r"`smiles, targets` must be one of .*name, smiles, celsius, toxic, got mol"
    with pytest.raises(ValueError, match=message):
        MoleculeCSV(path, smiles="mol")
    path.write_text("smiles,y,y\nC,1,2\n")
    with pytest.raises(ValueError, match=r"must be one of the columns of .*, smiles, y, y, got y"):
        MoleculeCSV(path)
    path.write_text(TABLE)
    with pytest.raises(ValueError, match="got fahrenheit"):
        MoleculeCSV(path, targets=["celsius", "fahrenheit"])
    message = r"`targets` must be a list of names, such as \['toxic'\], got str"
    with pytest.raises(TypeError, match=message):
        MoleculeCSV(path, targets="toxic")
    with pytest.raises(TypeError, match="`skip_invalid` must be a bool"):
        MoleculeCSV(path, skip_invalid="warn")
    with pytest.raises(FileNotFoundError, match=r"The file .*none\.csv is missing"):
        MoleculeCSV(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no header"),
        ('smiles,y\n"C,1\n', "unexpected end of data"),
        ("smiles,y\nC\n", "row 2: list index out of range"),
        ("smiles,y\nC,1\nC,inf\n", "row 3: inf is not finite"),
    ],
)
@needs_rdkit
def test_a_damaged_file(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"table\.csv is damaged \({problem}"):
        MoleculeCSV(path)


def test_without_rdkit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rdkit"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[molecules\]"'):
        MoleculeCSV(path, targets=[])


@needs_rdkit
def test_a_benchmark_knows_its_columns(tmp_path: Path) -> None:
    (tmp_path / "bace.csv").write_text("mol,Class\nCCO,1\nC,0\n")
    dataset = MoleculeNet(tmp_path, "bace")
    assert dataset.classification
    assert dataset.target_names == ("Class",)
    assert [data.y.item() for data in dataset] == [1, 0]
    message = "`name` must be one of esol, lipo, qm7, bace, bbbp, tox21, got zinc"
    with pytest.raises(ValueError, match=message):
        MoleculeNet(tmp_path, "zinc")


@needs_rdkit
def test_from_smiles_builds_the_graphs(tmp_path: Path) -> None:
    (tmp_path / "bace.csv").write_text("mol,Class\nCCO,1\n")
    hydrogens = MoleculeNet(tmp_path, "BACE", from_smiles=with_hydrogens)[0]
    assert hydrogens.num_nodes == 9
    assert hydrogens.y.tolist() == [[1]]
    cached = MoleculeNet(tmp_path, "bace", processed_root=tmp_path)[0]
    assert cached.num_nodes == 3
    options = {"from_smiles": with_hydrogens, "processed_root": tmp_path}
    assert MoleculeNet(tmp_path, "bace", **options)[0].num_nodes == 9


def with_hydrogens(smiles: str) -> Data:
    return from_smiles(smiles, with_hydrogen=True)
