"""Pages of results: the printed tables, and lines through the rows, in a file that asks the network for nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

pytest.importorskip("plotly")
pytest.importorskip("rich")

from rich.console import Console

from graphmask._console import make_fact_table
from graphmask.benchmark.page import Chart, Report, draw, make_page, page_path

ROWS = [
    {"nodes": nodes, "ms": factor * nodes, "who": who}
    for who, factor in (("a", 1), ("b<", 2))
    for nodes in (256, 64)
]


def test_charts_are_the_rows() -> None:
    (figure,) = draw(
        Chart("Time", "nodes", "ms", ("who",), scale=10),
        [*ROWS, {"nodes": 64, "ms": None, "who": "cut"}],
    )
    assert {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data} == {
        "a": ([64, 256], [640, 2560]),
        "b<": ([64, 256], [1280, 5120]),
    }
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_panels_and_bars() -> None:
    figures = draw(Chart("Time", "who", "ms", ("who",), ("nodes",), log_y=False), ROWS)
    assert [figure.layout.title.text for figure in figures] == ["Time: 256", "Time: 64"]
    assert [trace.type for trace in figures[0].data] == ["bar", "bar"]
    assert draw(Chart("Nothing", "nodes", "none", ("who",)), ROWS) == []


def test_reports_print_and_write_the_same(tmp_path: Path) -> None:
    out = io.StringIO()
    report = Report(Console(file=out, width=80), tmp_path / "costs.html", "costs & more")
    report.print(make_fact_table("Facts <1>", {"cpu": "x < y"}))
    report.print("a remark", style="dim")
    report.write(ROWS, [Chart("Time", "nodes", "ms", ("who",))])
    assert "x < y" in out.getvalue()
    assert "a remark" in out.getvalue()
    page = (tmp_path / "costs.html").read_text()
    for text in ("<h1>costs &amp; more</h1>", "Facts &lt;1&gt;", "x &lt; y", "a remark"):
        assert text in page
    assert page.count('class="plotly-graph-div"') == 1
    assert re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:", page) is None
    assert "plotly" not in make_page("tables alone", [], [], [])


def test_pages_go_beside_other_files() -> None:
    assert page_path(Path("a.html"), Path("b.csv")) == Path("a.html")
    assert page_path(None, None, Path("b.csv")) == Path("b.html")
    assert page_path(None, None) is None


def test_nothing_is_written_where_no_page_is_wanted(tmp_path: Path) -> None:
    Report(Console(file=io.StringIO()), None, "none").write(ROWS, [])
    assert list(tmp_path.iterdir()) == []
