"""Short tables for notebooks, and warnings that come once and say what to do."""

from __future__ import annotations

import copy
import re
import warnings

import pytest
import torch
from cases.graphs import star
from torch import Tensor

import graphmask as gm
from graphmask import _warnings
from graphmask._html import format_bytes, html_table

RING = torch.stack([torch.arange(1200), (torch.arange(1200) + 1) % 1200])


def cells(table: str) -> dict[str, str]:
    """Names and values of a table."""
    actual = re.findall(r"<td[^>]*><b>(.*?)</b></td><td[^>]*>(.*?)</td>", table)
    assert actual
    assert table.count("<td") == 2 * len(actual)
    return dict(actual)


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has been warned of anything yet."""
    monkeypatch.setattr(_warnings, "_warned", set())


def test_tables_hold_text_and_no_html() -> None:
    assert cells(html_table("<b>", {"a<b": "<script>"})) == {"a&lt;b": "&lt;script&gt;"}
    assert cells(html_table("{x}", {"{{x}}": "$x %s"})) == {"{{x}}": "$x %s"}
    assert "<b>" not in html_table("<b>", {"a": 1}).split("</caption>")[0].split("<code>")[1]
    assert [format_bytes(each) for each in (0, 1023, 2048, 5 * 2**40, 2**60)] == [
        "0 bytes", "1.02e+03 bytes", "2 KiB", "5 TiB", "1.05e+06 TiB",
    ]  # fmt: skip


def test_topology_and_walks() -> None:
    graph = gm.Topology(RING, 1200, edge_weight=-torch.ones(1200), pos=torch.zeros(1200, 3))
    table = cells(graph._repr_html_())
    assert table["nodes"] == "1,200"
    assert table["edges"] == "1,200, 1 per node"
    assert (table["weights"], table["positions"], table["walks"]) == (
        "of any sign",
        "3 per node",
        "none",
    )
    walks = gm.walks.ResampledWalks(budget=4, hops=3, normalization="rw")(gm.Topology(RING, 1200))
    table = cells(walks._repr_html_())
    assert (table["hops"], table["of W normalised"]) == ("0 to 3", "rw")
    assert (
        table["pairs"] == "4,800, 4 per node"
    )  # a ring that goes one way: a node, and the three before it
    listed = gm.walks.IIDWalks(num_walks=2, hops=2)(
        gm.Topology(RING, 1200), torch.Generator().manual_seed(0)
    )
    assert cells(listed._repr_html_())["pairs"].endswith("per node")


def test_masks_and_operators() -> None:
    mask = gm.masks.WalkMask(hops=3, heads=2)
    table = cells(mask._repr_html_())
    assert (table["heads"], table["learned numbers"]) == ("2", "8")
    assert table["reads walks"].startswith("1 set(s), by ResampledWalks")
    graph = mask.prepare(gm.Topology(RING, 1200))
    table = cells(mask(graph)._repr_html_())
    assert table["attention runs as"] == "Pairs(), 4,800 stored pairs"
    signed = gm.masks.PowerSeriesMask(hops=2, alpha=gm.masks.Free)
    large = star(20_000)  # whose powers have too many entries
    assert cells(signed(large)._repr_html_())["attention runs as"].startswith(
        "nothing: its absolute values are not known"
    )
    for each in (
        gm.masks.GlobalMask(),
        0.5 * gm.masks.GlobalMask() + mask,
        gm.masks.DegreeMask() * mask,
    ):
        assert cells(each(graph)._repr_html_())
        assert cells(each._repr_html_())


def test_a_table_leaves_the_operator_as_it_was() -> None:
    mask = gm.masks.WalkMask(hops=2)
    summed = (mask + gm.masks.WalkMask(hops=1))(mask.prepare(gm.Topology(RING, 1200)))
    with torch.no_grad():
        assert summed._repr_html_()
    x = torch.ones(1200, 1, 2)
    gm.attention(x, x, torch.arange(2400).view(1200, 1, 2).to(x.dtype), summed).sum().backward()
    assert mask.coefficients.value.grad is not None


@pytest.mark.global_rng
def test_training_on_edges_alone_is_warned_of_once(untold: None) -> None:
    layer = gm.nn.TopologicalAttention(4, 2, gm.masks.WalkMask(hops=2))
    other = copy.deepcopy(layer)
    x = torch.ones(1200, 4)

    def call(layer: torch.nn.Module, edges: Tensor | gm.Topology, times: int = 8) -> None:
        for _ in range(times):
            layer(x, edges)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(layer.eval(), RING)
        with torch.no_grad():
            call(layer.train(), RING, times=4)
        call(other, other.mask.prepare(gm.Topology(RING, 1200)))
        assert caught == []
        call(layer, RING)
        call(other, RING)
    (warning,) = caught
    assert warning.category is gm.GraphmaskWarning
    assert "graphmask.transforms.AddWalks" in str(warning.message)


@pytest.mark.global_rng
def test_small_or_changing_graphs_are_not_warned_of(untold: None) -> None:
    layer = gm.nn.TopologicalAttention(4, 2, gm.masks.WalkMask(hops=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(8):
            layer(torch.ones(999, 4), RING[:, :998])
            layer(torch.ones(1200 + number, 4), RING)


def test_large_dense_blocks_are_warned_of(untold: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.operators.executions._WARNED", 2**20)
    x = torch.ones(1200, 1, 2)
    mask = gm.masks.GlobalMask()(gm.Topology(RING, 1200))
    with pytest.warns(
        gm.GraphmaskWarning,
        match=r"Dense\(\) builds mask blocks of .* 1,200 nodes\. Leave `execution` out",
    ):
        gm.attention(x, x, x, mask, execution=gm.operators.Dense())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gm.attention(x, x, x, mask, execution=gm.operators.Dense())
