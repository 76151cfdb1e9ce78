"""Tables of text are read cell by cell, or refused with the file, the line and a remedy."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphmask.datasets import MoleculeCSV
from graphmask.io import read_graph


def read_edges(path: Path) -> dict[tuple[str, str], float]:
    graph = read_graph(path)
    names = ([graph.node_name[end] for end in ends] for ends in graph.edge_index.T.tolist())
    return {(a, b): w for (a, b), w in zip(names, graph.edge_weight.tolist(), strict=True) if a < b}


def read_molecules(path: Path) -> dict[str, float]:
    pytest.importorskip("rdkit")
    dataset = MoleculeCSV(path)
    assert dataset.target_names == ("y",)
    return {data.smiles: data.y.item() for data in dataset}


# A reader, the text of a table, and its values.
TABLES = {
    "edges": (
        read_edges,
        "source,target,weight\nann,bob,0.5\nbob,cyd,-2e3\n",
        {("ann", "bob"): 0.5, ("bob", "cyd"): -2000.0},
    ),
    "molecules": (read_molecules, "smiles,y\nCCO,0.5\nC,-2e3\n", {"CCO": 0.5, "C": -2000.0}),
}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> tuple[Callable[[Path], dict], str, dict]:
    return TABLES[request.param]


def edit_lines(edit: Callable[[int, str], str]) -> Callable[[str], str]:
    return lambda text: "".join(edit(i, line) + "\n" for i, line in enumerate(text.splitlines()))


def with_index(heading: str) -> Callable[[str], str]:
    return edit_lines(lambda i, line: f"{i - 1 if i else heading},{line}")


def in_r(text: str, separator: str) -> str:
    """As R's ``write.table``: row names below no heading, words in quotes."""
    heading, *rows = (line.split(",") for line in text.splitlines())
    quoted = [[f'"{cell}"' for cell in heading]]
    for number, cells in enumerate(rows, 3):
        words = [cell if cell.lstrip("-")[0].isdigit() else f'"{cell}"' for cell in cells]
        quoted.append([f'"{number}"', *words])
    return "".join(separator.join(cells) + "\n" for cells in quoted)


READABLE: dict[str, Callable[[str], str | bytes]] = {
    "a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "blanks after commas": lambda text: text.replace(",", " , "),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "old line ends": lambda text: text.replace("\n", "\r"),
    "no last line end": lambda text: text.rstrip(),
    "blank lines": lambda text: "\n" + text.replace("\n", "\n\n"),
    "quotes": edit_lines(lambda _, line: ",".join(f'"{cell}"' for cell in line.split(","))),
    "trailing separators": edit_lines(lambda _, line: line + ","),
    "nameless row numbers": with_index(""),
    "row numbers of pandas": with_index("Unnamed: 0"),
    "Excel's separator": lambda text: "sep=;\n" + text.replace(",", ";"),
    "Excel's separator, quoted": lambda text: '"SEP=\t"\r\n' + text.replace(",", "\t"),
    "R's row names": lambda text: in_r(text, " "),
    "R's row names, tabs": lambda text: in_r(text, "\t"),
    "R's row names, commas": lambda text: in_r(text, ","),
}


