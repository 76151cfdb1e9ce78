"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes` and `DigitsPointCloud` work offline and without a folder; `ModelNet`, `KITTIObjects`, `ScanObjectNN`,
`SHREC16`, `MNIST` and `MeshNormals` read the files of their data, `ShapeFolder` your own.
"""

from ._files import read_shape as read_shape
from .digits import DigitsPointCloud as DigitsPointCloud
from .kitti_objects import KITTIObjects as KITTIObjects
from .mesh_normals import MeshNormals as MeshNormals
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .scan_object_nn import ScanObjectNN as ScanObjectNN
from .shape_folder import ShapeFolder as ShapeFolder
from .shrec16 import SHREC16 as SHREC16
