"""The commands ``graphmask view`` and ``graphmask masks``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from torch_geometric.data import Data

from graphmask._console import checked, empty_table, make_console, make_fact_table
from graphmask.io import NEIGHBOURS, read_graph
from graphmask.topology import Topology

from ._scene import Scene
from .names import known_masks, make_mask
from .picture import BUDGET, Picture
from .sources import MaskRows, Source, attention_of, load_model

# Options of all commands that read a file.
Neighbours = Annotated[int, typer.Option(help="Neighbours of each point of a cloud without edges.")]
Directed = Annotated[
    bool, typer.Option("--directed", help="Read edge lists as they stand, not both ways.")
]
Item = Annotated[int, typer.Option(help="Line of a file of molecules, from 0.")]
Columns = Annotated[int | None, typer.Option(help="Numbers of each point of a .bin file.")]

_FILE = "A mesh, a point cloud or a graph; see the list in the documentation."
_MASK = "Name, with arguments: walk:hops=4,heads=2, toeplitz:shape=28x28. Default: walk."
_MODEL = "A trained model: a folder of save_pretrained, or a pickled module."
_TRUST = "Unpickle the file of the model, which can run code of its author."
_OUT = "A .png, or .html, or a name for both. Default: FILE and the node, in this folder."
_BUDGET = "MiB that the rows of a mask may take on the page."
_SCALE = "Scale of the colours. Default: what suits each row."


def view(
    file: Annotated[Path, typer.Argument(help=_FILE)],
    node: Annotated[int, typer.Option(help="Index of the row.")] = 0,
    mask: Annotated[list[str] | None, typer.Option(help=_MASK)] = None,
    model: Annotated[Path | None, typer.Option(help=_MODEL)] = None,
    layer: Annotated[int, typer.Option(help="Index among the masked attentions of the model.")] = 0,
    head: Annotated[int, typer.Option(help="Index of the first head to show.")] = 0,
    trust: Annotated[bool, typer.Option("--trust", help=_TRUST)] = False,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    neighbours: Neighbours = NEIGHBOURS,
    directed: Directed = False,
    item: Item = 0,
    columns: Columns = None,
    budget: Annotated[float, typer.Option(help=_BUDGET)] = BUDGET / 2**20,
    logarithmic: Annotated[bool | None, typer.Option("--log/--linear", help=_SCALE)] = None,
) -> None:
    """Draw a row of a mask, or of the attention of a trained layer.

    Writes a picture, and a page where a click on a node shows its row. The page is one file that
    needs no network. A mask that does not apply to the graph is an error with the reason.
    """
    attributes = () if model is None else None  # which read features
    read = partial(read_graph, file, directed, item, neighbours, columns, attributes=attributes)
    data = checked("FILE", read)
    sources = _make_sources(data, mask or ([] if model else ["walk"]))
    if model is not None:
        trained = checked("--model", partial(load_model, model, trust))
        sources.append(checked("--model, --layer", partial(attention_of, trained, data, layer)))
    scene = Scene(data, f"{file.name}: {data.num_nodes:,} nodes, {data.num_edges:,} edges")
    picture = checked("--node, --head", lambda: Picture(scene, sources, node, head, logarithmic))
    console = make_console()
    for path in _paths(out, file, node):
        is_page = path.suffix.lower() == ".html"
        write = partial(picture.write_html, budget=int(budget * 2**20))
        checked("--out", partial(write if is_page else picture.write_png, path))
        console.print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)", highlight=False)
    console.print(_make_table(picture))


def _make_sources(data: Data, names: Sequence[str]) -> list[Source]:
    """Rows of each mask that applies to the graph; an error if none does."""
    sources: list[Source] = []
    messages = []
    topology = Topology.from_data(data)
    for name in names:
        mask = checked("--mask", partial(make_mask, name))
        try:
            sources.append(MaskRows(mask, topology, name))
        except (ValueError, TypeError) as error:
            messages.append(f"{name} does not apply here: {' '.join(str(error).split())}")
    if messages and not sources:
        raise typer.BadParameter("; ".join(messages), param_hint="--mask")
    for message in messages:
        typer.echo(message, err=True)
    return sources


def _paths(out: Path | None, file: Path, node: int) -> list[Path]:
    out = None if out is None else out.expanduser()
    if out is not None and out.suffix.lower() in (".png", ".html", ".pdf", ".svg"):
        return [out]
    base = Path(f"{file.stem}-node{node}") if out is None else out
    return [base.with_name(f"{base.name}{ending}") for ending in (".png", ".html")]


def _make_table(picture: Picture) -> object:
    scene, node = picture.scene, picture.node
    table = empty_table(f"Row of node {scene.label(node)}, head {picture.head}")
    for heading in ("mask", "own entry", "others", "largest others: node weight"):
        table.add_column(heading)
    for source, rows in zip(picture.sources, picture.drawn, strict=True):
        row = rows[min(picture.head, source.heads - 1)]
        entries = [f"{scene.label(other)} {row.weights[other]:.3g}" for other in row.others[:5]]
        own, count = f"{row.weights[node]:.3g}", f"{len(row.others):,}"
        table.add_row(source.name, own, count, ", ".join(entries) or "none")
    return table


def masks() -> None:
    """List the names that --mask takes, with a line on each mask."""
    summaries = {
        name: re.sub(r":math:|`", "", (cls.__doc__ or "").strip().splitlines()[0])
        for name, cls in known_masks().items()
    }
    make_console().print(make_fact_table("Masks", summaries))