@pytest.mark.parametrize("change", READABLE.values(), ids=READABLE)
def test_the_same_table_in_other_writing(table, change, tmp_path: Path) -> None:
    read, text, values = table
    content = change(text)
    path = tmp_path / ("t.csv.gz" if change is READABLE["gzip"] else "t.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read(path) == values


UNREADABLE: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "an empty file": (lambda _: "", "empty file|no header"),
    "only a header": (lambda text: text.partition("\n")[0], "a heading without|no row below"),
    "a decimal comma": (lambda text: text.replace("0.5", "0,5"), r"line 2 has \d cells.* points"),
    "a decimal comma beside semicolons": (
        lambda text: text.replace(",", ";").replace("0.5", "0,5"),
        "line 2.*'0,5'.*decimal points",
    ),
    "a long row": (lambda text: text + "a,b,c,4\n", "line 4 has 4 cells"),
    "a short row": (lambda text: text + "a\n", "line 4 has 1 cells"),
    "mixed separators": (
        lambda text: text.replace("0.5\n", "0.5\n" + text.splitlines()[1].replace(",", ";") + "\n"),
        "line 3 has 1 cells",
    ),
    "an open quote": (lambda text: text.replace("0.5", '"0.5'), "quotes"),
    "text after a quote": (lambda text: text.replace("0.5", '"0.5"x'), "line 2.*quotes"),
    "a column twice": (
        lambda text: (
            re.sub(r"(\w+)\n", r"\1,\1\n", text, count=1).replace("5\n", "5,1\n")[:-1] + ",1"
        ),
        "twice|of 2 columns",
    ),
    "cells below no name": (
        lambda text: text.replace("\n", ",\n", 1).replace("0.5", "0,5").replace("3\n", "3,\n"),
        "line 2 has a cell in a column without a name",
    ),
    "a repeated header": (lambda text: text + text, "line 4 repeats the heading"),
    "beyond float32": (lambda text: text.replace("0.5", "1e39"), "line 2.*1e39.*float32"),
    "infinity": (lambda text: text.replace("0.5", "-inf"), "line 2.*'-inf'.*finite"),
    "a word": (lambda text: text.replace("0.5", "heavy"), "line 2.*'heavy'"),
    "an underscore": (lambda text: text.replace("0.5", "1_0"), "line 2.*'1_0'"),
    "ISO-8859": (lambda text: (text + "Ä").encode("latin-1"), "line 4 .*UTF-8"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "line 1 .*UTF-8"),
    "half a gzip file": (lambda text: gzip.compress(text.encode())[:-9], "unpacked"),
}


