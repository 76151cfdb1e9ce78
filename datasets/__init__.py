"""Datasets in PyTorch Geometric's manner: `InMemoryDataset` classes, one file per family.

`PrimitiveShapes` and `DigitsPointCloud` work offline and without a folder; `ModelNet` and `SHREC16` read files.
"""

from .digits import DigitsPointCloud as DigitsPointCloud
from .modelnet import ModelNet as ModelNet
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .shrec16 import SHREC16 as SHREC16
