"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes` and `DigitsPointCloud` work offline and without a folder; `ModelNet`, `SHREC16`, `MNIST` and `MeshNormals`
read files.
"""

from ._files import read_shape as read_shape
from .digits import DigitsPointCloud as DigitsPointCloud
from .mesh_normals import MeshNormals as MeshNormals
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .shrec16 import SHREC16 as SHREC16