@pytest.mark.parametrize(("change", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_table_that_is_refused(table, change, message: str, tmp_path: Path) -> None:
    read, text, _ = table
    content = change(text)
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"(?s)t\.csv.*({message})"):
        read(path)


def test_quoted_cells_hold_separators_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"Washington, DC","New\n#York",1.5\n# "a comment, with "quotes\nx,y,heavy\n')
    with pytest.raises(ValueError, match="line 4: the weight 'heavy'"):
        read_graph(path)
    path.write_text(path.read_text().replace("heavy", "2"))
    assert read_edges(path) == {("New\n#York", "Washington, DC"): 1.5, ("x", "y"): 2.0}
    pytest.importorskip("rdkit")
    path.write_text('"na\nme",smiles,y\n"eth,\nanol",CCO,1\nx,C,z\n')
    with pytest.raises(ValueError, match="line 5: 'z'"):
        MoleculeCSV(path, targets=["y"])


@pytest.mark.parametrize(
    ("text", "names", "edges"),
    [
        # Ids are kept in the order of their values, and no other node is made up.
        ("1 2\n2 10\n", ["1", "2", "10"], {(0, 1), (1, 2)}),
        ("# a comment\n% another\n0\t1\n1  4\n", ["0", "1", "4"], {(0, 1), (1, 2)}),
        ("// one\n0 1\n\ufeff// two\n1 4\n", ["0", "1", "4"], {(0, 1), (1, 2)}),
        ("ann,nan\nnan,bob\n", ["ann", "bob", "nan"], {(0, 2), (2, 1)}),
        ("na,NA\n", ["NA", "na"], {(1, 0)}),
        ("99999999999999999999 7\n", ["7", "99999999999999999999"], {(1, 0)}),
        # Texts that look like numbers are no ids.
        ("007 7\n7 08\n", ["007", "08", "7"], {(0, 2), (2, 1)}),
        ("a² b\n² b\n", ["a²", "b", "²"], {(0, 1), (2, 1)}),
        ("-1 a\n", ["-1", "a"], {(0, 1)}),
        # Headings: above numbers, or words.
        ("from,to\n3,4\n", ["3", "4"], {(0, 1)}),
        ("a,b\n3,4\n", ["3", "4"], {(0, 1)}),
        ("person,group\nann,1\nbob,2\n", ["1", "2", "ann", "bob"], {(2, 0), (3, 1)}),
        ("ann bob\ncyd 1\n", ["1", "ann", "bob", "cyd"], {(1, 2), (3, 0)}),
        ("Source ID,Target ID\nx,y\n", ["x", "y"], {(0, 1)}),
        ("target,source\nx,y\n", ["x", "y"], {(1, 0)}),
        (",source,target\n0,x,y\n1,y,z\n", ["x", "y", "z"], {(0, 1), (1, 2)}),
        ("from,to\nto,x\n", ["from", "to", "x"], {(0, 1), (1, 2)}),
        ("x,y\ny,z\n", ["x", "y", "z"], {(0, 1), (1, 2)}),
        ("x,{y}\n{y},z\n", ["x", "z", "{y}"], {(0, 2), (2, 1)}),
        # networkx' own.
        ("x y {}\ny z {}\n", ["x", "y", "z"], {(0, 1), (1, 2)}),
        ("x,y,{'weight': 1, 'n': 2}\n", ["x", "y"], {(0, 1)}),
    ],
)
def test_nodes_of_edge_lists(text: str, names: list, edges: set, tmp_path: Path) -> None:
    path = tmp_path / "t.edgelist"
    path.write_text(text)
    graph = read_graph(path, directed=True)
    assert graph.node_name == names
    assert graph.num_nodes == len(names)
    assert set(map(tuple, graph.edge_index.T.tolist())) == edges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3 4\n", "source, target and, if need be, weight .*got 4 columns in line 1"),
        ("1\n2\n", "got 1 columns"),
        ("# nothing\n", "an empty file"),
        ("1 2\n2 3 0.5\n", "line 2 has 3 cells"),
        ("a b nan\n", "line 1: the weight 'nan' is not a finite"),
        ("a,b,nan\nc,d,1\n", "line 1: the weight 'nan' is not a finite"),
        ("a;b;0,5\nc;d;1\n", "line 1: the weight '0,5' .*decimal points"),
        ("a,b,heavy\nb,c,1\n", "line 1: the weight 'heavy' is not a finite"),
        ("a,b,\nb,c,1\n", "line 1: the weight '' is not"),
        ("a,\nb,c\n", "line 1: '' is no node"),
        ("0,1 # first\n1,2\n", "'1 # first' is no node.*comments into lines of their own"),
        ("0 -1\n1 2\n", "line 1: '-1' is no id of a node"),
        ("0 1\n1.0 2\n", "line 2: '1.0' is no id of a node"),
        ("0,1\n2,NaN\n", "line 2: 'NaN' is no id of a node"),
        ("source,target\nNone,1\n1,2\n", "line 2: 'None' is no id of a node"),
        ("u,v,ts\na,b,1600000001\n", "line 1: 'ts' is no weight"),
        ("gene,score\na,1\nb,0.5\n", "line 3: '0.5' is no node, in a column of numbers beside"),
        ("0.5 a\n2 b\n", "line 1: '0.5' is no node, in a column of numbers beside names"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "Git LFS"),
        ("\n<!DOCTYPE HTML>\n", "a page of the web"),
        ("0,5 1,5\n", "'5 1' is no node.*decimal points"),
        ("0\t1 0.5\n1\t2 0.7\n", "'1 0.5': write one kind of separator"),
        ("a,b 0.5\nb,c 0.7\n", "'b 0.5': write one kind of separator"),
        ("source,target,timestamp\na,b,99\n", "'timestamp' is no weight"),
        ("a b 2\nb a 3\n", "from 'a' to 'b' weigh 2, those back 3: .*`directed=True`"),
        ("a b {'weight': 2}\nb c {}\n", "from 'b' to 'c' must be a number, got None"),
        ("a {}\n", "source, target and a dictionary"),
        ("0 -1 {}\n", "'-1' is no id of a node"),
        ("a b c {}\n", "networkx"),
        ("4 3\n0 1\n1 2\n2 3\n", "line 1: 4, 3 can be an edge, or count .*the 3 edges below"),
        ("# n m\n4 3\n1 2\n2 3\n3 4\n", "line 2: 4, 3 can be an edge, or count"),
        ("4 4 3\n1 2 0.5\n2 3 1\n3 4 2\n", "line 1: 4, 4, 3 can be an edge, or count"),
    ],
)
def test_edge_lists_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.edgelist"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.edgelist: .*{message}"):
        read_graph(path)


