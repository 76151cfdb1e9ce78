"""A row of a matrix: as figures, as files, and in a notebook."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask.io import connect
from graphmask.topology import Topology

from . import matplotlib_figure, plotly_figure
from .colormap import ColorScale, Row
from .scene import Scene, make_scene
from .sources import Source, make_source

# Heads in a picture of matplotlib at most, each in a panel.
_HEADS = 4

# Bytes of the rows of one matrix on a page.
BUDGET = 12 * 2**20

# Bytes of a row on a page: per node of a surface, per entry of another graph, and besides.
_PER_NODE, _PER_ENTRY, _PER_ROW = 1.4, 29, 1400

# Entries computed for a page at most, and rows computed at once.
_WORK, _CHUNK = 2**27, 64


class Picture:
    """A node's row of one matrix or of several.

    Args:
        scene: the graph as it is drawn.
        sources: the matrices.
        node: its index.
        head: index of the head. (default: :obj:`0`)
        logarithmic: whether colours are orders of magnitude. (default: :obj:`None`, where most of
            a row is below 1/20 of its largest entry)

    Raises:
        ValueError: for a node or a head out of range.
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

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """``[H, N]`` of each matrix."""
        return [_rows(source, np.array([self.node]))[:, 0] for source in self.sources]

    def plotly(self) -> Any:
        """Draw the row of the first matrix as a plotly figure.

        Raises:
            MissingExtraError: without plotly.
        """
        head = min(self.head, self.sources[0].heads - 1)
        row = self._row(self.sources[0], self.rows[0], head, self.node)
        return plotly_figure.draw(self.scene, row)

    def matplotlib(self) -> Any:
        """Draw a matplotlib figure: a line of panels per matrix, a panel per head, four at most.

        Raises:
            MissingExtraError: without matplotlib.
        """
        lines = []
        for source, rows in zip(self.sources, self.rows, strict=True):
            first = max(0, min(self.head, source.heads - _HEADS))
            heads = range(first, min(first + _HEADS, source.heads))
            lines.append([self._row(source, rows, head, self.node) for head in heads])
        return matplotlib_figure.draw(self.scene, lines)

    def write_png(self, path: str | Path, dpi: int = 110) -> None:
        """Write the figure of :meth:`matplotlib`, in the format of the file's ending."""
        self.matplotlib().savefig(path, dpi=dpi)

    def write_html(self, path: str | Path, budget: int = BUDGET, note: str = "") -> None:
        """Write a page that needs no network: a click on a node shows its row.

        A slider chooses the head, and a menu the matrix.

        Args:
            path: of the file, written anew.
            budget: bytes that the rows of one matrix may take, approximately. Where not all fit,
                the page has those of some nodes, and says so. (default: 12 MiB)
            note: a line at the foot of the page. (default: none)

        Raises:
            MissingExtraError: without plotly.

        Cost: a product with the transposed mask per row on the page.
        """
        nodes = self._clickable(budget)
        clicks = "A click on any node shows its row."
        if len(nodes) < self.scene.num_nodes:
            clicks = (
                f"Rows of {len(nodes):,} of {self.scene.num_nodes:,} nodes are on this page: "
                "a click shows that of the nearest of these."
            )
        layout = "Coordinates are laid out from the edges." if self.scene.laid_out else ""
        title = f"{self.scene.title}." if self.scene.title else ""
        meta = {
            "nodes": nodes.tolist(),
            "pos": self.scene.pos[nodes].tolist(),
            "node": self.node,
            "head": min(self.head, self.sources[0].heads - 1),
        }
        plotly_figure.write_page(
            Path(path),
            self.plotly(),
            list(self._frames(nodes)),
            [(source.name, source.heads) for source in self.sources],
            meta,
            " ".join(filter(None, [title, clicks, layout, note])),
        )

    def _clickable(self, budget: int) -> np.ndarray:
        """As many nodes as the budget allows, the node of this picture among them, in order."""
        num_nodes, heads = self.scene.num_nodes, max(source.heads for source in self.sources)
        entries = max(int(np.count_nonzero(rows)) for rows in self.rows)
        per_node = (
            heads * _PER_NODE * num_nodes
            if self.scene.is_surface
            else _PER_ENTRY * min(entries, heads * plotly_figure.LARGEST)
        )
        count = min(int(budget / (heads * _PER_ROW + per_node)), _WORK // (heads * num_nodes))
        if count >= num_nodes:
            return np.arange(num_nodes)
        order = np.random.default_rng(0).permutation(num_nodes)
        others = order[order != self.node][: max(count, 1) - 1]
        return np.sort(np.append(others, self.node))

    def _frames(self, nodes: np.ndarray) -> Iterator[dict[str, Any]]:
        for index, source in enumerate(self.sources):
            for chunk in np.array_split(nodes, -(-len(nodes) // _CHUNK)):
                rows = _rows(source, chunk)
                for position, node in enumerate(chunk.tolist()):
                    for head in range(source.heads):
                        row = self._row(source, rows[:, position], head, node)
                        name = f"{index}.{head}.{node}"
                        yield plotly_figure.make_frame(name, self.scene, row)

    def _row(self, source: Source, rows: np.ndarray, head: int, node: int) -> Row:
        # The own entry is often the largest, and would make the others pale.
        others = np.delete(rows[head], node)
        scale = ColorScale.of(others, bool((rows < 0).any()), self.logarithmic)
        which = f", head {head} of {source.heads}" if source.heads > 1 else ""
        title = f"{source.name}{which}: row of node {self.scene.label(node)}"
        return Row(node, rows[head], scale, title)

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
        data: the graph: a PyG ``Data`` with ``edge_index``, ``face`` or ``pos``; or a topology.
            Nodes without ``pos`` are laid out.
        node: index of the row. (default: :obj:`0`)
        x: ``[N, C]``, the input of the layer; masks need none. (default: :obj:`None`)
        head: index of the head. (default: :obj:`0`)
        logarithmic: whether colours are orders of magnitude. (default: :obj:`None`, where most of
            a row is below 1/20 of its largest entry)

    Returns:
        A :class:`Picture`, which notebooks show; its ``plotly()``, ``matplotlib()``, ``write_png``
        and ``write_html`` give figures and files.

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
    return Picture(make_scene(data), sources, node, head, logarithmic)


def _rows(source: Source, nodes: np.ndarray) -> np.ndarray:
    return source.rows(torch.from_numpy(nodes)).float().cpu().numpy()
