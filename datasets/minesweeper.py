"""A generated game of Minesweeper.

One grid graph whose classes no node can tell from its own features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch_geometric.data import Data

from graphmask._checks import check_integer, check_probability

from ._base import CachedDataset, Filter, Folder, Transform
from ._graphs import random_masks
from ._grids import grid_edges, grid_positions

KINDS = 7  # of features: unknown, then 0 to 4 mines around, then more


class Minesweeper(CachedDataset):
    """A square grid with mines under some cells, and the number of mines around shown on some.

    Which cells are mines?

    Generated from a seed by the rules of the ``minesweeper`` graph of
    :class:`~graphmask.datasets.Heterophilous`, which at the default size, 10,000 nodes, it
    resembles in all but the draw. A node's own features say nothing of its class, its neighbours'
    do.

    The one graph is ``Data(x, edge_index, y, pos, grid_shape, train_mask, val_mask, test_mask)``
    with N = size^2 nodes in row-major order: `x` float32 of shape [N, 7], one-hot: number of mines
    among the neighbours unknown, 0, 1, 2, 3, 4, more; `edge_index` long of shape [2, E], each cell
    to its 8 neighbours (fewer at the rim), both directions; `y` long of shape [N], 1 for a mine;
    `pos` float32 of shape [N, 2], row and column; `grid_shape` long of shape [1, 2]; the masks bool
    of shape [N], a random half to train, a quarter to validate, the rest to test.

    Exactly the given shares of the cells, rounded down, are mines and hidden. The global random
    state is neither read nor changed. Generated data, same licence as the library; the rules follow
    O. Platonov et al., "A critical look at the evaluation of GNNs under heterophily", ICLR 2023.

    Args:
        root: Folder of the cache; None generates the graph in memory and writes nothing.
        size: Cells along each side, at least 2.
        mines: Share of the cells that are mines, in [0, 1).
        hidden: Share of the cells whose number is unknown, in [0, 1).
        seed: Seed of all the draws, a non-negative integer.
        transform: Applied at every access.
        pre_transform: Applied once, when the graph is generated.
        pre_filter: Keeps the graph if it returns True, applied before `pre_transform`.
        force_reload: Whether to generate again what the cache already has.

    Raises:
        TypeError: If `size` or `seed` is not an integer, or a share no number.
        ValueError: If a number is out of range, or `pre_filter` drops the graph.
        PermissionError: If the cache folder cannot be made.

    Example:
        >>> from graphmask.datasets import Minesweeper
        >>> data = Minesweeper(size=20)[0]
        >>> data.num_nodes, data.num_edges, int(data.y.sum()), int(data.train_mask.sum())
        (400, 2964, 80, 200)
    """

    class_names = ("free", "mine")

    def __init__(
        self,
        root: Folder | None = None,
        size: int = 100,
        mines: float = 0.2,
        hidden: float = 0.5,
        seed: int = 0,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.size, self.seed = check_integer("size", size, 2), check_integer("seed", seed, 0)
        self.mines, self.hidden = (
            check_probability("mines", mines),
            check_probability("hidden", hidden),
        )
        super().__init__(
            root,
            f"{size}_mines{self.mines}_hidden{self.hidden}_seed{seed}",
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            force_reload=force_reload,
        )

    @property
    def num_classes(self) -> int:
        """Two."""
        return len(self.class_names)

    def build(self) -> Iterator[Data]:
        """Generate the one graph."""
        rng = np.random.default_rng(self.seed)
        shape, n = (self.size, self.size), self.size**2
        edges = grid_edges(shape, diagonals=True)
        mine, unknown = (
            torch.from_numpy(_choose(n, share, rng)) for share in (self.mines, self.hidden)
        )
        around = torch.zeros(n, dtype=torch.long).index_add(0, edges[0], mine[edges[1]].long())
        kind = torch.where(unknown, 0, 1 + around.clamp(max=KINDS - 2))
        x = torch.nn.functional.one_hot(kind, KINDS).float()
        grid = {"pos": grid_positions(shape), "grid_shape": torch.tensor([shape])}
        yield Data(x=x, edge_index=edges, y=mine.long(), **grid, **random_masks(n, rng))


def _choose(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Exactly this share of n cells, rounded down, as a mask."""
    return rng.permutation(n) < int(share * n)
