"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes`, `DigitsPointCloud`, `TerrainScenes` and `ElasticBody` work offline and without a folder; `ModelNet`,
`SHREC16`, `MNIST`, `MeshNormals`, `ISPRSFilterTest` and `SemanticKITTI` (scan by scan) read files.
"""

from .digits import DigitsPointCloud as DigitsPointCloud
from .elastic_body import ElasticBody as ElasticBody
from .isprs import ISPRSFilterTest as ISPRSFilterTest
from .mesh_normals import MeshNormals as MeshNormals
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .semantic_kitti import SemanticKITTI as SemanticKITTI
from .shrec16 import SHREC16 as SHREC16
from .terrain import TerrainScenes as TerrainScenes
