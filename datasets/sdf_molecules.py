"""Molecules with coordinates, from SDF files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from graphmask._checks import type_error

from ._base import CachedDataset, Filter, Folder, Transform, check_flag, damaged
from ._molecules import Unreadable, graph_of, number, rdkit_module, row_of
from ._raw_files import existing, fingerprint


class SDFMolecules(CachedDataset):
    r"""The molecules of an SDF file with the positions of their atoms.

    Each example is PyG's graph of the molecule with what the file adds, ``Data(x, edge_index,
    edge_attr, pos, y, name, smiles)``: `x` long of shape [N, 9], `edge_attr` long of shape [E, 3];
    `pos` float32 of shape [N, 3] in the units of the file, as a rule Angstroem; `y` float32 of
    shape [1, T], the SDF tags named in `targets`, NaN where a molecule has none; `name` the first
    line of its record; `smiles` RDKit's, without hydrogens. Hydrogens of the file are nodes.

    Bonds make the edges; for neighbours in space instead, apply
    :class:`~graphmask.transforms.RadiusGraph`.

    Args:
        path: The file.
        targets: Names of the SDF tags to be predicted.
        skip_invalid: Whether to leave out what RDKit or PyG cannot read, with one warning that
            counts them, rather than refuse the file.
        remove_hydrogen: Whether hydrogens are left out of the graph, and only counted in `x`.
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
        TypeError: If `targets` is a string, or `skip_invalid` or `remove_hydrogen` is not a bool.
        ValueError: If a tag is no number, or no molecule has it, a molecule is refused, or nothing
            is left.

    Source: the format is BIOVIA's (CTfile); read by RDKit.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import SDFMolecules
        >>> atoms = "    0.0000    0.0000    0.0000 C   0  0\n    1.1000    0.0000    0.0000 O   0  0\n"
        >>> record = f"monoxide\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n{atoms}  1  2  2  0\nM  END\n"
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
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        if isinstance(targets, str):
            raise type_error("targets", f"a list of names, such as [{targets!r}]", targets)
        self.path, self.target_names = existing(path), tuple(targets)
        self.skip_invalid = check_flag("skip_invalid", skip_invalid)
        self.remove_hydrogen = check_flag("remove_hydrogen", remove_hydrogen)
        super().__init__(
            processed_root,
            fingerprint(self.path, self.target_names, skip_invalid, remove_hydrogen),
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def num_targets(self) -> int:
        """T, the tags to be predicted."""
        return len(self.target_names)

    def build(self) -> Iterator[Data]:
        """The molecules in the order of the file."""
        unreadable = Unreadable(self.path, self.skip_invalid)
        with rdkit_module("rdkit.rdBase").BlockLogs():
            records = list(
                rdkit_module("rdkit.Chem").SDMolSupplier(
                    str(self.path), removeHs=self.remove_hydrogen
                )
            )
        self._check_tags([record for record in records if record is not None])
        return unreadable.kept(
            self._molecule(place, record, unreadable) for place, record in enumerate(records, 1)
        )

    def _check_tags(self, records: list[Any]) -> None:
        missing = [
            name
            for name in self.target_names
            if not any(record.HasProp(name) for record in records)
        ]
        if missing:
            found = sorted({name for record in records for name in record.GetPropNames()})
            raise damaged(
                self.path,
                f"no molecule has the tag {missing[0]}",
                f"`targets` must be tags: {', '.join(found)}",
            )

    def _molecule(self, place: int, record: Any, unreadable: Unreadable) -> Data | None:
        graph = graph_of(record)
        if graph is None:
            unreadable.add(f"record {place}")
            return None
        graph.pos = torch.from_numpy(
            np.asarray(record.GetConformer().GetPositions(), dtype=np.float32)
        )
        graph.y = row_of([self._target(place, record, name) for name in self.target_names])
        chem = rdkit_module("rdkit.Chem")
        with rdkit_module("rdkit.rdBase").BlockLogs():
            graph.name, graph.smiles = (
                record.GetProp("_Name"),
                chem.MolToSmiles(chem.RemoveHs(record)),
            )
        return graph

    def _target(self, place: int, record: Any, name: str) -> float:
        try:
            return number(record.GetProp(name)) if record.HasProp(name) else float("nan")
        except ValueError as error:
            raise damaged(
                self.path,
                f"record {place}, {name}: {error}",
                "correct it, or leave it out of `targets`",
            ) from error
