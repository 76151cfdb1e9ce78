"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes`, `DigitsPointCloud`, `Minesweeper` and `MotifDetection` work offline and without a folder; `ModelNet`,
`SHREC16`, `MNIST`, `MeshNormals`, `GitHub`, `Heterophilous` and `GridField` read files.
"""

from .digits import DigitsPointCloud as DigitsPointCloud
from .github import GitHub as GitHub
from .grid_field import GridField as GridField
from .heterophilous import Heterophilous as Heterophilous
from .mesh_normals import MeshNormals as MeshNormals
from .minesweeper import Minesweeper as Minesweeper
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .motif_detection import MotifDetection as MotifDetection
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .shrec16 import SHREC16 as SHREC16
