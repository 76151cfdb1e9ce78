"""Molecules as SMILES in the rows of a CSV file, and the files of MoleculeNet."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch_geometric.data import Data

from graphmask._checks import type_error, value_error

from ._base import CachedDataset, Filter, Folder, Transform, check_flag, damaged
from ._molecules import Unreadable, graph_of, number, parse_smiles, row_of
from ._raw_files import existing, fetched, fingerprint

URL = "https://raw.githubusercontent.com/tencent-ailab/grover/40b6d97098e4508687912f3c05eca369fc2c6213/exampledata/finetune"


class MoleculeCSV(CachedDataset):
    r"""The molecules of a CSV file, one per row.

    A column of SMILES, and columns of numbers to be predicted.

    Each example is PyG's ``from_smiles(smiles)`` with its targets, ``Data(x, edge_index, edge_attr,
    smiles, y)``: `x` long of shape [N, 9] and `edge_attr` long of shape [E, 3], categories that
    :class:`~graphmask.transforms.OneHotMolecule` turns into columns; `y` float32 of shape [1, T],
    NaN where a cell is empty: a loss must leave these out. Hydrogens are counted in `x` and are no
    nodes, unless asked for.

    Rows that RDKit or PyG cannot read, or that hold no atom, are left out with one warning that
    counts them, or refused.

    Args:
        path: The file, with a header; also compressed (``.csv.gz``).
        smiles: Name of the column of SMILES.
        targets: Names of the columns of targets, none for an unlabelled file. (default: all the
            other columns)
        skip_invalid: Whether to leave out what cannot be read, rather than refuse the file.
        with_hydrogen: Whether hydrogens are nodes.
        processed_root: Folder of a cache, which the content of the file and all arguments name;
            None reads the file at every start and writes nothing.
        transform: Applied at every access.
        pre_transform: Applied once, such as ``AddWalks``.
        pre_filter: Keeps the molecules it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If `rdkit` is not installed (extra `molecules`).
        PermissionError: If the cache folder cannot be made.
        TypeError: If `skip_invalid` or `with_hydrogen` is not a bool.
        ValueError: If a column is missing, a row is damaged, a target is no number, a molecule is
            refused, or nothing is left.

    Cost: about 4,000 molecules per second.

    Source: the graphs are those of PyG's ``torch_geometric.utils.from_smiles``.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import MoleculeCSV
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "boiling.csv")
        ...     with open(path, "w") as file:
        ...         _ = file.write("name,smiles,celsius\nethanol,CCO,78.4\nbenzene,c1ccccc1,80.1\n")
        ...     dataset = MoleculeCSV(path, targets=["celsius"])
        >>> dataset[0]
        Data(x=[3, 9], edge_index=[2, 4], edge_attr=[4, 3], smiles='CCO', y=[1, 1])
    """

    def __init__(
        self,
        path: Folder,
        smiles: str = "smiles",
        targets: Sequence[str] | None = None,
        skip_invalid: bool = True,
        with_hydrogen: bool = False,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if isinstance(targets, str):
            raise type_error("targets", f"a list of names, such as [{targets!r}]", targets)
        self.path = existing(path)
        self.skip_invalid = check_flag("skip_invalid", skip_invalid)
        self.with_hydrogen = check_flag("with_hydrogen", with_hydrogen)
        header = _rows(self.path)[0]
        others = [name for name in header if name != smiles]
        self.smiles_name, self.target_names = smiles, tuple(others if targets is None else targets)
        for name in (smiles, *self.target_names):
            if header.count(name) != 1:
                raise value_error(
                    "smiles, targets",
                    f"one of the columns of {self.path}, {', '.join(header)}",
                    name,
                )
        super().__init__(
            processed_root,
            fingerprint(self.path, smiles, self.target_names, skip_invalid, with_hydrogen),
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def num_targets(self) -> int:
        """T, the columns of targets."""
        return len(self.target_names)

    def build(self) -> Iterator[Data]:
        """The molecules in the order of the file."""
        unreadable = Unreadable(self.path, self.skip_invalid)
        header, *rows = _rows(self.path)
        place = header.index(self.smiles_name)
        columns = [header.index(name) for name in self.target_names]
        return unreadable.kept(
            self._molecule(line, row, place, columns, unreadable)
            for line, row in enumerate(rows, 2)
            if row
        )

    def _molecule(
        self, line: int, row: list[str], place: int, columns: list[int], unreadable: Unreadable
    ) -> Data | None:
        try:
            smiles, cells = row[place], [row[column] for column in columns]
            targets = [number(cell) for cell in cells]
        except (IndexError, ValueError) as error:
            remedy = "correct the row, or name the columns to be predicted by `targets=`"
            raise damaged(self.path, f"row {line}: {error}", remedy) from error
        graph = graph_of(parse_smiles(smiles), self.with_hydrogen)
        if graph is None:
            unreadable.add(f"{smiles!r} in row {line}")
            return None
        graph.smiles, graph.y = smiles, row_of(targets)
        return graph


class Benchmark(NamedTuple):
    """What a file of MoleculeNet holds."""

    smiles: str
    classification: bool


class MoleculeNet(MoleculeCSV):
    r"""Six of MoleculeNet's files, as GROVER distributes them.

    ======== ========= ======= ============== ==========================================
    name     molecules targets kind           what is measured
    ======== ========= ======= ============== ==========================================
    esol     1,128     1       regression     log solubility in water
    lipo     4,200     1       regression     octanol / water distribution
    qm7      6,830     1       regression     atomisation energy
    bace     1,513     1       classification inhibition of an enzyme
    bbbp     2,039     1       classification permeation of the blood-brain barrier
    tox21    7,823     12      classification toxicity, a fifth of the labels missing
    ======== ========= ======= ============== ==========================================

    Examples are those of :class:`MoleculeCSV`; classes are 0 and 1 in `y`, NaN where missing. Eight
    rows of Tox21's 7,831 are
    left out: RDKit refuses their aluminium.

    Args:
        root: Folder of ``<name>.csv``, downloaded if absent.
        name: Of the table.
        with_hydrogen: As of :class:`MoleculeCSV`.
        processed_root: As of :class:`MoleculeCSV`.
        transform: As of :class:`MoleculeCSV`.
        pre_transform: As of :class:`MoleculeCSV`.
        pre_filter: As of :class:`MoleculeCSV`.
        force_reload: As of :class:`MoleculeCSV`.

    Raises:
        ConnectionError: If the file cannot be downloaded.
        ImportError: If `rdkit` is not installed (extra `molecules`).
        PermissionError: If the cache folder cannot be made.
        ValueError: If there is no benchmark of this name, or the file is damaged.

    Source: Z. Wu et al., "MoleculeNet: A Benchmark for Molecular Machine Learning", Chemical
    Science 2018; the files of Y. Rong et al., "Self-Supervised Graph Transformer on Large-Scale
    Molecular Data" (GROVER), NeurIPS 2020, MIT licence.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import MoleculeNet
        >>> with tempfile.TemporaryDirectory() as root:
        ...     with open(os.path.join(root, "bace.csv"), "w") as file:
        ...         _ = file.write("mol,Class\nCCO,1\n")
        ...     dataset = MoleculeNet(root, "bace")
        >>> dataset.classification, dataset.target_names, dataset[0].y
        (True, ('Class',), tensor([[1.]]))
    """

    names = {  # noqa: RUF012
        "esol": Benchmark("smiles", False),
        "lipo": Benchmark("smiles", False),
        "qm7": Benchmark("smiles", False),
        "bace": Benchmark("mol", True),
        "bbbp": Benchmark("smiles", True),
        "tox21": Benchmark("smiles", True),
    }

    def __init__(
        self,
        root: Folder,
        name: str,
        with_hydrogen: bool = False,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if name not in self.names:
            raise value_error("name", f"one of {', '.join(self.names)}", name)
        self.name, benchmark = name, self.names[name]
        self.classification = benchmark.classification
        super().__init__(
            fetched(Path(root).expanduser() / f"{name}.csv", f"{URL}/{name}.csv"),
            benchmark.smiles,
            with_hydrogen=with_hydrogen,
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )


def _rows(path: Path) -> list[list[str]]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, error, "restore the file") from error
    if not rows or not rows[0]:
        raise damaged(path, "no header", "its first row must name the columns")
    return rows
