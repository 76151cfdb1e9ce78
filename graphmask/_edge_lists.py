"""Edge lists as text: headings, names of nodes, weights, and edges that are listed both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import networkx as nx
import numpy as np
import torch
from torch_geometric.data import Data

from ._tables import (
    Row,
    check_heading_once,
    find_named_columns,
    holds_several_numbers,
    is_number,
    parse_number,
    read_rows,
)
from .datasets._files import round_weights

COMMENTS = ("#", "%", "//")

# Headings of sources and targets in lower case, without blanks and an ending "id" or "node".
_PAIRS = [
    *(("source", target) for target in ("target", "destination", "dest", "sink")),
    ("src", "dst"), ("src", "dest"), ("from", "to"), ("start", "end"), ("u", "v"),
    ("origin", "destination"), ("sender", "receiver"), ("tail", "head"), ("parent", "child"),
    ("node1", "node2"), ("nodea", "nodeb"), ("id1", "id2"), ("vertex1", "vertex2"),
    ("citing", "cited"), ("follower", "followee"), ("caller", "callee"), ("predator", "prey"),
    ("exporter", "importer"), ("buyer", "seller"), ("regulator", "target"), ("subject", "object"),
    ("person", "friend"), ("user", "friend"), ("ego", "alter"), ("winner", "loser"),
]  # fmt: skip
# What tells two headings apart that are one word otherwise, such as gene1 and gene2.
_HEADING_MARKS = {("1", "2"), ("a", "b"), ("0", "1"), ("i", "j"), ("x", "y")}
# Headings of Gephi's tables of edges.
_GEPHI = {"source", "target", "type", "id", "label", "timeset", "interval", "weight"}
_NO_WEIGHTS = {
    *("", "index", "type", "label", "time", "timestamp", "ts", "date", "datetime", "year"),
    *("epoch", "unixtime", "unixts", "unixtimestamp", "edge"),
}
# Headings of weights, which may stand before those of nodes.
_MEASURES = {
    *("weight", "weights", "edgeweight", "w", "count", "counts", "value", "values", "cost"),
    *("capacity", "distance", "length", "score", "strength", "similarity", "frequency", "amount"),
}
# Headings of nodes of two kinds, such as users and items, each with ids of its own.
_FIRST_KINDS = {"user", "customer", "reader", "viewer", "author", "reviewer", "actor", "drug"}
_SECOND_KINDS = {
    *("item", "movie", "film", "product", "book", "song", "track", "artist", "paper", "article"),
    *("page", "business", "game", "anime", "group", "tag", "target", "gene", "disease", "isbn"),
}
# A weight that is missing or not finite is no heading.
_WORD = re.compile(r"(?!(nan|inf|infinity|na|none|null)$)[^\W\d]", re.IGNORECASE)
# Names of the weight of an edge.
_WEIGHT = re.compile(r"(edge[ _]?)?weights?", re.IGNORECASE)
_ID = re.compile(r"0|[1-9]\d*", re.ASCII)
# What stands for a missing id in tables of other tools.
_MISSING = re.compile(r"[-+]?nan|<?na>?|n/a|none|null", re.IGNORECASE)


def read_edge_list(text: str, directed: bool) -> Data:
    """Read lines of source, target and, if need be, weight; or of networkx' ``write_edgelist``.

    Raises:
        ValueError: for other lines, with their numbers.
    """
    # Dictionaries at the ends of lines, empty or with keys.
    if "{" in text and re.search(r"\{(['\"][^{\n]*)?\}[ \t\r]*$", text, re.MULTILINE):
        return _read_with_networkx(text, directed)
    table = read_rows(text, "\t;, ", COMMENTS)
    if _is_gephi(table):
        table, directed = _read_gephi(table)
    columns, rows = _find_columns(table)
    edges = [Row(row.line, [row.cells[column] for column in columns]) for row in rows]
    if all(re.fullmatch(r"\S+", row.cells[0]) and _ends_in_number(row.cells[-1]) for row in edges):
        raise ValueError(
            f"line {edges[0].line}: a blank stands before the number in {edges[0].cells[-1]!r}: "
            "write one kind of separator, or double quotes around names"
        )
    _check_no_values(edges)
    if rows[0] is table[0]:
        _check_no_counts(edges)
        _check_no_heading(edges)
    else:
        _check_one_kind([table[0].cells[column] for column in columns], edges)
    names = _sort_names(edges)
    weight = [_parse_weight(row) for row in edges] if len(columns) == 3 else None
    return make_graph(names, [row.cells[:2] for row in edges], weight, directed)


def _is_gephi(table: Sequence[Row]) -> bool:
    """True for a heading of sources, targets and types of edges, and what else Gephi writes."""
    words = [cell.lower() for cell in table[0].cells] if table else []
    return {"source", "target", "type"} <= set(words) <= _GEPHI and len(set(words)) == len(words)


def _read_gephi(table: Sequence[Row]) -> tuple[list[Row], bool]:
    """The columns of source, target and, if need be, weight; and whether edges are directed."""
    words = [cell.lower() for cell in table[0].cells]
    types = {row.cells[words.index("type")].lower(): row.line for row in table[:0:-1]}
    if len(types) > 1 or not types.keys() <= {"directed", "undirected"}:
        line, name = max((line, name) for name, line in types.items())
        expected = "must be Directed or Undirected, the same in all rows"
        raise ValueError(f"line {line}: the type {expected}, got {name!r}")
    columns = [words.index(name) for name in ("source", "target", "weight") if name in words]
    return [Row(row.line, [row.cells[i] for i in columns]) for row in table], "directed" in types


def read_adjacency_list(text: str, directed: bool) -> Data:
    """Read lines of a node and its neighbours, such as those of networkx' ``write_adjlist``."""
    if not (lines := _lines(text)):
        raise ValueError("it must be an adjacency list, got an empty file")
    # The text holds no zero byte, thus networkx takes nothing for a comment.
    graph = nx.parse_adjlist(lines, comments="\0", create_using=nx.MultiDiGraph)
    if any(name.startswith("{") for name in graph):
        raise ValueError("each line must hold a node and its neighbours, without dictionaries")
    if odd := [name for name in graph if re.search(r"^#|[,;]", name)]:
        raise ValueError(
            f"{odd[0]!r} is no node: write blanks between nodes, which hold no commas and "
            "semicolons, and comments into lines of their own"
        )
    names = _sort_names(Row(0, [node]) for node in graph)
    return make_graph(names, list(graph.edges()), None, directed)


