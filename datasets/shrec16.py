"""The SHREC 2011 meshes in the 16-train 4-test split of MeshCNN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from ._base import Options, SplitDataset
from ._files import read_mesh, with_origins
from ._raw_files import Folder, check_folder, class_files, files_of_classes

LAYOUT = "<class>/{train,test}/*.obj, one folder for each of the 30 classes"


class SHREC16(SplitDataset):
    r"""600 triangle meshes of 30 bodies in many poses, 16 of each to train and 4 to test.

    Each example is ``Data(pos, face, y)``: ``pos`` float32 of shape [V, 3] in the units of the file
    (V = 250 or 252), vertices in the order of the file, never merged; ``face`` long of shape [3, F]
    (F = 500); ``y`` long of shape [1]; ``origin`` as in :func:`read_shape`. The classes,
    ``SHREC16.class_names``, are in alphabetical order. The files are read in alphabetical order,
    class by class.

    Source: Z. Lian et al., "SHREC'11 Track: Shape Retrieval on Non-rigid 3D Watertight Meshes",
    3DOR 2011, simplified and split by R. Hanocka et al., "MeshCNN: A Network with an Edge",
    SIGGRAPH 2019. The meshes come without a stated licence, for research, and
    without a stable address: fetch the folder ``shrec_16`` with MeshCNN's own script and pass it as
    ``root``.

    Args:
        root: folder that holds ``<class>/{train,test}/*.obj``.
        train: whether this is the training split. (default: :obj:`True`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        FileNotFoundError: if ``root``, a class or its meshes are missing.
        TypeError: if ``train`` is not a bool.
        ValueError: if a file is damaged or ``pre_filter`` keeps no mesh.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import SHREC16
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in SHREC16.class_names:
        ...         os.makedirs(os.path.join(root, name, "test"))
        ...         with open(os.path.join(root, name, "test", "T0.obj"), "w") as file:
        ...             _ = file.write("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        ...     dataset = SHREC16(root, train=False)
        >>> dataset, dataset[0]
        (SHREC16(30), Data(y=[1], pos=[3, 3], face=[3, 1]))
    """

    class_names = (
        "alien", "ants", "armadillo", "bird1", "bird2", "camel", "cat", "centaur", "dino_ske",
        "dinosaur", "dog1", "dog2", "flamingo", "glasses", "gorilla", "hand", "horse", "lamp",
        "laptop", "man", "myScissor", "octopus", "pliers", "rabbit", "santa", "shark", "snake",
        "spiders", "two_balls", "woman",
    )  # fmt: skip

    def __init__(self, root: Folder, train: bool = True, **options: Unpack[Options]) -> None:
        self.source_folder = check_folder(root, LAYOUT)
        super().__init__(root, train, **options)

    @property
    def sources(self) -> Sequence[Path]:
        return class_files(self.source_folder, self.class_names, self.split, ".obj")

    def build(self) -> Iterator[Data]:
        """Yield the meshes of this split, class by class."""
        remedy = f"`root` must hold {LAYOUT}"
        files = files_of_classes(self.source_folder, self.class_names, self.split, ".obj", remedy)
        yield from with_origins(_example(path, label) for label, path in files)


def _example(path: Path, label: int) -> Data:
    mesh = read_mesh(path)
    kept = {key: mesh[key] for key in ("pos", "face", "origin") if key in mesh}
    return Data(**kept, y=torch.tensor([label]))
