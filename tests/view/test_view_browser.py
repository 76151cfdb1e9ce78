"""Pages in a headless Chromium: a click shows another row, without errors and network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import graphmask as gm
from graphmask.view import row

pytest.importorskip("plotly")
playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-unsafe-swiftshader"]

PLOT = "document.querySelector('.plotly-graph-div')"

# The position of a node in the window: by plotly's camera in space, by the axes in the plane.
PROJECT = """([x, y, z]) => {
  const plot = document.querySelector(".plotly-graph-div"), layout = plot._fullLayout;
  if (!layout.scene) {
    const box = plot.getBoundingClientRect(), {xaxis, yaxis} = layout;
    return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
  }
  const scene = layout.scene._scene, {projection, view, model} = scene.glplot.cameraParams;
  const times = (matrix, vector) => [0, 1, 2, 3].map(
    (row) => vector.reduce((sum, value, column) => sum + value * matrix[4 * column + row], 0));
  const at = [x, y, z].map((value, axis) => value * scene.dataScale[axis]);
  const c = times(projection, times(view, times(model, [...at, 1])));
  const {left, top, width, height} = scene.glplot.canvas.getBoundingClientRect();
  return [left + width * (c[0] / c[3] + 1) / 2, top + height * (1 - c[1] / c[3]) / 2];
}"""

COLORS = f"""() => {{
  const row = {PLOT}._fullData.find((trace) => trace.name === "row");
  return Array.from(row.intensity || row.marker.color);
}}"""


NAMES = ("$x$", "{{x}}", "</script>", "%s", "{plot_id}", "%{meta.node}", "<b>", "&amp;", "[/b]")


def ladder() -> Data:
    """Two rows of eight nodes in the plane, with names that need escapes."""
    pos = torch.cartesian_prod(torch.arange(2.0), torch.arange(8.0)).flip(1)
    edges = nx.convert_node_labels_to_integers(nx.grid_2d_graph(2, 8)).edges
    names = [f"<{letter}>" for letter in "abcdefghijklmnop"]
    edge_index = to_undirected(torch.tensor(list(edges)).T)
    return Data(edge_index=edge_index, pos=pos, node_name=names)


def sheet() -> Data:
    """A sheet of triangles that bends towards the eye."""
    x, y = torch.cartesian_prod(torch.arange(10.0), torch.arange(10.0)).flip(1).T
    pos = torch.stack([x, y, -0.05 * ((x - 4.5) ** 2 + (y - 4.5) ** 2)], 1)
    corner = torch.arange(100).view(10, 10)[:-1, :-1].reshape(-1, 1, 1)
    triangles = torch.tensor([[0, 1, 10], [1, 11, 10]])
    return Data(pos=pos, face=(corner + triangles).view(-1, 3).T)


def test_names_appear_as_text(tmp_path: Path) -> None:
    data, path = ladder(), tmp_path / "row.html"
    data.node_name = [*NAMES, *NAMES][:16]
    row(gm.masks.GlobalMask(), data).write_html(path)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_function(f"{PLOT}.graphmask !== undefined")
        texts = "Array.from(document.querySelectorAll('.textpoint')).map((x) => x.textContent)"
        page.wait_for_function(f"{texts}.length === 16")
        assert page.evaluate(texts) == data.node_name
        for node, name in enumerate(NAMES):
            page.evaluate(f"{PLOT}.graphmask.node = {node}")
            page.evaluate(f"{PLOT}.emit('plotly_sliderchange', {{slider: {{active: 0}}}})")
            page.wait_for_function(
                f"document.querySelector('.gtitle').textContent.includes({name!r})"
            )
        browser.close()


@pytest.mark.parametrize(("make", "first", "then"), [(ladder, 2, 13), (sheet, 44, 57)])
def test_a_click_shows_another_row(make: Any, first: int, then: int, tmp_path: Path) -> None:
    data, mask = make(), gm.masks.WalkMask(hops=3, heads=2)
    mask.coefficients.value.data[1] = torch.tensor([1.0, -1.0, 0.5, -0.2])
    path = tmp_path / "row.html"
    row([mask, gm.masks.GlobalMask()], data, node=first, logarithmic=False).write_html(path)
    messages: list[str] = []
    requests: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1000, "height": 640})
        page.on("console", lambda x: messages.append(x.text) if x.type == "error" else None)
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function(f"{PLOT}.graphmask !== undefined")
        page.wait_for_timeout(500)
        # The whole object lies inside the window.
        for pos in np.pad(data.pos.numpy(), ((0, 0), (0, 3 - data.pos.shape[1]))).tolist():
            x, y = page.evaluate(PROJECT, pos)
            assert 0 < x < 1000
            assert 0 < y < 640
        picture = page.screenshot()
        x, y = page.evaluate(PROJECT, [*data.pos[then].tolist(), 0][:3])
        for step in (4, 0):  # the pointer comes, and rests
            page.mouse.move(x - step, y)
            page.wait_for_timeout(200)
        page.mouse.down()
        page.wait_for_timeout(60)
        page.mouse.up()
        page.wait_for_function(f"{PLOT}.graphmask.node === {then}", timeout=20_000)

        def assert_row(matrix: object, head: int) -> None:
            page.wait_for_timeout(200)
            page.evaluate(f"{PLOT}.ready")
            exact = row(matrix, data, node=then).rows[0][head]
            shown, others = np.array(page.evaluate(COLORS)), np.delete(exact, then)
            expected = 100 * others / np.abs(others).max()
            if data.get("face") is not None:
                shown = np.delete(shown, then)
            else:  # nonzero entries alone, in another order
                shown, expected = np.sort(shown), np.sort(expected[expected != 0])
            assert np.allclose(shown, expected, atol=0.51)

        assert_row(mask, 0)
        assert page.screenshot() != picture
        assert f"node {then}" in page.text_content(".infolayer")
        page.evaluate(f"{PLOT}.emit('plotly_sliderchange', {{slider: {{active: 1}}}})")
        assert_row(mask, 1)
        page.evaluate(f"{PLOT}.emit('plotly_buttonclicked', {{active: 1}})")
        assert_row(gm.masks.GlobalMask(), 0)
        browser.close()
    assert messages == []
    own = (path.as_uri(), "data:", "blob:")
    assert [url for url in requests if not url.startswith(own)] == []
