from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch_geometric.data import Data

from graphmask.datasets import scaffold_split

rdkit = pytest.importorskip("rdkit")

RINGS = ("c1ccccc1", "C1CC1", "C1CCCCC1", "c1ccncc1", "c1ccsc1")
# 30 molecules: 10 of benzene, 8 of cyclopropane, 6 of cyclohexane, 4 of pyridine, 2 of thiophene,
# in turns.
SMILES = [
    ring if not n else "C" * n + ring
    for n in range(10)
    for ring, size in zip(RINGS, (10, 8, 6, 4, 2), strict=True)
    if n < size
]


def scaffold(smiles: str) -> str:
    """By RDKit's own molecule of the scaffold, not by the shortcut that the library calls."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    return Chem.MolToSmiles(
        MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles)), isomericSmiles=False
    )


def rings_of(part: torch.Tensor) -> Counter[str]:
    return Counter(scaffold(SMILES[i]) for i in part.tolist())


def test_parts_by_hand() -> None:
    """24, 3 and 3 of 30: benzene, cyclopropane and cyclohexane fill 24.

    Of the rest only thiophene fits in three.
    """
    train, val, test = scaffold_split(SMILES)
    assert rings_of(train) == {"c1ccccc1": 10, "C1CC1": 8, "C1CCCCC1": 6}
    assert rings_of(val) == {"c1ccsc1": 2}
    assert rings_of(test) == {"c1ccncc1": 4}


def test_a_smaller_set_fills_what_a_larger_leaves() -> None:
    """Of 18, 3 and 9: cyclohexane does not fit beside benzene and cyclopropane, nor into three.

    Neither does pyridine.
    """
    train, val, test = scaffold_split(SMILES, (0.6, 0.1, 0.3))
    assert rings_of(train) == {"c1ccccc1": 10, "C1CC1": 8}
    assert rings_of(val) == {"c1ccsc1": 2}
    assert rings_of(test) == {"C1CCCCC1": 6, "c1ccncc1": 4}


def test_of_equal_sets_that_comes_first_which_appears_last() -> None:
    assert [
        part.tolist() for part in scaffold_split(["C1CC1", "c1ccccc1", "C1CCCCC1"], (0.4, 0.3, 0.3))
    ] == [[2], [1], [0]]


@pytest.mark.parametrize(("size", "frac"), [(10, (0.7, 0.1, 0.2)), (100, (0.57, 0.03, 0.4))])
def test_shares_are_decimal_fractions(size: int, frac: tuple[float, ...]) -> None:
    """In floating point 0.7 + 0.1 is less than 0.8, and 0.57 of a hundred less than 57."""
    rings = [f"C1{'C' * n}C1" for n in range(1, size + 1)]
    assert [len(part) for part in scaffold_split(rings, frac)] == [
        round(share * size) for share in frac
    ]


def test_molecules_without_rings_are_one_set() -> None:
    train, val, test = scaffold_split(["C", "CC", "CCO", "c1ccccc1", "C1CC1"], (0.6, 0.2, 0.2))
    assert (train.tolist(), val.tolist(), test.tolist()) == ([0, 1, 2], [4], [3])


def test_mirror_images_are_one_scaffold_unless_asked() -> None:
    pair = ["C[C@H]1CC[C@@H](O1)c1ccccc1", "C[C@H]1CC[C@H](O1)c1ccccc1"]
    assert [len(part) for part in scaffold_split(pair, (0.5, 0.0, 0.5))] == [0, 0, 2]
    assert [len(part) for part in scaffold_split(pair, (0.5, 0.0, 0.5), chirality=True)] == [
        1,
        0,
        1,
    ]


def test_a_dataset_serves_as_well_and_nothing_is_random() -> None:
    examples = [Data(smiles=smiles) for smiles in SMILES]
    for first, second in zip(scaffold_split(SMILES), scaffold_split(examples), strict=True):
        assert torch.equal(first, second)


def test_nothing_to_split() -> None:
    assert [part.tolist() for part in scaffold_split([])] == [[], [], []]


@pytest.mark.parametrize("frac", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.1, 0.0, -0.1)])
def test_shares_that_are_none(frac: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="`frac` must be three shares that sum to 1"):
        scaffold_split(SMILES, frac)


def test_bad_molecules() -> None:
    with pytest.raises(ValueError, match=r"`molecules` must be readable by RDKit, got 'C\(C' at 1"):
        scaffold_split(["C", "C(C"])
    message = "`molecules` must be SMILES, or examples with `smiles`, got int"
    with pytest.raises(TypeError, match=message):
        scaffold_split([3])
    with pytest.raises(TypeError, match="`molecules` must be SMILES, or examples"):
        scaffold_split([Data()])