@pytest.mark.parametrize(
    "text",
    ["3 4\n0 1\n1 2\n2 3\n", "4 3\n0 1\n1 2\n5 3\n", "a,b\n4,3\n0,1\n1,2\n2,3\n", "4 3\n0 1\n"],
)
def test_first_edges_that_count_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.txt"
    path.write_text(text)
    assert read_graph(path).num_edges == 2 * (text.count("\n") - text.startswith("a"))


def test_missing_targets_are_nan_and_an_empty_smiles_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\nCCO,\n,1\nC,NaN\nC N,1\nCC,#N/A\nC,<NA>\n[Na+].[Cl-],2\n")
    with pytest.warns(UserWarning, match=r"2 molecules of .*t\.csv.* '' in line 3"):
        dataset = MoleculeCSV(path)
    expected = torch.tensor([*[float("nan")] * 4, 2.0])
    assert torch.equal(torch.cat([data.y for data in dataset]).flatten().isnan(), expected.isnan())
    for text in ("smiles,y\nzz,1\n", "smiles,y\n,1\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"t\.csv holds no molecule .* in line 2"):
            MoleculeCSV(path)


@pytest.mark.parametrize("cells", [("16777217", "16777216"), ("-1101.1234", "-1101.12345")])
def test_targets_that_single_precision_makes_alike_are_warned_of(cells, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = tmp_path / "t.csv"
    path.write_text("smiles,a,y\nCCO,1.1,{}\nC,,{}\n".format(*cells))
    with pytest.warns(UserWarning, match="column 1 of the targets `y` is rounded by up to"):
        MoleculeCSV(path)


GEPHI = "Source,Target,Type,Id,Label,timeset,Weight\n1,2,{0},0,,,1.5\n2,3,{0},1,,,0.5\n"


@pytest.mark.parametrize(("kind", "count"), [("Directed", 2), ("Undirected", 4)])
def test_gephi_says_whether_edges_are_directed(kind: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GEPHI.format(kind))
    graph = read_graph(path)
    assert (graph.num_edges, graph.node_name) == (count, ["1", "2", "3"])
    assert set(graph.edge_weight.tolist()) == {1.5, 0.5}
    assert graph.edge_index[:, 0].tolist() == [0, 1]


REFUSED = {
    "mixed types": (GEPHI.format("Directed") + "3,4,Undirected,2,,,1\n", "line 4: the type must"),
    "no type": (GEPHI.format("none"), "the type must be Directed or Undirected"),
    "another column": (GEPHI.replace("Label", "Colour"), "got 7 columns in line 1"),
    "an unknown separator": ("sep=|\na|b\n", r"line 1 names the separator '\|'"),
    "rows without names": ('"from","to"\n1,2,5\n2,3,7\n', "line 2 has 3 cells"),
    "decimal commas": (
        '"source","target","weight"\n"ann","bob",0,5\n"bob","cyd",0,7\n',
        "line 2 has 4 cells between commas",
    ),
    "repeated row names": ('"a" "b"\n"1" "x" "y"\n"1" "y" "z"\n', "line 2 has 3 cells"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_tables_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_graph(path)
