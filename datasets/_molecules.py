"""RDKit molecules as graphs, and a count of those that RDKit cannot read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_rdmol

from graphmask._checks import type_error
from graphmask._tables import parse_number
from graphmask.extras import require

from ._files import warn_of_rounding

# What stands for a missing value in tables of pandas, R and spreadsheets.
_MISSING = ("", "nan", "-nan", "na", "<na>", "n/a", "#n/a", "none", "null")


def rdkit_module(name: str) -> Any:
    """Import a module of RDKit, such as ``rdkit.Chem``."""
    return require(name, extra="molecules")


def parse_smiles(smiles: str) -> Any:
    """Return RDKit's molecule, or None where it cannot read one, or reads the first word alone."""
    if any(not word.startswith("|") for word in smiles.split()[1:2]):
        return None
    chem = rdkit_module("rdkit.Chem")
    with rdkit_module("rdkit.rdBase").BlockLogs():
        return chem.MolFromSmiles(smiles)


def graph_of(molecule: Any, with_hydrogen: bool = False) -> Data | None:
    """Return PyG's graph of a molecule.

    None where there is no molecule, no atom, or an atom that PyG has no category for.
    """
    if molecule is None or not molecule.GetNumAtoms():
        return None
    try:
        return from_rdmol(rdkit_module("rdkit.Chem").AddHs(molecule) if with_hydrogen else molecule)
    except ValueError:
        return None


class Unreadable:
    """Counts molecules that could not be read, to warn once; or raises an error for the first.

    Args:
        file: the file with the molecules.
        skip: whether to skip such molecules.
    """

    def __init__(self, file: Path, skip: bool) -> None:
        self.file, self.skip, self.count, self.first = file, skip, 0, ""

    def add(self, name: str) -> None:
        """Count a molecule that could not be read, or raise an error."""
        if not self.skip:
            raise ValueError(
                f"RDKit or PyG cannot read {name} of {self.file}: "
                "correct it, or pass `skip_invalid=True`"
            )
        self.first = self.first or name
        self.count += 1

    def skip_missing(self, graphs: Iterable[Data | None]) -> Iterator[Data]:
        """Yield the graphs that are not None; then warn, if some were, or raise if all were."""
        is_empty = True
        for graph in graphs:
            if graph is not None:
                is_empty = False
                yield graph
        if is_empty:
            first = f"; the first is {self.first}" if self.first else ""
            raise ValueError(f"{self.file} holds no molecule that RDKit and PyG can read{first}")
        if self.count:
            warnings.warn(
                f"{self.count} molecules of {self.file} are left out, which RDKit or PyG cannot "
                f"read; the first is {self.first}. Pass `skip_invalid=False` to raise an error",
                stacklevel=2,
            )


def parse_target(text: str) -> float:
    """Parse a target; empty cells are NaN.

    Raises:
        ValueError: if the text is neither missing nor a number that is finite in float32.
    """
    is_missing = text.strip().lower() in _MISSING
    return float("nan") if is_missing else parse_number(text.strip())


def round_targets(targets: Sequence[Sequence[float]]) -> Tensor:
    """Round targets, NaN where missing, to float32 ``[N, T]``; warn where they get alike."""
    values = np.array(targets, dtype=np.float64)
    single = values.astype(np.float32)
    warn_of_rounding("targets `y`", values, single)
    return torch.from_numpy(single)


def check_targets(targets: Sequence[str] | None) -> None:
    """Check names of targets: a string is a sequence of names, too, but hardly meant."""
    if isinstance(targets, str):
        raise type_error("targets", f"a list of names, such as [{targets!r}]", targets)
