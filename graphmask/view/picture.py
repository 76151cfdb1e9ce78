"""A row of a matrix: as figures, as files, and in a notebook."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._atomic import replacing
from graphmask._checks import check_integer, value_error
from graphmask.io import connect
from graphmask.topology import Topology

from . import _matplotlib, _plotly
from ._rows import Row
from ._scene import Scene
from .sources import Source, make_source

# Heads in a picture of matplotlib at most, each in a panel.
_HEADS = 4

# Bytes of the rows of one matrix on a page.
BUDGET = 12 * 2**20

# Entries computed for a page at most, and rows computed at once.
_WORK, _CHUNK = 2**27, 64


class Picture:
    """A node's row of one matrix or of several, which :func:`row` makes.

    Raises:
        ValueError: for a node or a head out of range.
        MissingExtraError: where a figure needs matplotlib or plotly, and it is absent.
    """

    def __init__(
        self,
        scene: Scene,
        sources: Sequence[Source],
        node: int,
        head: int = 0,
        logarithmic: bool | None = None,
    ) -> None:
        if check_integer("node", node, 0) >= scene.num_nodes:
            raise value_error("node", f"below {scene.num_nodes:,}, the number of nodes", node)
        heads = max(source.heads for source in sources)
        if check_integer("head", head, 0) >= heads:
            raise value_error("head", f"below {heads}, the number of heads", head)
        self.scene, self.sources, self.node, self.head = scene, list(sources), node, head
        self.logarithmic = logarithmic
        index = np.array([node])
        self.rows = [_rows(source, index)[:, 0] for source in sources]  # [H, N] of each matrix
        pairs = zip(sources, self.rows, strict=True)
        self.drawn = [self._color(source, rows, node) for source, rows in pairs]

    def plotly(self) -> Any:
        """Draw the row of the first matrix as a plotly figure."""
        return _plotly.draw(self.scene, self.drawn[0][self._first_head])

    def matplotlib(self) -> Any:
        """Draw a matplotlib figure: a line of panels per matrix, a panel per head, four at most."""
        starts = [max(0, min(self.head, len(rows) - _HEADS)) for rows in self.drawn]
        lines = [rows[k : k + _HEADS] for k, rows in zip(starts, self.drawn, strict=True)]
        return _matplotlib.draw(self.scene, lines)

    def write_png(self, path: str | Path, dpi: int = 110) -> None:
        """Write the figure of :meth:`matplotlib`, in the format of the file's ending."""
        with replacing(path) as aside:
            self.matplotlib().savefig(aside, dpi=dpi)

    def write_html(self, path: str | Path, budget: int = BUDGET, note: str = "") -> None:
        """Write a page that needs no network: a click on a node shows its row.

        A slider chooses the head, and a menu the matrix.

        Args:
            path: of the file, written anew.
            budget: bytes that the rows of one matrix may take, approximately. Where not all fit,
                the page has those of some nodes, and says so. (default: 12 MiB)
            note: a line at the foot of the page. (default: none)

        Cost: a product with the transposed mask per row on the page.
        """
        scene, nodes = self.scene, self._clickable(budget)
        clicks = "A click on any node shows its row."
        if len(nodes) < scene.num_nodes:
            count = f"Rows of {len(nodes):,} of {scene.num_nodes:,} nodes are on this page"
            clicks = f"{count}: a click shows that of the nearest of these."
        layout = "Coordinates are laid out from the edges." if scene.laid_out else ""
        foot = " ".join(filter(None, [scene.title and f"{scene.title}.", clicks, layout, note]))
        meta = {
            "names": [source.name for source in self.sources],
            "heads": [source.heads for source in self.sources],
            "nodes": nodes.tolist(),
            "pos": scene.pos[nodes].tolist(),
            "node": self.node,
            "head": self._first_head,
        }
        _plotly.write_page(Path(path), self.plotly(), list(self._frames(nodes)), meta, foot)

    @property
    def _first_head(self) -> int:
        return min(self.head, self.sources[0].heads - 1)

    def _clickable(self, budget: int) -> np.ndarray:
        """Nodes whose rows the budget allows, in order, the node of this picture among them."""
        num_nodes, heads = self.scene.num_nodes, max(source.heads for source in self.sources)
        frames = [[_plotly.make_frame("", self.scene, row) for row in rows] for rows in self.drawn]
        size = max(len(json.dumps(frames_of_heads)) for frames_of_heads in frames)
        count = min(budget // size, _WORK // (heads * num_nodes))
        if count >= num_nodes:
            return np.arange(num_nodes)
        order = np.random.default_rng(0).permutation(num_nodes)
        others = order[order != self.node][: max(count, 1) - 1]
        return np.sort(np.append(others, self.node))

    def _frames(self, nodes: np.ndarray) -> Iterator[dict[str, Any]]:
        for index, source in enumerate(self.sources):
            for chunk in np.array_split(nodes, -(-len(nodes) // _CHUNK)):
                for rows, node in zip(_rows(source, chunk).swapaxes(0, 1), chunk, strict=True):
                    for head, row in enumerate(self._color(source, rows, int(node))):
                        yield _plotly.make_frame(f"{index}.{head}.{node}", self.scene, row)

    def _color(self, source: Source, rows: np.ndarray, node: int) -> list[Row]:
        """The rows ``[H, N]`` of one node, with titles and scales of colours."""
        signed, heads, title = bool((rows < 0).any()), len(rows), self.scene.label(node)
        names = [f", head {head} of {heads}" if heads > 1 else "" for head in range(heads)]
        return [
            Row(node, row, f"{source.name}{name}: row of node {title}", signed, self.logarithmic)
            for row, name in zip(rows, names, strict=True)
        ]

    def _repr_png_(self) -> bytes:
        """A small picture, for notebooks."""
        buffer = io.BytesIO()
        self.matplotlib().savefig(buffer, dpi=80, format="png")
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"Picture(node={self.node}, sources={[source.name for source in self.sources]})"


def row(
    source: Any,
    data: Data | Topology,
    node: int = 0,
    x: Tensor | None = None,
    head: int = 0,
    logarithmic: bool | None = None,
) -> Picture:
    """Draw a row of a mask, of an operator, or of the attention of a layer.

    Args:
        source: a mask, its operator or a :class:`~graphmask.nn.TopologicalAttention`; or a list of
            these.
        data: a topology, or a PyG ``Data`` with ``edge_index``, ``face`` or ``pos``. Nodes without
            ``pos`` are laid out.
        node: index of the row. (default: :obj:`0`)
        x: ``[N, C]``, the input of the layer; masks need none. (default: :obj:`None`)
        head: index of the head. (default: :obj:`0`)
        logarithmic: whether colours are orders of magnitude. (default: :obj:`None`, where most of
            a row is below 1/20 of its largest entry)

    Returns:
        A :class:`Picture`, which notebooks show.

    Raises:
        TypeError: for a source of another class, or a layer without its input.
        ValueError: where the mask does not apply to the graph, and for a node or head out of range.

    Cost: a product with the transposed mask, and that of preparing the mask; never N x N.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.view import row
        >>> ring = gm.Topology(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), num_nodes=4)
        >>> picture = row(gm.masks.PowerSeriesMask(hops=1), ring, node=2)
        >>> picture
        Picture(node=2, sources=['PowerSeriesMask(hops=1, heads=1, alpha=NonNegative)'])
        >>> picture.rows[0].shape
        (1, 4)
    """
    if isinstance(data, Topology):
        topology = data
        data = Data(edge_index=data.edge_index, pos=data.pos, num_nodes=data.num_nodes)
    else:
        data = connect(data)
        topology = Topology.from_data(data)
    items = source if isinstance(source, (list, tuple)) else [source]
    sources = [make_source(item, topology, x) for item in items]
    return Picture(Scene(data), sources, node, head, logarithmic)


def _rows(source: Source, nodes: np.ndarray) -> np.ndarray:
    return source.rows(torch.from_numpy(nodes)).float().cpu().numpy()
