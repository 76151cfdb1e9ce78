"""Descriptors and fingerprints of molecules, and columns in units of a training set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, check_number, type_error, value_error
from graphmask._precision import double_dtype, to_double
from graphmask._settings import repr_of
from graphmask.extras import require
from graphmask.transforms._batches import Transform

PHYSICAL = (
    *("MolWt", "MolLogP", "MolMR", "TPSA", "NumHDonors", "NumHAcceptors", "NumRotatableBonds"),
    *("RingCount", "NumAromaticRings", "FractionCSP3", "HeavyAtomCount"),
)


class MoleculeDescriptors(Transform):
    """Write RDKit's descriptors of ``data.smiles`` to ``data.u [1, D]``, a row per molecule.

    ``u`` is PyG's name of features of a whole graph. An earlier ``u`` is replaced. A batch, whose
    ``smiles`` are a list, gets ``[B, D]``.

    A descriptor that RDKit cannot compute for a molecule, such as a partial charge of an atom
    without parameters, or that is not finite in float32, is NaN. Units differ by factors of
    thousands: :class:`Standardize` brings them to those of a training set, and replaces NaN.

    Args:
        names: of RDKit's 2-D descriptors, see :meth:`available`. (default: :obj:`None`, eleven
            physico-chemical ones: weight, logP, refractivity, polar surface, donors, acceptors,
            rotatable bonds, rings, aromatic rings, saturated carbons, heavy atoms)

    Raises:
        ImportError: if ``rdkit`` is not installed (extra ``molecules``).
        TypeError: if ``names`` is not a list or a tuple of texts.
        ValueError: for no names, names that RDKit does not have or that occur twice, data without
            ``smiles``, and SMILES that RDKit cannot read.

    Cost: about a millisecond per molecule, all 200 some ten; as ``pre_transform`` once.

    Source: RDKit, ``rdkit.Chem.Descriptors``.

    Example:
        >>> from torch_geometric.data import Data
        >>> MoleculeDescriptors(["MolWt", "RingCount"])(Data(smiles="c1ccccc1")).u
        tensor([[78.1140,  1.0000]])
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        chosen = PHYSICAL if names is None else names
        if not isinstance(chosen, (list, tuple)) or not all(isinstance(x, str) for x in chosen):
            raise type_error("names", "a list of names of descriptors", names)
        known, chosen = _functions(), tuple(chosen)
        unknown = [name for name in chosen if name not in known]
        if not chosen or unknown or len(set(chosen)) < len(chosen):
            expected = "names of MoleculeDescriptors.available(), each once"
            raise value_error("names", expected, unknown or chosen)
        self.names = chosen

    @staticmethod
    def available() -> tuple[str, ...]:
        """The names of all 2-D descriptors of the installed RDKit, about 200."""
        return tuple(_functions())

    def forward(self, data: Data) -> Data:
        """Write the descriptors."""
        known = _functions()
        functions = [known[name] for name in self.names]
        values = [[_value(function, row) for function in functions] for row in _molecules(data)]
        data.u = torch.tensor(values, dtype=torch.float32).reshape(len(values), len(self.names))
        return data

    def __repr__(self) -> str:
        return f"MoleculeDescriptors({list(self.names)})"


class MorganFingerprint(Transform):
    r"""Count the circular substructures of ``data.smiles`` in ``data.u [1, D]``.

    A column counts the atoms whose surroundings, of every number of bonds up to the radius, hash to
    it: atoms of the same element, degree, charge and hydrogens, whose neighbours, bonds and rings
    agree, are counted together. Substructures of one hash are added up. A batch, whose ``smiles``
    are a list, gets ``[B, D]``.

    Args:
        size: number of columns; fewer columns merge more substructures. (default: :obj:`1024`)
        radius: bonds from an atom. (default: :obj:`2`)
        cat: if :obj:`False`, an earlier ``u`` is replaced; the columns stand behind it otherwise.
            (default: :obj:`True`)

    Raises:
        ImportError: if ``rdkit`` is not installed (extra ``molecules``).
        ValueError: for a size below 1, a negative radius, data without ``smiles``, SMILES that
            RDKit cannot read, and an earlier ``u`` that has not a row per molecule.

    Cost: about .1 ms per molecule.

    Source: Rogers and Hahn, "Extended-Connectivity Fingerprints" (J. Chem. Inf. Model. 2010), as
    RDKit's Morgan generator computes them.

    Example:
        >>> from torch_geometric.data import Data
        >>> u = MorganFingerprint(size=64, radius=0)(Data(smiles="CCO")).u
        >>> u.shape, u[u > 0]  # CH3, CH2 and OH
        (torch.Size([1, 64]), tensor([1., 1., 1.]))
    """

    def __init__(self, size: int = 1024, radius: int = 2, cat: bool = True) -> None:
        self.size, self.radius = check_integer("size", size, 1), check_integer("radius", radius, 0)
        self.cat = bool(cat)
        require("rdkit.Chem", extra="molecules")

    def forward(self, data: Data) -> Data:
        """Write the counts."""
        generators = require("rdkit.Chem.rdFingerprintGenerator", extra="molecules")
        generator = generators.GetMorganGenerator(radius=self.radius, fpSize=self.size)
        counts = [generator.GetCountFingerprintAsNumPy(row) for row in _molecules(data)]
        u = torch.from_numpy(np.stack(counts).astype(np.float32))
        if self.cat and "u" in data:
            earlier = _rows(data, "u")
            if len(earlier) != len(u):
                raise value_error("u", f"of shape [{len(u)}, D], a row per molecule", earlier)
            u = torch.cat([earlier, u.to(earlier)], 1)
        data.u = u
        return data

    def __repr__(self) -> str:
        return f"MorganFingerprint(size={self.size}, radius={self.radius}, cat={self.cat})"


