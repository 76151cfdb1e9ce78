"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes` and `DigitsPointCloud` work offline and without a folder; `ModelNet`, `SHREC16`, `MNIST` and `MeshNormals`
read files; `MoleculeCSV`, `MoleculeNet` and `SDFMolecules` read molecules, which `scaffold_split` splits, and `TUText` small
graphs with ten folds.
"""

from ._files import read_shape as read_shape
from .digits import DigitsPointCloud as DigitsPointCloud
from .mesh_normals import MeshNormals as MeshNormals
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .molecule_csv import MoleculeCSV as MoleculeCSV
from .molecule_csv import MoleculeNet as MoleculeNet
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .scaffold_split import scaffold_split as scaffold_split
from .sdf_molecules import SDFMolecules as SDFMolecules
from .shrec16 import SHREC16 as SHREC16
from .tu_text import TUText as TUText
