from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.utils.smiles import e_map, x_map

from graphmask.transforms import OneHotMolecule

BOND = torch.tensor([[2, 3, 1], [2, 3, 1]])


def carbonyl() -> Data:
    atoms = torch.tensor([[6, 0, 3, 5, 2, 0, 3, 0, 0], [118, 8, 10, 11, 8, 4, 7, 1, 1]])
    return Data(x=atoms, edge_index=torch.tensor([[0, 1], [1, 0]]), edge_attr=BOND)


def test_every_category_has_its_column() -> None:
    data = OneHotMolecule()(carbonyl())
    assert data.x.shape == (2, 177)
    assert data.edge_attr.shape == (2, 30)
    assert data.x.dtype == data.edge_attr.dtype == torch.get_default_dtype()
    parts = data.x.split([len(categories) for categories in x_map.values()], 1)
    assert torch.equal(torch.stack([part.argmax(1) for part in parts], 1), carbonyl().x)
    assert all((part.sum(1) == 1).all() for part in parts)
    bonds = data.edge_attr.split([len(categories) for categories in e_map.values()], 1)
    assert torch.equal(torch.stack([part.argmax(1) for part in bonds], 1), BOND)
    assert (data.edge_attr.sum(1) == 3).all()


def test_nothing_to_encode() -> None:
    data = OneHotMolecule()(Data(x=torch.zeros(0, 9, dtype=torch.long)))
    assert data.x.shape == (0, 177)
    assert data.edge_attr is None