class Standardize(Transform):
    r"""Columns of an attribute in units of a training set.

    .. math:: u_{id} \leftarrow (u_{id} - \mu_d) / \sigma_d

    :meth:`fit` takes the mean and the standard deviation from a training set, and from nothing
    else; the transform then serves all splits. NaN become 0, the mean of the training set, and so
    do columns that are constant there, or NaN throughout: nothing was learned of them.

    Args:
        mean: ``[D]``.
        std: ``[D]``, 0 for a constant column.
        attr: the attribute, ``[*, D]``. (default: :obj:`"u"`)
        limit: the largest size of a result, at which larger ones are cut: a few descriptors have
            outliers of thousands of standard deviations. (default: :obj:`None`, as they are)

    Raises:
        TypeError: if ``mean`` or ``std`` is no tensor.
        ValueError: if they are not ``[D]`` alike or not finite, ``std`` or ``limit`` is negative;
            for data whose attribute is missing or no ``[*, D]``, or infinite.

    Cost: O(D) per row.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> train = [Data(u=torch.tensor([[value, 7.0]])) for value in (1.0, 3.0)]
        >>> standardize = Standardize.fit(train)
        >>> standardize(Data(u=torch.tensor([[4.0, 9.0]]))).u
        tensor([[2., 0.]])
    """

    def __init__(
        self, mean: Tensor, std: Tensor, attr: str = "u", limit: float | None = None
    ) -> None:
        for name, value in (("mean", mean), ("std", std)):
            if not isinstance(value, Tensor):
                raise type_error(name, "a tensor [D]", value)
            if value.dim() != 1 or value.shape != mean.shape or not bool(value.isfinite().all()):
                raise value_error(name, "finite, of shape [D] as the other", value)
        if bool((std < 0).any()):
            raise value_error("std", "non-negative", std)
        self.mean, self.std, self.attr = mean, std, attr
        self.limit = None if limit is None else check_number("limit", limit, 0)

    @classmethod
    def fit(cls, train: Iterable[Data], attr: str = "u", limit: float | None = None) -> Standardize:
        """The transform in units of a training set.

        Args:
            train: the examples to learn from; those of validation and test do not belong here.
            attr: the attribute.
            limit: as for the class.

        Raises:
            ValueError: for no rows, an attribute that is missing or not ``[*, D]``, or infinite
                values.

        Cost: one pass over the examples.
        """
        rows = [_rows(data, attr) for data in train]
        if not sum(map(len, rows)):
            raise value_error("train", f"examples with rows of `{attr}`", "none")
        value = to_double(torch.cat(rows))
        if bool(value.isinf().any()):
            raise value_error(attr, "finite or NaN", "infinite values")
        known = ~value.isnan()
        count = known.sum(0).clamp(min=1)
        mean = torch.where(known, value, 0).sum(0) / count
        std = (torch.where(known, value - mean, 0).square().sum(0) / count).sqrt()
        # Equal values may differ from their mean by its rounding.
        std = torch.where(std <= 4 * torch.finfo(std.dtype).eps * mean.abs(), 0, std)
        return cls(mean, std, attr, limit)

    def forward(self, data: Data) -> Data:
        """Replace the attribute."""
        value = _rows(data, self.attr)
        if value.shape[1] != len(self.mean):
            raise value_error(self.attr, f"of shape [*, {len(self.mean)}]", value)
        if bool(value.isinf().any()):
            raise value_error(self.attr, "finite or NaN", "infinite values")
        dtype = double_dtype(value.device)
        mean, std = (units.to(dtype).to(value.device) for units in (self.mean, self.std))
        wide = (value.to(dtype) - mean) / torch.where(std > 0, std, 1)
        wide = torch.where((std > 0) & ~value.isnan(), wide, 0)
        data[self.attr] = wide.clamp(-self._most, self._most).to(value.dtype)
        return data

    @property
    def _most(self) -> float:
        return math.inf if self.limit is None else self.limit

    def __repr__(self) -> str:
        return repr_of(self, "mean", "std")


def _rows(data: Data, attr: str) -> Tensor:
    value = data.get(attr)
    if not isinstance(value, Tensor) or value.dim() != 2 or not value.is_floating_point():
        raise value_error("data", f"with `{attr}`, floating-point of shape [*, D]", repr(data))
    return value


def _functions() -> dict[str, Callable[[Any], float]]:
    """RDKit's functions by the names of descriptors."""
    return dict(require("rdkit.Chem.Descriptors", extra="molecules")._descList)


def _molecules(data: Data) -> list[Any]:
    """RDKit's molecules of ``data.smiles``, a text or, in a batch, a list of texts."""
    smiles = data.get("smiles")
    rows = [smiles] if isinstance(smiles, str) else smiles
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, str) for row in rows):
        raise value_error("data", "with `smiles`, the text of a molecule", repr(data))
    return [_read(row) for row in rows]


def _read(smiles: str) -> Any:
    """RDKit's molecule."""
    with require("rdkit.rdBase", extra="molecules").BlockLogs():
        molecule = require("rdkit.Chem", extra="molecules").MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise value_error("smiles", "of a molecule with atoms that RDKit can read", repr(smiles))
    return molecule


def _value(function: Callable[[Any], float], molecule: Any) -> float:
    """A descriptor, NaN where it cannot be computed or is too large."""
    try:
        value = float(function(molecule))
    except (ArithmeticError, RuntimeError, ValueError):
        return math.nan
    return value if abs(value) <= torch.finfo(torch.float32).max else math.nan
