"""A generated game of Minesweeper: a grid whose nodes do not show their own class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_probability

from ._base import CachedDataset, Folder, Options
from ._grids import grid_edges, grid_positions

NUM_CATEGORIES = 7  # unknown, then 0 to 4 mines around, then more


class Minesweeper(CachedDataset):
    """A square grid with mines under some cells, and the number of mines around shown on some.

    The class of a cell is whether it is a mine.

    Generated from a seed by the rules of the ``minesweeper`` graph of
    :class:`~graphmask.datasets.Heterophilous`, which at the default size, 10,000 nodes, it
    resembles in all but the draw. A node's own features say nothing of its class, its neighbours'
    do.

    The one graph is ``Data(x, edge_index, y, pos, grid_shape, train_mask, val_mask, test_mask)``
    with N = size^2 nodes in row-major order: ``x`` float32 of shape [N, 7], one-hot: number of
    mines among the neighbours unknown, 0, 1, 2, 3, 4, more; ``edge_index`` long of shape [2, E],
    each cell to its 8 neighbours (fewer at the rim), both directions; ``y`` long of shape [N], 1
    for a mine; ``pos`` float32 of shape [N, 2], row and column; ``grid_shape`` long of shape [1,
    2]; the masks bool of shape [N], a random half to train, a quarter to validate, the rest to
    test.

    Exactly the given shares of the cells, rounded down, are mines and hidden. The global random
    state is neither read nor changed. Generated data, same licence as the library; the rules follow
    O. Platonov et al., "A critical look at the evaluation of GNNs under heterophily", ICLR 2023.

    Args:
        root: folder of the cache; :obj:`None` generates the graph in memory and writes nothing.
            (default: :obj:`None`)
        size: cells along each side, at least 2. (default: :obj:`100`)
        mines: share of the cells that are mines, in [0, 1). (default: :obj:`0.2`)
        hidden: share of the cells whose number is unknown, in [0, 1). (default: :obj:`0.5`)
        seed: seed of all the draws, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``size`` or ``seed`` is not an integer, or a share no number.
        ValueError: if a number is out of range, or ``pre_filter`` drops the graph.

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
        **options: Unpack[Options],
    ) -> None:
        self.size, self.seed = check_integer("size", size, 2), check_integer("seed", seed, 0)
        self.mines = check_probability("mines", mines)
        self.hidden = check_probability("hidden", hidden)
        super().__init__(
            root, f"{size}_mines{self.mines}_hidden{self.hidden}_seed{seed}", **options
        )

    def build(self) -> Iterator[Data]:
        """Generate the graph."""
        rng = np.random.default_rng(self.seed)
        shape, n = (self.size, self.size), self.size**2
        edges = grid_edges(shape, diagonals=True)
        mine = torch.from_numpy(rng.permutation(n) < int(self.mines * n))
        unknown = torch.from_numpy(rng.permutation(n) < int(self.hidden * n))
        around = torch.zeros(n, dtype=torch.long).index_add(0, edges[0], mine[edges[1]].long())
        category = torch.where(unknown, 0, 1 + around.clamp(max=NUM_CATEGORIES - 2))
        x = torch.nn.functional.one_hot(category, NUM_CATEGORIES).float()
        grid = {"pos": grid_positions(shape), "grid_shape": torch.tensor([shape])}
        yield Data(x=x, edge_index=edges, y=mine.long(), **grid, **random_masks(n, rng))


def random_masks(num_nodes: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Draw masks: half of the nodes to train, a quarter to validate and the rest to test."""
    half, quarter = num_nodes // 2, num_nodes // 4
    nodes = np.split(rng.permutation(num_nodes), [half, half + quarter])
    masks = {}
    for part, chosen in zip(("train", "val", "test"), nodes, strict=True):
        mask = torch.zeros(num_nodes, dtype=torch.bool)
        mask[torch.from_numpy(chosen)] = True
        masks[f"{part}_mask"] = mask
    return masks
