"""Pages in a headless Chromium.

They open without errors and without the network, and a click shows another row.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphmask as gm
from graphmask.view import row

pytest.importorskip("plotly")
playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--enable-unsafe-swiftshader",
)

# Where a node lies in the window: projected as plotly's own camera does in space, by the axes in
# the plane.
PROJECT = """(node) => {
  const plot = document.getElementById("plot"), layout = plot._fullLayout;
  const trace = plot._fullData.find((each) => each.name === (plot._fullData.some((t) => t.name === "nodes") ? "nodes" : "row"));
  if (!layout.scene) {
    const box = plot.getBoundingClientRect(), {xaxis, yaxis} = layout;
    return [box.left + xaxis._offset + xaxis.d2p(trace.x[node]), box.top + yaxis._offset + yaxis.d2p(trace.y[node])];
  }
  const scene = layout.scene._scene, {projection, view, model} = scene.glplot.cameraParams;
  const times = (m, v) => [0, 1, 2, 3].map((r) => m[r] * v[0] + m[4 + r] * v[1] + m[8 + r] * v[2] + m[12 + r] * v[3]);
  const at = ["x", "y", "z"].map((axis, number) => trace[axis][node] * scene.dataScale[number]);
  const c = times(projection, times(view, times(model, [...at, 1])));
  const box = scene.glplot.canvas.getBoundingClientRect();
  return [box.left + box.width * (c[0] / c[3] + 1) / 2, box.top + box.height * (1 - c[1] / c[3]) / 2];
}"""

COLOURS = """() => {
  const trace = document.getElementById("plot")._fullData.find((each) => each.name === "row");
  return Array.from(trace.intensity || trace.marker.color);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


class Opened:
    """A page, with what it complained of and asked for."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": 1000, "height": 640})
        # Chromium warns of its own drawing in software; errors are what a page is answerable for.
        self.page.on(
            "console",
            lambda told: self.complaints.append(told.text) if told.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.graphmaskView !== undefined")
        self.own = path.as_uri()
        self.settle()

    def settle(self) -> None:
        """Until all that was asked for is drawn."""
        self.page.evaluate("graphmaskView.ready")

    def node(self) -> int:
        return self.page.evaluate("graphmaskView.state.node")

    def colours(self) -> list[float]:
        return self.page.evaluate(COLOURS)

    def picture(self) -> bytes:
        return self.page.locator("#plot").screenshot()

    def click(self, node: int) -> None:
        """As a hand does: the pointer comes, rests, and presses."""
        x, y = self.page.evaluate(PROJECT, node)
        self.page.mouse.move(x - 4, y - 2)
        self.page.wait_for_timeout(200)
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(200)
        self.page.mouse.down()
        self.page.wait_for_timeout(60)
        self.page.mouse.up()
        self.page.wait_for_function(
            "(node) => graphmaskView.state.node === node", arg=node, timeout=20_000
        )
        self.settle()

    def is_quiet(self) -> bool:
        return (
            self.complaints == []
            and [url for url in self.requests if url != self.own and not url.startswith("data:")]
            == []
        )


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    pages: list[Opened] = []

    def opened(*arguments: Any, **options: Any) -> Opened:
        row(*arguments, **options).write_html(tmp_path / "row.html")
        pages.append(Opened(browser, tmp_path / "row.html"))
        return pages[-1]

    yield opened
    for each in pages:
        each.page.close()


def two_heads(hops: int = 3) -> gm.masks.WalkMask:
    mask = gm.masks.WalkMask(hops=hops, heads=2)
    mask.coefficients.value.data[1] = torch.tensor([1.0, -1.0, 0.5, -0.2][: hops + 1])
    return mask


def ladder() -> Data:
    """Two rows of eight, with names and places in the plane."""
    place = torch.arange(16).view(2, 8)
    links = torch.cat(
        [
            torch.stack([place[:, 1:].flatten(), place[:, :-1].flatten()]),
            torch.stack([place[0], place[1]]),
        ],
        1,
    )
    names = [f"<{letter}>" for letter in "abcdefghijklmnop"]
    pos = torch.stack([place.flatten() % 8, place.flatten() // 8], 1).float()
    return Data(edge_index=torch.cat([links, links.flip(0)], 1), pos=pos, node_name=names)


def cloud() -> Data:
    pos = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 3))).float()
    return Data(pos=pos / pos.norm(dim=1, keepdim=True))


def sheet() -> Data:
    """A sheet of triangles that bends towards the reader."""
    place = torch.arange(100).view(10, 10)
    a, b, c, d = (
        each.flatten() for each in (place[:-1, :-1], place[:-1, 1:], place[1:, :-1], place[1:, 1:])
    )
    x, y = place.flatten() % 10, place.flatten() // 10
    pos = torch.stack([x.float(), y.float(), -0.05 * ((x - 4.5) ** 2 + (y - 4.5) ** 2)], 1)
    return Data(pos=pos, face=torch.cat([torch.stack([a, b, c]), torch.stack([b, d, c])], 1))


def loneliest_in_front(pos: torch.Tensor, first: int) -> int:
    """The node that is farthest from all others, of those that face the reader as the first one does."""
    apart = torch.cdist(pos, pos).fill_diagonal_(torch.inf).amin(1)
    apart[first] = 0
    return int(apart.masked_fill(pos @ pos[first] < 0.8, 0).argmax())


@pytest.mark.parametrize(
    ("make", "first", "then"), [(ladder, 2, 13), (cloud, 5, None), (sheet, 44, 57)]
)
def test_a_click_shows_another_row(
    show: Callable[..., Opened], make: Callable[[], Data], first: int, then: int | None
) -> None:
    data, mask = make(), two_heads()
    page = show(mask, data, node=first)
    assert page.node() == first
    before, picture = page.colours(), page.picture()
    chosen = loneliest_in_front(data.pos, first) if then is None else then
    page.click(chosen)
    assert page.node() == chosen
    assert page.colours() != before
    assert page.picture() != picture
    # What is coloured is the row of that node.
    exact = row(mask, data, node=chosen).rows[0][0]
    others = np.delete(exact, chosen)
    shown = np.array(page.colours())
    shown = np.delete(shown, chosen) if len(shown) == len(exact) else shown
    expected = (others if len(shown) == len(others) else others[others != 0]) / np.abs(others).max()
    if not page.page.evaluate("graphmaskView.state.logarithmic"):
        assert np.allclose(shown, expected, atol=1e-3)
    assert page.is_quiet(), (page.complaints, page.requests)


def test_head_slider_list_and_number_field(show: Callable[..., Opened]) -> None:
    page = show([two_heads(), gm.masks.GlobalMask()], ladder(), node=2)
    before = page.colours()
    page.page.locator("#head").fill("1")
    page.settle()
    assert page.page.evaluate("graphmaskView.state.head") == 1
    assert min(page.colours()) < 0 <= min(before)
    assert "&lt;" not in page.page.inner_text("#status")
    assert "2 (<c>)" in page.page.inner_text("#status")
    page.page.locator("#entries tr").first.click()
    page.settle()
    assert page.node() in (1, 3, 10)
    page.page.locator("#node").fill("7")
    page.page.locator("#node").press("Enter")
    page.settle()
    assert page.node() == 7
    page.page.locator("#log").check()
    page.settle()
    assert page.page.evaluate("graphmaskView.state.logarithmic") is True
    page.page.locator("#mask").select_option("1")
    page.settle()
    assert page.colours() == [1.0] * 15
    assert not page.page.locator("#head-field").is_visible()
    assert page.is_quiet(), (page.complaints, page.requests)


def test_a_click_where_no_row_is_goes_to_the_nearest(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "few.html"
    row(gm.masks.GlobalMask(), ladder(), node=2).write_html(path, budget=200)
    page = Opened(browser, path)
    assert "nodes are on this page" in page.page.inner_text("footer")
    page.page.evaluate("graphmaskView.show(15)")
    page.settle()
    assert page.node() != 15
    assert "Node 15 has no row on this page" in page.page.inner_text("#status")
    page.page.close()
