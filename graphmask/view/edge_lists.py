"""Edge lists: two names in each line, or two names and a weight."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import value_error

_COMMENTS = ("#", "%")


def read_edge_list(path: Path, directed: bool) -> Data:
    """The graph of an edge list; see :func:`graphmask.view.read_graph`.

    Raises:
        ValueError: for lines of other numbers of columns, and for weights that are no numbers.
    """
    rows = _read_rows(path)
    weights = _weights_of(path, rows)
    names = sorted({name for row in rows for name in row[:2]}, key=_by_number)
    whole = all(name.isdigit() for name in names)
    # Numbers are kept as they are unless they leave most nodes out, as ids of a database do.
    number = {name: int(name) for name in names} if whole else {}
    if not whole or max(number.values()) >= 2 * len(names):
        number = {name: place for place, name in enumerate(names)}
    edge_index = torch.tensor([[number[row[0]], number[row[1]]] for row in rows]).T.contiguous()
    data = Data(edge_index=edge_index, edge_weight=weights, num_nodes=max(number.values()) + 1)
    if not directed:
        data = both_ways(data)
    if data.num_nodes == len(names):
        data.node_name = names
    return data


def _read_rows(path: Path) -> list[list[str]]:
    """Two or three cells per line; a first line of headings is left out."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith(_COMMENTS)]
    comma = next((mark for mark in (",", ";", "\t") if lines and mark in lines[0]), None)
    rows = (
        [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=comma)]
        if comma
        else [line.split() for line in lines]
    )
    if len(rows) > 1 and not _is_number(rows[0][0]) and _is_number(rows[1][0]):
        rows = rows[1:]
    wrong = next((row for row in rows if len(row) not in (2, 3)), None)
    if wrong is not None or not rows:
        got = f"{len(wrong)} columns in {' '.join(wrong)[:60]!r}" if wrong else "an empty file"
        raise value_error(
            path.name, "an edge list: source, target and, if need be, weight in each line", got
        )
    return rows


def _weights_of(path: Path, rows: Sequence[Sequence[str]]) -> Tensor | None:
    if any(len(row) != len(rows[0]) for row in rows):
        raise value_error(
            path.name, "an edge list with a weight in every line, or in none", "some of each"
        )
    if len(rows[0]) == 2:
        return None
    wrong = next((row[2] for row in rows if not _is_number(row[2])), None)
    if wrong is not None:
        raise value_error(path.name, "an edge list with numbers for weights", wrong)
    return torch.tensor([float(row[2]) for row in rows])


def both_ways(data: Data) -> Data:
    """Each edge in both directions, those that are there twice once."""
    edge_index, weight = data.edge_index, data.edge_weight
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    key = both[0] * data.num_nodes + both[1]
    kept, place = torch.unique(key, return_inverse=True)
    first = torch.full_like(kept, len(key)).scatter_reduce(0, place, torch.arange(len(key)), "amin")
    weight = None if weight is None else torch.cat([weight, weight])[first]
    return Data(edge_index=both[:, first], edge_weight=weight, num_nodes=data.num_nodes)


def _by_number(name: str) -> tuple[bool, int, str]:
    return (False, int(name), "") if name.isdigit() else (True, 0, name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