def make_graph(
    names: Sequence[str],
    edges: Sequence[Sequence[str]],
    weight: Sequence[float] | None,
    directed: bool,
) -> Data:
    """Make the graph of edges between named nodes; see :func:`add_reverse`."""
    index = {name: position for position, name in enumerate(names)}
    ends = np.array([[index[a], index[b]] for a, b in edges], dtype=np.int64).reshape(-1, 2).T
    weights = None if weight is None else round_weights("edge_weight", np.array(weight))
    if not directed:
        ends, weights = add_reverse(ends, weights, names)
    data = Data(edge_index=torch.from_numpy(ends.copy()), num_nodes=len(names))
    if weights is not None:
        data.edge_weight = torch.from_numpy(weights)
    data.node_name = list(names)
    return data


def add_reverse(
    ends: np.ndarray, weight: np.ndarray | None, names: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Add the reverse of each edge that is listed in one direction only.

    Parallel edges are kept: a :class:`~graphmask.Topology` sums their weights. An edge that is
    listed in both directions is one edge.

    Args:
        ends: ``[2, E]``.
        weight: ``[E]``, or :obj:`None`.
        names: of the nodes, for the error. (default: :obj:`None`, their indices)

    Returns:
        Edges in both directions, in the order of sources, then targets, with their weights.

    Raises:
        ValueError: for an edge with other weights in the other direction.
    """
    size = int(ends.max(initial=0)) + 1
    keys, inverse = np.unique(ends[0] * size + ends[1], return_inverse=True)
    sums = np.bincount(inverse, weight, len(keys))
    reverse = ends[1] * size + ends[0]
    place = np.searchsorted(keys, reverse).clip(max=max(len(keys) - 1, 0))
    is_listed = keys[place] == reverse
    if (differs := is_listed & ~np.isclose(sums[inverse], sums[place], atol=0)).any():
        first = int(differs.argmax())
        a, b = (str(end) if names is None else names[end] for end in ends[:, first])
        one, other = sums[inverse[first]], sums[place[first]]
        raise ValueError(
            f"the edges from {a!r} to {b!r} weigh {one:g}, those back {other:g}: read the file "
            "with `directed=True` (--directed), or list each edge once"
        )
    both = np.concatenate([ends, ends[::-1, ~is_listed]], 1)
    order = np.lexsort((both[1], both[0]))
    if weight is not None:
        weight = np.concatenate([weight, weight[~is_listed]])[order]
    return both[:, order], weight


def edges_of_networkx(graph: nx.Graph) -> tuple[list[tuple[str, str]], list[float] | None]:
    """Edges of a graph of networkx, parallel ones too, and their weights.

    Those are the attribute ``weight``, in capitals or not, such as ``Weight`` or ``Edge Weight``.

    Raises:
        ValueError: for a weight that is not a number, or missing beside others; for two such
            attributes.
    """
    defaults = graph.graph.get("edge_default")
    defaults = defaults if isinstance(defaults, dict) else {}
    names = {name for _, _, values in graph.edges(data=True) for name in (*values, *defaults)}
    found = sorted(name for name in names if _WEIGHT.fullmatch(str(name)))
    if len(found) > 1:
        raise ValueError(f"edges have the attributes {' and '.join(found)}, where one is expected")
    name = found[0] if found else "weight"
    edges, weights = [], []
    for a, b, weight in graph.edges(data=name, default=defaults.get(name)):
        edges.append((a, b))
        weights.append(weight)
    if all(weight is None for weight in weights):
        return edges, None
    for (a, b), weight in zip(edges, weights, strict=True):
        if not isinstance(weight, (int, float)):
            raise ValueError(
                f"the weight of the edge from {a!r} to {b!r} must be a number, got {weight!r}"
            )
    return edges, weights


def _read_with_networkx(text: str, directed: bool) -> Data:
    lines = _lines(text)
    delimiter = "," if lines and re.match(r"[^{]*,\s*\{", lines[0]) else None
    try:
        graph = nx.parse_edgelist(lines, None, delimiter, nx.MultiDiGraph)
    except TypeError as error:
        raise ValueError(f"networkx cannot read it: {error}") from error
    if graph.number_of_edges() != len(lines) or any(name.startswith("{") for name in graph):
        raise ValueError("each line must hold source, target and a dictionary")
    edges, weight = edges_of_networkx(graph)
    return make_graph(_sort_names([Row(0, [*edge]) for edge in edges]), edges, weight, directed)


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(COMMENTS)]


def _find_columns(rows: list[Row]) -> tuple[list[int], list[Row]]:
    """Columns of source, target and, if need be, weight; and the rows below a heading."""
    if not rows:
        raise ValueError("it must be an edge list, got an empty file")
    (line, heading), rest = rows[0], rows[1:]
    pair = _find_pair(heading, rest)
    named = list(range(len(heading)))
    if pair or _is_heading(heading, rest):
        check_heading_once(rows)
        named = find_named_columns(rows)
        if {"x", "y"} <= {name.lower() for name in heading}:
            raise ValueError(
                f"line {line} names coordinates: rename a file of points to .xyz, or its columns"
            )
        if len({heading[column] for column in named}) < len(named):
            raise ValueError(f"line {line} names a column twice: {', '.join(heading)}")
    else:
        rest = rows
    if len(named) not in (2, 3):
        raise ValueError(
            "it must be an edge list: source, target and, if need be, weight in each line, between "
            "tabs, semicolons, commas or blanks, and numbers with decimal points, got "
            f"{len(named)} columns in line {line}: {', '.join(heading)[:60]!r}"
        )
    if not rest:
        raise ValueError("it must be an edge list, got a heading without an edge")
    weights = [column for column in named if _word(heading[column]) in _MEASURES]
    if rest is not rows and not pair and len(named) == 3 and len(weights) == 1:
        pair = [column for column in named if column not in weights]
    ends = pair or named[:2]
    others = [column for column in named if column not in ends]
    if rest is not rows and others and _word(heading[others[0]]) in _NO_WEIGHTS:
        raise ValueError(f"line {line}: {heading[others[0]]!r} is no weight: remove this column")
    return [*ends, *others], rest


def _find_pair(heading: list[str], rest: list[Row]) -> list[int]:
    """Columns whose headings mean source and target, unless they name a node below."""
    words = [_word(cell) for cell in heading]
    for pair in _PAIRS:
        if set(pair) <= set(words):
            columns = [words.index(word) for word in pair]
            cells = {heading[column] for column in columns}
            others = (row.cells for row in rest if row.cells != heading)
            if not any(row[column] in cells for row in others for column in columns):
                return columns
    return []


def _is_heading(heading: list[str], rest: list[Row]) -> bool:
    """True for words that do not occur below, above a column of numbers."""
    words = [cell for cell in heading if cell]
    if not rest or not all(map(_WORD.match, words)):
        return False
    if any(cell in words for row in rest if row.cells != heading for cell in row.cells):
        return False
    numeric = [all(is_number(row.cells[i]) for row in rest) for i in range(len(heading))]
    # One row below two words may be an edge from a name to a number.
    return any(numeric) and (all(numeric) or len(heading) > 2 or len(rest) > 1)


def _ends_in_number(cell: str) -> bool:
    name, _, number = cell.rpartition(" ")
    return bool(name) and is_number(number)


def _word(heading: str) -> str:
    word = re.sub("[^a-z0-9]", "", heading.lower())
    return re.sub("(id|node|name)+$", "", word)


def _parse_weight(row: Row) -> float:
    try:
        return parse_number(row.cells[2])
    except ValueError as error:
        raise ValueError(f"line {row.line}: the weight {error}") from error


def _check_no_values(rows: Sequence[Row]) -> None:
    """Raise an error for a table of names and of values, whose numbers are no nodes."""
    for values, names in ((1, 0), (0, 1)):
        is_column = all(is_number(row.cells[values]) for row in rows)
        if not is_column or all(is_number(row.cells[names]) for row in rows):
            continue
        for row in rows:
            if not re.fullmatch(r"[+-]?\d+", row.cells[values]):
                problem = f"{row.cells[values]!r} is no node, in a column of numbers beside names"
                raise ValueError(f"line {row.line}: {problem}: it must be an edge list")


def _check_no_heading(rows: Sequence[Row]) -> None:
    """Raise an error for a first row such as ``gene1,gene2``, above names of another kind.

    It would be one more edge, between two more nodes.
    """
    words = [re.sub("[^a-z0-9]", "", cell.lower()) for cell in rows[0].cells[:2]]
    stem = words[0][:-1]
    is_pair = stem == words[1][:-1] and (words[0][-1:], words[1][-1:]) in _HEADING_MARKS
    if len(rows) < 2 or len(stem) < 3 or not stem.isalpha() or not is_pair:
        return
    below = (cell.lower() for row in rows[1:] for cell in row.cells[:2])
    if not any(cell.startswith(stem) for cell in below):
        raise ValueError(
            f"line {rows[0].line}: {', '.join(rows[0].cells)} can be a heading, or an edge: name "
            "the columns source and target, or put the edge below another one"
        )


def _check_one_kind(heading: Sequence[str], rows: Sequence[Row]) -> None:
    """Raise an error for nodes of two kinds that share ids: user 1 and item 1 would be one node."""
    kinds = [_word(cell).removesuffix("s") for cell in heading[:2]]
    if kinds[0] not in _FIRST_KINDS or kinds[1] not in _SECOND_KINDS:
        return
    firsts = {row.cells[0] for row in rows}
    for row in rows:
        if (name := row.cells[1]) in firsts:
            raise ValueError(
                f"line {row.line}: {name!r} is the id of nodes of two kinds, {' and '.join(kinds)},"
                f" which would be one node: write letters before them, such as {kinds[1][0]}{name}"
            )


def _check_no_counts(rows: Sequence[Row]) -> None:
    """Raise an error for a first row that counts nodes and edges, or rows, columns and entries.

    It would be one more edge. All ids below are as small as the counts say, and so many rows follow
    as the last one says; three at least, since those of smaller graphs are so by chance.
    """
    first, *rest = rows
    if len(rest) < 3 or not all(map(_ID.fullmatch, first.cells)):
        return
    *sizes, count = map(int, first.cells)
    ids = [cell for row in rest for cell in row.cells[:2]]
    if count == len(rest) and all(_ID.fullmatch(name) and int(name) <= max(sizes) for name in ids):
        raise ValueError(
            f"line {first.line}: {', '.join(first.cells)} can be an edge, or count the nodes and "
            f"the {count} edges below: remove the line, or put the edge below another one"
        )


def _sort_names(rows: Iterable[Row]) -> list[str]:
    """Names of nodes in order: ids by their values, others by their letters."""
    lines: dict[str, int] = {}
    for row in rows:
        for name in row.cells[:2]:
            lines.setdefault(name, row.line)
    _check_marks(lines)
    present = [name for name in lines if not _MISSING.fullmatch(name)]
    are_numbers = bool(present) and all(map(is_number, present))
    for name, line in lines.items():
        if not name or holds_several_numbers(name) or " # " in name:
            problem = (
                "no node: write one kind of separator and decimal points, leave no cell empty, and "
                "put comments into lines of their own"
            )
        elif are_numbers and not re.fullmatch(r"\d+", name):
            problem = "no id of a node: ids are integers from 0, and other names are no numbers"
        else:
            continue
        raise ValueError(f"{f'line {line}: ' if line else ''}{name!r} is {problem}")
    if all(map(_ID.fullmatch, lines)):
        return sorted(lines, key=lambda name: (len(name), name))
    return sorted(lines)


def _check_marks(lines: Mapping[str, int]) -> None:
    """Raise an error for ids in brackets or with a mark beside them, as ``(0`` or ``1:``.

    Read as they stand, ``1`` and ``1:`` would be two nodes.
    """
    for name, line in lines.items():
        bare = re.sub(r"^[\[({<]+|[\])}>,;:]+$", "", name)
        if bare != name and (_ID.fullmatch(bare) or bare in lines):
            place = f"line {line}: " if line else ""
            raise ValueError(
                f"{place}{name!r} is no node beside {bare!r}: write blanks, tabs, commas or "
                "semicolons of one kind between nodes, and no brackets"
            )
