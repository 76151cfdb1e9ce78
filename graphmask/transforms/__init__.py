"""PyG transforms that build graphs from points and meshes, without a compiled extension."""

from graphmask.transforms.add_walks import AddWalks as AddWalks
from graphmask.transforms.edge_weights import Cotangent as Cotangent
from graphmask.transforms.edge_weights import EdgeLength as EdgeLength
from graphmask.transforms.edge_weights import Gaussian as Gaussian
from graphmask.transforms.farthest import FarthestPoints as FarthestPoints
from graphmask.transforms.farthest import farthest_points as farthest_points
from graphmask.transforms.mesh import MeshToGraph as MeshToGraph
from graphmask.transforms.neighbours import edge_distance as edge_distance
from graphmask.transforms.neighbours import knn_graph as knn_graph
from graphmask.transforms.neighbours import radius_graph as radius_graph
from graphmask.transforms.one_hot_molecule import OneHotMolecule as OneHotMolecule
from graphmask.transforms.orders import CuthillMcKee as CuthillMcKee
from graphmask.transforms.orders import Hilbert as Hilbert
from graphmask.transforms.partition import NodePartition as NodePartition
from graphmask.transforms.partition import cut_share as cut_share
from graphmask.transforms.partition import partition_nodes as partition_nodes
from graphmask.transforms.point_graphs import KNNGraph as KNNGraph
from graphmask.transforms.point_graphs import RadiusGraph as RadiusGraph
from graphmask.transforms.reorder import ReorderNodes as ReorderNodes
from graphmask.transforms.shape_invariants import ShapeInvariants as ShapeInvariants
from graphmask.transforms.spanning_tree import MinimumSpanningTree as MinimumSpanningTree
from graphmask.transforms.spanning_tree import minimum_spanning_tree as minimum_spanning_tree
from graphmask.transforms.unit_sphere import UnitSphere as UnitSphere
from graphmask.transforms.walk_encoding import AddWalkEncoding as AddWalkEncoding
