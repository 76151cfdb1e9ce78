"""Molecules with coordinates, from SDF files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._tables import naming, read_text

from ._base import CachedDataset, Options, check_flag
from ._molecules import (
    Unreadable,
    check_targets,
    graph_of,
    parse_target,
    rdkit_module,
    round_targets,
)
from ._raw_files import Folder, check_file, damaged, fingerprint


class SDFMolecules(CachedDataset):
    r"""The molecules of an SDF file with the positions of their atoms.

    Each example is PyG's graph of the molecule with what the file adds, ``Data(x, edge_index,
    edge_attr, pos, y, name, smiles)``: ``x`` long of shape [N, 9], ``edge_attr`` long of shape [E,
    3]; ``pos`` float32 of shape [N, 3] in the units of the file, as a rule Angstroem; ``y`` float32
    of shape [1, T], the SDF tags named in ``targets``, NaN where a molecule has none; ``name`` the
    first line of its record; ``smiles`` RDKit's, without hydrogens. Hydrogens of the file are
    nodes.

    Bonds make the edges; for neighbours in space instead, apply
    :class:`~graphmask.transforms.RadiusGraph`.

    Args:
        path: the file, in UTF-8; also compressed (``.sdf.gz``).
        targets: names of the SDF tags in ``y``. (default: :obj:`()`)
        skip_invalid: whether to leave out what RDKit or PyG cannot read, with one warning that
            counts them, rather than raise an error. (default: :obj:`True`)
        remove_hydrogen: whether hydrogens are left out of the graph, and only counted in ``x``.
            (default: :obj:`False`)
        **options: see :class:`~graphmask.datasets.CachedDataset`; without ``processed_root`` the
            file is read at every start and nothing is written.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if ``rdkit`` is not installed (extra ``molecules``).
        TypeError: if ``targets`` is a string, or ``skip_invalid`` or ``remove_hydrogen`` is not a
            bool.
        ValueError: if a tag is no number, or no molecule has it, a molecule cannot be read, or
            nothing is left.

    Source: the format is BIOVIA's (CTfile); read by RDKit.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import SDFMolecules
        >>> zeros = "    0.0000    0.0000"
        >>> atoms = f"{zeros}    0.0000 C   0  0\n{zeros}    1.1000 O   0  0"
        >>> counts = "  2  1  0  0  0  0  0  0  0  0999 V2000"
        >>> record = f"monoxide\n\n\n{counts}\n{atoms}\n  1  2  2  0\nM  END\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "molecules.sdf")
        ...     with open(path, "w") as file:
        ...         _ = file.write(record + ">  <energy>\n-113.3\n\n$$$$\n")
        ...     data = SDFMolecules(path, targets=["energy"])[0]
        >>> data.name, data.pos.shape, data.y
        ('monoxide', torch.Size([2, 3]), tensor([[-113.3000]]))
    """

    def __init__(
        self,
        path: Folder,
        targets: Sequence[str] = (),
        skip_invalid: bool = True,
        remove_hydrogen: bool = False,
        **options: Unpack[Options],
    ) -> None:
        check_targets(targets)
        self.path, self.target_names = check_file(path), tuple(targets)
        self.skip_invalid = check_flag("skip_invalid", skip_invalid)
        self.remove_hydrogen = check_flag("remove_hydrogen", remove_hydrogen)
        super().__init__(
            None,
            fingerprint(self.path, self.target_names, skip_invalid, remove_hydrogen),
            **options,
        )

    @property
    def num_targets(self) -> int:
        """T, the number of tags in ``y``."""
        return len(self.target_names)

    def build(self) -> Iterator[Data]:
        """Yield the molecules in the order of the file."""
        unreadable = Unreadable(self.path, self.skip_invalid)
        chem = rdkit_module("rdkit.Chem")
        with naming(self.path):
            text = read_text(self.path).replace("\r\n", "\n").replace("\r", "\n")
            if "$$$$" in text and not text.rstrip().endswith("$$$$"):
                raise ValueError("it ends within a record: restore the file")
        with rdkit_module("rdkit.rdBase").BlockLogs():
            supplier = chem.SDMolSupplier()
            supplier.SetData(text, removeHs=self.remove_hydrogen)
            records = list(supplier) if text.strip() else []
        count = len(re.findall(r"^\$\$\$\$", text, re.MULTILINE))
        # RDKit drops a short record at the end.
        records += [None] * (count - len(records))
        if readable := [record for record in records if record is not None]:
            self._check_tags(readable)
        targets = [self._targets(index, record) for index, record in enumerate(records, 1)]
        y = round_targets(targets)
        return unreadable.skip_missing(
            self._molecule(index, record, y[index - 1 : index].clone(), unreadable)
            for index, record in enumerate(records, 1)
        )

    def _check_tags(self, records: list[Any]) -> None:
        tags = {name for record in records for name in record.GetPropNames()}
        missing = [name for name in self.target_names if name not in tags]
        if missing:
            remedy = f"`targets` must be tags: {', '.join(sorted(tags))}"
            raise damaged(self.path, f"no molecule has the tag {missing[0]}", remedy)

    def _molecule(
        self, index: int, record: Any, y: torch.Tensor, unreadable: Unreadable
    ) -> Data | None:
        graph = graph_of(record)
        if graph is None:
            unreadable.add(f"record {index}")
            return None
        pos = np.asarray(record.GetConformer().GetPositions(), dtype=np.float32)
        graph.pos, graph.y = torch.from_numpy(pos), y
        chem = rdkit_module("rdkit.Chem")
        with rdkit_module("rdkit.rdBase").BlockLogs():
            graph.name = record.GetProp("_Name")
            graph.smiles = chem.MolToSmiles(chem.RemoveHs(record))
        return graph

    def _targets(self, index: int, record: Any) -> list[float]:
        if record is None:
            return [float("nan")] * self.num_targets
        return [self._target(index, record, name) for name in self.target_names]

    def _target(self, index: int, record: Any, name: str) -> float:
        try:
            return parse_target(record.GetProp(name)) if record.HasProp(name) else float("nan")
        except ValueError as error:
            remedy = "correct it, or leave it out of `targets`"
            raise damaged(self.path, f"record {index}, {name}: {error}", remedy) from error
