"""RDKit molecules as graphs, and what to do with those that RDKit cannot read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_rdmol

from graphmask.extras import require


def rdkit_module(name: str) -> Any:
    """A module of RDKit, such as ``rdkit.Chem``.

    Raises:
        ImportError: If `rdkit` is not installed.
    """
    return require(name, extra="molecules")


def parse_smiles(smiles: str) -> Any:
    """A molecule of RDKit; None where it cannot read one.

    Raises:
        ImportError: If `rdkit` is not installed.
    """
    chem = rdkit_module("rdkit.Chem")
    with rdkit_module("rdkit.rdBase").BlockLogs():
        return chem.MolFromSmiles(smiles)


def graph_of(molecule: Any, with_hydrogen: bool = False) -> Data | None:
    """A molecule as PyG's graph.

    None where there is no molecule, no atom, or an atom that PyG has no number for.
    """
    if molecule is None or not molecule.GetNumAtoms():
        return None
    try:
        return from_rdmol(rdkit_module("rdkit.Chem").AddHs(molecule) if with_hydrogen else molecule)
    except ValueError:
        return None


class Unreadable:
    """Counts what could not be read, to report it once; or refuses the first.

    Args:
        file: Where from.
        skip: Whether to go on.
    """

    def __init__(self, file: Path, skip: bool) -> None:
        self.file, self.skip, self.count, self.first = file, skip, 0, ""

    def add(self, what: str) -> None:
        """Something that could not be read.

        Raises:
            ValueError: If it must not be skipped.
        """
        if not self.skip:
            raise ValueError(
                f"RDKit or PyG cannot read {what} of {self.file}: correct it, or pass `skip_invalid=True`"
            )
        self.first = self.first or what
        self.count += 1

    def kept(self, graphs: Iterable[Data | None]) -> Iterator[Data]:
        """The graphs that are there; then a warning, if some were not."""
        yield from (graph for graph in graphs if graph is not None)
        if self.count:
            warnings.warn(
                f"{self.count} molecules of {self.file} are left out, which RDKit or PyG cannot read; the first is "
                f"{self.first}. Pass `skip_invalid=False` to refuse such files",
                stacklevel=2,
            )


def number(text: str) -> float:
    """A target: empty cells are missing, which is NaN.

    Raises:
        ValueError: If the text is no finite number, and not missing either.
    """
    if text.strip().lower() in ("", "nan", "na", "none", "null"):
        return float("nan")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text.strip()} is not finite")
    return value


def row_of(values: Sequence[float]) -> Tensor:
    """Targets float32 [1, T]."""
    return torch.tensor([list(values)], dtype=torch.float32)
