"""Molecules as SMILES in the rows of a CSV file, and the files of MoleculeNet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import value_error
from graphmask._settings import describe_setting
from graphmask._tables import (
    Row,
    check_heading_once,
    find_named_columns,
    naming,
    read_rows,
    read_text,
)

from ._base import CachedDataset, Filter, Options, Transform, check_flag
from ._molecules import (
    Unreadable,
    check_targets,
    graph_of,
    parse_smiles,
    parse_target,
    round_targets,
)
from ._raw_files import Folder, check_file, find_files, fingerprint

# Headings of columns that number molecules.
_ID = re.compile(r"((mol(ecule)?|compound|sample|pubchem|row)?[ _-]?(id|cid|idx))|index", re.I)
# Headings of columns that number parts of the file.
_PART = re.compile(
    r"((cv|scaffold|random)[ _-]?)?(split|fold|partition|subset)s?([ _-]?(id|\d+))?", re.I
)

_COMMIT = "40b6d97098e4508687912f3c05eca369fc2c6213"
URL = f"https://raw.githubusercontent.com/tencent-ailab/grover/{_COMMIT}/exampledata/finetune"


class MoleculeCSV(CachedDataset):
    r"""The molecules of a CSV file: a column of SMILES, and columns of targets.

    Each example is PyG's ``from_smiles(smiles)`` with its targets, ``Data(x, edge_index, edge_attr,
    smiles, y)``: ``x`` long of shape [N, 9] and ``edge_attr`` long of shape [E, 3], categories that
    :class:`~graphmask.transforms.OneHotMolecule` turns into columns; ``y`` float32 of shape [1, T],
    NaN where a cell is empty: a loss must leave these out. Hydrogens are counted in ``x`` and are
    no nodes, unless asked for.

    Rows that RDKit or PyG cannot read, or that hold no atom, are left out with one warning that
    counts them, or raise an error.

    Args:
        path: the file, in UTF-8 or with a byte-order mark, with a header; between its cells are
            commas, semicolons or tabs. Also compressed (``.csv.gz``).
        smiles: name of the column of SMILES. (default: :obj:`"smiles"`)
        targets: names of the columns of targets, none for an unlabelled file. (default: all the
            other columns, without row numbers at the left, which have no name or ``Unnamed: 0``)
        skip_invalid: whether to leave out what cannot be read, rather than raise an error.
            (default: :obj:`True`)
        with_hydrogen: whether hydrogens are nodes. (default: :obj:`False`)
        from_smiles: function from SMILES to a ``Data``, as of PyG's ``MoleculeNet``. (default:
            :obj:`None`, PyG's ``from_smiles``)
        **options: see :class:`~graphmask.datasets.CachedDataset`; without ``processed_root`` the
            file is read at every start and nothing is written.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if ``rdkit`` is not installed (extra ``molecules``).
        TypeError: if ``skip_invalid`` or ``with_hydrogen`` is not a bool.
        ValueError: if a column is missing or occurs twice, a row has more or fewer cells than the
            header, a target is no number that is finite in float32 (also one with a decimal
            comma), a column of ids or of folds would be a target without ``targets``, a molecule
            cannot be read, or nothing is left.

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
        from_smiles: Callable[[str], Data] | None = None,
        **options: Unpack[Options],
    ) -> None:
        check_targets(targets)
        self.path, self.from_smiles = check_file(path), from_smiles
        self.skip_invalid = check_flag("skip_invalid", skip_invalid)
        self.with_hydrogen = check_flag("with_hydrogen", with_hydrogen)
        rows = _read_rows(self.path)
        header = rows[0].cells
        with naming(self.path):
            named = find_named_columns(rows)
        others = [header[column] for column in named if header[column] != smiles]
        if targets is None:
            _check_no_ids(rows, [header.index(name) for name in others])
        self.smiles_name, self.target_names = smiles, tuple(others if targets is None else targets)
        for name in (smiles, *self.target_names):
            if (count := header.count(name)) != 1:
                expected = f"columns that {self.path} has once, of {', '.join(header)}"
                raise value_error("smiles, targets", expected, f"{name!r}, of {count} columns")
        settings = [smiles, self.target_names, skip_invalid, with_hydrogen]
        if from_smiles is not None:
            settings.append(describe_setting(from_smiles))
        super().__init__(None, fingerprint(self.path, *settings), **options)

    @property
    def num_targets(self) -> int:
        """T, the number of columns of targets."""
        return len(self.target_names)

    def build(self) -> Iterator[Data]:
        """Yield the molecules in the order of the file."""
        unreadable = Unreadable(self.path, self.skip_invalid)
        header, *rows = _read_rows(self.path)
        names = (self.smiles_name, *self.target_names)
        columns = [header.cells.index(name) for name in names]
        targets = [self._targets(row, columns[1:]) for row in rows]
        y = round_targets(targets)
        return unreadable.skip_missing(
            self._molecule(row, row.cells[columns[0]], y[place : place + 1].clone(), unreadable)
            for place, row in enumerate(rows)
        )

    def _targets(self, row: Row, columns: list[int]) -> list[float]:
        try:
            return [parse_target(row.cells[column]) for column in columns]
        except ValueError as error:
            remedy = "correct it, or name the columns of targets by `targets=`"
            raise ValueError(f"{self.path}: line {row.line}: {error}: {remedy}") from error

    def _molecule(
        self, row: Row, smiles: str, y: torch.Tensor, unreadable: Unreadable
    ) -> Data | None:
        if self.from_smiles is not None:
            graph = self.from_smiles(smiles)
        else:
            graph = graph_of(parse_smiles(smiles), self.with_hydrogen)
        if graph is None:
            unreadable.add(f"{smiles!r} in line {row.line}")
            return None
        graph.smiles, graph.y = smiles, y
        return graph


