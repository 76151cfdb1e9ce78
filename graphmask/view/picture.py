"""One row to look at: as figures, as files, and in a notebook."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask.topology import Topology

from . import interactive, still
from .graphs import connect
from .packed import BUDGET
from .page import write_page
from .scene import Scene, make_scene
from .shades import Shades
from .sources import Source, source_of

# Heads that a still picture shows at most, each in a panel.
_HEADS = 4


class Picture:
    """A node's row of one matrix or of several.

    Args:
        scene: the graph as it is drawn.
        sources: the matrices.
        node: whose row.
        head: of which head. (default: :obj:`0`)

    Raises:
        ValueError: for a node or a head that is not there.
    """

    def __init__(self, scene: Scene, sources: Sequence[Source], node: int, head: int = 0) -> None:
        if check_integer("node", node, 0) >= scene.num_nodes:
            raise value_error("node", f"below {scene.num_nodes:,}, the number of nodes", node)
        most = max(source.heads for source in sources)
        if check_integer("head", head, 0) >= most:
            raise value_error("head", f"below {most}, the number of heads", head)
        self.scene, self.sources, self.node, self.head = scene, list(sources), node, head

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """``[H, N]`` of each matrix."""
        return [
            source.rows(torch.tensor([self.node]))[:, 0].float().cpu().numpy()
            for source in self.sources
        ]

    def plotly(self) -> Any:
        """A plotly figure of the first matrix's row.

        Raises:
            MissingExtraError: without plotly.
        """
        head = min(self.head, self.sources[0].heads - 1)
        weights = self.rows[0][head]
        return interactive.draw(
            self.scene, self.node, weights, self._shades(self.rows[0], head), self._title(0, head)
        )

    def matplotlib(self) -> Any:
        """A matplotlib figure: a line of panels per matrix, a panel per head, four heads at most.

        Raises:
            MissingExtraError: without matplotlib.
        """
        return still.draw(
            self.scene, self.node, [self._panels(number) for number in range(len(self.sources))]
        )

    def write_png(self, path: str | Path, dpi: int = 110) -> None:
        """The picture of :meth:`matplotlib`, in the format that the file's ending tells."""
        self.matplotlib().savefig(path, dpi=dpi)

    def write_html(self, path: str | Path, budget: int = BUDGET, note: str = "") -> None:
        """One page that needs no network: a click on a node shows its row.

        The head and the matrix can be chosen.

        Args:
            path: of the file, written anew.
            budget: bytes that the rows of one matrix may take, before base64. Where not all fit,
                the page says so. (default: 12 MiB)
            note: a line at the foot of the page. (default: none)

        Raises:
            MissingExtraError: without plotly.
        """
        head = min(self.head, self.sources[0].heads - 1)
        logarithmic = self._shades(self.rows[0], head).logarithmic
        write_page(
            Path(path),
            self.scene,
            self.sources,
            self.node,
            head,
            self.plotly(),
            logarithmic,
            budget,
            note,
        )

    def _shades(self, rows: np.ndarray, head: int) -> Shades:
        """Of a row without its own entry, which would pale the rest."""
        others = rows[head].copy()
        others[self.node] = 0
        return Shades.of(others, bool((rows < 0).any()))

    def _title(self, number: int, head: int) -> str:
        source = self.sources[number]
        which = f", head {head} of {source.heads}" if source.heads > 1 else ""
        return f"{source.name}{which}: row of node {self.scene.call(self.node)}"

    def _panels(self, number: int) -> list[still.Panel]:
        rows, heads = self.rows[number], self.sources[number].heads
        first = max(0, min(self.head, heads - _HEADS))
        chosen = range(first, min(first + _HEADS, heads))
        return [
            still.Panel(self._title(number, head), rows[head], self._shades(rows, head))
            for head in chosen
        ]

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        buffer = io.BytesIO()
        self.matplotlib().savefig(buffer, dpi=80, format="png")
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"Picture(node={self.node}, sources={[source.name for source in self.sources]})"


def row(
    source: Any, data: Data | Topology, node: int = 0, x: Tensor | None = None, head: int = 0
) -> Picture:
    """A row of a mask, of an operator, or of a layer's attention, to look at.

    Args:
        source: a mask, its operator or a :class:`~graphmask.nn.TopologicalAttention`; or a list of
            these.
        data: the graph: a PyG ``Data`` with ``edge_index``, ``face`` or ``pos``; or a topology.
            Nodes without ``pos`` are laid out.
        node: whose row. (default: :obj:`0`)
        x: ``[N, C]``, the input of the layer. (default: :obj:`None`, none is needed for masks)
        head: of which head. (default: :obj:`0`)

    Returns:
        A :class:`Picture`, which notebooks show; its ``plotly()``, ``matplotlib()``, ``write_png``
        and ``write_html`` give figures and files.

    Raises:
        TypeError: for another kind of source, or a layer without its input.
        ValueError: where the mask does not serve the graph, and for a node or head that is not
            there.

    Cost: a product with the transposed mask, and what preparing it costs; never N x N.

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
        topology, data = (
            data,
            Data(edge_index=data.edge_index, pos=data.pos, num_nodes=data.num_nodes),
        )
    else:
        data = connect(data)
        topology = Topology.from_data(data)
    things = source if isinstance(source, (list, tuple)) else [source]
    return Picture(make_scene(data), [source_of(each, topology, x) for each in things], node, head)
