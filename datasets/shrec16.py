"""The SHREC 2011 meshes in the 16-train 4-test split of MeshCNN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch_geometric.data import Data

from ._base import Filter, Folder, SplitDataset, Transform
from ._files import read_mesh

LAYOUT = "<class>/{train,test}/*.obj, one folder for each of the 30 classes"


class SHREC16(SplitDataset):
    r"""600 closed triangle meshes of 30 kinds of bodies in many poses.

    16 of each class to train and 4 to test.

    Each example is ``Data(pos, face, y)``: `pos` float32 of shape [V, 3] in the units of the file
    (V = 250 or 252), vertices in the order of the file, never merged; `face` long of shape [3, F]
    (F = 500); `y` long of shape [1]. The
    classes in alphabetical order: alien, ants, armadillo, bird1, bird2, camel, cat, centaur,
    dino_ske, dinosaur, dog1, dog2, flamingo, glasses, gorilla, hand, horse, lamp, laptop, man,
    myScissor, octopus, pliers, rabbit, santa, shark, snake, spiders, two_balls, woman. The files
    are read in alphabetical order, class by class.

    Source: Z. Lian et al., "SHREC'11 Track: Shape Retrieval on Non-rigid 3D Watertight Meshes",
    3DOR 2011, simplified and split by R. Hanocka et al., "MeshCNN: A Network with an Edge",
    SIGGRAPH 2019. The meshes come without a stated licence, for research. There is no stable
    address to download them from: fetch the folder `shrec_16` with MeshCNN's own script and pass it
    as `root`.

    Args:
        root: Folder that holds ``<class>/{train,test}/*.obj``.
        train: Whether this is the training split.
        processed_root: Folder of the cache, for a `root` that cannot be written (default: `root`).
        transform: Applied at every access.
        pre_transform: Applied once, before the meshes are cached.
        pre_filter: Keeps the meshes it returns True for, applied before `pre_transform`.
        force_reload: Whether to build again what the cache already has.

    Raises:
        FileNotFoundError: If `root`, a class or its meshes are missing.
        ImportError: If `trimesh` is not installed (extra `mesh`) and the meshes are not cached yet.
        PermissionError: If the cache folder cannot be made.
        TypeError: If `train` is not a bool.
        ValueError: If a file is damaged or `pre_filter` keeps no mesh.

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
        "alien", "ants", "armadillo", "bird1", "bird2", "camel", "cat", "centaur", "dino_ske", "dinosaur", "dog1",
        "dog2", "flamingo", "glasses", "gorilla", "hand", "horse", "lamp", "laptop", "man", "myScissor", "octopus",
        "pliers", "rabbit", "santa", "shark", "snake", "spiders", "two_balls", "woman",
    )  # fmt: skip

    def __init__(
        self,
        root: Folder,
        train: bool = True,
        processed_root: Folder | None = None,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        # Before PyG makes a folder of that name for the cache.
        if not Path(root).expanduser().is_dir():
            raise FileNotFoundError(f"The folder {root} is missing: `root` must hold {LAYOUT}")
        super().__init__(
            root,
            train,
            processed_root=processed_root,
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def raw_dir(self) -> str:
        """The root itself."""
        return self.root

    @property
    def raw_file_names(self) -> list[str]:
        """One folder per class."""
        return list(self.class_names)

    def build(self) -> Iterator[Data]:
        """The meshes of this split, class by class."""
        files = [
            (label, path)
            for label, name in enumerate(self.class_names)
            for path in self._mesh_files(name)
        ]
        for label, path in files:
            mesh = read_mesh(path)
            yield Data(pos=mesh.pos, face=mesh.face, y=torch.tensor([label]))

    def _mesh_files(self, name: str) -> list[Path]:
        folder = Path(self.raw_dir, name, self.split)
        files = sorted(folder.glob("*.obj"))
        if not files:
            raise FileNotFoundError(f"No .obj file in {folder}: `root` must hold {LAYOUT}")
        return files