class Benchmark(NamedTuple):
    """The column of SMILES in a file of MoleculeNet, and the kind of its targets."""

    smiles: str
    classification: bool


class MoleculeNet(MoleculeCSV):
    r"""Six of MoleculeNet's files, as GROVER distributes them.

    Takes the arguments of PyG's ``MoleculeNet``, which reads DeepChem's files, and returns the same
    graphs.

    ======== ========= ======= ============== ==========================================
    name     molecules targets task           measured quantity
    ======== ========= ======= ============== ==========================================
    esol     1,128     1       regression     log solubility in water
    lipo     4,200     1       regression     octanol / water distribution
    qm7      6,830     1       regression     atomisation energy
    bace     1,513     1       classification inhibition of an enzyme
    bbbp     2,039     1       classification permeation of the blood-brain barrier
    tox21    7,823     12      classification toxicity, a fifth of the labels missing
    ======== ========= ======= ============== ==========================================

    Classes are 0 and 1 in ``y``, NaN where missing. Eight rows of Tox21's 7,831 are left out: RDKit
    rejects their aluminium.

    Args:
        root: folder of ``<name>.csv``.
        name: name of the table, in any case.
        transform, pre_transform, pre_filter, force_reload: as in :class:`MoleculeCSV`.
        from_smiles, with_hydrogen, processed_root: as in :class:`MoleculeCSV`.
        download: whether to download the file if it is missing. (default: :obj:`False`)

    Raises:
        FileNotFoundError: if the file is missing and ``download`` is false.
        ConnectionError: if the download fails.
        ImportError: if ``rdkit`` is not installed (extra ``molecules``).
        ValueError: if there is no benchmark of this name, or the file is damaged.

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
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
        from_smiles: Callable[[str], Data] | None = None,
        *,
        with_hydrogen: bool = False,
        processed_root: Folder | None = None,
        download: bool = False,
    ) -> None:
        self.name = name.lower() if isinstance(name, str) else name
        if self.name not in self.names:
            raise value_error("name", f"one of {', '.join(self.names)}", name)
        benchmark = self.names[self.name]
        self.classification = benchmark.classification
        (path,) = find_files(root, [f"{self.name}.csv"], URL, check_flag("download", download))
        super().__init__(
            path,
            benchmark.smiles,
            with_hydrogen=with_hydrogen,
            from_smiles=from_smiles,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            processed_root=processed_root,
            force_reload=force_reload,
        )


def _check_no_ids(rows: list[Row], columns: list[int]) -> None:
    """Check that no column of whole numbers is called an id, if all differ, or a part."""
    for column in columns:
        name, *cells = (row.cells[column] for row in rows)
        is_id = _ID.fullmatch(name) and len({*cells}) == len(cells)
        if (is_id or _PART.fullmatch(name)) and all(map(str.isdecimal, cells)):
            expected = f"given, since {name!r} numbers the molecules and measures nothing"
            raise value_error("targets", expected, None)


def _read_rows(path: Path) -> list[Row]:
    with naming(path):
        rows = read_rows(read_text(path))
        if len(rows) < 2:
            raise ValueError(f"it has {'no row below its header' if rows else 'no header'}")
        check_heading_once(rows)
    return rows
