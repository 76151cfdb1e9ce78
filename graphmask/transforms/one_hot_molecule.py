"""Categories of atoms and bonds as columns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils.smiles import e_map, x_map

from graphmask._checks import value_error
from graphmask.transforms._batches import Transform

_ATOM_SIZES = tuple(len(categories) for categories in x_map.values())
_BOND_SIZES = tuple(len(categories) for categories in e_map.values())


class OneHotMolecule(Transform):
    """Turn the categories that PyG's ``from_smiles`` writes into columns of zeros and ones.

    ``x [N, 9]``, long (element, chirality, degree, charge, hydrogens, radical electrons,
    hybridisation, aromatic, in a ring), becomes float ``[N, 177]``; ``edge_attr [E, 3]``, long
    (type of bond, stereo, conjugated), becomes float ``[E, 30]``. Each row holds one 1 for each of
    its categories. Layers without embeddings read these. Data may lack ``edge_attr``.

    Cost: O(N + E); as ``transform`` only batches in use are that wide.

    Raises:
        ValueError: if ``x`` or ``edge_attr`` does not hold categories of ``from_smiles``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> carbon = torch.tensor([[6, 0, 4, 5, 4, 0, 4, 0, 0]])
        >>> OneHotMolecule()(Data(x=carbon)).x.nonzero()[:, 1].tolist()
        [6, 119, 132, 144, 155, 160, 169, 173, 175]
    """

    num_atom_features = sum(_ATOM_SIZES)
    num_bond_features = sum(_BOND_SIZES)

    def forward(self, data: Data) -> Data:
        """Replace ``x`` and ``edge_attr``."""
        data.x = _one_hot("x", data.get("x"), _ATOM_SIZES)
        if data.get("edge_attr") is not None:
            data.edge_attr = _one_hot("edge_attr", data.edge_attr, _BOND_SIZES)
        return data


def _one_hot(name: str, value: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    expected = f"categories of `from_smiles`, long of shape [*, {len(sizes)}]"
    if not isinstance(value, Tensor) or value.dtype != torch.long:
        raise value_error(name, expected, value)
    if value.dim() != 2 or value.shape[1] != len(sizes):
        raise value_error(name, expected, value)
    limits = torch.tensor(sizes, device=value.device)
    if bool(((value < 0) | (value >= limits)).any()):
        expected = f"categories of `from_smiles`, below {list(sizes)}"
        raise value_error(name, expected, f"{value.amax(0).tolist()} at most")
    columns = torch.zeros(value.shape[0], sum(sizes), device=value.device)
    return columns.scatter_(1, value + limits.cumsum(0) - limits, 1.0)
