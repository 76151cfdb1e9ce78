"""Datasets in PyTorch Geometric's manner: ``InMemoryDataset`` classes, one file per family.

Generated datasets need no folder. Those that read files take their folder as ``root``, and their
docstrings describe the files. Nothing downloads unless asked (``download=True``).
"""

from ._base import CachedDataset as CachedDataset
from ._base import SplitDataset as SplitDataset
from ._files import read_shape as read_shape
from .digits import DigitsPointCloud as DigitsPointCloud
from .elastic_body import ElasticBody as ElasticBody
from .github import GitHub as GitHub
from .grid_field import GridField as GridField
from .heterophilous import Heterophilous as Heterophilous
from .isprs import ISPRSFilterTest as ISPRSFilterTest
from .kitti_objects import KITTIObjects as KITTIObjects
from .mesh_normals import MeshNormals as MeshNormals
from .minesweeper import Minesweeper as Minesweeper
from .mnist import MNIST as MNIST
from .modelnet import ModelNet as ModelNet
from .molecule_csv import MoleculeCSV as MoleculeCSV
from .molecule_csv import MoleculeNet as MoleculeNet
from .motif_detection import MotifDetection as MotifDetection
from .primitive_shapes import PrimitiveShapes as PrimitiveShapes
from .scaffold_split import scaffold_split as scaffold_split
from .scan_object_nn import ScanObjectNN as ScanObjectNN
from .sdf_molecules import SDFMolecules as SDFMolecules
from .semantic_kitti import SemanticKITTI as SemanticKITTI
from .shape_folder import ShapeFolder as ShapeFolder
from .shrec16 import SHREC16 as SHREC16
from .tangled_cables import TangledCables as TangledCables
from .terrain import TerrainScenes as TerrainScenes
from .tu_text import TUText as TUText
