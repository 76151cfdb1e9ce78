"""``graphmask view``: its options, and what it prints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from torch_geometric.data import Data

from graphmask._console import checked, empty_table, make_console, make_fact_table
from graphmask.topology import Topology

from .graphs import NEIGHBOURS, read_graph
from .models import attention_of, load_model
from .names import known_masks, make_mask
from .packed import BUDGET
from .picture import Picture
from .scene import make_scene
from .sources import MaskRows, Source

_LARGEST = 5


def view(
    file: Annotated[
        Path,
        typer.Argument(help="A mesh, a point cloud or a graph; see the list in the documentation."),
    ],
    node: Annotated[int, typer.Option(help="Whose row.")] = 0,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            help="By name, with arguments: walk, walk:hops=4,heads=2, toeplitz:shape=28x28. Default: walk."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A trained model: a folder of save_pretrained, or a pickled module."),
    ] = None,
    layer: Annotated[int, typer.Option(help="Of the model: which of its masked attentions.")] = 0,
    head: Annotated[int, typer.Option(help="Which head to begin with.")] = 0,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Unpickle the model's file, which can run code of its author."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A .png, or .html, or a name for both. Default: the file's name and the node, in this folder."
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(help="Of each point of a cloud without edges.")
    ] = NEIGHBOURS,
    directed: Annotated[
        bool, typer.Option("--directed", help="Edge lists as they stand, not both ways.")
    ] = False,
    item: Annotated[int, typer.Option(help="Which line of a file of molecules.")] = 0,
    budget: Annotated[
        float, typer.Option(help="MiB that the rows of a mask may take on the page.")
    ] = BUDGET / 2**20,
) -> None:
    """Draw a row of a mask, or of a trained layer's attention.

    As a picture, and as a page where a click shows a row.

    The page is one file that needs no network. Masks that the graph does not suit are refused, with
    the reason.
    """
    data = checked("FILE", lambda: read_graph(file, directed, item, neighbours))
    console = make_console()
    sources = _make_sources(data, mask or ([] if model else ["walk"]))
    if model is not None:
        sources.append(
            checked("--model", lambda: attention_of(load_model(model, trust), data, layer))
        )
    title = f"{file.name}: {data.num_nodes:,} nodes, {data.num_edges:,} edges"
    picture = checked(
        "--node, --head", lambda: Picture(make_scene(data, title), sources, node, head)
    )
    for path in _files(out, file, node):
        checked("--out", lambda path=path: _write(picture, path, budget))  # type: ignore[misc]
        console.print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)", highlight=False)
    console.print(_make_table(picture))


def _make_sources(data: Data, names: Sequence[str]) -> list[Source]:
    """Rows of each mask; those that do not serve the graph are told of, and only if none does is that an error."""
    made, refused = [], {}
    for name in names:
        kind = checked("--mask", lambda name=name: make_mask(name))  # type: ignore[misc]
        try:
            made.append(MaskRows(kind, Topology.from_data(data), name))
        except (ValueError, TypeError) as error:
            refused[name] = " ".join(str(error).split())
    if refused and not made:
        reasons = "; ".join(
            f"{name} does not apply here: {reason}" for name, reason in refused.items()
        )
        raise typer.BadParameter(reasons, param_hint="--mask")
    for name, reason in refused.items():
        typer.echo(f"{name} does not apply here: {reason}", err=True)
    return list(made)


def _files(out: Path | None, file: Path, node: int) -> list[Path]:
    if out is not None and out.suffix.lower() in (".png", ".html", ".pdf", ".svg"):
        return [out]
    base = Path(f"{file.stem}-node{node}") if out is None else out
    return [base.with_name(f"{base.name}{ending}") for ending in (".png", ".html")]


def _write(picture: Picture, path: Path, budget: float) -> None:
    if path.suffix.lower() == ".html":
        picture.write_html(path, int(budget * 2**20))
    else:
        picture.write_png(path)


def _make_table(picture: Picture) -> object:
    table = empty_table(f"Row of node {picture.scene.call(picture.node)}, head {picture.head}")
    for heading in ("mask", "own entry", "others", "largest of these: node weight"):
        table.add_column(heading)
    for source, rows in zip(picture.sources, picture.rows, strict=True):
        row = rows[min(picture.head, source.heads - 1)]
        others = [
            other
            for other in abs(row).argsort(kind="stable")[::-1]
            if row[other] and other != picture.node
        ]
        largest = ", ".join(
            f"{picture.scene.call(other)} {row[other]:.3g}" for other in others[:_LARGEST]
        )
        table.add_row(
            source.name, f"{row[picture.node]:.3g}", f"{len(others):,}", largest or "none"
        )
    return table


def masks() -> None:
    """List the masks by the names that --mask takes, with what each is."""
    facts = {name: _plain(kind.__doc__ or "") for name, kind in known_masks().items()}
    make_console().print(make_fact_table("Masks", facts))


def _plain(docstring: str) -> str:
    """The first line, without its marks."""
    return re.sub(r":math:|`", "", docstring.strip().splitlines()[0])
